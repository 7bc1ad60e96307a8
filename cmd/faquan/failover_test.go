package main

import (
	"testing"
	"time"

	"faquan/internal/pgtest/ha"
)

// TestFailoverUnderLoad takes the machine of the primary away, kill -9 of the server and of its keeper, while two
// processes issue; the standby takes over. What was answered must stand there, nothing is issued twice, the audit finds
// nothing, and no process needs a hand.
func TestFailoverUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	pair := ha.Start(t)
	w := newSharedCrash(t, pair.Database(t))
	lost := w.load(false, func() {
		time.Sleep(2 * time.Second)
		before := w.answered.Load()
		pair.KillPrimary(t)
		if before == 0 {
			t.Error("nothing was answered before the failover")
		}
		t.Logf("the primary is gone: no answer for %s", w.silence(time.Minute).Round(time.Millisecond))
		time.Sleep(2 * time.Second)
	})
	t.Logf("%d calls, %d vouchers, %d attempts told to retry, %d unknown at the end", len(w.calls), len(w.vouchers()), lost, len(w.unknown()))
	pair.WaitForNewPrimary(t)
	w.recover()
	w.settle()
	w.finish()
}

// silence waits until calls are answered all the time again, and returns the longest pause between two answers.
func (w *sharedCrash) silence(most time.Duration) (longest time.Duration) {
	began, last, seen, lively := time.Now(), time.Now(), w.answered.Load(), 0
	for lively < 100 {
		if time.Since(began) > most {
			w.t.Fatalf("no answers for %s", time.Since(last).Round(time.Millisecond))
		}
		time.Sleep(5 * time.Millisecond)
		switch now := w.answered.Load(); {
		case now > seen:
			longest = max(longest, time.Since(last))
			seen, last = now, time.Now()
			if longest > 500*time.Millisecond { // the outage is over, or nearly
				lively++
			}
		default:
			if time.Since(last) > 500*time.Millisecond {
				lively = 0
			}
		}
	}
	return longest
}
