package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/vfs/faultfs"
)

// onDisk is one process on the embedded store, whose journal is on a simulated disk.
type onDisk struct {
	*simulation
	disk    *faultfs.FS
	views   *views
	options embedded.Options
	ops     int // on the disk, so far
}

func newOnDisk(s *simulation, c Config) (*onDisk, func()) {
	o := &onDisk{simulation: s, disk: faultfs.New(rand.New(rand.NewPCG(c.Seed, 2))), views: &views{root: c.Dir}}
	o.options = embedded.Options{
		TempDir: c.Dir, Foreground: true, JournalDir: "journal", JournalRand: seeded{rand.New(rand.NewPCG(c.Seed, 3))},
		SegmentBytes:   int64(some(s, 32, 32, 64, 256)) << 10,
		GenerationSize: some(s, 5, 20, 10_000), MaxMemtable: some(s, 4, 8, 40, 10_000), CacheEntries: some(s, 1, 3, 10_000),
	}
	s.processes = []*process{{}}
	return o, o.views.remove
}

func (o *onDisk) process() *process { return o.processes[0] }

func (o *onDisk) all() store.Store { return o.process().store.Store }

// happen fails the disk, or has the store tidy up.
func (o *onDisk) happen(n int) {
	switch {
	case n < 82:
		o.flush()
	case n < 84:
		o.views.copyAside()
		o.tracef("a copy of the view is put aside")
	case n < 88:
		o.stop()
	case o.pick(o.calm) > 0:
	case n < 96:
		o.arm()
	case n < 98:
		o.fillDisk()
	default:
		o.crash("for no reason")
	}
}

func (o *onDisk) now() benefit.Instant { return o.clock }

// plan has nothing to do: the disk fails by itself; nor has reach.
func (o *onDisk) plan(*process, []*submission) {}

func (o *onDisk) reach(*watchedTx, point) {}

// ended starts again when the store has failed.
func (o *onDisk) ended(_ *process, _ []*submission, failed error) {
	if failed == nil {
		return
	}
	if !errors.Is(failed, store.ErrFailed) {
		o.failf("Step: %v", failed)
	}
	o.crash("the store has failed")
}

// recover starts again when the power is off.
func (o *onDisk) recover() {
	if o.powerIsOff() {
		o.crash("the power is off")
	}
}

func (o *onDisk) holds(maybe *benefit.Changes) bool {
	return o.hasNow(o.all(), maybe.Now) && (!o.hasNow(o.model, maybe.Now) || !o.same())
}

// sequence has nothing to do: the journal is the feed.
func (o *onDisk) sequence(func(n int) int) {}

func (o *onDisk) flush() {
	o.tracef("flush: %s", class(o.process().store.Store.(*embedded.Store).Flush()))
}

// arm draws a failure of one of the next operations on the disk.
func (o *onDisk) arm() {
	at := 1 + o.pick(25)
	if o.pick(2) == 0 {
		o.tracef("the power will be cut at operation %d from now", at)
		o.disk.CutPowerAt(at)
		return
	}
	fault := faultfs.Fault{Err: some(o, syscall.EIO, syscall.ENOSPC, syscall.EIO), Short: o.pick(2) == 0, Done: o.pick(3) == 0}
	o.tracef("operation %d from now will fail: %v short=%v done=%v", at, fault.Err, fault.Short, fault.Done)
	o.disk.FailAt(at, fault)
}

// fillDisk leaves hardly any room on the journal's disk, or gives it back.
func (o *onDisk) fillDisk() {
	if o.pick(2) == 0 {
		o.tracef("the disk has room again")
		o.disk.SetCapacity(-1)
		return
	}
	o.tracef("the disk is full")
	o.disk.SetCapacity(o.disk.Used() + int64(o.pick(40_000)))
}

// heal takes every planned fault back.
func (o *onDisk) heal() {
	o.disk.FailFunc(nil)
	o.disk.SetCapacity(-1)
	o.disk.CutPowerAt(1 << 40)
	if o.powerIsOff() {
		o.crash("too early")
		o.heal()
	}
}

func (o *onDisk) powerIsOff() bool {
	_, err := o.disk.List("journal")
	return errors.Is(err, faultfs.ErrPowerOff)
}

// crash ends the process without a warning, the machine with it perhaps, and starts again. What waits in the
// queue is lost; its callers do not know and ask again.
func (o *onDisk) crash(why string) {
	fate := o.pick(8)
	o.tracef("crash, %s: %s", why, fates[min(fate, len(fates)-1)])
	o.endDisk()
	p := o.process()
	p.queue = nil
	old := o.views.dir()
	o.views.crash(o.pick, fate)
	_ = p.store.Close() // on a disk that is off and a view that will not be used again
	o.views.drop(old)
	o.start()
}

// endDisk ends the process (what was written stays) or cuts the power (what was not synced may go).
func (o *onDisk) endDisk() {
	o.ops += o.disk.Ops()
	if o.pick(2) == 0 {
		o.tracef("the process is killed")
		o.disk = o.disk.CrashProcess()
		return
	}
	o.tracef("the power is cut")
	o.disk = o.disk.Crash(rand.New(rand.NewPCG(o.rng.Uint64(), 4)))
}

// stop ends the process in order and starts it again.
func (o *onDisk) stop() {
	o.workAll() // Run does that after Stop
	o.tracef("stop: %s", class(o.closeStore()))
	o.start()
}

func (o *onDisk) closeStore() error {
	err := o.process().store.Close()
	o.ops += o.disk.Ops()
	o.disk = o.disk.CrashProcess()
	return err
}

// start opens the store, through whatever fails on the way, and finds out what became of a commit of unknown
// outcome.
func (o *onDisk) start() {
	o.options.Dir = o.views.dir()
	for tries := 1; ; tries++ {
		o.options.JournalFS = o.disk
		if tries < 4 && o.pick(3*o.calm) == 0 {
			o.arm()
		}
		if tries > 4 {
			o.heal()
		}
		opened, err := embedded.Open(o.options)
		if err == nil {
			o.process().store = &watched{Store: opened, s: o.simulation, p: o.process()}
			break
		}
		o.report.FailedStarts++
		o.tracef("start: %s", class(err))
		var damage *journal.DamageError
		if errors.As(err, &damage) || tries > 6 {
			o.failf("it does not start: %v", err)
		}
		o.endDisk()
	}
	o.report.Starts++
	o.tracef("started; ids up to %d", o.process().store.LastIDMillis())
	o.settle(o.process(), "after a start")
	o.newEngine(o.process())
}

// end closes the store and compares its view with the journal, as `faquan audit` does.
func (o *onDisk) end() {
	o.closeStore()
	o.audit()
	o.tracef("%d operations on the disk", o.ops)
}

func (o *onDisk) audit() {
	o.options.JournalFS = o.disk
	check, err := embedded.OpenCheck(o.ctx, o.options)
	if err != nil {
		o.failf("opening for audit: %v", err)
	}
	defer check.Close()
	report, err := check.Compare(o.ctx, 10)
	if err != nil || len(report.Faults) > 0 {
		o.failf("the view is not what the journal says: %+v, %v", report.Faults, err)
	}
	if _, err := journal.Verify(o.disk, "journal", journal.VerifyOptions{Heads: []journal.Head{check.Position()}}); err != nil {
		o.failf("the journal: %v", err)
	}
	rows, err := audit.Store(o.ctx, check.Reader(), audit.Options{LookupEvery: -1})
	if err != nil {
		o.failf("the audit: %v", err)
	}
	o.wantAudited(rows)
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

// copyView copies the files of a view that is not being written to.
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

// viewDir returns where a life of the process keeps its view.
func viewDir(root string, life int) string { return filepath.Join(root, fmt.Sprint("life-", life)) }
