package storetest_test

import (
	"errors"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// Each fault does what it says, and the retry with the same key settles it.
func TestFaulty(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   storetest.Fault
		written int
		is      error
	}{
		{"none", storetest.NoFault, 1, nil},
		{"begin", storetest.FailsBegin, 0, storetest.ErrInjected},
		{"load", storetest.FailsLoad, 0, storetest.ErrInjected},
		{"commit", storetest.FailsCommit, 0, store.ErrNotCommitted},
		{"lost batch", storetest.LosesBatch, 0, storetest.ErrInjected},
		{"lost answer", storetest.LosesAnswer, 1, storetest.ErrInjected},
		{"for good", storetest.FailsForGood, 1, store.ErrFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := c.fault
			st := &storetest.Faulty{Store: memory.New(), Next: func() storetest.Fault { return fault }}
			committer := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
			ask := func() ([]benefit.Outcome, error) {
				return committer.Issue(t.Context(), storetest.Start, storetest.Request("k", "a", storetest.Line(1)))
			}
			if _, err := ask(); !errors.Is(err, c.is) {
				t.Errorf("the error is %v, want %v", err, c.is)
			}
			all, err := storetest.ContentsOf(t.Context(), st)
			if err != nil || len(all.Issuances) != c.written {
				t.Errorf("%d issuances were written, want %d; %v", len(all.Issuances), c.written, err)
			}
			fault = storetest.NoFault
			o, err := ask()
			if c.fault == storetest.FailsForGood {
				if !errors.Is(err, store.ErrFailed) {
					t.Errorf("a store that failed for good goes on: %v", err)
				}
				return
			}
			if err != nil || o[0].Reason != benefit.NotRefused || o[0].Replayed != (c.written == 1) {
				t.Errorf("the retry: %+v, %v", o, err)
			}
		})
	}
}
