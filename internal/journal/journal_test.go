package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"faquan/internal/vfs"
	"faquan/internal/vfs/faultfs"
)

func TestReadsBackWhatWasAppended(t *testing.T) {
	for n := range 40 {
		for _, clean := range []bool{false, true} {
			fsys, head := filled(t, n, clean)
			j, last := mustOpen(t, tiny(fsys))
			wantEqual(t, "last record", last, uint64(n))
			wantEqual(t, "head", j.Head(), head)
			mustAppend(t, j, 5)
			mustClose(t, j)
			report, err := Verify(fsys, testDir, VerifyOptions{Heads: []Head{head, j.Head()}})
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			wantEqual(t, "records", report.Records, int64(n+5))
			wantEqual(t, "clean", report.CleanStop, true)
		}
	}
}

func TestReplayStartsAfterFrom(t *testing.T) {
	fsys, _ := filled(t, 30, true)
	for from := range uint64(31) {
		o := tiny(fsys)
		o.From = from
		j, last := mustOpen(t, o)
		wantEqual(t, "last record", last, uint64(30))
		mustClose(t, j)
	}
}

func TestReadUpTo(t *testing.T) {
	fsys, _ := filled(t, 30, false)
	for upTo := range uint64(31) {
		r := reader{t: t}
		if err := Read(fsys, testDir, upTo, r.replay); err != nil {
			t.Fatalf("Read up to %d: %v", upTo, err)
		}
		want := upTo
		if upTo == 0 {
			want = 30
		}
		wantEqual(t, "last record", r.last, want)
	}
	wantDamage(t, Read(fsys, testDir, 31, func(Record) error { return nil }))
}

func TestOneProcessAtATime(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	if _, err := Open(tiny(fsys), nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second Open: got %v, want ErrLocked", err)
	}
	mustClose(t, j)
	j, _ = mustOpen(t, tiny(fsys))
	mustClose(t, j)
	lock, err := fsys.Lock(filepath.Join(testDir, lockName)) // as a process does that has no segment yet
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(tiny(fsys), nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("Open of a locked directory: got %v, want ErrLocked", err)
	}
	lock.Close()
}

// A journal whose LOCK was deleted stays closed to others, and fails at the next
// change of segments without a write.
func TestLockLost(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, SegmentBytes: 32 << 10}
	j, _ := mustOpen(t, o)
	mustAppend(t, j, 1)
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second Open: got %v, want ErrLocked", err)
	}
	if err := os.WriteFile(filepath.Join(dir, lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil && j.seg.segment == 1 {
		_, err = j.Append(1, nil)
	}
	last := j.Head()
	var failed *FailedError
	if !errors.As(err, &failed) || !errors.Is(err, vfs.ErrLockLost) {
		t.Fatalf("at the end of the segment: got %v, want a *FailedError that wraps ErrLockLost", err)
	}
	if err := j.Close(); !errors.Is(err, vfs.ErrLockLost) {
		t.Fatalf("Close: got %v", err)
	}
	report, err := Verify(vfs.OS, dir, VerifyOptions{Heads: []Head{last}})
	if err != nil || report.Head != last || report.CleanStop {
		t.Fatalf("Verify: %+v, %v; want the head %v and no clean stop", report, err, last)
	}
}

// Close writes no clean stop into a journal that may be another process's.
func TestLockLostAtClose(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, Options{Dir: dir, SegmentBytes: 32 << 10})
	mustAppend(t, j, 1)
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); !errors.Is(err, vfs.ErrLockLost) {
		t.Fatalf("Close: got %v", err)
	}
	if report, err := Verify(vfs.OS, dir, VerifyOptions{}); err != nil || report.CleanStop {
		t.Fatalf("Verify: %+v, %v; want no clean stop", report, err)
	}
}

// linked returns a directory with hard links to the segments of another.
func linked(t *testing.T, dir string) string {
	t.Helper()
	other := t.TempDir()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	for _, name := range names {
		if err := os.Link(name, filepath.Join(other, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	return other
}

// A directory with hard links to the segments of an open journal cannot be
// opened, before and after a change of segments, and can be read.
func TestHardLinks(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentBytes: 32 << 10}
	j, _ := mustOpen(t, o)
	mustAppend(t, j, 3)
	wantRefused := func() {
		t.Helper()
		other := o
		other.Dir = linked(t, o.Dir)
		if _, err := Open(other, nil); !errors.Is(err, vfs.ErrLocked) {
			t.Fatalf("Open of hard links in segment %d: got %v, want ErrLocked", j.seg.segment, err)
		}
		if report, err := Verify(vfs.OS, other.Dir, VerifyOptions{Heads: []Head{j.Head()}}); err != nil || report.Head != j.Head() {
			t.Fatalf("Verify: %+v, %v; want the head %v", report, err, j.Head())
		}
	}
	wantRefused()
	for j.seg.segment < 3 {
		mustAppend(t, j, 1)
	}
	wantRefused()
	mustClose(t, j)
	j, _ = mustOpen(t, o)
	wantRefused()
	mustClose(t, j)
	other := o
	other.Dir = linked(t, o.Dir)
	j, _ = mustOpen(t, other)
	defer mustClose(t, j)
	if _, err := Open(o, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("Open beside a journal of hard links: got %v, want ErrLocked", err)
	}
}

// A journal whose next segment another process has locked fails without a write.
func TestNextSegmentLocked(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	if err := j.Prepare(); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open(filepath.Join(testDir, segmentName(2)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Lock(); err != nil {
		t.Fatal(err)
	}
	for err == nil && j.seg.segment == 1 {
		_, err = j.Append(1, nil)
	}
	last := j.Head()
	var failed *FailedError
	if !errors.As(err, &failed) || !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("at the end of the segment: got %v, want a *FailedError that wraps ErrLocked", err)
	}
	if err := j.Close(); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("Close: got %v", err)
	}
	report, err := Verify(fsys, testDir, VerifyOptions{Heads: []Head{last}})
	if err != nil || report.Head != last || report.CleanStop {
		t.Fatalf("Verify: %+v, %v; want the head %v and no clean stop", report, err, last)
	}
}

// movingFS lets something happen just before a file is opened for writing.
type movingFS struct {
	vfs.FS
	before func()
}

func (f movingFS) Open(name string) (vfs.File, error) {
	f.before()
	return f.FS.Open(name)
}

// The process that has the files changes segments while another one, which has
// read the headers of hard links to them already, starts.
func TestSegmentChangeBesideOpen(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentBytes: 32 << 10}
	j, _ := mustOpen(t, o)
	mustAppend(t, j, 3)
	if err := j.Prepare(); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Dir = linked(t, o.Dir)
	other.FS = movingFS{vfs.OS, func() {
		for j.seg.segment < 2 {
			mustAppend(t, j, 1)
		}
	}}
	if _, err := Open(other, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("Open of hard links: got %v, want ErrLocked", err)
	}
	mustAppend(t, j, 3)
	last := j.Head()
	mustClose(t, j)
	if report, err := Verify(vfs.OS, o.Dir, VerifyOptions{}); err != nil || report.Head != last {
		t.Fatalf("Verify: %+v, %v; want the head %v", report, err, last)
	}
}

// With the disk full appends go on until the segment is full, are then refused,
// and succeed again as soon as there is room.
func TestFullDisk(t *testing.T) {
	for _, background := range []bool{false, true} {
		fsys := faultfs.New(seeded(1))
		o := tiny(fsys)
		o.Background = background
		fsys.SetCapacity(6000)
		j, _ := mustOpen(t, o)
		var err error
		for err == nil {
			seq := j.Head().Seq + 1
			_, err = j.Append(kindOf(seq), payload(seq))
		}
		for range 3 {
			if !errors.Is(err, ErrNotWritten) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("on a full disk: got %v", err)
			}
			_, err = j.Append(1, make([]byte, 1500))
		}
		if !j.LowOnSpace() {
			t.Fatal("LowOnSpace reports nothing")
		}
		names, err := fsys.List(testDir)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "files", names, []string{segmentName(1)})
		before := j.Head()
		wantEqual(t, "records before the disk was full", before.Seq > 2, true)
		fsys.SetCapacity(-1)
		mustAppend(t, j, 20)
		mustClose(t, j)
		j, last := mustOpen(t, tiny(fsys))
		wantEqual(t, "last record", last, before.Seq+20)
		mustClose(t, j)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	fsys, _ := filled(t, 3, true)
	fsys.SetReadOnly(true)
	_, err := Open(tiny(fsys), nil)
	if !errors.Is(err, syscall.EROFS) {
		t.Fatalf("got %v, want EROFS", err)
	}
	if _, err := Verify(fsys, testDir, VerifyOptions{}); err != nil {
		t.Fatalf("Verify needs no writing: %v", err)
	}
	fsys.SetReadOnly(false)
	j, last := mustOpen(t, tiny(fsys))
	wantEqual(t, "last record", last, uint64(3))
	mustClose(t, j)
}

func TestLargestRecord(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	o := tiny(fsys)
	j, _ := mustOpen(t, o)
	for range 3 {
		if _, err := j.Append(1, make([]byte, j.MaxPayload())); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Append(1, make([]byte, j.MaxPayload()+1)); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("got %v, want ErrTooLarge", err)
		}
	}
	mustClose(t, j)
	if _, err := j.Append(1, nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("after Close: got %v", err)
	}
	// A later process with larger segments can write what the old tail is too
	// small for.
	o.SegmentBytes, o.Align = 1<<16, 4096
	if j, err := Open(o, nil); err != nil {
		t.Fatal(err)
	} else if _, err := j.Append(1, make([]byte, j.MaxPayload())); err != nil {
		t.Fatal(err)
	} else {
		mustClose(t, j)
	}
	report, err := Verify(fsys, testDir, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "records", report.Records, int64(4))
}

// Stopping again and again without a record leaves one clean stop, not a full
// segment of them.
func TestIdleRestartsWriteNothing(t *testing.T) {
	fsys, _ := filled(t, 3, true)
	before := fsys.Fingerprint()
	for range 20 {
		j, _ := mustOpen(t, tiny(fsys))
		mustClose(t, j)
	}
	wantEqual(t, "unchanged", fsys.Fingerprint(), before)
}

func TestOldSegmentsMayBeRemoved(t *testing.T) {
	fsys, _ := filled(t, 30, true)
	l, err := survey(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	first := l.segs[2].firstSeq
	if err := errors.Join(fsys.Remove(segPath(1)), fsys.Remove(segPath(2))); err != nil {
		t.Fatal(err)
	}
	o := tiny(fsys)
	_, err = Open(o, nil)
	wantDamage(t, err)
	o.From = first - 1
	j, last := mustOpen(t, o)
	wantEqual(t, "last record", last, uint64(30))
	mustClose(t, j)
	_, err = Verify(fsys, testDir, VerifyOptions{})
	wantDamage(t, err)
}

func TestErrorOfReplayEndsOpen(t *testing.T) {
	fsys, _ := filled(t, 3, true)
	mine := errors.New("mine")
	if _, err := Open(tiny(fsys), func(Record) error { return mine }); err != mine {
		t.Fatalf("got %v", err)
	}
	j, _ := mustOpen(t, tiny(fsys)) // the lock was released
	mustClose(t, j)
}

func TestNonsenseOptionsAreRefused(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	for _, o := range []Options{
		{FS: fsys},
		{FS: fsys, Dir: testDir, Align: 1000},
		{FS: fsys, Dir: testDir, Align: 256},
		{FS: fsys, Dir: testDir, SegmentBytes: 4096},
	} {
		if _, err := Open(o, nil); err == nil {
			t.Fatalf("%+v was accepted", o)
		}
	}
}

// Real files, the goroutine, and readers beside the process that appends.
func TestRealDiskAndReadersBeside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	o := Options{Dir: dir, SegmentBytes: 256 << 10, Background: true}
	j, _ := mustOpen(t, o)
	if _, err := Open(o, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second Open: got %v, want ErrLocked", err)
	}
	var acked atomic.Uint64
	done := make(chan error)
	go func() {
		for acked.Load() < 300 {
			upTo := acked.Load()
			if upTo == 0 {
				continue
			}
			r := reader{t: t}
			report, err := Verify(vfs.OS, dir, VerifyOptions{UpTo: upTo})
			if err == nil && report.Head.Seq != upTo {
				err = fmt.Errorf("verified up to %d, not %d", report.Head.Seq, upTo)
			}
			if err = errors.Join(err, Read(vfs.OS, dir, upTo, r.replay)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 300 {
		mustAppend(t, j, 1)
		acked.Store(j.Head().Seq)
	}
	if err := <-done; err != nil {
		t.Fatalf("reading beside: %v", err)
	}
	head := j.Head()
	mustClose(t, j)
	j, last := mustOpen(t, o)
	wantEqual(t, "last record", last, uint64(300))
	wantEqual(t, "head", j.Head(), head)
	mustClose(t, j)
}

func TestAppendAllocatesNothing(t *testing.T) {
	j, err := Open(Options{Dir: t.TempDir(), SegmentBytes: 4 << 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5000)
	allocs := testing.AllocsPerRun(50, func() {
		if _, err := j.Append(1, p); err != nil {
			t.Fatal(err)
		}
	})
	wantEqual(t, "allocations", allocs, 0.0)
	mustClose(t, j)
}
