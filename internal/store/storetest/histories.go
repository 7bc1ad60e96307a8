package storetest

import (
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/oracle"
	"faquan/internal/store/memory"
)

const (
	histories      = 20
	shortHistories = 8
	historySteps   = 60
)

// testHistories runs random histories on the store and on the plain one: the same outcomes at every step, which the
// oracle finds right, and the same rows in the end, also when the store is closed or crashes on the way.
func testHistories(t *testing.T, newHarness func(t *testing.T) Harness) {
	n := histories
	if testing.Short() {
		n = shortHistories
	}
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runHistory(t, newHarness(t), uint64(seed)) })
	}
}

// modelPair are the store under test and the plain one, in step.
type modelPair struct {
	t       *testing.T
	harness Harness
	real    *Committer
	model   *Committer
	oracle  *oracle.Oracle
}

func runHistory(t *testing.T, h Harness, seed uint64) {
	w := NewWorld(Seeded(seed))
	st, model := h.Open(t), memory.New()
	x := &modelPair{t: t, harness: h, real: NewCommitter(st, w.Catalogue(), seed), model: NewCommitter(model, w.Catalogue(), seed), oracle: NewOracle(1)}
	x.oracle.SetCatalogue(w.Catalogue())
	chance := Seeded(^seed)
	x.step(w.Setup())
	for range historySteps {
		x.step(w.Next())
		x.real.Catalogue, x.model.Catalogue = w.Catalogue(), w.Catalogue()
		x.oracle.SetCatalogue(w.Catalogue())
		switch chance(12) {
		case 0:
			x.real.Store = h.reopen(t, x.real.Store)
		case 1:
			x.abandonBatch()
		case 2:
			x.crash(chance(2) == 0)
		case 3:
			want(t, "the rows on the way", mustContents(t, model), mustContents(t, x.real.Store))
		}
		if t.Failed() {
			break
		}
	}
	rows := mustContents(t, x.real.Store)
	want(t, "the rows in the end", mustContents(t, model), rows)
	if err := x.oracle.CheckRows(rows.Issuances, rows.Rows); err != nil {
		t.Errorf("the rows in the end: %v", err)
	}
	x.real.Store = h.reopen(t, x.real.Store)
	want(t, "the rows after opening again", mustContents(t, model), mustContents(t, x.real.Store))
	if got, min := x.real.Store.LastIDMillis(), model.LastIDMillis(); got < min {
		t.Errorf("LastIDMillis() = %d, and there is an id of %d", got, min)
	}
	if err := x.real.Store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// step does the same to both stores.
func (x *modelPair) step(s Step) {
	x.t.Helper()
	ctx := x.t.Context()
	if s.Changes != nil {
		mustWrite(x.t, x.real.Store, s.Clock, s.Changes)
		mustWrite(x.t, x.model.Store, s.Clock, s.Changes)
		x.oracle.SetUsers(s.Changes.Users...)
		return
	}
	got, err := x.real.IssueJudged(ctx, x.oracle, s.Clock, s.Requests...)
	if err != nil {
		x.t.Fatalf("issuing: %v", err)
	}
	wanted, err := x.model.Issue(ctx, s.Clock, s.Requests...)
	if err != nil {
		x.t.Fatalf("issuing in memory: %v", err)
	}
	want(x.t, "the outcomes", wanted, got)
}

// abandonBatch begins and loads a batch, and rolls it back.
func (x *modelPair) abandonBatch() {
	mustLoad(x.t, x.real.Store, Start, &wanted{Templates: []benefit.TemplateID{1, 2, 3}})
}

// crash kills the store, perhaps with a batch under way.
func (x *modelPair) crash(during bool) {
	if x.harness.Crash == nil {
		return
	}
	if during {
		mustBegin(x.t, x.real.Store, Start)
	}
	x.harness.Crash(x.t, x.real.Store)
	x.real.Store = x.harness.Open(x.t)
}
