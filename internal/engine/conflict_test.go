package engine_test

import (
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// Another process was first: the batch is decided again, on what stands there now, and nobody hears of it.
func TestConflictIsDecidedAgain(t *testing.T) {
	b := newBench(t)
	tries := 0
	b.store.commit = func(write func() error) error {
		if tries++; tries < 3 {
			return store.ErrConflict
		}
		return write()
	}
	answers := b.issue(dryRun("a", 1, 1), dryRun("last", 2, 2), dryRun("late", 3, 2))
	b.want("issued", answers[0], nil, benefit.NotRefused)
	b.want("the last one", answers[1], nil, benefit.NotRefused)
	b.want("refused", answers[2], nil, benefit.StockEmpty)
	if b.wantIssued(2); tries != 3 {
		t.Errorf("%d tries, want 3", tries)
	}
}

// What another process is always first with is told to come again, and its neighbours are not.
func TestConflictOfOne(t *testing.T) {
	b := newBench(t)
	b.store.late = "late"
	answers := b.issue(dryRun("a", 1, 1), dryRun("b", 2, 1), dryRun("late", 3, 1), dryRun("c", 4, 1))
	for _, k := range []int{0, 1, 3} {
		b.want("a neighbour", answers[k], nil, benefit.NotRefused)
	}
	b.want("late", answers[2], engine.ErrNotIssued, 0)
	b.wantIssued(3)
	b.store.late = ""
	b.want("its retry", b.issue(dryRun("late", 3, 1))[0], nil, benefit.NotRefused)
}

// So is one that never gets what it needs to be decided, and one whose refusal was never of what stood there.
func TestConflictBeforeTheDecision(t *testing.T) {
	b := newBench(t)
	b.want("the last one", b.issue(dryRun("last", 1, 2))[0], nil, benefit.NotRefused)
	b.store.load = func(*benefit.Keys) (*benefit.Keys, error) { return nil, store.ErrConflict }
	b.want("new", b.issue(dryRun("new", 1, 1))[0], engine.ErrNotIssued, 0)
	b.want("issued before", b.issue(dryRun("last", 1, 2))[0], engine.ErrNotIssued, 0)
	b.store.load = nil
	b.store.confirm = func(func() error) error { return store.ErrConflict }
	b.want("refused", b.issue(dryRun("none", 2, 2))[0], engine.ErrNotIssued, 0)
	b.wantIssued(1)
}

// What stands under a key may not be durable yet: it is told when the store has confirmed it.
func TestReplayIsConfirmed(t *testing.T) {
	b := newBench(t)
	b.issue(dryRun("old", 1, 1))
	confirmed := 0
	b.store.confirm = func(end func() error) error {
		confirmed++
		return fmt.Errorf("%w: no answer", store.ErrUnconfirmed)
	}
	b.want("a replay", b.issue(dryRun("old", 1, 1))[0], engine.ErrUnknown, 0)
	b.store.confirm = func(end func() error) error { confirmed++; return end() }
	again := b.issue(dryRun("old", 1, 1))[0]
	b.want("the next", again, nil, benefit.NotRefused)
	if confirmed != 2 || !again.Replayed {
		t.Errorf("confirmed %d times, want 2; a replay: %v", confirmed, again.Replayed)
	}
}

// The same where the batch writes something besides.
func TestReplayBesideALostCommit(t *testing.T) {
	for _, lost := range []error{store.ErrUnconfirmed, fmt.Errorf("%w: %w", store.ErrNotCommitted, store.ErrUnconfirmed)} {
		b := newBench(t)
		b.issue(dryRun("old", 1, 1))
		b.store.commit = failing(lost, false)
		answers := b.issue(dryRun("old", 1, 1), dryRun("new", 2, 1))
		b.want("a replay", answers[0], engine.ErrUnknown, 0)
		if answers[1].err == nil {
			t.Error("what was not committed is told")
		}
	}
}

// Another process changed the catalogue: the next batch is decided by it, and Refresh takes it before there is one.
func TestCatalogueOfAnotherProcess(t *testing.T) {
	b := newBench(t)
	b.want("before", b.issue(dryRun("a", 1, 1))[0], nil, benefit.NotRefused)
	pause := func(version int64, status benefit.Status) {
		e, err := benefit.EntityOf(storetest.Template(1, func(t *benefit.Template) { t.Status = status }))
		if err != nil {
			t.Fatal(err)
		}
		c := &benefit.Changes{Catalogue: version, Rows: benefit.RowsOf(benefit.Entities.Rows(e))}
		if err := storetest.Write(t.Context(), b.store.Store, storetest.Start, c); err != nil {
			t.Fatal(err)
		}
	}
	pause(2, benefit.Paused)
	b.want("paused by another", b.issue(dryRun("b", 1, 1))[0], nil, benefit.TemplatePaused)
	pause(3, benefit.Active)
	if err := b.engine.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.engine.Catalogue(); got.Version != 3 || got.Templates[1].Status != benefit.Active {
		t.Errorf("after Refresh: version %d, %v", got.Version, got.Templates[1].Status)
	}
	b.want("active again", b.issue(dryRun("c", 1, 1))[0], nil, benefit.NotRefused)
}

// A question is asked again as well.
func TestConflictOfAQuestion(t *testing.T) {
	b := newBench(t)
	tries := 0
	b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) {
		if tries++; tries < 3 {
			return nil, store.ErrConflict
		}
		return keys, nil
	}
	b.run()
	if o, _, err := b.engine.DryIssue(t.Context(), dryRun("a", 1, 1)); err != nil || o.Reason != benefit.NotRefused {
		t.Errorf("answered %v, %v", o.Reason, err)
	}
}
