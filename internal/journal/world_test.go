package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"faquan/internal/vfs/faultfs"
)

// world is one history of a journal on a disk that fails, with a memory of what
// the journal has promised: after every start each acknowledged record is there,
// a refused one is not, and one of unknown outcome is there whole or not at all.
// Every attempt has a payload of its own, so that a record that was refused
// cannot pass for its successor.
type world struct {
	t    *testing.T
	name string // of the case, for messages
	fs   *faultfs.FS
	rng  *rand.Rand
	opts Options

	j        *Journal
	acked    [][]byte
	unknown  []byte // the attempt whose outcome is unknown; nil: none
	attempts uint64
	survived int // how many unknown attempts turned out to be there
}

func newWorld(t *testing.T, name string, seed uint64) *world {
	rng := seeded(seed)
	fsys := faultfs.New(rng)
	return &world{t: t, name: name, fs: fsys, rng: rng, opts: tiny(fsys)}
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s: %s", w.name, fmt.Sprintf(format, args...))
}

// open starts the journal and compares what it replays with the memory. It
// returns false when the start failed.
func (w *world) open() bool {
	w.t.Helper()
	w.opts.FS = w.fs
	w.opts.KnownDurable = uint64(len(w.acked))
	n := 0
	j, err := Open(w.opts, func(r Record) error {
		n++
		switch {
		case n <= len(w.acked):
			if !bytes.Equal(r.Payload, w.acked[n-1]) {
				w.fatalf("record %d has other content than was acknowledged", n)
			}
		case n == len(w.acked)+1 && w.unknown != nil && bytes.Equal(r.Payload, w.unknown):
			w.survived++
			// The owner acts upon what it is shown: from here on it must stay.
			w.acked, w.unknown = append(w.acked, w.unknown), nil
		default:
			w.fatalf("record %d was never acknowledged", n)
		}
		return nil
	})
	if err != nil {
		var damage *DamageError
		if errors.As(err, &damage) {
			w.fatalf("Open: %v", err)
		}
		return false
	}
	if n != len(w.acked) || j.Head().Seq != uint64(n) {
		w.fatalf("%d records replayed, head %d, but %d were acknowledged", n, j.Head().Seq, len(w.acked))
	}
	w.j, w.unknown = j, nil
	return true
}

// append tries to append one record. It returns false when the outcome is
// unknown, upon which the process has to end.
func (w *world) append() bool {
	w.t.Helper()
	w.attempts++
	p := make([]byte, 8+w.rng.IntN(1200))
	binary.LittleEndian.PutUint64(p, w.attempts)
	seq, err := w.j.Append(1, p)
	var failed *FailedError
	switch {
	case err == nil:
		if seq != uint64(len(w.acked))+1 {
			w.fatalf("Append gave sequence %d after %d records", seq, len(w.acked))
		}
		w.acked = append(w.acked, p)
	case errors.As(err, &failed):
		if failed.Seq != uint64(len(w.acked))+1 {
			w.fatalf("sequence %d reported as unknown after %d records", failed.Seq, len(w.acked))
		}
		w.unknown = p
		w.wantLatched(failed)
		return false
	case !errors.Is(err, ErrNotWritten):
		w.fatalf("Append: error %v says nothing about the outcome", err)
	}
	return true
}

// wantLatched checks that after a failure of unknown outcome nothing is written
// or synced any more, and that the error stays the same.
func (w *world) wantLatched(failed *FailedError) {
	w.t.Helper()
	before := w.fs.Ops()
	_, err := w.j.Append(1, nil)
	prepared, closed := w.j.Prepare(), w.j.Close()
	for _, err := range []error{err, prepared, closed} {
		var again *FailedError
		if !errors.As(err, &again) || again != failed {
			w.fatalf("after %v: got %v", failed, err)
		}
	}
	if w.fs.Ops() != before {
		w.fatalf("the disk was touched after %v", failed)
	}
}

// close stops in order. A failure of it is a failure of the process.
func (w *world) close() { _ = w.j.Close() }

// kill ends the process, powerCut the machine.
func (w *world) kill()     { w.fs = w.fs.CrashProcess() }
func (w *world) powerCut() { w.fs = w.fs.Crash(w.rng) }

// recovered starts without faults and proves that the journal is sound: it
// opens, takes records, and every bit of it is right.
func (w *world) recovered() {
	w.t.Helper()
	if !w.open() {
		w.fatalf("no start after the crash")
	}
	if report, err := Verify(w.fs, testDir, VerifyOptions{}); err != nil || report.Residue != nil {
		w.fatalf("Verify after the recovery: %+v, %v", report.Residue, err)
	}
	names, err := w.fs.List(testDir)
	if err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, tempSuffix) }) {
		w.fatalf("unfinished files are left: %v, %v", names, err)
	}
	head := w.j.Head()
	for range 3 {
		if !w.append() {
			w.fatalf("append after the recovery: unknown outcome")
		}
	}
	w.close()
	report, err := Verify(w.fs, testDir, VerifyOptions{Heads: []Head{head, w.j.Head()}})
	if err != nil || !report.CleanStop || report.Residue != nil {
		w.fatalf("Verify at the end: %+v, %v", report, err)
	}
}

// script is the history that faults are put into: two runs of the process over
// several segments. It ends early when the process would.
func (w *world) script() {
	w.t.Helper()
	for _, appends := range []int{11, 4} {
		if !w.open() {
			return
		}
		for range appends {
			if !w.append() {
				return
			}
		}
		w.close()
	}
}

// scriptOps returns how many operations the script has.
func scriptOps(t *testing.T) int {
	w := newWorld(t, "without faults", 1)
	w.script()
	if len(w.acked) != 15 {
		t.Fatalf("%d records acknowledged without faults", len(w.acked))
	}
	return w.fs.Ops() + 20 // other seeds have other sizes
}
