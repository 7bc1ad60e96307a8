package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

const (
	splitHistories = 8
	splitSteps     = 80
)

// TestSplitHistories runs random histories on two databases and on the plain store that claims apart, with commits
// that are stopped before the first part, between the parts and after both: the same outcomes, the same rows, and an
// audit that finds nothing.
func TestSplitHistories(t *testing.T) {
	met := map[storetest.Moment]int{}
	for seed := range splitHistories {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runSplitHistory(t, uint64(seed), met) })
	}
	for _, at := range []storetest.Moment{storetest.BeforeClaims, storetest.BetweenParts, storetest.AfterBoth} {
		if met[at] == 0 {
			t.Errorf("no history stopped at moment %d", at)
		}
	}
	t.Logf("stops by moment: %v", met)
}

// splitTwins are two databases and the plain store, in step.
type splitTwins struct {
	*pair
	t           *testing.T
	real, model *storetest.Committer
	oracle      *storetest.Claiming
	met         map[storetest.Moment]int
}

func runSplitHistory(t *testing.T, seed uint64, met map[storetest.Moment]int) {
	w, p, oracle := storetest.NewWorld(storetest.Seeded(seed)), newPair(t), storetest.NewClaiming()
	x := &splitTwins{pair: p, t: t, oracle: oracle, met: met,
		real: storetest.NewCommitter(p.open(t), w.Catalogue(), seed), model: storetest.NewCommitter(oracle, w.Catalogue(), seed)}
	defer func() { _ = x.real.Store.Close() }()
	chance := storetest.Seeded(^seed)
	x.step(w.Setup(), storetest.Nowhere)
	for range splitSteps {
		s, at := w.Next(), storetest.Nowhere
		x.real.Catalogue, x.model.Catalogue = w.Catalogue(), w.Catalogue()
		if s.Requests != nil && chance(2) == 0 {
			at = storetest.Moment(1 + chance(3))
			if chance(2) == 0 {
				at = storetest.BetweenParts
			}
		}
		x.step(s, at)
		if at != storetest.Nowhere && chance(3) > 0 {
			x.step(s, storetest.Nowhere) // the callers ask again
		}
		if t.Failed() {
			return
		}
	}
	x.compare("the rows", contentsOf(t, oracle), contentsOf(t, x.real.Store))
	auditRows(t, x.real.Store)
	if got, least := x.real.Store.LastIDMillis(), oracle.LastIDMillis(); got < least {
		t.Errorf("LastIDMillis() = %d, and there is an id of %d", got, least)
	}
}

// step does the same to both, with the commit stopped at the moment.
func (x *splitTwins) step(s storetest.Step, at storetest.Moment) {
	x.t.Helper()
	ctx := x.t.Context()
	if s.Changes != nil {
		for _, st := range []store.Store{x.real.Store, x.oracle} {
			if err := storetest.Write(ctx, st, s.Clock, s.Changes); err != nil {
				x.t.Fatal(err)
			}
		}
		return
	}
	st := x.real.Store.(interface {
		StopAt(func(storetest.Moment) error)
	})
	st.StopAt(func(now storetest.Moment) error {
		if now != at {
			return nil
		}
		x.crash(x.t, x.real.Store)
		return storetest.ErrStopped
	})
	x.oracle.Stop = at
	want, wantErr := x.model.Issue(ctx, s.Clock, s.Requests...)
	x.oracle.Stop = storetest.Nowhere // it may have had nothing to commit
	got, err := x.real.Issue(ctx, s.Clock, s.Requests...)
	if !errors.Is(err, wantErr) {
		x.t.Fatalf("stopped at %d: %v, want %v", at, err, wantErr)
	}
	st.StopAt(func(storetest.Moment) error { return nil })
	if wantErr == nil {
		x.compare("the outcomes", want, got)
		return
	}
	x.met[at]++
	x.real.Store = x.open(x.t)
}

func (x *splitTwins) compare(what string, want, got any) {
	x.t.Helper()
	if diff := storetest.Diff(want, got); diff != "" {
		x.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func contentsOf(t testing.TB, st store.Store) *storetest.Contents {
	t.Helper()
	c, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
