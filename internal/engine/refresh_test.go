package engine_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store/storetest"
)

// slow is a store whose catalogue takes a while to arrive: read is called between its reading and its return.
type slow struct {
	*faulty
	read func()
}

func (s *slow) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	all, version, err := s.faulty.Entities(ctx)
	if s.read != nil {
		s.read()
	}
	return all, version, err
}

// waitsForLock reports whether a function, or one that it calls, waits for a mutex. Nobody else can tell that it does.
func waitsForLock(function string) bool {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
		state, _, _ := strings.Cut(goroutine, "\n")
		if strings.Contains(state, "[sync.Mutex.Lock") && strings.Contains(goroutine, function) {
			return true
		}
	}
	return false
}

// A catalogue that was read before a change does not come into force after it, however long it was on its way: plans
// of other changes would be made on it, and gateways would ask by it until the next batch.
func TestRefreshIsNoStepBack(t *testing.T) {
	st := &slow{}
	b := newBench(t, func(o *engine.Options) {
		st.faulty = o.Store.(*faulty)
		o.Store = st
	})
	b.run()
	merchant, err := benefit.EntityOf(&benefit.Merchant{ID: 77, Name: "of another process"})
	if err != nil {
		t.Fatal(err)
	}
	other := &benefit.Changes{Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows([]benefit.Entity{merchant}...))}
	if err := storetest.Write(t.Context(), st.faulty, storetest.Start, other); err != nil {
		t.Fatal(err)
	}
	reading := make(chan struct{})
	var first atomic.Bool
	st.read = func() {
		if first.Swap(true) {
			return
		}
		close(reading)
		soon(t, "the change is in force, or waits for this", func() bool {
			return b.engine.Catalogue().Version == 3 || waitsForLock("engine.(*committer).stepBatch")
		})
	}
	refreshed := make(chan error, 1)
	go func() { refreshed <- b.engine.Refresh(t.Context()) }()
	<-reading
	if err := b.engine.Change(t.Context(), setStatus(benefit.Paused)); err != nil {
		t.Fatalf("Change: %v", err)
	}
	if err := <-refreshed; err != nil {
		t.Fatalf("Refresh: %v", err)
	}
	if got := b.engine.Catalogue(); got.Version != 3 || got.Templates[1].Status != benefit.Paused {
		t.Errorf("version %d is in force, template 1 with status %d", got.Version, got.Templates[1].Status)
	}
}
