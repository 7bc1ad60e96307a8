package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// faulty is the plain store with hooks before each step of a batch. A hook that answers an error prevents the step.
type faulty struct {
	*memory.Store
	begin   func() error
	load    func(keys *benefit.Keys) (*benefit.Keys, error)
	commit  func(write func() error) error
	confirm func(end func() error) error
	read    func() error
	most    int    // issuances in one commit; 0 is no bound
	large   string // the key of a request that no commit holds
	among   bool   // other processes issue as well
	late    string // the key of a request that another process is always first with
}

func (f *faulty) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	if f.begin != nil {
		if err := f.begin(); err != nil {
			return nil, err
		}
	}
	tx, err := f.Store.Begin(ctx, clock)
	if err != nil {
		return nil, err
	}
	return &faultyTx{tx, f}, nil
}

func (f *faulty) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return f.Begin(ctx, clock)
}

func (f *faulty) Read(ctx context.Context) (store.Reader, error) {
	if f.read != nil {
		if err := f.read(); err != nil {
			return nil, err
		}
	}
	return f.Store.Read(ctx)
}

type faultyTx struct {
	store.Tx
	f *faulty
}

func (t *faultyTx) Contended() bool { return t.f.among }

func (t *faultyTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	if t.f.load != nil {
		var err error
		if keys, err = t.f.load(keys); err != nil {
			return err
		}
	}
	return t.Tx.Load(ctx, keys, into)
}

func (t *faultyTx) Commit(ctx context.Context, c *benefit.Changes) error {
	large := slices.ContainsFunc(c.Issuances, func(i *benefit.Issuance) bool { return i.Key == t.f.large })
	if large || t.f.most > 0 && len(c.Issuances) > t.f.most {
		t.Rollback()
		return store.ErrTooLarge
	}
	if slices.ContainsFunc(c.Issuances, func(i *benefit.Issuance) bool { return i.Key == t.f.late }) {
		t.Rollback()
		return store.ErrConflict
	}
	if t.f.commit == nil {
		return t.Tx.Commit(ctx, c)
	}
	return t.f.commit(func() error { return t.Tx.Commit(ctx, c) })
}

func (t *faultyTx) Confirm(ctx context.Context) error {
	if t.f.confirm == nil {
		return t.Tx.Confirm(ctx)
	}
	return t.f.confirm(func() error { return t.Tx.Confirm(ctx) })
}

// failing returns a commit hook that answers an error, after the commit when done.
func failing(err error, done bool) func(write func() error) error {
	return func(write func() error) error {
		if done {
			return errors.Join(err, write())
		}
		return err
	}
}

var errDisk = errors.New("the disk is on fire")

// bench is an engine on a faulty store, with the templates 1 (unlimited) and 2 (one voucher in stock).
type bench struct {
	t      *testing.T
	store  *faulty
	engine *engine.Engine
}

func newBench(t *testing.T, change ...func(*engine.Options)) *bench {
	t.Helper()
	b := &bench{t: t, store: &faulty{Store: memory.New()}}
	b.write(
		&benefit.Merchant{ID: storetest.OpenMerchant, Name: "open", Open: true},
		storetest.Template(1),
		storetest.Template(2, func(t *benefit.Template) { t.Stock.Count = 1 }),
	)
	o := engine.Options{
		Store: b.store, Clock: func() benefit.Instant { return storetest.Start }, Rand: rand.New(rand.NewPCG(1, 1)),
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if b.engine, err = engine.New(t.Context(), o); err != nil {
		t.Fatalf("New: %v", err)
	}
	return b
}

// write puts entities into the store as catalogue version 1.
func (b *bench) write(all ...any) {
	b.t.Helper()
	c := &benefit.Changes{Catalogue: 1}
	for _, v := range all {
		e, err := benefit.EntityOf(v)
		if err != nil {
			b.t.Fatal(err)
		}
		c.Rows = append(c.Rows, benefit.Entities.Rows(e))
	}
	if err := storetest.Write(b.t.Context(), b.store, storetest.Start, c); err != nil {
		b.t.Fatal(err)
	}
}

// run drives the engine until the test ends.
func (b *bench) run() {
	done := make(chan error, 1)
	go func() { done <- b.engine.Run() }()
	b.t.Cleanup(func() {
		b.engine.Stop()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
}

func (b *bench) submit(r *benefit.Request) submitted {
	b.t.Helper()
	c := &benefit.Issue{Request: r}
	p, err := b.engine.Submit(c)
	if err != nil {
		b.t.Fatalf("Submit: %v", err)
	}
	return submitted{p, c}
}

// step takes one batch through, which must not end the engine.
func (b *bench) step() {
	b.t.Helper()
	if worked, err := b.engine.Step(); !worked || err != nil {
		b.t.Fatalf("Step: worked=%v, %v", worked, err)
	}
}

// issue submits the requests as one batch and takes it through.
func (b *bench) issue(requests ...*benefit.Request) []answer {
	b.t.Helper()
	all := make([]submitted, len(requests))
	for k, r := range requests {
		all[k] = b.submit(r)
	}
	b.step()
	answers := make([]answer, len(all))
	for k, p := range all {
		answers[k] = b.result(p)
	}
	return answers
}

// submitted is a command that was submitted.
type submitted struct {
	*engine.Pending
	issue *benefit.Issue // nil: a change
}

// Result returns the outcome of an issue, once it is answered.
func (p submitted) Result() (o benefit.Outcome, err error, ok bool) {
	if err, ok = p.Pending.Result(); ok && err == nil && p.issue != nil {
		o = p.issue.Outcome
	}
	return o, err, ok
}

type answer struct {
	benefit.Outcome
	err error
}

func (b *bench) result(p submitted) answer {
	b.t.Helper()
	o, err, ok := p.Result()
	if !ok {
		b.t.Fatal("a request was not answered")
	}
	return answer{o, err}
}

// want checks an answer: its error, or else its reason.
func (b *bench) want(what string, a answer, err error, reason benefit.Reason) {
	b.t.Helper()
	if !errors.Is(a.err, err) || err == nil && a.Reason != reason {
		b.t.Errorf("%s: answered %v, %v; want %v, %v", what, a.Reason, a.err, reason, err)
	}
}

// wantIssued checks how many issuances the store holds.
func (b *bench) wantIssued(n int) {
	b.t.Helper()
	c, err := storetest.ContentsOf(context.Background(), b.store.Store)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(c.Issuances) != n {
		b.t.Errorf("the store holds %d issuances, want %d", len(c.Issuances), n)
	}
}

// dryRun returns a request of user n for a template.
func dryRun(key string, n int, template benefit.TemplateID) *benefit.Request {
	return storetest.Request(key, fmt.Sprint("2088", n), storetest.Line(template))
}

// soon waits until something holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
