package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// entities returns a change of the catalogue.
func entities(t testing.TB, version int64, all ...any) *benefit.Changes {
	t.Helper()
	var changed []benefit.Entity
	for _, v := range all {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		changed = append(changed, e)
	}
	return &benefit.Changes{Catalogue: version, Rows: benefit.RowsOf(benefit.Entities.Rows(changed...))}
}

// A version of the catalogue is written once: the audit judges old issuances by it.
func TestVersionWrittenTwice(t *testing.T) {
	p := processes(t, 1, template(1))[0]
	before := contents(t, p.st)
	err := storetest.Write(t.Context(), p.st, 0, entities(t, 1, template(1, pausedTemplate)))
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("written twice: %v", err)
	}
	if diff := storetest.Diff(before, contents(t, p.st)); diff != "" {
		t.Errorf("it changed (-before +after):\n%s", diff)
	}
}

func pausedTemplate(t *benefit.Template) { t.Status = benefit.Paused }

// A batch that has begun keeps a change waiting until it has ended, so that the change returns after the last voucher.
func TestChangeWaitsForBatches(t *testing.T) {
	all := processes(t, 2, template(1))
	a := all[0].begin(asks("a", "1", 1))
	done := make(chan error, 1)
	go func() {
		done <- storetest.Write(context.Background(), all[1].st, 0, entities(t, 2, template(1, pausedTemplate)))
	}()
	blocked(t, all[0].url, 1, done)
	a.rows().mustIssue()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantReason(t, "after the change", all[0].issue(asks("b", "1", 1)), benefit.TemplatePaused)
}

// A batch that begins while a change is under way waits for it and is decided by what it made.
func TestBatchWaitsForChanges(t *testing.T) {
	frozen := func(t testing.TB, p *process) *benefit.Changes {
		r, err := p.st.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		u, err := r.Recipient(t.Context(), named("1"))
		if err != nil {
			t.Fatal(err)
		}
		now := *u
		now.Frozen = true
		return &benefit.Changes{Users: []*benefit.User{&now}}
	}
	for want, change := range map[benefit.Reason]func(t testing.TB, p *process) *benefit.Changes{
		benefit.TemplatePaused: func(t testing.TB, _ *process) *benefit.Changes { return entities(t, 2, template(1, pausedTemplate)) },
		benefit.UserFrozen:     frozen,
	} {
		t.Run(want.String(), func(t *testing.T) {
			all := processes(t, 2, template(1))
			wantReason(t, "before", all[1].issue(asks("a", "1", 1)), benefit.NotRefused)
			changes := change(t, all[0])
			tx := beginChange(t, all[0])
			b := all[1].ask(asks("b", "1", 1))
			blocked(t, all[0].url, 1, b)
			changes.Now = tx.Now()
			if err := tx.Commit(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			wantReason(t, "the batch that waited", (<-b)[0], want)
		})
	}
}

func beginChange(t testing.TB, p *process) store.Tx {
	t.Helper()
	tx, err := p.st.BeginChange(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Rollback)
	return tx
}

// After a pause has returned, no process issues, however busy they are.
func TestPauseUnderLoad(t *testing.T) {
	all := processes(t, 3, template(1))
	var stop atomic.Bool
	var callers sync.WaitGroup
	for n, p := range all {
		p.run()
		for c := range 8 {
			callers.Go(func() {
				for k := 0; !stop.Load(); k++ {
					_, _ = p.engine.Issue(context.Background(), asks(fmt.Sprint(n, c, k), fmt.Sprint("u", c), 1))
				}
			})
		}
	}
	const issued = "SELECT coalesce(sum(count), 0) FROM template_count WHERE template = 1"
	for version := int64(2); version < 12; version += 2 {
		before := count(t, all[0].url, issued)
		for deadline := time.Now().Add(time.Minute); count(t, all[0].url, issued) == before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is issued")
			}
		}
		change := func(n int, to *benefit.Template, v int64) {
			if err := storetest.Write(t.Context(), all[n].st, 0, entities(t, v, to)); err != nil {
				t.Fatal(err)
			}
		}
		change(int(version)%3, template(1, pausedTemplate), version)
		at := count(t, all[0].url, issued)
		time.Sleep(50 * time.Millisecond)
		if now := count(t, all[0].url, issued); now != at {
			t.Errorf("%d issued when the pause returned, %d later", at, now)
		}
		change(0, template(1), version+1)
	}
	stop.Store(true)
	callers.Wait()
}

// A session that was revoked is revoked for every process that looks.
func TestRevokedSession(t *testing.T) {
	all := processes(t, 2, template(1))
	s := &benefit.Session{Digest: benefit.SessionDigest("s"), App: storetest.App, Merchant: storetest.OpenMerchant}
	for _, ended := range []benefit.Instant{0, 1} {
		next := *s
		next.Ended = ended
		if err := storetest.Write(t.Context(), all[0].st, 0, &benefit.Changes{Rows: []table.Rows{benefit.Sessions.Rows(&next)}}); err != nil {
			t.Fatal(err)
		}
		got, err := store.Session(t.Context(), all[1].st, s.Digest)
		if err != nil || got == nil || got.Ended != ended {
			t.Fatalf("the other process reads %+v, %v; want it ended at %d", got, err, ended)
		}
	}
}

// Now is the database's clock, whatever the processes' clocks say.
func TestNowOfTheDatabase(t *testing.T) {
	all := processes(t, 1, template(1))
	got := all[0].issue(asks("a", "1", 1))
	wantReason(t, "issued", got, benefit.NotRefused)
	if at := time.Since(got.Issuance.At().Time()); at.Abs() > 10*time.Minute {
		t.Errorf("issued %v ago", at)
	}
}

// Now never goes back behind what was committed, even if the database's clock does.
func TestNowNeverGoesBack(t *testing.T) {
	all := processes(t, 2, template(1))
	all[0].begin(asks("a", "1", 1)).rows().mustIssue()
	later := benefit.InstantOf(time.Now()) + 86_400_000
	execute(t, all[0].url, "UPDATE clock SET now = $1 WHERE slot = (SELECT min(slot) FROM clock)", int64(later))
	got := all[1].issue(asks("b", "1", 1))
	wantReason(t, "issued", got, benefit.NotRefused)
	if got.Issuance.At() < later {
		t.Errorf("issued at %v, after something at %v", got.Issuance.At(), later)
	}
}

// Now is read when the batch has its locks: what it waited for them is over.
func TestNowIsReadAfterTheLocks(t *testing.T) {
	all := processes(t, 1, template(1))
	wantReason(t, "before", all[0].issue(asks("a", "1", 1)), benefit.NotRefused) // makes the lock
	other := connect(t, all[0].url)
	defer other.Close(context.Background())
	for _, statement := range []string{"BEGIN", "SELECT * FROM turn FOR UPDATE"} {
		if _, err := other.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	b := all[0].ask(asks("b", "1", 1))
	blocked(t, all[0].url, 1, b)
	time.Sleep(10 * time.Millisecond) // now has another millisecond than when the batch began
	waited := count(t, all[0].url, "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
	if _, err := other.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	got := (<-b)[0]
	wantReason(t, "it has its turn", got, benefit.NotRefused)
	if at := got.Issuance.At(); at < benefit.Instant(waited) {
		t.Errorf("issued at %d, and it waited for its turn at %d", at, waited)
	}
}

// A standby that takes over may never have had a lock that this process knows. It is made again.
func TestLocksAreCreatedAgain(t *testing.T) {
	all := processes(t, 1, template(1))
	wantReason(t, "before", all[0].issue(asks("a", "1", 1)), benefit.NotRefused)
	execute(t, all[0].url, "DELETE FROM turn")
	wantReason(t, "after", all[0].issue(asks("b", "1", 1)), benefit.NotRefused)
}
