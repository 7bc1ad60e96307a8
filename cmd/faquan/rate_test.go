package main

import (
	"testing"
	"time"
)

// The rate is that of the last ten full seconds.
func TestIssueRate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newIssueRate(func() time.Time { return now })
	check := func(want float64) {
		t.Helper()
		if got := r.perSecond(); got != want {
			t.Errorf("at %d: %v, want %v", now.Unix(), got, want)
		}
	}
	check(0)
	r.Issued(20)
	r.Issued(10)
	check(0) // the second is not over
	now = now.Add(time.Second)
	check(3)
	r.Issued(10)
	now = now.Add(9 * time.Second)
	check(4)
	now = now.Add(time.Second)
	check(1)
	r.Issued(50) // in the place of the first second
	now = now.Add(time.Second)
	check(5)
	now = now.Add(time.Hour)
	check(0)
}
