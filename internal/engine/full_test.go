package engine

import (
	"errors"
	"testing"
)

// The count of those who gave up, by which a full queue knows whether to look for them, stays right whichever way
// they leave.
func TestGoneIsCounted(t *testing.T) {
	q := newQueue(3)
	put := func() *Pending {
		p := &Pending{}
		if err := q.put(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := func(when string, n int64) {
		t.Helper()
		if got := q.abandoned.Load(); got != n {
			t.Errorf("%s: %d counted as gone, want %d", when, got, n)
		}
	}
	first, second, _ := put(), put(), put()
	if err := q.put(&Pending{}); !errors.Is(err, ErrBusy) {
		t.Fatalf("the fourth of three: %v", err)
	}
	if !first.abandon() || first.abandon() {
		t.Error("a request is given up once")
	}
	want("one gave up", 1)
	put() // in its place
	want("its place was taken", 0)
	second.abandon()
	if batch := q.take(nil, 9); len(batch) != 2 {
		t.Errorf("%d in the batch, want 2", len(batch))
	}
	want("a batch passed over it", 0)
}

// BenchmarkPutFull turns a request away.
func BenchmarkPutFull(b *testing.B) {
	q := newQueue(8192)
	for range 8192 {
		if err := q.put(&Pending{}); err != nil {
			b.Fatal(err)
		}
	}
	p := &Pending{}
	for b.Loop() {
		_ = q.put(p)
	}
}
