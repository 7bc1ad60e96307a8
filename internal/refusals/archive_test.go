package refusals

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"faquan/internal/gateway"
	"faquan/internal/vfs"
	"faquan/internal/vfs/faultfs"
)

// lab is an Archive with what it has logged.
type lab struct {
	*Archive
	fs     vfs.FS
	recent *gateway.Refusals
	log    bytes.Buffer
	noted  int
}

func open(t *testing.T, fsys vfs.FS, dir string, keep int64) *lab {
	t.Helper()
	l := &lab{fs: fsys, recent: gateway.NewRefusals()}
	l.Archive = Open(Options{Dir: dir, Keep: keep, Recent: l.recent, Log: slog.New(slog.NewTextHandler(&l.log, nil)), FS: fsys})
	return l
}

func (l *lab) mustClose(t *testing.T) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// note remembers refused calls of an app with keys prefix0, prefix1 …
func (l *lab) note(prefix string, calls int) {
	for n := range calls {
		l.recent.Note(&gateway.Record{Protocol: "alipay", Key: fmt.Sprint(prefix, n), Code: "40004", SubCode: "X"}, time.Now())
	}
}

func all(*gateway.Record) bool { return true }

func withKey(key string) func(*gateway.Record) bool {
	return func(c *gateway.Record) bool { return c.Key == key }
}

// wantKeys checks the keys of what is found, newest first.
func wantKeys(t *testing.T, what string, of finder, limit int, want ...string) {
	t.Helper()
	found, err := of.Find(all, limit)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	keys := []string{}
	for _, c := range found {
		keys = append(keys, c.Key)
	}
	if !slices.Equal(keys, want) {
		t.Errorf("%s: %v, want %v", what, keys, want)
	}
}

func left(fsys vfs.FS, dir string) Left { return Left{FS: fsys, Dir: dir} }

type finder interface {
	Find(match func(*gateway.Record) bool, limit int) ([]gateway.Record, error)
}

func newFS() *faultfs.FS { return faultfs.New(rand.New(rand.NewPCG(1, 2))) }

// What was refused is found after a restart, before what is refused then, and without a process.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "refusals")
	l := open(t, vfs.OS, dir, MinKeep)
	wantKeys(t, "at first", l, 9)
	l.note("a", 2)
	wantKeys(t, "at once", l, 9, "a1", "a0")
	l.mustClose(t)
	wantKeys(t, "without a process", left(vfs.OS, dir), 9, "a1", "a0")
	l = open(t, vfs.OS, dir, MinKeep)
	wantKeys(t, "after a restart", l, 9, "a1", "a0")
	l.note("b", 2)
	wantKeys(t, "and what is new", l, 9, "b1", "b0", "a1", "a0")
	wantKeys(t, "the newest three", l, 3, "b1", "b0", "a1")
	l.mustClose(t)
	l = open(t, vfs.OS, dir, MinKeep)
	wantKeys(t, "after two restarts", l, 9, "b1", "b0", "a1", "a0")
	l.mustClose(t)
	if names, err := os.ReadDir(filepath.Join(dir, "1")); err != nil || len(names) != 2 {
		t.Errorf("the files %v, %v", names, err)
	}
	for _, name := range []string{"1/LOCK", "1/0000000000000001.seg"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if l.log.Len() > 0 {
		t.Errorf("logged: %s", &l.log)
	}
}

// What a killed process had refused more than a moment before is there.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newFS()
		l := open(t, fsys, "/r", MinKeep)
		l.note("a", 3)
		time.Sleep(time.Second)
		next := fsys.CrashProcess()
		_ = l.Close() // of the process that is dead
		wantKeys(t, "after the kill", open(t, next, "/r", MinKeep).closed(t), 9, "a2", "a1", "a0")
	})
}

func (l *lab) closed(t *testing.T) *lab {
	t.Helper()
	l.mustClose(t)
	return l
}

// The files stay within the bound, the oldest refusals go first, and what memory has forgotten is found in them.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = 64 << 10
		fsys := newFS()
		l := open(t, fsys, "/r", keep)
		const calls = 6000
		for n := range calls {
			l.note(fmt.Sprint(n, "-"), 1)
			if n%100 == 0 {
				time.Sleep(time.Second)
				if size := bytesOf(t, fsys, "/r/1"); size > keep {
					t.Fatalf("after %d refusals the files have %d bytes", n, size)
				}
			}
		}
		l.mustClose(t)
		size := bytesOf(t, fsys, "/r/1")
		found, err := l.Find(all, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		inFiles, err := left(fsys, "/r").Find(all, 1e6)
		if err != nil || size > keep || size < keep*3/4 || len(inFiles) < 1000 || len(found) != max(4096, len(inFiles)) {
			t.Fatalf("%d bytes with %d refusals, %d are found: %v", size, len(inFiles), len(found), err)
		}
		for k, c := range inFiles {
			if want := fmt.Sprint(calls-1-k, "-0"); c.Key != want {
				t.Fatalf("refusal %d is %s, want %s", k, c.Key, want)
			}
		}
		if l = open(t, fsys, "/r", keep/2); bytesOf(t, fsys, "/r/1") > keep/2 {
			t.Errorf("%d bytes when less is kept", bytesOf(t, fsys, "/r/1"))
		}
		if found, err := l.Find(all, 1e6); err != nil || len(found) < 300 || found[0].Key != fmt.Sprint(calls-1, "-0") {
			t.Errorf("%d are found: %v", len(found), err)
		}
		l.mustClose(t)
	})
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func bytesOf(t *testing.T, fsys vfs.FS, dir string) (sum int64) {
	t.Helper()
	for _, first := range must(segments(fsys, dir)) {
		sum += int64(len(must(readSegment(fsys, dir, first))))
	}
	return sum
}

// More refusals than memory has are found in memory and in the files, each once.
func TestFindReturnsEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newFS(), "/r", MinKeep)
		const calls = 9000
		for n := range calls {
			l.note(fmt.Sprint(n, "-"), 1)
			if n%1000 == 0 {
				time.Sleep(time.Second)
			}
		}
		found, err := l.Find(all, 1e6)
		if err != nil || len(found) != calls {
			t.Fatalf("%d are found: %v", len(found), err)
		}
		for k, c := range found {
			if want := fmt.Sprint(calls-1-k, "-0"); c.Key != want {
				t.Fatalf("refusal %d is %s, want %s", k, c.Key, want)
			}
		}
		for _, key := range []string{"8999-0", "4904-0", "4903-0", "0-0"} {
			if found, err := l.Find(withKey(key), 9); err != nil || len(found) != 1 {
				t.Errorf("%s: %d, %v", key, len(found), err)
			}
		}
		if found, err := l.Find(all, 5000); err != nil || len(found) != 5000 || found[4999].Key != "4000-0" {
			t.Errorf("at most 5000: %d, %v", len(found), err)
		}
		l.mustClose(t)
	})
}

// Whatever is cut off the end of the files or changed there, what is before it is found, and what comes later too.
func TestDamagedSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newFS()
		l := open(t, first, "/r", MinKeep)
		l.note("a", 3)
		l.mustClose(t)
		const name = "/r/1/0000000000000001.seg"
		size := int64(len(must(readSegment(first, "/r/1", 1))))
		rng := rand.New(rand.NewPCG(3, 4))
		for cut := range size / 3 {
			for what, damage := range map[string]func(*faultfs.FS) error{
				"cut":  func(f *faultfs.FS) error { return f.Truncate(name, size-1-cut) },
				"flip": func(f *faultfs.FS) error { return f.FlipBit(name, (size-1-cut)*8+rng.Int64N(8)) },
			} {
				fsys := first.Clone(rng)
				if err := damage(fsys); err != nil {
					t.Fatal(err)
				}
				l := open(t, fsys, "/r", MinKeep)
				wantKeys(t, fmt.Sprint(what, " before ", cut, " bytes"), l, 9, "a1", "a0")
				l.note("b", 2)
				l.mustClose(t)
				wantKeys(t, fmt.Sprint(what, " before ", cut, " bytes, in the files"), left(fsys, "/r"), 9, "b1", "b0", "a1", "a0")
			}
		}
	})
}

// A power cut takes some of what was refused last, and nothing more.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			fsys := newFS()
			l := open(t, fsys, "/r", MinKeep)
			l.note("a", 20)
			time.Sleep(time.Second)
			next := fsys.Crash(rand.New(rand.NewPCG(seed, 0)))
			_ = l.Close() // of the process that is dead
			l = open(t, next, "/r", MinKeep)
			l.note("b", 1)
			l.mustClose(t)
			found, err := left(next, "/r").Find(all, 99)
			if err != nil || len(found) == 0 || found[0].Key != "b0" {
				t.Fatalf("seed %d: %v, %v", seed, found, err)
			}
			for k, c := range found[1:] {
				if want := fmt.Sprint("a", len(found)-2-k); c.Key != want {
					t.Fatalf("seed %d: refusal %d is %s, want %s", seed, k, c.Key, want)
				}
			}
		}
	})
}

// On a full disk calls are still remembered, the log has one line, and when there is room again the files get what memory
// has.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newFS()
		l := open(t, fsys, "/r", MinKeep)
		l.note("a", 10)
		time.Sleep(time.Second)
		fsys.SetCapacity(fsys.Used())
		l.note("b", 20)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !l.Status().Failing || strings.Count(l.log.String(), "\n") != 1 || !strings.Contains(l.log.String(), syscall.ENOSPC.Error()) {
			t.Errorf("%+v, logged: %s", l.Status(), &l.log)
		}
		if found, err := l.Find(all, 99); err != nil || len(found) != 30 || found[0].Key != "b19" {
			t.Errorf("on a full disk %d are found: %v", len(found), err)
		}
		fsys.SetCapacity(-1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := l.Status(); got != (Status{}) || !strings.Contains(l.log.String(), `msg="refusals are written again" lost=0`) {
			t.Errorf("%+v, logged: %s", got, &l.log)
		}
		l.mustClose(t)
		if found, err := left(fsys, "/r").Find(all, 99); err != nil || len(found) != 30 || found[0].Key != "b19" {
			t.Errorf("in the files %d are found: %v", len(found), err)
		}
	})
}

// Whichever operation fails, calls are remembered, and after it the files get them, each once.
func TestFailedOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []faultfs.Fault{{Err: syscall.EIO}, {Err: syscall.EIO, Short: true}, {Err: syscall.EIO, Done: true}} {
			for at := 1; ; at++ {
				fsys := newFS()
				l := open(t, fsys, "/r", 8<<10)
				l.note("a", 20)
				time.Sleep(time.Second)
				before := fsys.Ops()
				fsys.FailAt(at, fault)
				l.note("b", 20)
				time.Sleep(time.Second)
				ended := fsys.Ops()-before < at // it did not come to the fault
				l.note("c", 2)
				time.Sleep(time.Minute)
				if l.Status().Failing {
					t.Errorf("%+v at %d: it does not recover: %s", fault, at, &l.log)
				}
				l.mustClose(t)
				found, err := left(fsys, "/r").Find(all, 99)
				if err != nil || len(found) != 42 {
					t.Errorf("%+v at %d: %d are found in the files: %v", fault, at, len(found), err)
				}
				if ended {
					break
				}
			}
		}
	})
}

// When the disk is slower than the refusals, those that memory forgets before they can be written are counted.
func TestLostRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newFS()
		l := open(t, fsys, "/r", MinKeep)
		l.note("a", 10)
		time.Sleep(time.Second)
		fsys.FailFunc(func(op faultfs.Op) faultfs.Fault { return faultfs.Fault{Err: syscall.EIO} })
		l.note("b", 4096+5)
		time.Sleep(time.Second)
		fsys.FailFunc(nil)
		time.Sleep(time.Minute)
		if got := l.Status(); got != (Status{Lost: 5}) {
			t.Errorf("%+v", got)
		}
		l.mustClose(t)
		found, err := left(fsys, "/r").Find(all, 1e6)
		if err != nil || len(found) != 4096+10 || found[4095].Key != "b5" || found[4096].Key != "a9" {
			t.Errorf("%d are found: %v", len(found), err)
		}
	})
}

// A directory that cannot be used is no reason not to serve.
func TestNoFiles(t *testing.T) {
	fsys := newFS()
	fsys.SetReadOnly(true)
	l := open(t, fsys, "/r", MinKeep)
	l.note("a", 1)
	wantKeys(t, "on a read-only disk", l, 9, "a0")
	if !l.Status().Failing || !strings.Contains(l.log.String(), "refusals are kept in memory only") {
		t.Errorf("%+v, logged: %s", l.Status(), &l.log)
	}
	l.mustClose(t)
	l = open(t, vfs.OS, filepath.Join(t.TempDir(), "r"), 0)
	l.note("a", 1)
	wantKeys(t, "when nothing is kept", l, 9, "a0")
	l.mustClose(t)
	if l.Status() != (Status{}) || l.log.Len() > 0 {
		t.Errorf("when nothing is kept: %+v, logged: %s", l.Status(), &l.log)
	}
}

// An error of the disk while a search reads is the error of the search.
func TestUnreadable(t *testing.T) {
	fsys := newFS()
	l := open(t, fsys, "/r", MinKeep)
	l.note("a", 1)
	l.mustClose(t)
	l = open(t, fsys, "/r", MinKeep)
	fsys.FailFunc(func(op faultfs.Op) faultfs.Fault {
		if op.Kind == faultfs.Read {
			return faultfs.Fault{Err: syscall.EIO}
		}
		return faultfs.Fault{}
	})
	if _, err := l.Find(all, 9); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	l.mustClose(t)
}

// Processes that share a directory have files of their own, and one that starts continues those of one that has ended.
func TestProcessesShareADirectory(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, vfs.OS, dir, MinKeep), open(t, vfs.OS, dir, MinKeep)
	a.note("a", 1)
	time.Sleep(2 * time.Millisecond) // the files have milliseconds
	b.note("b", 1)
	wantKeys(t, "the first", a, 9, "a0")
	wantKeys(t, "the second", b, 9, "b0")
	if ended, err := Ended(vfs.OS, dir); err != nil || len(ended) > 0 {
		t.Errorf("while both run: %v, %v", ended, err)
	}
	a.mustClose(t)
	if ended := must(Ended(vfs.OS, dir)); len(ended) != 1 || ended[0].Dir != filepath.Join(dir, "1") {
		t.Errorf("when the first has ended: %v", ended)
	} else {
		wantKeys(t, "of the first", ended[0], 9, "a0")
	}
	c := open(t, vfs.OS, dir, MinKeep)
	wantKeys(t, "the third", c, 9, "a0")
	b.mustClose(t)
	c.mustClose(t)
	wantKeys(t, "of all", left(vfs.OS, dir), 9, "b0", "a0")
	if ended, err := Ended(vfs.OS, filepath.Join(dir, "none")); err != nil || len(ended) > 0 {
		t.Errorf("without a directory: %v, %v", ended, err)
	}
}

// Calls that do not authenticate are not written, so that strangers cannot make the files forget the others.
func TestStrangersStayInMemory(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, MinKeep)
	l.note("a", 1)
	stranger := &gateway.Record{Key: "stranger", Code: "40002"}
	stranger.Failed(gateway.NewApps(nil, nil), 0, "192.0.2.1:1", time.Now())
	l.recent.Note(stranger, time.Now().Add(time.Second))
	wantKeys(t, "both", l, 9, "stranger", "a0")
	wantKeys(t, "the newest", l, 1, "stranger")
	l.mustClose(t)
	wantKeys(t, "in the files", left(vfs.OS, dir), 9, "a0")
}

// Refusals are searched while they are made, written and removed.
func TestFindWhileWriting(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, 64<<10)
	var work sync.WaitGroup
	for writer := range 2 {
		work.Go(func() {
			for n := range 100 {
				l.note(fmt.Sprint(writer, "-", n, "-"), 100)
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 2 {
		work.Go(func() {
			for range 60 {
				found, err := l.Find(all, 1e6)
				if err != nil {
					t.Error(err)
				}
				seen := map[string]bool{}
				for _, c := range found {
					if seen[c.Key] {
						t.Errorf("%s is found twice", c.Key)
					}
					seen[c.Key] = true
				}
			}
		})
	}
	work.Wait()
	l.mustClose(t)
	found, err := l.Find(all, 1e6)
	if err != nil || len(found) < 4096 {
		t.Errorf("%d are found: %v", len(found), err)
	}
}

// slowFS is a disk whose writes wait for the gate. They report that they wait.
type slowFS struct {
	vfs.FS
	waiting, gate chan struct{}
}

func (s slowFS) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	return slowFile{f, s}, err
}

type slowFile struct {
	vfs.File
	fs slowFS
}

func (f slowFile) WriteAt(p []byte, at int64) (int, error) {
	select {
	case f.fs.waiting <- struct{}{}:
	default:
	}
	<-f.fs.gate
	return f.File.WriteAt(p, at)
}

// Calls never wait for the disk. A search waits for what is being written, which memory may already have forgotten.
func TestFindDuringAWrite(t *testing.T) {
	disk := slowFS{FS: newFS(), waiting: make(chan struct{}, 1), gate: make(chan struct{})}
	l := open(t, disk, "/r", MinKeep)
	l.note("a", 10)
	<-disk.waiting
	l.note("b", 4096)
	var work sync.WaitGroup
	work.Go(func() {
		if found, err := l.Find(all, 1e6); err != nil || len(found) != 4096+10 {
			t.Errorf("%d are found: %v", len(found), err)
		}
	})
	time.Sleep(100 * time.Millisecond)
	close(disk.gate)
	work.Wait()
	l.mustClose(t)
	if l.Status() != (Status{}) {
		t.Errorf("%+v", l.Status())
	}
}
