package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// TestHistoriesWithFaults: random histories in which batches fail in every way, on this store and on the plain one. What
// was said of a batch is what became of it, and asking again with the same keys settles it.
func TestHistoriesWithFaults(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { faultyHistory(t, seed) })
	}
}

// faulty is a store that issues, whose next batch fails as it is told.
type faulty struct {
	*storetest.Committer
	plain store.Store
	next  storetest.Fault
}

func newFaulty(st store.Store, cat *benefit.Catalogue, seed uint64) *faulty {
	f := &faulty{plain: st}
	f.Committer = storetest.NewCommitter(&storetest.Faulty{Store: st, Next: func() storetest.Fault { return f.next }}, cat, seed)
	return f
}

// issue gives the outcomes, or what is known of the batch when it failed.
func (f *faulty) issue(t *testing.T, s storetest.Step, fault storetest.Fault) (outcomes []benefit.Outcome, known string) {
	f.next = fault
	outcomes, err := f.Issue(t.Context(), s.Clock, s.Requests...)
	switch {
	case err == nil:
		return outcomes, "committed"
	case !errors.Is(err, storetest.ErrInjected):
		t.Fatalf("fault %d: %v", fault, err)
	case errors.Is(err, store.ErrNotCommitted):
		return nil, "not committed"
	}
	return nil, "unknown"
}

func faultyHistory(t *testing.T, seed uint64) {
	w := storetest.NewWorld(storetest.Seeded(seed))
	h := harness(t, postgres.Options{})
	st := h.Open(t)
	defer func() { _ = st.Close() }()
	real, model := newFaulty(st, w.Catalogue(), seed), newFaulty(memory.New(), w.Catalogue(), seed)
	chance := storetest.Seeded(^seed)
	faults := 0
	for k := range 60 {
		s := w.Next()
		if k == 0 {
			s = w.Setup()
		}
		if s.Changes != nil {
			for _, f := range []*faulty{real, model} {
				if err := storetest.Write(t.Context(), f.plain, s.Clock, s.Changes); err != nil {
					t.Fatal(err)
				}
			}
		}
		real.Catalogue, model.Catalogue = w.Catalogue(), w.Catalogue()
		if len(s.Requests) == 0 {
			continue
		}
		fault := []storetest.Fault{storetest.FailsBegin, storetest.FailsLoad, storetest.FailsCommit, storetest.LosesBatch, storetest.LosesAnswer}[chance(5)]
		for again := range 2 {
			got, known := real.issue(t, s, fault)
			want, wantKnown := model.issue(t, s, fault)
			if known != wantKnown {
				t.Fatalf("step %d, time %d: known of the batch: %s, want %s", k, again, known, wantKnown)
			}
			if diff := storetest.Diff(want, got); diff != "" {
				t.Fatalf("step %d, time %d: outcomes (-want +got):\n%s", k, again, diff)
			}
			if known != "committed" {
				faults++
			}
			fault = storetest.NoFault
		}
	}
	if faults < 10 {
		t.Errorf("only %d batches failed", faults)
	}
	want, err := storetest.ContentsOf(t.Context(), model.plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := storetest.ContentsOf(t.Context(), st)
	if diff := storetest.Diff(want, got); diff != "" || err != nil {
		t.Errorf("the rows in the end (-want +got): %v\n%s", err, diff)
	}
}
