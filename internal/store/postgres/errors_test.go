package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/pgtest/cutproxy"
	"faquan/internal/store"
)

// After some errors no connection is worth keeping. After others all are: to let go of them because a caller went away,
// or because the server has no room for more, would make a small trouble a large one.
func TestWhatLetsGoOfConnections(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: pgtest.Shared(t).Database(t), CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, c := range map[string]struct {
		err  error
		kept bool
	}{
		"the network":                {errors.New("broken pipe"), false},
		"no answer":                  {context.DeadlineExceeded, false},
		"a caller who went away":     {fmt.Errorf("reading: %w", context.Canceled), true},
		"another was first":          {store.ErrConflict, true},
		"a duplicate":                {&pgconn.PgError{Code: "23505", SeverityUnlocalized: "ERROR"}, true},
		"too many connections":       {&pgconn.PgError{Code: "53300", Severity: "FATAL", SeverityUnlocalized: "FATAL"}, true},
		"a standby":                  {&pgconn.PgError{Code: "25006", SeverityUnlocalized: "ERROR"}, false},
		"shutting down":              {&pgconn.PgError{Code: "57P01", SeverityUnlocalized: "FATAL"}, false},
		"fatal, in another language": {&pgconn.PgError{Code: "XX000", Severity: "致命错误", SeverityUnlocalized: "FATAL"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.issuing.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := s.issuing.Stat().NewConnsCount()
			if err := s.broken(c.err); !errors.Is(err, c.err) {
				t.Errorf("it became %v", err)
			}
			if err := s.issuing.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if kept := s.issuing.Stat().NewConnsCount() == before; kept != c.kept {
				t.Errorf("kept: %v, want %v", kept, c.kept)
			}
		})
	}
}

// A server that speaks another language warns in that. What it says of a commit that was not replicated must be heard.
func TestWarningInAnotherLanguage(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: pgtest.Shared(t).Database(t), CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := s.issuing.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	warned := forgetWarnings(conn)
	keepWarning(conn.Conn().PgConn(), &pgconn.Notice{Severity: "注意", SeverityUnlocalized: "NOTICE", Message: "nothing"})
	if got := warned(); got != "" {
		t.Errorf("a notice counts as the warning %q", got)
	}
	const cancelled = "由于用户请求而取消同步复制的等待"
	keepWarning(conn.Conn().PgConn(), &pgconn.Notice{Severity: "警告", SeverityUnlocalized: "WARNING", Message: cancelled})
	if got := warned(); got != cancelled {
		t.Errorf("the warning is %q", got)
	}
}

// A committer waits for a connection a moment and not for ever: it holds locks that all others wait for.
func TestNoEndlessWaitForAConnection(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: pgtest.Shared(t).Database(t) + "&pool_max_conns=1", CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.HavePatience(200*time.Millisecond, time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("Read: %v, after all that the caller would wait: %v", err, ctx.Err() != nil)
	}
	if err := s.createLocks(ctx, []benefit.Lock{{Kind: benefit.TemplateLock, ID: 1}}); err == nil || ctx.Err() != nil {
		t.Errorf("turns: %v, after all that the caller would wait: %v", err, ctx.Err() != nil)
	}
}

// A process that stands still in the middle of a write loses its locks as it does between two statements.
func TestStandingStillInAStream(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	s, err := Open(t.Context(), Options{URL: url + "&idle_in_transaction_session_timeout=500ms", CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begun, err := s.Begin(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	x := begun.(*tx)
	defer x.Rollback()
	pid := x.conn.Conn().PgConn().PID()
	q := x.stream(t.Context())
	x.sendClock(q, 0)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var there bool
		if err := s.reading.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid).Scan(&there); err != nil {
			t.Fatal(err)
		}
		if !there {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server still keeps its locks")
		}
	}
	if err := errors.Join(q.end(), x.commit(t.Context())); err == nil {
		t.Error("it was committed")
	}
}

// Who listens for changes does not wait for ever on a network that says nothing.
func TestAskingForChangesEnds(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	s, err := Open(t.Context(), Options{URL: url, CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	proxy := cutproxy.Start(t, url)
	conn, err := pgx.Connect(t.Context(), proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	proxy.Freeze()
	thaw := time.AfterFunc(10*queryTimeout, proxy.Thaw)
	defer thaw.Stop()
	if _, err := queryChanges(t.Context(), conn); err == nil {
		t.Error("it waited until there was an answer")
	}
	proxy.Thaw()
}

// Who asks whether the database takes commits can stop to wait for a network that says nothing, though a batch would wait
// on.
func TestPingEndsWithItsContext(t *testing.T) {
	proxy := cutproxy.Start(t, pgtest.Shared(t).Database(t))
	s, err := Open(t.Context(), Options{URL: proxy.URL(), CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.HavePatience(time.Hour, time.Hour)
	if err := s.Ping(t.Context()); err != nil { // there is a connection now
		t.Fatal(err)
	}
	proxy.Freeze()
	defer proxy.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- s.Ping(ctx) }()
	select {
	case err := <-answer:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it said %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it still waits")
	}
}
