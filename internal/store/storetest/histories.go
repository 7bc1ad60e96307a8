package storetest

import (
	"fmt"
	"testing"

	"faquan/internal/benefit"
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
}

func runHistory(t *testing.T, h Harness, seed uint64) {
	w := NewWorld(Seeded(seed))
	st, model := h.Open(t), memory.New()
	x := &modelPair{t: t, harness: h, real: NewCommitter(st, w.Catalogue(), seed), model: NewCommitter(model, w.Catalogue(), seed)}
	chance := Seeded(^seed)
	for n := range historySteps + 1 {
		s := w.Setup()
		if n > 0 {
			s = w.Next()
		}
		if err := w.Do(t.Context(), s, x.real, x.model); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
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
	if err := w.Oracle.CheckRows(rows.Issuances, rows.Rows); err != nil {
		t.Errorf("the rows in the end: %v", err)
	}
	x.real.Store = h.reopen(t, x.real.Store)
	want(t, "the rows after opening again", mustContents(t, model), mustContents(t, x.real.Store))
	wantFeed(t, "in the end", model, x.real.Store)
	wantJudged(t, w.Oracle, model)
	if got, min := x.real.Store.LastIDMillis(), model.LastIDMillis(); got < min {
		t.Errorf("LastIDMillis() = %d, and there is an id of %d", got, min)
	}
	if err := x.real.Store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
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
