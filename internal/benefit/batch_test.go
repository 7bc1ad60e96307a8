package benefit_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	. "faquan/internal/benefit"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// A batch comes to what its commands come to one by one: the same outcomes, the same rows. Certificates are left out:
// the codes of a batch are drawn together, before anything is decided.
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
