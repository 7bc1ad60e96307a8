package cutproxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/pgtest"
	"faquan/internal/pgtest/cutproxy"
)

// world is a table behind a proxy.
type world struct {
	*testing.T
	proxy  *cutproxy.Proxy
	direct *pgx.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := pgtest.Shared(t).Database(t)
	w := &world{T: t, proxy: cutproxy.Start(t, url), direct: dial(t, url)}
	w.do(w.direct, "CREATE TABLE kept (n int)")
	return w
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (w *world) do(conn *pgx.Conn, statement string) {
	w.Helper()
	if _, err := conn.Exec(w.Context(), statement); err != nil {
		w.Fatalf("%s: %v", statement, err)
	}
}

// rows returns what the server has, whatever a client believes.
func (w *world) rows() (n int) {
	w.Helper()
	if err := w.direct.QueryRow(w.Context(), "SELECT count(*) FROM kept").Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// insert begins a transaction through the proxy, writes a row and leaves the commit to the caller.
func (w *world) insert() *pgx.Conn {
	w.Helper()
	conn := dial(w.T, w.proxy.URL())
	w.do(conn, "BEGIN")
	w.do(conn, "INSERT INTO kept VALUES (1)")
	return conn
}

// said waits for what a cut tells.
func (w *world) said(c <-chan string) string {
	w.Helper()
	select {
	case answer := <-c:
		return answer
	case <-time.After(time.Minute):
		w.Fatal("no COMMIT has met the cut")
		return ""
	}
}

// spellings are the ways in which a client can send a COMMIT.
var spellings = map[string]func(context.Context, *pgx.Conn) error{
	"simple": func(ctx context.Context, c *pgx.Conn) error {
		return c.PgConn().Exec(ctx, " Commit ; ").Close()
	},
	"unnamed statement": func(ctx context.Context, c *pgx.Conn) error {
		return c.PgConn().ExecParams(ctx, "COMMIT WORK", nil, nil, nil, nil).Read().Err
	},
	"prepared statement": func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.PgConn().Prepare(ctx, "over", "commit", nil); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		return c.PgConn().ExecPrepared(ctx, "over", nil, nil, nil).Read().Err
	},
	"end of a batch": func(ctx context.Context, c *pgx.Conn) error {
		batch := &pgx.Batch{}
		batch.Queue("SELECT 1")
		batch.Queue("end")
		return c.SendBatch(ctx, batch).Close()
	},
}

// TestCuts: for each way to send a COMMIT and each cut, what the client hears and what the server has.
func TestCuts(t *testing.T) {
	cuts := []struct {
		name string
		cut  cutproxy.Cut
		tag  string
		rows int // -1: unknown
	}{
		{"answer lost", cutproxy.AnswerLost, "COMMIT", 1},
		{"commit lost", cutproxy.CommitLost, "", 0},
		{"at once", cutproxy.AtOnce, "", -1},
	}
	for name, commit := range spellings {
		for _, c := range cuts {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				w := newWorld(t)
				conn := w.insert()
				reported := w.proxy.Arm(c.cut)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := commit(ctx, conn); err == nil || ctx.Err() != nil {
					t.Fatalf("the client believes that it has committed, or still waits: %v", err)
				}
				if got := w.said(reported); got != c.tag {
					t.Errorf("the server answered %q, want %q", got, c.tag)
				}
				if got := w.rows(); c.rows >= 0 && got != c.rows {
					t.Errorf("%d rows, want %d", got, c.rows)
				}
				if err := commit(t.Context(), w.insert()); err != nil {
					t.Errorf("the next one does not pass: %v", err)
				}
				if got := w.proxy.Commits(); got != 2 {
					t.Errorf("%d commits seen", got)
				}
			})
		}
	}
}

// TestAnswers: the test that cut the answer off is told which it was.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	conn := w.insert()
	if _, err := conn.Exec(t.Context(), "SELECT nonsense"); err == nil {
		t.Fatal("no error")
	}
	reported := w.proxy.Arm(cutproxy.AnswerLost)
	if err := conn.PgConn().Exec(t.Context(), "COMMIT").Close(); err == nil {
		t.Error("the client has got an answer")
	}
	if got := w.said(reported); got != "ROLLBACK" {
		t.Errorf("a failed transaction: %q", got)
	}

	w.do(w.direct, "CREATE TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	conn = w.insert()
	w.do(conn, "INSERT INTO once VALUES (1), (1)")
	reported = w.proxy.Arm(cutproxy.AnswerLost)
	if err := conn.PgConn().Exec(t.Context(), "COMMIT").Close(); err == nil {
		t.Error("the client has got an answer")
	}
	if got := w.said(reported); got != "23505" {
		t.Errorf("a commit that fails: %q", got)
	}
}

// TestHeld: the client waits until its own patience ends. What the server has of it shows at once; the locks of a
// COMMIT that never arrived go only with the connection.
func TestHeld(t *testing.T) {
	for name, c := range map[string]struct {
		cut       cutproxy.Cut
		rows      int
		wantState string
	}{
		"answer": {cut: cutproxy.AnswerHeld, rows: 1, wantState: "idle"},
		"commit": {cut: cutproxy.CommitHeld, rows: 0, wantState: "idle in transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			conn := w.insert()
			pid := conn.PgConn().PID()
			reported := w.proxy.Arm(c.cut)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := conn.Exec(ctx, "COMMIT"); err == nil || !pgconn.Timeout(err) {
				t.Errorf("the client has heard something: %v", err)
			}
			w.said(reported)
			conn.PgConn().Conn().Close()
			time.Sleep(time.Second) // were the end to pass, it would pass now
			if got := w.rows(); got != c.rows {
				t.Errorf("%d rows, want %d", got, c.rows)
			}
			if got := w.state(pid); got != c.wantState {
				t.Errorf("the server's side of the connection is %q, want %q", got, c.wantState)
			}
			w.proxy.CutAll()
			w.eventually("the server notices the cut", func() bool { return w.state(pid) == "" })
		})
	}
}

// eventually waits for what the server or the proxy does on its own.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for until := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			w.Fatalf("never: %s", what)
		}
	}
}

// state returns what the server says of a connection; empty when there is none.
func (w *world) state(pid uint32) (state string) {
	w.Helper()
	err := w.direct.QueryRow(w.Context(), "SELECT coalesce(max(state), '') FROM pg_stat_activity WHERE pid = $1", pid).Scan(&state)
	if err != nil {
		w.Fatal(err)
	}
	return state
}

// TestFreeze: nothing passes, and everything passes afterwards.
func TestFreeze(t *testing.T) {
	w := newWorld(t)
	conn := w.insert()
	w.proxy.Freeze()
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "COMMIT")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("something has passed: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if got := w.rows(); got != 0 {
		t.Errorf("%d rows while nothing passes", got)
	}
	w.proxy.Thaw()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := w.rows(); got != 1 {
		t.Errorf("%d rows afterwards", got)
	}
}

// TestCancels: a cancel request is seen, passed on and takes effect. pgx sends one by itself when the context of a
// statement ends, whatever the statement is.
func TestCancels(t *testing.T) {
	w := newWorld(t)
	conn := dial(t, w.proxy.URL())
	w.do(conn, "SELECT 1")
	if got := w.proxy.Cancels(); got != 0 {
		t.Errorf("%d cancel requests before there was one", got)
	}
	pid := conn.PgConn().PID()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT pg_sleep(60)"); err == nil {
		t.Error("a statement has outlived its context")
	}
	w.eventually("the statement ends", func() bool { return w.state(pid) == "" })
	if got := w.proxy.Cancels(); got != 1 {
		t.Errorf("%d cancel requests seen", got)
	}
	w.eventually("all connections end", func() bool { return w.proxy.Connections() == 0 })
}

// TestEncryption: a client that asks for it first goes on without.
func TestEncryption(t *testing.T) {
	w := newWorld(t)
	url := strings.Replace(w.proxy.URL(), "sslmode=disable", "sslmode=prefer", 1)
	if url == w.proxy.URL() {
		t.Fatal("the connection string does not ask for it")
	}
	w.do(dial(t, url), "INSERT INTO kept VALUES (1)")
}

// TestServerDown: clients of a server that is not there fail at once, and a commit whose server dies is told of.
func TestServerDown(t *testing.T) {
	server := pgtest.Start(t, pgtest.NoSync())
	proxy := cutproxy.Start(t, server.URL("postgres"))
	conn := dial(t, proxy.URL())
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("an answer of a dead server")
	}
	if _, err := pgx.Connect(t.Context(), proxy.URL()); err == nil {
		t.Error("a connection to a dead server")
	}
	server.StartAgain(t)
	if _, err := dial(t, proxy.URL()).Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the server is there again: %v", err)
	}
}
