package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/scope"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// worldBench is an engine on a store in memory that runs, for histories of a world.
type worldBench struct {
	t      *testing.T
	store  *memory.Store
	engine *engine.Engine
	clock  atomic.Int64
}

func newWorldBench(t *testing.T, seed uint64) *worldBench {
	b := &worldBench{t: t, store: memory.New()}
	var err error
	b.engine, err = engine.New(t.Context(), engine.Options{
		Store: b.store, Clock: func() benefit.Instant { return benefit.Instant(b.clock.Load()) },
		Rand: rand.New(rand.NewPCG(seed, 1)), Rules: storetest.Rules{},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.engine.Run() }()
	t.Cleanup(func() {
		b.engine.Stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return b
}

func (b *worldBench) change(c *benefit.Changes) {
	b.t.Helper()
	plan := func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return c, nil
	}
	if err := b.engine.Change(b.t.Context(), plan); err != nil {
		b.t.Fatalf("Change: %v", err)
	}
}

func (b *worldBench) contents() *storetest.Contents {
	b.t.Helper()
	c, err := storetest.ContentsOf(b.t.Context(), b.store)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// asked is what DryRun and Issue must agree on: everything but ids, draws and codes.
type asked struct {
	Reason   benefit.Reason
	Replayed bool
	Empty    bool
	BoxDone  bool
	Lines    []benefit.LineOutcome
	Errors   []benefit.DecisionError
	Of       []benefit.Line
}

func askedOf(o benefit.Outcome) asked {
	a := asked{o.Reason, o.Replayed, o.Empty(), o.BoxDone, o.Lines, o.Errors, nil}
	of := o.Attempt
	if of == nil {
		of = o.Issuance
	}
	if of != nil {
		for _, l := range of.Lines {
			a.Of = append(a.Of, l.Line)
		}
	}
	return a
}

// A question is answered as the request would be at that moment, and leaves everything as it was.
func TestAskAgreesWithIssue(t *testing.T) {
	issued := 0
	for seed := range uint64(8) {
		w := storetest.NewWorld(storetest.Seeded(seed))
		for _, x := range w.Templates { // what is drawn may decide; both draw for themselves
			if x.Code.Digits > 0 {
				x.Code.Digits = 12
			}
			if x.Amount.From == benefit.Random {
				x.Amount.From = benefit.Fixed
			}
		}
		b := newWorldBench(t, seed)
		for step, n := w.Setup(), 0; n < 20; step, n = w.Next(), n+1 {
			b.clock.Store(int64(step.Clock))
			if step.Changes != nil {
				b.change(step.Changes)
				continue
			}
			before := b.contents()
			for k, r := range step.Requests() {
				answer, told, err := b.engine.DryIssue(t.Context(), r)
				if err != nil || (told == nil) != (answer.Reason == benefit.KeyConflict || answer.Reason == benefit.AppDisabled) {
					t.Fatalf("seed %d: Ask: %s, explained %v, %v", seed, answer.Reason, told != nil, err)
				}
				if k > 0 {
					// To compare takes long; once for each step is enough.
				} else if diff := storetest.Diff(before, b.contents()); diff != "" {
					t.Fatalf("seed %d: the question changed (-before +after):\n%s", seed, diff)
				}
				real, err := b.engine.Issue(t.Context(), r)
				if err != nil {
					t.Fatalf("seed %d: Issue: %v", seed, err)
				}
				if diff := storetest.Diff(askedOf(real), askedOf(answer)); diff != "" {
					t.Fatalf("seed %d: request %+v (-issued +asked):\n%s", seed, *r, diff)
				}
				if real.Issuance != nil && !real.Replayed {
					issued++
				}
			}
		}
	}
	if issued < 30 {
		t.Errorf("only %d requests were issued", issued)
	}
}

// A question makes a batch of its own, between those before it and after it.
func TestDryRunIsAlone(t *testing.T) {
	b := newBench(t)
	before := b.submit(dryRun("1", 1, 2)) // takes the only one of template 2
	done := make(chan answer, 1)
	go func() {
		o, _, err := b.engine.DryIssue(t.Context(), dryRun("2", 2, 2))
		done <- answer{o, err}
	}()
	soon(t, "the question waits", func() bool { return b.engine.Waiting() == 2 })
	after := b.submit(dryRun("3", 3, 1))
	b.step()
	b.want("before", b.result(before), nil, benefit.NotRefused)
	if _, _, ok := after.Result(); ok {
		t.Error("what came after the question was in the batch before it")
	}
	b.step()
	b.want("the question", <-done, nil, benefit.StockEmpty)
	if _, _, ok := after.Result(); ok {
		t.Error("what came after the question was in its batch")
	}
	b.step()
	b.want("after", b.result(after), nil, benefit.NotRefused)
	b.wantIssued(2)
}

func TestAskInvalid(t *testing.T) {
	b := newBench(t)
	r := dryRun("", 1, 1)
	if _, _, err := b.engine.DryIssue(t.Context(), r); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("without a key: %v", err)
	}
}

// A question whose rows cannot be read has no answer; the engine goes on.
func TestAskOfABrokenStore(t *testing.T) {
	b := newBench(t)
	b.run()
	b.store.begin = func() error { return errDisk }
	if _, told, err := b.engine.DryIssue(t.Context(), dryRun("1", 1, 1)); !errors.Is(err, errDisk) || told != nil {
		t.Errorf("Ask: %v", err)
	}
	b.store.begin = nil
	b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) { keys.Rows = nil; return keys, nil } // the core panics
	if _, _, err := b.engine.DryIssue(t.Context(), dryRun("1", 1, 1)); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("Ask: %v", err)
	}
	b.store.load = nil
	if o, told, err := b.engine.DryIssue(t.Context(), dryRun("1", 1, 1)); err != nil || o.Reason != benefit.NotRefused || len(told.Lines) != 1 {
		t.Errorf("afterwards: %s, %v", o.Reason, err)
	}
	b.wantIssued(0)
}

// What the store holds is explained by the catalogue of its time.
func TestExplainFromTheStore(t *testing.T) {
	w := newWorldBench(t, 1)
	w.clock.Store(int64(storetest.Start))
	entities := func(version int64, all ...any) *benefit.Changes {
		c := &benefit.Changes{Catalogue: version}
		for _, v := range all {
			e, err := benefit.EntityOf(v)
			if err != nil {
				t.Fatal(err)
			}
			c.Rows = append(c.Rows, benefit.Entities.Rows(e))
		}
		return c
	}
	activity := &benefit.Activity{ID: 1, Name: "a1", Merchant: 1, ActCode: "A1", Status: benefit.Active, Items: []benefit.Item{{Template: 1, Quantity: 2}}}
	w.change(entities(1, &benefit.Merchant{ID: 1, Open: true}, &benefit.App{ID: 1, Merchant: 1}, storetest.Template(1), activity,
		&benefit.Scene{ID: 1, Name: "s", Merchant: 1, SceneCode: "S", Strategy: benefit.ChooseAll, Status: benefit.Active, Activities: []benefit.SceneEntry{{Activity: 1}}}))
	r := &benefit.Request{
		Scope: scope.Biz(1, "b"), Key: "k", App: 1, Recipient: benefit.Identifier{Type: benefit.TaobaoID, Value: "a"},
		Params: benefit.Params{SceneCode: "S"}, Continues: true,
	}
	o, err := w.engine.Issue(t.Context(), r)
	if err != nil || len(o.Lines) != 1 {
		t.Fatalf("Issue: %+v, %v", o, err)
	}
	closed := *activity
	closed.Status, closed.Rule = benefit.Ended, "never"
	w.change(entities(2, &closed))

	reader, err := w.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := w.engine.Explain(t.Context(), reader, o.Issuance)
	if err != nil || e.Catalogue != 1 || len(e.Candidates) != 1 || !e.Candidates[0].Open || !e.Candidates[0].Chosen || e.Lines[0].Issued != 2 {
		t.Errorf("%+v, %v", e, err)
	}
	of := *o.Issuance
	of.Catalogue = 7
	if _, err := w.engine.Explain(t.Context(), reader, &of); !errors.Is(err, store.ErrNoVersion) {
		t.Errorf("of a version that is not known: %v", err)
	}
}
