package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitDue: a call that could not be made in time was due all the same, and those after it keep to the schedule.
func TestWaitDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		time.Sleep(250 * time.Millisecond)
		for k, want := range []struct{ due, now time.Duration }{{0, 250}, {100, 250}, {200, 250}, {300, 300}} {
			if due := waitDue(start, int64(k), 10); due.Sub(start) != want.due*time.Millisecond || time.Since(start) != want.now*time.Millisecond {
				t.Errorf("call %d: due after %v, made after %v", k, due.Sub(start), time.Since(start))
			}
		}
	})
}
