package faultfs

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/vfs"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s differs (-want +got):\n%s", what, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// fill writes n bytes of one value.
func fill(t *testing.T, f vfs.File, value byte, off, n int64) {
	t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = value
	}
	_, err := f.WriteAt(b, off)
	must(t, err)
}

// durableFile makes a file of three sectors of ones, all of it durable.
func durableFile(t *testing.T, fsys *FS) vfs.File {
	t.Helper()
	f, err := fsys.Create("/a")
	must(t, err)
	fill(t, f, 1, 0, 3*SectorBytes)
	must(t, f.Sync())
	must(t, fsys.SyncDir("/"))
	return f
}

// outcomes crashes a history under many seeds and counts what is found.
func outcomes(t *testing.T, history func(*FS), look func(*FS) string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(300) {
		fsys := New(seeded(seed))
		history(fsys)
		seen[look(fsys.Crash(seeded(seed)))]++
	}
	return seen
}

func read(fsys *FS, name string) string {
	data, err := ReadFile(fsys, name)
	if err != nil {
		return "missing"
	}
	return string(data)
}

func TestSyncedBytesSurviveAndOthersMay(t *testing.T) {
	first := map[string]int{}
	seen := outcomes(t, func(fsys *FS) {
		f := durableFile(t, fsys)
		fill(t, f, 2, SectorBytes, 2*SectorBytes)
	}, func(fsys *FS) string {
		data := read(fsys, "/a")
		first[data[:SectorBytes]]++
		return data[SectorBytes:]
	})
	wantEqual(t, "values of the sector that was not written", len(first), 1)
	// both kept, both lost, one of them lost, and torn inside
	if len(seen) < 10 {
		t.Fatalf("only %d different ends of two unsynced sectors", len(seen))
	}
}

func TestSyncDataKeepsContentButNotSize(t *testing.T) {
	sizes := map[int]int{}
	outcomes(t, func(fsys *FS) {
		f := durableFile(t, fsys)
		fill(t, f, 2, 0, SectorBytes)
		fill(t, f, 2, 3*SectorBytes, SectorBytes)
		must(t, f.SyncData())
	}, func(fsys *FS) string {
		data := read(fsys, "/a")
		sizes[len(data)]++
		wantEqual(t, "synced byte", data[0], byte(2))
		if len(data) > 3*SectorBytes {
			wantEqual(t, "byte behind the old end", data[3*SectorBytes], byte(2))
		}
		return ""
	})
	if sizes[3*SectorBytes] == 0 || sizes[4*SectorBytes] == 0 {
		t.Fatalf("sizes after the crash: %v, want the old and the new", sizes)
	}
}

func TestNamesAreDurableAfterSyncDir(t *testing.T) {
	seen := outcomes(t, func(fsys *FS) {
		durableFile(t, fsys)
		must(t, fsys.Rename("/a", "/b"))
		f, err := fsys.Create("/c")
		must(t, err)
		must(t, f.Sync())
	}, func(fsys *FS) string {
		names, err := fsys.List("/")
		must(t, err)
		return cmp.Diff([]string{}, names)
	})
	wantEqual(t, "different directories", len(seen), 4) // {a, b} × {c, none}
	seen = outcomes(t, func(fsys *FS) {
		durableFile(t, fsys)
		must(t, fsys.Rename("/a", "/b"))
		must(t, fsys.SyncDir("/"))
	}, func(fsys *FS) string { return read(fsys, "/b")[:1] + read(fsys, "/a") })
	wantEqual(t, "with SyncDir", seen, map[string]int{"\x01missing": 300})
}

func TestFailedSyncCleansAndForgets(t *testing.T) {
	seen := outcomes(t, func(fsys *FS) {
		f := durableFile(t, fsys)
		fill(t, f, 2, 0, SectorBytes)
		fsys.FailAt(1, Fault{Err: syscall.EIO})
		wantIs(t, f.SyncData(), syscall.EIO)
		must(t, f.Sync()) // proves nothing
		wantEqual(t, "cache", read(fsys, "/a")[0], byte(2))
	}, func(fsys *FS) string { return read(fsys, "/a")[:1] })
	if seen["\x01"] == 0 || seen["\x02"] == 0 {
		t.Fatalf("after a failed sync: %v, want old and new", seen)
	}
}

func TestProcessCrashKeepsTheCache(t *testing.T) {
	fsys := New(seeded(1))
	f := durableFile(t, fsys)
	lock, err := fsys.Lock("/lock")
	must(t, err)
	fill(t, f, 2, 0, 3*SectorBytes)
	next := fsys.CrashProcess()
	wantEqual(t, "content", read(next, "/a")[0], byte(2))
	_, err = next.Lock("/lock")
	must(t, err)
	_, err = f.WriteAt([]byte{3}, 0)
	wantIs(t, err, ErrPowerOff)
	must(t, lock.Close())
}

// The lock of a file ends with Close and with the process.
func TestFileLock(t *testing.T) {
	fsys := New(seeded(1))
	first, err := fsys.Create("/file")
	if err != nil {
		t.Fatal(err)
	}
	lock := func(fsys *FS) (vfs.File, error) {
		f, err := fsys.Open("/file")
		if err != nil {
			t.Fatal(err)
		}
		return f, f.Lock()
	}
	for range 2 {
		if err := first.Lock(); err != nil {
			t.Fatal(err)
		}
	}
	other, err := lock(fsys)
	if !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("of a locked file: got %v, want ErrLocked", err)
	}
	other.Close()
	if _, err := lock(fsys); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("after another file was closed: got %v, want ErrLocked", err)
	}
	if _, err := lock(fsys.Clone(seeded(1))); err != nil {
		t.Fatalf("in another file system: %v", err)
	}
	first.Close()
	if _, err := lock(fsys); err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if _, err := lock(fsys.CrashProcess()); err != nil {
		t.Fatalf("after the process: %v", err)
	}
}

func TestFaults(t *testing.T) {
	fsys := New(seeded(1))
	f := durableFile(t, fsys)
	ones := make([]byte, 4)
	fsys.FailAt(2, Fault{Err: syscall.EIO, Short: true})
	fill(t, f, 2, 0, 4)
	n, err := f.WriteAt([]byte{3, 3, 3, 3}, 0)
	wantIs(t, err, syscall.EIO)
	wantEqual(t, "bytes written", n, 2)
	_, err = f.ReadAt(ones, 0)
	must(t, err)
	wantEqual(t, "content", ones, []byte{3, 3, 2, 2})

	fsys.FailAt(1, Fault{Err: syscall.EIO, Done: true})
	wantIs(t, fsys.Rename("/a", "/b"), syscall.EIO)
	wantEqual(t, "renamed all the same", read(fsys, "/b")[:1], "\x03")

	fsys.SetReadOnly(true)
	_, err = fsys.Create("/c")
	wantIs(t, err, syscall.EROFS)
	fsys.SetReadOnly(false)

	fsys.CutPowerAt(2)
	must(t, f.Sync())
	wantIs(t, f.Sync(), ErrPowerOff)
	_, err = fsys.List("/")
	wantIs(t, err, ErrPowerOff)
}

func TestCapacity(t *testing.T) {
	fsys := New(seeded(1))
	f := durableFile(t, fsys)
	fsys.SetCapacity(5 * SectorBytes)
	wantIs(t, f.Allocate(6*SectorBytes), syscall.ENOSPC)
	n, err := f.WriteAt(make([]byte, 4*SectorBytes), 2*SectorBytes)
	wantIs(t, err, syscall.ENOSPC)
	wantEqual(t, "bytes written", n, 3*SectorBytes)
	fill(t, f, 2, 0, 5*SectorBytes) // what is there can be overwritten
	must(t, fsys.Remove("/a"))
	must(t, fsys.SyncDir("/"))
	wantEqual(t, "used", fsys.Used(), int64(0))
}

func TestFlipBit(t *testing.T) {
	fsys := New(seeded(1))
	durableFile(t, fsys)
	must(t, fsys.FlipBit("/a", 8*700+3))
	wantEqual(t, "cache", read(fsys, "/a")[700], byte(1|1<<3))
	wantEqual(t, "disk", read(fsys.Crash(seeded(2)), "/a")[700], byte(1|1<<3))
}

func TestOneSeedOneHistory(t *testing.T) {
	run := func(seed uint64) [32]byte {
		fsys := New(seeded(seed))
		f := durableFile(t, fsys)
		for i := range byte(5) {
			fill(t, f, i, int64(i)*SectorBytes/2, 2*SectorBytes)
			_, err := fsys.Create("/" + string('b'+rune(i)))
			must(t, err)
		}
		return fsys.Crash(seeded(seed)).Fingerprint()
	}
	different := map[[32]byte]bool{}
	for seed := range uint64(50) {
		wantEqual(t, "fingerprint", run(seed), run(seed))
		different[run(seed)] = true
	}
	if len(different) < 20 {
		t.Fatalf("50 seeds gave only %d histories", len(different))
	}
}
