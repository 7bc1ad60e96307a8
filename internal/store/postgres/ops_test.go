package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
)

// sql runs a statement beside the store.
func sql(t *testing.T, url, text string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

// until waits for what must come about soon.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

// opened are two stores on one database, as two processes have them.
func opened(t *testing.T) (url string, stores [2]*postgres.Store) {
	url = pgtest.Shared(t).Database(t)
	for k := range stores {
		stores[k] = open(t, postgres.Options{URL: url, CallerClock: true})
		t.Cleanup(func() { stores[k].Close() })
	}
	return url, stores
}

// Work is done by one process at a time. When its connection ends, its work is told to end, and somebody takes over.
func TestOnce(t *testing.T) {
	url, stores := opened(t)
	ctx, stop := context.WithCancel(t.Context())
	var begun, told atomic.Int64
	ended := make(chan struct{})
	once := func(st *postgres.Store) {
		defer func() { ended <- struct{}{} }()
		st.Once(ctx, "work", time.Hour, func(ctx context.Context) error {
			begun.Add(1)
			<-ctx.Done()
			told.Add(1)
			return nil
		})
	}
	go once(stores[0])
	until(t, "somebody works", func() bool { return begun.Load() == 1 })
	beside := func(context.Context) error { return errors.New("two processes work") }
	if err := stores[1].TryOnce(ctx, "work", beside); err != nil {
		t.Error(err)
	}
	go once(stores[1])
	sql(t, url, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	until(t, "somebody takes over", func() bool { return begun.Load() == 2 && told.Load() == 1 })
	stop()
	<-ended
	<-ended
	if n := told.Load(); n != 2 {
		t.Errorf("%d of 2 works were told to end", n)
	}
}

// Work that fails each time is never said to go on. When it succeeds once it is.
func TestOnceFailsAgain(t *testing.T) {
	var log bytes.Buffer
	st := open(t, postgres.Options{URL: pgtest.Shared(t).Database(t), CallerClock: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer st.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const goesOn = "background work succeeds again"
	rounds := 0
	st.Once(ctx, "work", time.Millisecond, func(context.Context) error {
		switch rounds++; rounds {
		case 1, 2, 3:
			return errors.New("it failed")
		case 4:
			if got := log.String(); strings.Contains(got, goesOn) || !strings.Contains(got, "background work failed") {
				t.Errorf("while it failed:\n%s", got)
			}
		case 5:
			stop()
		}
		return nil
	})
	if got := log.String(); strings.Count(got, goesOn) != 1 {
		t.Errorf("when it works:\n%s", got)
	}
}

// The work of one store does not hold up that of another one in the same database.
func TestOnceForEachStore(t *testing.T) {
	url, stores := opened(t)
	sql(t, url, "CREATE SCHEMA other")
	other := open(t, postgres.Options{URL: withParameter(t, url, "schema", "other"), CallerClock: true})
	defer other.Close()
	var works atomic.Int64
	err := stores[0].TryOnce(t.Context(), "work", func(ctx context.Context) error {
		count := func(context.Context) error { works.Add(1); return nil }
		return errors.Join(stores[1].TryOnce(ctx, "work", count), other.TryOnce(ctx, "work", count))
	})
	if err != nil || works.Load() != 1 {
		t.Errorf("%d works were done beside that of the store, %v; want the one of the other store", works.Load(), err)
	}
}

// A change is heard of also when its notification is lost, and when the connection that listened is.
func TestWatch(t *testing.T) {
	url, stores := opened(t)
	ctx, stop := context.WithCancel(t.Context())
	var heard atomic.Int64
	ended := make(chan struct{})
	go func() {
		stores[0].Watch(ctx, func() { heard.Add(1) })
		close(ended)
	}()
	until(t, "the beginning", func() bool { return heard.Load() == 1 })
	sql(t, url, `UPDATE state SET changes = changes + 1`) // nobody is notified
	until(t, "a change without a word", func() bool { return heard.Load() == 2 })
	sql(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	sql(t, url, `UPDATE state SET changes = changes + 1`)
	until(t, "a change while nobody listened", func() bool { return heard.Load() == 3 })
	time.Sleep(700 * time.Millisecond)
	if n := heard.Load(); n != 3 {
		t.Errorf("heard %d times of 2 changes and the beginning", n)
	}
	stop()
	<-ended
}

func TestCheckKey(t *testing.T) {
	_, stores := opened(t)
	first, other := []byte("the proof of a key"), []byte("the proof of another")
	for k, proof := range [][]byte{first, first} {
		if err := stores[k].CheckKey(t.Context(), proof); err != nil {
			t.Errorf("process %d: %v", k, err)
		}
	}
	if err := stores[1].CheckKey(t.Context(), other); !errors.Is(err, postgres.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if err := stores[0].CheckKey(t.Context(), first); err != nil {
		t.Errorf("after another key was refused: %v", err)
	}
}

// Ping says that the server is gone, and that it is back, on the connections that it had before.
func TestPing(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	st := open(t, postgres.Options{URL: url})
	defer st.Close()
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return st.Ping(ctx)
	}
	if err := ping(); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := ping(); err == nil {
		t.Error("a server that is gone answers")
	}
	server.StartAgain(t)
	until(t, "back", func() bool { return ping() == nil })
}

// Ping fails when there is no room for a connection that issues, though others are open.
func TestPingWithoutRoom(t *testing.T) {
	l := limitedDatabase(t)
	st := open(t, postgres.Options{URL: l.url})
	defer st.Close()
	role := must(url.Parse(l.url)).User.Username()
	execute(t, l.super, "ALTER ROLE "+role+" CONNECTION LIMIT 0")
	if _, _, err := st.Entities(t.Context()); err != nil {
		t.Fatalf("the connection that is open: %v", err)
	}
	if err := st.Ping(t.Context()); err == nil {
		t.Error("it is ready to issue")
	}
	execute(t, l.super, "ALTER ROLE "+role+" CONNECTION LIMIT -1")
	if err := st.Ping(t.Context()); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// Ping fails while a change has the store, which no batch shares then.
func TestPingDuringAChange(t *testing.T) {
	l := limitedDatabase(t)
	st := open(t, postgres.Options{URL: l.url})
	defer st.Close()
	change, err := st.BeginChange(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	impatient := open(t, postgres.Options{URL: withParameter(t, l.url, "lock_timeout", "50ms")})
	defer impatient.Close()
	if err := impatient.Ping(t.Context()); err == nil {
		t.Error("it is ready to issue beside a change")
	}
	change.Rollback()
	if err := impatient.Ping(t.Context()); err != nil {
		t.Errorf("after the change: %v", err)
	}
}

// Sessions are removed when they expired before the instant, and never more than asked at a time.
func TestRemoveSessions(t *testing.T) {
	url, stores := opened(t)
	for k, expires := range []int64{0, 10, 20, 30, 40} { // 0: never
		body := benefit.EncodeSession(&benefit.Session{Expires: benefit.Instant(expires)})
		sql(t, url, `INSERT INTO session (bucket, digest, expires, body) VALUES ($1, gen_random_uuid(), $2, $3)`, k, expires, body)
	}
	for _, step := range []struct {
		before       int64
		most, remove int
	}{{30, 1, 1}, {30, 5, 1}, {30, 5, 0}, {1000, 5, 2}, {1 << 60, 5, 0}} {
		n, err := stores[0].RemoveSessions(t.Context(), benefit.Instant(step.before), step.most)
		if err != nil || n != step.remove {
			t.Errorf("before %d, at most %d: %d, %v, want %d", step.before, step.most, n, err, step.remove)
		}
	}
}
