package benefit_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	. "faquan/internal/benefit"
	"faquan/internal/oracle"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// A batch comes to what its commands come to one by one: the same outcomes, the same rows. Certificates are left out:
// the codes of a batch are drawn together, before anything is decided. Commands on vouchers come first: to one that comes
// with the issue of its voucher, the voucher is not there yet.
func TestBatchingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := storetest.NewWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") })
		for _, t := range w.Templates {
			if t.Kind == Certificate {
				t.Kind, t.Code = Exchange, CodeRule{}
			}
		}
		together := storetest.NewCommitter(memory.New(), w.Catalogue(), 1)
		singly := storetest.NewCommitter(memory.New(), w.Catalogue(), 1)
		for step, n := w.Setup(), 0; n < 15; step, n = w.Next(), n+1 {
			slices.SortStableFunc(step.Calls, func(a, b oracle.Call) int { return rank(a) - rank(b) })
			err := w.Do(rt.Context(), step, together)
			if step.Changes != nil {
				err = errors.Join(err, storetest.Write(rt.Context(), singly.Store, step.Clock, step.Changes))
			}
			singly.Catalogue = w.Catalogue()
			for _, c := range step.Calls {
				err = errors.Join(err, singly.CallAgain(rt.Context(), step.Clock, c))
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		wanted, err := storetest.ContentsOf(rt.Context(), together.Store)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := storetest.ContentsOf(rt.Context(), singly.Store)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := storetest.Diff(wanted, got); diff != "" {
			rt.Fatalf("(-in a batch +one by one):\n%s", diff)
		}
	})
}

func rank(c oracle.Call) int {
	if _, issue := c.(*oracle.Issue); issue {
		return 1
	}
	return 0
}
