package memory_test

import (
	"testing"

	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		t.Parallel()
		st := memory.New()
		return storetest.Harness{
			Open: func(testing.TB) store.Store {
				st = st.Reopen()
				return st
			},
			Crash: func(testing.TB, store.Store) {},
		}
	})
}
