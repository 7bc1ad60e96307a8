package journal

import (
	"errors"
	"flag"
	"fmt"
	"syscall"
	"testing"

	"faquan/internal/vfs/faultfs"
)

var seeds = flag.Uint64("seeds", 3, "how many seeds the fault tests try, at least 3")

// Every operation fails once, in every way, and the process ends after it: by
// kill -9, or by a power cut, or by one after the other.
func TestErrorAtEveryCall(t *testing.T) {
	faults := map[string]faultfs.Fault{
		"EIO":          {Err: syscall.EIO},
		"EIO, done":    {Err: syscall.EIO, Done: true},
		"short, EIO":   {Err: syscall.EIO, Short: true},
		"ENOSPC":       {Err: syscall.ENOSPC},
		"short ENOSPC": {Err: syscall.ENOSPC, Short: true},
		"ENOSPC, done": {Err: syscall.ENOSPC, Done: true},
	}
	survived := 0
	for name, fault := range faults {
		for n := 1; n <= scriptOps(t); n++ {
			for seed := range *seeds {
				w := newWorld(t, fmt.Sprintf("%s at %d, seed %d", name, n, seed), seed)
				w.fs.FailAt(n, fault)
				w.script()
				w.fs.FailFunc(nil)
				switch seed % 3 {
				case 0:
					w.powerCut()
				case 1:
					w.kill()
				case 2: // what the start shows may have been in the cache only
					w.kill()
					w.fs.CutPowerAt(1 + w.rng.IntN(40))
					w.open()
					w.powerCut()
				}
				w.recovered()
				survived += w.survived
			}
		}
	}
	if survived == 0 {
		t.Fatal("no record of unknown outcome ever survived: the faults test nothing")
	}
}

// What the disk itself reports as broken is never taken back, and neither is a
// directory whose names may be lost.
func TestWhatLatches(t *testing.T) {
	cases := map[faultfs.Kind]error{
		faultfs.Write:    syscall.EIO,
		faultfs.SyncData: syscall.ENOSPC,
		faultfs.SyncDir:  syscall.EINTR,
	}
	for kind, cause := range cases {
		fsys := faultfs.New(seeded(1))
		j, _ := mustOpen(t, tiny(fsys))
		mustAppend(t, j, 4)
		if kind != faultfs.SyncDir {
			if err := j.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		times := 0
		fsys.FailFunc(func(op faultfs.Op) faultfs.Fault {
			if op.Kind == kind && times == 0 {
				times++ // once: what follows would succeed
				return faultfs.Fault{Err: cause}
			}
			return faultfs.Fault{}
		})
		_, err := j.Append(1, make([]byte, 1000)) // begins the next segment
		fsys.FailFunc(nil)
		var failed *FailedError
		if !errors.As(err, &failed) || !errors.Is(err, cause) {
			t.Fatalf("%s fails: got %v, want a *FailedError", kind, err)
		}
		if _, again := j.Append(1, nil); again != err {
			t.Fatalf("%s fails: then got %v", kind, again)
		}
		wantEqual(t, "latched", j.failed != nil, true)
	}
}

// Two operations in a row fail: a write, and what takes it back.
func TestErrorWhileTakingBack(t *testing.T) {
	for n := 1; n <= scriptOps(t); n++ {
		for apart := 1; apart <= 2; apart++ {
			w := newWorld(t, fmt.Sprintf("ENOSPC at %d, EIO %d later", n, apart), uint64(n))
			w.fs.FailFunc(func(op faultfs.Op) faultfs.Fault {
				switch op.N {
				case n:
					return faultfs.Fault{Err: syscall.ENOSPC, Done: true}
				case n + apart:
					return faultfs.Fault{Err: syscall.EIO}
				}
				return faultfs.Fault{}
			})
			w.script()
			w.fs.FailFunc(nil)
			w.powerCut()
			w.recovered()
		}
	}
}

// The power goes at every operation, and again at some operation of the recovery.
func TestPowerCutAtEveryCall(t *testing.T) {
	survived := 0
	for n := 1; n <= scriptOps(t); n++ {
		for seed := range 4 * *seeds {
			w := newWorld(t, fmt.Sprintf("cut at %d, seed %d", n, seed), seed)
			w.fs.CutPowerAt(n)
			w.script()
			w.powerCut()
			for again := range w.rng.IntN(3) {
				w.fs.CutPowerAt(1 + w.rng.IntN(30))
				w.name += fmt.Sprintf(", again %d", again)
				w.open()
				w.powerCut()
			}
			w.recovered()
			survived += w.survived
		}
	}
	if survived == 0 {
		t.Fatal("no unacknowledged record ever survived: the cuts test nothing")
	}
}

// kill -9 between the write of a record and its sync leaves it in the page cache.
// The next start finds it there; as soon as it has shown it to the owner, a power
// cut must not take it away.
func TestShownMeansDurable(t *testing.T) {
	shown := 0
	for k := 1; k <= 25; k++ {
		for seed := range 4 * *seeds {
			w := newWorld(t, fmt.Sprintf("killed in a sync, cut at %d of the start, seed %d", k, seed), seed)
			w.open()
			for range 3 {
				w.append()
			}
			w.fs.CutPowerAt(2) // write, sync
			w.append()
			w.kill()
			w.fs.CutPowerAt(k)
			w.open()
			shown += w.survived
			w.powerCut()
			w.recovered()
		}
	}
	if shown == 0 {
		t.Fatal("no start came as far as to show the record")
	}
}

// Random histories with everything mixed.
func TestRandomHistories(t *testing.T) {
	for seed := range 100 * *seeds {
		first, second := randomHistory(t, seed), [32]byte{}
		if seed%20 == 0 {
			second = randomHistory(t, seed)
			wantEqual(t, "fingerprint of the same seed", second, first)
		}
	}
}

func randomHistory(t *testing.T, seed uint64) [32]byte {
	w := newWorld(t, fmt.Sprintf("seed %d", seed), seed)
	for range 8 {
		w.fs.SetCapacity(-1)
		if w.rng.IntN(4) == 0 {
			w.fs.SetCapacity(w.fs.Used() + int64(w.rng.IntN(3*4096)))
		}
		switch w.rng.IntN(3) {
		case 0:
			w.fs.CutPowerAt(1 + w.rng.IntN(80))
		case 1:
			w.fs.FailAt(1+w.rng.IntN(80), w.randomFault())
		}
		w.randomRun(w.rng.IntN(12))
		if w.rng.IntN(2) == 0 {
			w.kill()
		} else {
			w.powerCut()
		}
	}
	w.fs.SetCapacity(-1)
	w.recovered()
	return w.fs.Fingerprint()
}

func (w *world) randomFault() faultfs.Fault {
	errs := []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}
	return faultfs.Fault{Err: errs[w.rng.IntN(len(errs))], Short: w.rng.IntN(2) == 0, Done: w.rng.IntN(4) == 0}
}

// randomRun is one run of the process.
func (w *world) randomRun(appends int) {
	w.opts.SegmentBytes = []int64{4096, 8192}[w.rng.IntN(2)]
	if !w.open() {
		return
	}
	for range appends {
		if w.rng.IntN(5) == 0 {
			var failed *FailedError
			if errors.As(w.j.Prepare(), &failed) {
				return
			}
		}
		if !w.append() {
			return
		}
	}
	if w.rng.IntN(2) == 0 {
		w.close()
	}
}
