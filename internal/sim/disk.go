package sim

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"faquan/internal/benefit"
	"faquan/internal/issuing"
	"faquan/internal/journal"
	"faquan/internal/store/embedded"
	"faquan/internal/vfs/faultfs"
)

// fault draws a failure of one of the next operations on the disk.
func (s *simulation) arm() {
	at := 1 + s.pick(25)
	if s.pick(2) == 0 {
		s.tracef("the power will be cut at operation %d from now", at)
		s.disk.CutPowerAt(at)
		return
	}
	fault := faultfs.Fault{Err: some(s, syscall.EIO, syscall.ENOSPC, syscall.EIO), Short: s.pick(2) == 0, Done: s.pick(3) == 0}
	s.tracef("operation %d from now will fail: %v short=%v done=%v", at, fault.Err, fault.Short, fault.Done)
	s.disk.FailAt(at, fault)
}

// fillDisk leaves hardly any room on the journal's disk, or gives it back.
func (s *simulation) fillDisk() {
	if s.pick(2) == 0 {
		s.tracef("the disk has room again")
		s.disk.SetCapacity(-1)
		return
	}
	s.tracef("the disk is full")
	s.disk.SetCapacity(s.disk.Used() + int64(s.pick(40_000)))
}

// heal takes every planned fault back.
func (s *simulation) heal() {
	s.disk.FailFunc(nil)
	s.disk.SetCapacity(-1)
	s.disk.CutPowerAt(1 << 40)
}

func (s *simulation) powerIsOff() bool {
	_, err := s.disk.List("journal")
	return errors.Is(err, faultfs.ErrPowerOff)
}

// crash ends the process without a warning, the machine with it perhaps, and starts again. What waits in the
// queue is lost; its callers do not know and ask again.
func (s *simulation) crash(why string) {
	fate := s.pick(8)
	s.tracef("crash, %s: %s", why, fates[min(fate, len(fates)-1)])
	s.endDisk()
	s.queue = nil
	old := s.views.dir()
	s.views.crash(s.pick, fate)
	_ = s.store.Close() // on a disk that is off and a view that nobody will look at again
	s.views.drop(old)
	s.start()
}

// endDisk ends the process (what was written stays) or cuts the power (what was not synced may go).
func (s *simulation) endDisk() {
	s.ops += s.disk.Ops()
	if s.pick(2) == 0 {
		s.tracef("the process is killed")
		s.disk = s.disk.CrashProcess()
		return
	}
	s.tracef("the power is cut")
	s.disk = s.disk.Crash(rand.New(rand.NewPCG(s.rng.Uint64(), 4)))
}

// stop ends the process in order and starts it again.
func (s *simulation) stop() {
	for len(s.queue) > 0 { // Run does that after Stop
		s.work()
	}
	s.tracef("stop: %s", class(s.closeStore()))
	s.start()
}

func (s *simulation) closeStore() error {
	err := s.store.Close()
	s.ops += s.disk.Ops()
	s.disk = s.disk.CrashProcess()
	return err
}

// start opens the store, through whatever fails on the way, and finds out what became of a commit of unknown
// outcome.
func (s *simulation) start() {
	s.options.Dir = s.views.dir()
	for tries := 1; ; tries++ {
		s.options.JournalFS = s.disk
		if tries < 4 && s.pick(3*s.calm) == 0 {
			s.arm()
		}
		if tries > 4 {
			s.heal()
		}
		opened, err := embedded.Open(s.options)
		if err == nil {
			s.store = &watched{Store: opened, s: s}
			break
		}
		s.report.FailedStarts++
		s.tracef("start: %s", class(err))
		var damage *journal.DamageError
		if errors.As(err, &damage) || tries > 6 {
			s.failf("it does not start: %v", err)
		}
		s.endDisk()
	}
	s.report.Starts++
	s.tracef("started; ids up to %d", s.store.LastIDMillis())
	s.settle()
	var err error
	s.issuer, err = issuing.New(s.ctx, issuing.Options{
		Store: s.store, Clock: func() benefit.Instant { return s.clock },
		Rand: rand.New(rand.NewPCG(s.rng.Uint64(), 5)), Batch: s.batch, Rules: rules{},
	})
	if err != nil {
		s.failf("the issuer does not start: %v", err)
	}
}

// views are the directories in which the lives of the process keep their views, and copies put aside.
type views struct {
	root   string
	life   int
	aside  int
	copies []string
}

func (v *views) dir() string { return viewDir(v.root, v.life) }

func (v *views) remove() { v.drop(v.root) }

func (v *views) drop(dir string) { os.RemoveAll(dir) }

// copyAside keeps the view as it is now.
func (v *views) copyAside() {
	v.aside++
	dir := filepath.Join(v.root, "aside", filepath.Base(v.dir())+"-"+string(rune('a'+v.aside%8)))
	v.drop(dir)
	copyView(v.dir(), dir)
	v.copies = append(v.copies, dir)
}

// fates are what a crash may do to the view; the last one is the most frequent.
var fates = []string{
	"the view is gone", "an older copy of the view is put back", "the view's log is gone", "the view stays",
}

// crash gives the next life the view that the last one leaves: the files as they lie there, or less.
func (v *views) crash(pick func(n int) int, fate int) {
	from := v.dir()
	v.life++
	if fate == 1 && len(v.copies) > 0 {
		from = v.copies[pick(len(v.copies))]
	}
	if fate == 0 {
		return
	}
	copyView(from, v.dir())
	if fate == 2 {
		// All of it: SQLite syncs the log before it moves any of it into the file, so that one of which a part is
		// lost goes with a file that has nothing of it yet.
		v.drop(embedded.ViewPath(v.dir()) + "-wal")
	}
}

// copyView copies the files of a view that nobody writes to at the moment.
func copyView(from, to string) {
	must(os.MkdirAll(to, 0o700))
	for _, suffix := range []string{"", "-wal"} {
		in, err := os.Open(embedded.ViewPath(from) + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(err)
		out, err := os.Create(embedded.ViewPath(to) + suffix)
		must(err)
		_, err = io.Copy(out, in)
		must(errors.Join(err, out.Close(), in.Close()))
	}
}

// must ends the run: the directory for the views cannot be used.
func must(err error) {
	if err != nil {
		panic(violation("the simulation's own files: " + err.Error()))
	}
}
