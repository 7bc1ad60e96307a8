package benefit_test

import (
	"testing"

	"pgregory.net/rapid"

	. "faquan/internal/benefit"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// A batch comes to what its requests come to one by one: the same outcomes, the same rows. Certificates are left out:
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
		both := []*storetest.Committer{together, singly}
		for step, n := w.Setup(), 0; n < 15; step, n = w.Next(), n+1 {
			for _, c := range both {
				c.Catalogue = w.Catalogue()
			}
			if step.Changes != nil {
				for _, c := range both {
					if err := storetest.Write(rt.Context(), c.Store, step.Clock, step.Changes); err != nil {
						rt.Fatal(err)
					}
				}
				continue
			}
			wanted := mustIssue(rt, together, step.Clock, step.Requests...)
			var got []Outcome
			for _, r := range step.Requests {
				got = append(got, mustIssue(rt, singly, step.Clock, r)...)
			}
			if diff := storetest.Diff(wanted, got); diff != "" {
				rt.Fatalf("(-in a batch +one by one):\n%s", diff)
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

func mustIssue(rt *rapid.T, c *storetest.Committer, clock Instant, requests ...*Request) []Outcome {
	o, err := c.Issue(rt.Context(), clock, requests...)
	if err != nil {
		rt.Fatal(err)
	}
	return o
}
