package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// mount makes a small file system of its own, which takes privileges.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("this test mounts a file system, which takes the rights of root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// A full disk under the view, for real.
func TestViewOnFullDisk(t *testing.T) {
	p := newMemPlace(t, Options{MaxMemtable: 40})
	mount(t, p.dir, "size=2m")
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 5)
	contentsOf(t, s)
	filler := filepath.Join(p.dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	n := 5
	var err error
	for ; err == nil && n < 2000; n++ {
		err = c.ask(n)
	}
	if !errors.Is(err, store.ErrNotCommitted) {
		t.Fatalf("a commit that the view holds back: %v", err)
	}
	for ; s.Refusing() == nil && n < 4000; n++ { // the flush that failed made room for a few more
		_ = c.ask(n)
	}
	if err := s.Refusing(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it refuses commits for %v", err)
	}
	p.kill(s)
	p.o.JournalFS = p.disk
	if s, err := Open(p.o); err == nil { // it may or may not start
		s.abandon()
	} else if damaged(err) {
		t.Errorf("a full disk is taken for damage: %v", err)
	}
	p.disk = p.disk.CrashProcess()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	defer s.Close()
	c.wantTold(t, s)
	newClient(s).mustAsk(t, n, n+3)
}

// A comparison that fills the disk with the other view is an error that tells the way out.
func TestCompareWithoutRoom(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	c := newClient(s)
	for n := range 50 {
		r := storetest.Request(fmt.Sprint("k", n), "2088", storetest.Line(1))
		r.Note.Memo = strings.Repeat("x", 40_000)
		if _, err := c.Issue(t.Context(), storetest.Start, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.o.JournalFS = p.disk.CrashProcess()
	mount(t, p.o.TempDir, "size=1m")
	wantNoRoom(t, p.o, p.o.TempDir)
	if left, err := os.ReadDir(p.o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A data directory that cannot be written to is said to be so, and is sound when it can again.
func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=32m")
	o := Options{Dir: dir, SegmentBytes: 1 << 20}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(s)
	c.mustAsk(t, 0, 4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=32m"); err != nil {
		t.Skipf("the mounted file system cannot be made read-only here: %v", err)
	}
	if _, err := Open(o); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "data directory") {
		t.Errorf("Open: %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=32m"); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(o); err != nil {
		t.Fatalf("Open when it can be written to again: %v", err)
	}
	defer s.Close()
	c.wantTold(t, s)
}
