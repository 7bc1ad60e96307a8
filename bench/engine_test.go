package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/journal"
	"faquan/internal/store"
)

// TestEngineSmall runs every part of the engine benchmark on a small store: the figures mean nothing, but an ask
// that is not answered as it should fails.
func TestEngineSmall(t *testing.T) {
	err := measureEmbedded(t.Context(), embeddedOptions{
		Workload: Workload{Templates: 1, Users: 500, PerUser: 5, RetryEvery: 20},
		Dir:      t.TempDir(), Callers: 16, Millions: 5, Step: 2000, DirectMeasured: 200, Metrics: true, Out: testWriter{t},
	})
	if err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }

// TestFirstErrorIsKept: those after it may come of it.
func TestFirstErrorIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause, later := errors.New("cause"), errors.New("later")
		err := closedLoop(2, 0, 2, 1, func(int) func(int64) error {
			return func(n int64) error {
				time.Sleep(time.Duration(n+1) * time.Second) // both are under way before the first one fails
				if n == 0 {
					return cause
				}
				return later
			}
		})
		if !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	})
}

// TestBareJournalFails: its callers are told, and do not wait for ever, which synctest would call a deadlock.
func TestBareJournalFails(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bareJournal{Journal: j, Callers: 4, EntryBytes: 100, Dir: dir}
		if _, err := b.Run(100); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// TestEngineWithoutCatalogue: an engine that cannot have its catalogue is not returned, and its engine has ended: one that
// has not is what synctest calls a deadlock.
func TestEngineWithoutCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Workload{Templates: 1, Users: 1, PerUser: 1}
		e, err := NewEngine(t.Context(), engine.Options{Store: refusingStore{&direct{}}}, w, 1, "")
		if e != nil || !errors.Is(err, errRefusingStore) {
			t.Errorf("got %v, %v", e, err)
		}
	})
}

var errRefusingStore = errors.New("no changes")

// refusingStore refuses changes.
type refusingStore struct{ *direct }

func (refusingStore) BeginChange(context.Context, benefit.Instant) (store.Tx, error) {
	return nil, errRefusingStore
}
