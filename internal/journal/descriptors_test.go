package journal

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"faquan/internal/vfs/faultfs"
)

// Out of file descriptors at each operation that needs one: the start is
// refused, or a record is, and the next attempt succeeds. Nothing latches.
func TestNoDescriptorAtEveryOpen(t *testing.T) {
	refused := 0
	for n := 1; ; n++ {
		w := newWorld(t, fmt.Sprintf("EMFILE at open %d", n), 1)
		opens, met := 0, false
		w.fs.FailFunc(func(op faultfs.Op) faultfs.Fault {
			switch op.Kind {
			case faultfs.Create, faultfs.Open, faultfs.List, faultfs.Lock:
				opens++
			default:
				return faultfs.Fault{}
			}
			if opens < n || opens > n+1 { // the second is the attempt with the reserve
				return faultfs.Fault{}
			}
			met = true
			return faultfs.Fault{Err: syscall.EMFILE}
		})
		for range 2 {
			for tries := 0; !w.open(); tries++ {
				if tries == 2 {
					w.fatalf("no start though there are descriptors again")
				}
			}
			before := len(w.acked)
			for range 11 {
				if !w.append() {
					w.fatalf("the journal latched")
				}
			}
			refused += before + 11 - len(w.acked)
			w.close()
		}
		w.fs.FailFunc(nil)
		w.recovered()
		if !met {
			break
		}
	}
	if refused == 0 {
		t.Fatal("no record was refused: the faults did not meet a segment change")
	}
}

// With the descriptor in reserve the journal goes on forever though there is no
// other.
func TestReserve(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	fsys.SetMaxOpen(fsys.OpenFiles())
	mustAppend(t, j, 40)
	if j.seg.segment < 5 {
		t.Fatalf("only %d segments", j.seg.segment)
	}
	mustClose(t, j)
	wantEqual(t, "open files", fsys.OpenFiles(), 0)
}

const descriptorsVariable = "FAQUAN_TEST_DESCRIPTORS"

// A real process that has used up its descriptors but for the journal's own.
func TestProcessWithoutDescriptors(t *testing.T) {
	if dir := os.Getenv(descriptorsVariable); dir != "" {
		useUpDescriptors(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessWithoutDescriptors$", "-test.v")
	cmd.Env = append(os.Environ(), descriptorsVariable+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func useUpDescriptors(t *testing.T, dir string) {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	j, err := Open(Options{Dir: dir, SegmentBytes: 32 << 10}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var others []*os.File // open until the process ends
	takeAll := func() {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return
			}
			others = append(others, f)
		}
	}
	for j.seg.segment < 5 {
		takeAll() // what the journal has given back, too
		if _, err := j.Append(1, make([]byte, 1000)); err != nil {
			t.Fatalf("in segment %d: %v", j.seg.segment, err)
		}
	}
	if len(others) < 40 {
		t.Fatalf("only %d descriptors were used up", len(others))
	}
}
