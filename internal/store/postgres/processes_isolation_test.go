package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// process stands for a process on a database: it has a store, an engine and a catalogue of its own.
type process struct {
	t      testing.TB
	url    string
	st     *postgres.Store
	engine *engine.Engine
	seed   uint64
}

// syncing is a server for the tests that want the database's clock: a store that has it refuses one without fsync. It
// ends with the test process.
var syncing = sync.OnceValues(func() (*pgtest.Server, error) { return pgtest.Open() })

func server(t testing.TB) *pgtest.Server {
	t.Helper()
	s, err := syncing()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// processes are n of them on one new database with the catalogue of the entities.
func processes(t testing.TB, n int, entities ...any) []*process {
	t.Helper()
	url := server(t).Database(t)
	writeCatalogue(t, url, entities...)
	all := make([]*process, n)
	for k := range all {
		all[k] = join(t, url, uint64(k+1))
	}
	return all
}

// writeCatalogue puts the merchants of storetest and the entities into a new store, as version 1.
func writeCatalogue(t testing.TB, url string, all ...any) {
	t.Helper()
	st := open(t, postgres.Options{URL: url})
	defer st.Close()
	all = append(all, &benefit.Merchant{ID: storetest.OpenMerchant, Name: "open", Open: true},
		&benefit.App{ID: storetest.App, Name: "app", Merchant: storetest.OpenMerchant})
	if err := storetest.Write(t.Context(), st, 0, entities(t, 1, all...)); err != nil {
		t.Fatal(err)
	}
}

// join starts a process on a database. Its clock is an hour wrong, which must not matter.
func join(t testing.TB, url string, seed uint64) *process {
	t.Helper()
	p := &process{t: t, url: url, st: open(t, postgres.Options{URL: url}), seed: seed}
	t.Cleanup(func() { p.st.Close() })
	var err error
	p.engine, err = engine.New(t.Context(), engine.Options{
		Store: p.st, Clock: wrongClock, Rand: rand.New(rand.NewPCG(seed, 99)), Rules: storetest.Rules{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wrongClock() benefit.Instant { return benefit.InstantOf(time.Now().Add(time.Hour)) }

// run drives the process's engine until the test ends.
func (p *process) run() {
	done := make(chan error, 1)
	go func() { done <- p.engine.Run() }()
	p.t.Cleanup(func() {
		p.engine.Stop()
		if err := <-done; err != nil {
			p.t.Errorf("Run: %v", err)
		}
	})
}

// answered is what a caller was told.
type answered struct {
	benefit.Outcome
	err error
}

// ask has the process's engine take the requests through as one batch, and answers them when it is done.
func (p *process) ask(requests ...*benefit.Request) <-chan []answered {
	pending := make([]*engine.Pending, len(requests))
	issues := make([]*benefit.Issue, len(requests))
	for k, r := range requests {
		var err error
		issues[k] = &benefit.Issue{Request: r}
		if pending[k], err = p.engine.Submit(issues[k]); err != nil {
			p.t.Fatal(err)
		}
	}
	done := make(chan []answered, 1)
	go func() {
		_, err := p.engine.Step()
		all := make([]answered, len(pending))
		for k := range pending {
			oErr, ok := pending[k].Result()
			all[k] = answered{err: errors.Join(err, oErr)}
			if ok && oErr == nil {
				all[k].Outcome = issues[k].Outcome
			}
		}
		done <- all
	}()
	return done
}

// issue is ask for one request, waiting.
func (p *process) issue(r *benefit.Request) answered { return (<-p.ask(r))[0] }

// hand is a batch that a test takes through step by step, so that it can stand still where a race would have to meet it.
type hand struct {
	p        *process
	tx       store.Tx
	batch    *benefit.Batch
	commands []benefit.Command
	outcomes []benefit.Outcome
}

// begin begins a batch and reads what stands under its keys, and whom its identifiers name.
func (p *process) begin(requests ...*benefit.Request) *hand {
	p.t.Helper()
	var commands []benefit.Command
	for _, r := range requests {
		commands = append(commands, &benefit.Issue{Request: r})
	}
	return p.beginAll(commands...)
}

// beginAll is begin for any commands.
func (p *process) beginAll(commands ...benefit.Command) *hand {
	p.t.Helper()
	h := &hand{
		p: p, commands: commands,
		batch: &benefit.Batch{State: benefit.NewState(), Catalogue: p.engine.Catalogue(), Env: storetest.Env(p.st, p.seed)},
	}
	var err error
	if h.tx, err = h.p.st.Begin(h.p.t.Context(), wrongClock()); err != nil {
		h.p.t.Fatal(err)
	}
	h.p.t.Cleanup(h.tx.Rollback)
	h.batch.Reset(h.tx.Now())
	if err := h.tx.Load(h.p.t.Context(), h.batch.Names(h.commands), h.batch.State); err != nil {
		h.p.t.Fatal(err)
	}
	return h
}

// rows takes the locks and reads what the decision needs.
func (h *hand) rows() *hand {
	h.p.t.Helper()
	if err := h.tx.Load(h.p.t.Context(), h.batch.Rows(h.commands), h.batch.State); err != nil {
		h.p.t.Fatal(err)
	}
	h.batch.MoveTo(h.tx.Now())
	return h
}

// commit decides and commits.
func (h *hand) commit() error {
	h.outcomes = nil
	for _, c := range h.commands {
		h.batch.Absorb(c.Apply(h.batch).Effect)
		if issue, ok := c.(*benefit.Issue); ok {
			h.outcomes = append(h.outcomes, issue.Outcome)
		}
	}
	if c := h.batch.Changes(); !c.Empty() {
		return h.tx.Commit(h.p.t.Context(), c)
	}
	return h.tx.Confirm(h.p.t.Context())
}

// mustIssue is commit of a batch that must issue everything.
func (h *hand) mustIssue() {
	h.p.t.Helper()
	if err := h.commit(); err != nil {
		h.p.t.Fatalf("commit: %v", err)
	}
	for _, o := range h.outcomes {
		if o.Reason != benefit.NotRefused {
			h.p.t.Fatalf("refused: %v", o.Reason)
		}
	}
}

// blocked waits until so many connections to the process's database wait for a lock, and fails when done comes first.
func blocked[T any](t testing.TB, url string, n int, done <-chan T) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var waiting int
		const ask = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
		if err := conn.QueryRow(t.Context(), ask).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting >= n {
			return
		}
		select {
		case got := <-done:
			t.Fatalf("it did not wait for the other process: %+v", got)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for a lock")
		}
	}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// execute runs a statement in the database.
func execute(t testing.TB, url, statement string, args ...any) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// count is one number out of the database.
func count(t testing.TB, url, query string, args ...any) (n int64) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// wantReason checks an answer.
func wantReason(t testing.TB, what string, a answered, want benefit.Reason) {
	t.Helper()
	if a.err != nil || a.Reason != want {
		t.Errorf("%s: %v, %v; want %v", what, a.Reason, a.err, want)
	}
}

// template returns a template of storetest with a name of its own.
func template(n benefit.TemplateID, changes ...func(*benefit.Template)) *benefit.Template {
	return storetest.Template(n, append([]func(*benefit.Template){func(t *benefit.Template) {
		t.Name, t.RightID = fmt.Sprint("t", n), int64(n)
	}}, changes...)...)
}

// named returns an identifier whose value may be any name.
func named(user string) benefit.Identifier {
	return benefit.Identifier{Type: benefit.TaobaoID, Value: user}
}

// asks returns a request of a user for one voucher of a template.
func asks(key, user string, n benefit.TemplateID) *benefit.Request {
	r := storetest.Request(key, "", storetest.Line(n))
	r.Recipient = named(user)
	return r
}

// A process hears of others by their commits, not by its own.
func TestAmongOtherProcesses(t *testing.T) {
	all := processes(t, 2, template(1))
	among := func(p *process, key string) bool {
		t.Helper()
		h := p.begin(asks(key, key, 1)).rows()
		told := h.tx.Contended()
		h.mustIssue()
		return told
	}
	among(all[0], "1")
	if among(all[0], "2") || among(all[0], "3") {
		t.Error("its own commits are taken for another's")
	}
	if !among(all[1], "4") || !among(all[0], "5") {
		t.Error("a commit of another process is not noticed")
	}
}
