package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/pgtest"
	"faquan/internal/pgtest/cutproxy"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
)

// behind returns a process whose connections go through a proxy, and the proxy.
func behind(t *testing.T, entities ...any) (*process, *cutproxy.Proxy) {
	t.Helper()
	url := server(t).Database(t)
	writeCatalogue(t, url, entities...)
	proxy := cutproxy.Start(t, url)
	p := join(t, proxy.URL(), 1)
	p.url = url
	return p, proxy
}

// A commit whose answer is lost is unknown, and the retry settles it: with what was committed, or by issuing once.
func TestAnswerLost(t *testing.T) {
	const either = -1
	for name, c := range map[string]struct {
		cut       cutproxy.Cut
		committed int64
		held      bool // only its own patience tells the store that there is no answer
	}{
		"the answer is lost": {cutproxy.AnswerLost, 1, false}, "the commit is lost": {cutproxy.CommitLost, 0, false}, "cut at once": {cutproxy.AtOnce, either, false},
		"the answer is held": {cutproxy.AnswerHeld, 1, true}, "the commit is held": {cutproxy.CommitHeld, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, proxy := behind(t, template(1, func(t *benefit.Template) { t.Limits.PerUser = 1 }))
			wantReason(t, "before", p.issue(asks("before", "9", 1)), benefit.NotRefused)
			if c.held {
				p.st.HavePatience(30*time.Second, 2*time.Second)
			}
			said := proxy.Arm(c.cut)
			impatient := time.AfterFunc(20*time.Second, func() {
				t.Error("the caller waits for an answer that does not come")
				proxy.CutAll()
			})
			defer impatient.Stop()
			if got := p.issue(asks("k", "1", 1)); !errors.Is(got.err, engine.ErrUnknown) {
				t.Errorf("told %+v, %v; want %v", got.Outcome, got.err, engine.ErrUnknown)
			}
			impatient.Stop()
			<-said
			proxy.CutAll() // what is held
			p.st.HavePatience(30*time.Second, 30*time.Second)
			id := int64(0)
			if c.committed == 1 {
				id = count(t, p.url, "SELECT max(id) FROM issuance")
			}
			wantReason(t, "another caller", p.issue(asks("another", "2", 1)), benefit.NotRefused)
			again := p.issue(asks("k", "1", 1))
			wantReason(t, "the retry", again, benefit.NotRefused)
			if c.committed != either && again.Replayed != (c.committed == 1) {
				t.Errorf("the retry was a replay: %v", again.Replayed)
			}
			if id != 0 && int64(again.Issuance.ID) != id {
				t.Errorf("the retry tells of %d, committed was %d", again.Issuance.ID, id)
			}
			wantIssuances(t, p, 3)
			if n := proxy.Cancels(); n != 0 {
				t.Errorf("%d cancel requests", n)
			}
		})
	}
}

// A connection that breaks while a batch waits for its turn: nothing was issued, and the next batch has another.
func TestCutWhileLoading(t *testing.T) {
	p, proxy := behind(t, template(1))
	wantReason(t, "before", p.issue(asks("before", "9", 1)), benefit.NotRefused)
	other := connect(t, p.url)
	defer other.Close(context.Background())
	for _, statement := range []string{"BEGIN", "SELECT * FROM turn FOR UPDATE"} {
		if _, err := other.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	done := p.ask(asks("k", "1", 1))
	blocked(t, p.url, 1, done)
	proxy.CutAll()
	if got := (<-done)[0]; !errors.Is(got.err, engine.ErrUnknown) {
		t.Errorf("told %+v, %v; want %v", got.Outcome, got.err, engine.ErrUnknown)
	}
	other.Close(context.Background())
	wantReason(t, "the retry", p.issue(asks("k", "1", 1)), benefit.NotRefused)
	wantIssuances(t, p, 2)
	if n := proxy.Cancels(); n != 0 {
		t.Errorf("%d cancel requests", n)
	}
}

// A network that stops in the middle of a batch: the caller hears so when the store's patience is over.
func TestFrozenNetwork(t *testing.T) {
	p, proxy := behind(t, template(1))
	wantReason(t, "before", p.issue(asks("before", "9", 1)), benefit.NotRefused)
	p.st.HavePatience(300*time.Millisecond, 300*time.Millisecond)
	proxy.Freeze()
	got := p.issue(asks("k", "1", 1))
	proxy.Thaw()
	if !errors.Is(got.err, engine.ErrUnknown) {
		t.Errorf("told %+v, %v; want %v", got.Outcome, got.err, engine.ErrUnknown)
	}
	p.st.HavePatience(30*time.Second, 30*time.Second)
	wantReason(t, "the retry", p.issue(asks("k", "1", 1)), benefit.NotRefused)
	wantIssuances(t, p, 2)
}

// setting changes a setting of a whole server, which is the test's own.
func setting(t testing.TB, srv *pgtest.Server, name, value string) {
	t.Helper()
	for _, statement := range []string{fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value), "SELECT pg_reload_conf()"} {
		if err := srv.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// waitsFor waits until a connection to the database waits for an event, and gives its process. It fails when done comes
// first.
func waitsFor[T any](t testing.TB, url, event string, done <-chan T) int64 {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		pid := count(t, url, "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1", event)
		if pid != 0 {
			return pid
		}
		select {
		case got := <-done:
			t.Fatalf("it did not wait for %s: %+v", event, got)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody waits for %s", event)
		}
	}
}

// A commit whose wait for a standby was cancelled is answered by the server with a warning: it may be lost with the
// primary. So it is unknown, though everybody sees it; and a retry that sees it is answered when a commit of its own has
// been confirmed, not before.
func TestStandbyDidNotConfirm(t *testing.T) {
	srv := pgtest.Start(t)
	url := srv.Database(t)
	writeCatalogue(t, url, template(1))
	p := join(t, url, 1)
	wantReason(t, "before", p.issue(asks("before", "9", 1)), benefit.NotRefused)
	t.Cleanup(func() { setting(t, srv, "synchronous_standby_names", "") }) // or the store waits when it is closed
	setting(t, srv, "synchronous_standby_names", "nobody")
	waitForStandby(t, url)

	done := p.ask(asks("k", "1", 1))
	execute(t, url, "SELECT pg_cancel_backend($1)", waitsFor(t, url, "SyncRep", done))
	if got := (<-done)[0]; !errors.Is(got.err, engine.ErrUnknown) {
		t.Fatalf("told %+v, %v; want %v", got.Outcome, got.err, engine.ErrUnknown)
	}
	wantIssuances(t, p, 2)

	done = p.ask(asks("k", "1", 1))
	execute(t, url, "SELECT pg_cancel_backend($1)", waitsFor(t, url, "SyncRep", done))
	if got := (<-done)[0]; !errors.Is(got.err, engine.ErrUnknown) || !errors.Is(got.err, store.ErrUnconfirmed) {
		t.Fatalf("the retry was told %+v, %v; want %v", got.Outcome, got.err, engine.ErrUnknown)
	}

	done = p.ask(asks("k", "1", 1))
	waitsFor(t, url, "SyncRep", done)
	select {
	case got := <-done:
		t.Fatalf("the retry was told before it was confirmed: %+v", got)
	case <-time.After(200 * time.Millisecond):
	}
	wantNotReady(t, p)
	setting(t, srv, "synchronous_standby_names", "")
	got := (<-done)[0]
	wantReason(t, "the retry, confirmed", got, benefit.NotRefused)
	if !got.Replayed {
		t.Error("the retry issued for itself")
	}
}

// A round of the sequencer whose wait for a standby was cancelled is visible, and may be lost with the primary. So a reader gets
// it when a commit of its own has been confirmed, not before.
func TestFeedIsConfirmed(t *testing.T) {
	srv := pgtest.Start(t)
	url := srv.Database(t)
	writeCatalogue(t, url, template(1))
	p := join(t, url, 1)
	begin, err := p.st.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, "before", p.issue(asks("k", "9", 1)), benefit.NotRefused)
	t.Cleanup(func() { setting(t, srv, "synchronous_standby_names", "") }) // or the store waits when it is closed
	setting(t, srv, "synchronous_standby_names", "nobody")
	waitForStandby(t, url)

	sequenced := make(chan error, 1)
	go func() { sequenced <- p.st.SequenceFeed(context.Background()) }()
	execute(t, url, "SELECT pg_cancel_backend($1)", waitsFor(t, url, "SyncRep", sequenced))
	if err := <-sequenced; err != nil {
		t.Fatal(err)
	}
	type page struct {
		commits []*store.Commit
		err     error
	}
	read := func() <-chan page {
		done := make(chan page, 1)
		go func() {
			commits, err := p.st.Commits(context.Background(), begin, 10)
			done <- page{commits, err}
		}()
		return done
	}
	done := read()
	execute(t, url, "SELECT pg_cancel_backend($1)", waitsFor(t, url, "SyncRep", done))
	if got := <-done; got.err == nil {
		t.Fatalf("%d commits that are not confirmed", len(got.commits))
	}
	done = read()
	waitsFor(t, url, "SyncRep", done)
	setting(t, srv, "synchronous_standby_names", "")
	if got := <-done; got.err != nil || len(got.commits) == 0 {
		t.Fatalf("confirmed: %d commits, %v", len(got.commits), got.err)
	}
}

// wantNotReady checks that a process does not say that it can issue while no commit is confirmed, and that to ask leaves
// nothing behind on the server.
func wantNotReady(t testing.TB, p *process) {
	t.Helper()
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return p.st.Ping(ctx)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := ping()
		if errors.Is(err, postgres.ErrNoStandby) {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Now().After(deadline) {
			t.Fatalf("ready is answered %v, while no commit is confirmed", err)
		}
	}
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	before := count(t, p.url, waiting)
	for range 5 {
		if err := ping(); !errors.Is(err, postgres.ErrNoStandby) {
			t.Errorf("ready is answered %v, want %v", err, postgres.ErrNoStandby)
		}
	}
	if after := count(t, p.url, waiting); after != before {
		t.Errorf("%d commits wait, there were %d", after, before)
	}
}

// waitSetting waits until every connection sees a setting with its next statement. The server tells all that are there
// before it makes another, so when one sees it, all those see it that are there when the next is made.
func waitSetting(t testing.TB, url, name, value string) {
	t.Helper()
	seen := 0
	for deadline := time.Now().Add(time.Minute); seen < 2; time.Sleep(10 * time.Millisecond) {
		if count(t, url, "SELECT count(*) WHERE current_setting($1) = $2", name, value) == 1 {
			seen++
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not become %q", name, value)
		}
	}
}

// waitForStandby waits until commits wait for a standby that is not there. That is some time after all connections
// see the setting: another process of the server says so to those that commit. Each try leaves a record in the journal
// of the server and no row.
func waitForStandby(t testing.TB, url string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	done := make(chan error, 1)
	write := func() {
		_, err := conn.Exec(context.Background(), "SELECT pg_logical_emit_message(true, '', '')")
		done <- err
	}
	go write()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		waits := count(t, url, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", conn.PgConn().PID()) == 1
		select {
		case err := <-done:
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("a commit does not wait for the standby: %v", err)
			}
			go write()
			continue
		default:
		}
		if waits {
			execute(t, url, "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
