package journal

import (
	"errors"
	"flag"
	"fmt"
	"syscall"
	"testing"

	"faquan/internal/vfs/faultfs"
)

var seeds = flag.Uint64("seeds", 6, "how many seeds the fault tests try")

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
		for seed := range 2 * *seeds {
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

// Random histories with everything mixed.
func TestRandomHistories(t *testing.T) {
	for seed := range 60 * *seeds {
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
