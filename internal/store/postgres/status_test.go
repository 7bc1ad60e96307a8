package postgres_test

import (
	"sync/atomic"
	"testing"

	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// Syncing is called around each commit, and the pools tell of their connections.
func TestSyncingAndPools(t *testing.T) {
	var began, done atomic.Int64
	st := open(t, postgres.Options{URL: pgtest.Shared(t).Database(t) + "&pool_max_conns=3", CallerClock: true, Syncing: func() func() {
		began.Add(1)
		return func() { done.Add(1) }
	}})
	defer st.Close()
	before := began.Load()
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
	if _, err := c.Issue(t.Context(), storetest.Start, storetest.Request("K", "2088", storetest.Line(1))); err != nil {
		t.Fatal(err)
	}
	if began.Load() != before+1 || done.Load() != began.Load() {
		t.Errorf("one commit: %d began, %d are done", began.Load()-before, done.Load()-before)
	}
	tx, err := st.Begin(t.Context(), storetest.Start)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, p := range st.Pools() {
		used := map[string]int{"issuing": 1, "reading": 0}[p.Name]
		if p.Max != 3 || p.Used != used {
			t.Errorf("with a batch under way: %+v", p)
		}
	}
}
