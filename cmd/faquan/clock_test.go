package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/engine"
	"faquan/internal/store/embedded"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// The clock that counts sleep goes on like the other one.
func TestElapsed(t *testing.T) {
	before, start := elapsed(), time.Now()
	time.Sleep(time.Millisecond)
	if passed := elapsed() - before; passed < time.Millisecond || passed > time.Since(start)+time.Millisecond {
		t.Errorf("%v have passed", passed)
	}
}

const clockTemplates = "  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}\n"

// A data directory whose last commit was long ago takes commits only when the operator confirms the clock.
func TestClockOfOldDirectory(t *testing.T) {
	dir := t.TempDir()
	st, err := embedded.Open(embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	old := benefit.InstantOf(time.Now().AddDate(-2, 0, 0))
	first := &benefit.Changes{Users: []*benefit.User{{ID: 1, Name: "first"}}}
	if err := errors.Join(storetest.Write(t.Context(), st, old, first), st.Close()); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Data, c.Listen = dir, "127.0.0.1:0"
	if _, err := startServer(t.Context(), &c, serverOptions{log: slog.New(slog.DiscardHandler)}); !errors.Is(err, engine.ErrClock) {
		t.Fatalf("the start: %v", err)
	}
	apply := func(at location) error {
		return openPlatform(t.Context(), at, func(p control.Platform) error {
			_, err := control.Apply.On(t.Context(), p, testDocument(clockTemplates))
			return err
		})
	}
	if err := apply(location{dir: dir}); !errors.Is(err, engine.ErrClock) || !strings.Contains(err.Error(), "--accept-clock") {
		t.Errorf("apply: %v", err)
	}
	if err := apply(location{dir: dir, acceptClock: true}); err != nil {
		t.Errorf("apply with a clock that is confirmed: %v", err)
	}
	if err := apply(location{dir: dir}); err != nil {
		t.Errorf("after a commit: %v", err)
	}
}

// While the clock is refused a server is not ready, and it is ready again by itself.
func TestReadyByClock(t *testing.T) {
	now := storetest.Start
	issuer, err := engine.New(t.Context(), engine.Options{
		Store: memory.New(), Clock: func() benefit.Instant { return now }, Elapsed: func() time.Duration { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{node: &node{engine: issuer}}
	s.ready.Store(true)
	for _, step := range []struct {
		now  benefit.Instant
		want string
	}{{now, ""}, {now + 25*3600*1000, "the clock is refused; callers are told to retry"}, {now, ""}} {
		now = step.now
		if got := s.unready(); got != step.want {
			t.Errorf("at %v: unready %q, want %q", now, got, step.want)
		}
	}
}

// On a database the clock is the database's.
func TestClockOfOldDatabase(t *testing.T) {
	url, dir := testDatabase(t), t.TempDir()
	discard := slog.New(slog.DiscardHandler)
	start := func(accept bool) *server {
		c := config.Default()
		c.Data, c.Listen, c.Store = dir, "127.0.0.1:0", url
		s, err := startServer(t.Context(), &c, serverOptions{log: discard, document: testDocument(clockTemplates), acceptClock: accept})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := start(false).stop(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "UPDATE clock SET now = now - 2::bigint*366*24*3600*1000"); err != nil {
		t.Fatal(err)
	}
	at := location{dir: dir, store: url}
	if err := openPlatform(t.Context(), at, func(p control.Platform) error {
		_, err := control.Apply.On(t.Context(), p, testDocument(clockTemplates))
		return err
	}); !errors.Is(err, engine.ErrClock) {
		t.Errorf("apply: %v", err)
	}
	c := config.Default()
	c.Data, c.Listen, c.Store = dir, "127.0.0.1:0", url
	s, err := startServer(t.Context(), &c, serverOptions{log: discard}) // it commits nothing
	if err != nil {
		t.Fatal(err)
	}
	ready := func(s *server) int {
		resp, err := http.Get(s.url + "/readyz")
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	within(t, "not ready", func() bool { return ready(s) == http.StatusServiceUnavailable })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(true)
	defer s.stop()
	if got := ready(s); got != http.StatusOK {
		t.Errorf("/readyz with a clock that is confirmed: %d", got)
	}
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	if e, err := app.send(t.Context(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k"}); err != nil || e.answer.SubCode != "" {
		t.Errorf("a call: %+v, %v", e, err)
	}
}

// The clock of a database that could not be asked for it at first is looked at when it can be.
func TestClockIsLookedAtLater(t *testing.T) {
	url, role := roleDatabase(t)
	dir, discard := t.TempDir(), slog.New(slog.DiscardHandler)
	c := config.Default()
	c.Data, c.Listen, c.Store = dir, "127.0.0.1:0", url
	first, err := startServer(t.Context(), &c, serverOptions{log: discard, document: testDocument(clockTemplates)})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "UPDATE clock SET now = now - 2::bigint*366*24*3600*1000"); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	s := onDatabase(t, url, dir, nil, discard)
	execute(t, "ALTER ROLE "+role+" CONNECTION LIMIT 0")
	execute(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
	within(t, "the database is away", func() bool { return s.background.down.Load() })
	time.Sleep(100 * time.Millisecond) // it is asked for its clock now, if ever
	execute(t, "ALTER ROLE "+role+" CONNECTION LIMIT -1")
	within(t, "the clock is refused", func() bool { return errors.Is(s.node.engine.ClockError(), engine.ErrClock) })
}

// The clock of a node is held against the time that passes.
func TestClockIsWatched(t *testing.T) {
	now := benefit.InstantOf(time.Now())
	n, err := openNode(t.Context(), location{dir: t.TempDir()}, nodeOptions{clock: func() benefit.Instant { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if err := n.engine.CheckClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	now += 25 * 3600 * 1000
	if err := n.engine.CheckClock(t.Context()); !errors.Is(err, engine.ErrClock) {
		t.Errorf("a clock that jumps: %v", err)
	}
}
