package embedded

import (
	"errors"
	"syscall"
	"testing"

	"faquan/internal/vfs"
)

// The status tells how far the view is behind, and since when.
func TestStatus(t *testing.T) {
	p := newMemPlace(t, Options{MaxMemtable: 50})
	s := p.open(t)
	c := newClient(s)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	want := Status{MaxLag: 50}
	if got := s.Status(); got != want {
		t.Errorf("the view has everything: %+v", got)
	}
	c.mustAsk(t, 0, 1)
	first := s.LastNow()
	c.mustAsk(t, 1, 3)
	want.Lag, want.LagSince = 3, first
	if got := s.Status(); got != want || first == 0 || first == s.LastNow() {
		t.Errorf("three behind: %+v, want %+v; last %v", got, want, s.LastNow())
	}

	// What could not be written counts together with what came since.
	if err := exec(s, "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err == nil {
		t.Fatal("the view was written inside another transaction")
	}
	c.mustAsk(t, 3, 5)
	want.Lag, want.Stuck = 5, true
	if got := s.Status(); got != want {
		t.Errorf("two more: %+v, want %+v", got, want)
	}
	if err := exec(s, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := s.Status(); got != (Status{MaxLag: 50}) {
		t.Errorf("the view has everything again: %+v", got)
	}

	// What is in the write-ahead log alone is in the view, but there is no room for more.
	whole := s.lock
	s.lock = noCheckpoint{whole}
	c.mustAsk(t, 5, 6)
	if err := s.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a checkpoint that fails: %v", err)
	}
	if got := s.Status(); got != (Status{MaxLag: 50, Stuck: true}) {
		t.Errorf("a checkpoint that fails: %+v", got)
	}
	s.lock = whole
	c.mustAsk(t, 6, 7)
	if err := s.Flush(); err != nil || s.Status().Stuck {
		t.Errorf("the next one: %v, %+v", err, s.Status())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Status(); got.Lag != 0 {
		t.Errorf("closed: %+v", got)
	}
}

// noCheckpoint is a lock that lets no checkpoint begin.
type noCheckpoint struct{ vfs.Lock }

func (noCheckpoint) Check() error { return syscall.ENOSPC }

// It reports that there is no room for the journal.
func TestStatusOfAFullDisk(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.SegmentBytes = 32 << 10
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 2)
	p.disk.SetCapacity(p.disk.Used())
	for n := 2; c.ask(n) == nil; n++ {
	}
	if got := s.Status(); !got.LowOnSpace {
		t.Errorf("a full disk: %+v", got)
	}
	p.disk.SetCapacity(-1)
	c.mustAsk(t, 1000, 1001)
	if got := s.Status(); got.LowOnSpace {
		t.Errorf("with room again: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
