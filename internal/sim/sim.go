package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs/faultfs"
)

// FirstWithCommands is the first seed whose history has commands other than the issue, those of [oracle.Generators]. The
// seeds before it are the histories by which guard marks and tests notice what they are for; they stay as they are when a
// command is added.
const FirstWithCommands = 1000

// FirstWithDisabledApps is the first seed in whose history apps are disabled and enabled. When is drawn from a source of its own.
const FirstWithDisabledApps = 3000

// Config of one run.
type Config struct {
	Seed     uint64
	Dir      string    // an empty directory, for the views of the embedded store
	Database *Database // when it is given the run is one of several processes on it, and Dir is not used
	Steps    int       // default 200
	Trace    io.Writer // gets a line for everything that happens; may be nil
}

// Report is the result of a run. Two runs of a seed give the same one.
type Report struct {
	Hash [32]byte // of the trace

	Issued, Replayed, Refused, Conflicts int // answers
	NotIssued, Unknown                   int // answers without an outcome
	Survived, Lost                       int // commits of unknown outcome, as the next start found them
	Starts, FailedStarts                 int
	Changes                              int // of the catalogue and the users
	Coverage                             Coverage
	Results                              map[string]int // answers to commands other than the issue; see [oracle.Generator]
	Broken                               Broken
	Followed                             Followed
	Expired                              Expired
}

// backend is the store under test, with what can go wrong with it. The processes on it are those of the simulation.
type backend interface {
	// start makes the processes, through whatever fails on the way.
	start()
	// happen does one of the things that only this store knows. n, below 100, is what next drew.
	happen(n int)
	// recover starts again what fell over.
	recover()
	// now returns what the clock of a process shows when it begins a batch.
	now() benefit.Instant
	// plan draws what goes wrong with the batch that a process is about to take.
	plan(p *process, batch []*submission)
	// reach is called at the points of a batch.
	reach(t *watchedTx, at point)
	// ended is called when the batch is over and its callers have heard; failed is what Step said.
	ended(p *process, batch []*submission, failed error)
	// holds reports whether what a commit of unknown outcome would have written is there.
	holds(maybe *benefit.Changes) bool
	// all returns a store that shows everything that was committed.
	all() store.Store
	// sequence puts into the feed what is committed, where that is work of its own. What pick draws may interrupt it; nil:
	// nothing does.
	sequence(pick func(n int) int)
	// heal takes every planned fault back.
	heal()
	// crash ends all processes without a warning and starts again; stop does so in order.
	crash(why string)
	stop()
	// end closes the store for the last time, and checks what only this store guarantees.
	end()
}

// Run runs a seed. Its error tells what was broken, and at which step.
func Run(c Config) (report Report, err error) {
	if c.Steps == 0 {
		c.Steps = 200
	}
	s := newSimulation(c)
	defer func() {
		report = s.report
		report.Hash = [32]byte(s.hash.Sum(nil))
		s.cleanUp()
		cause := recover()
		if broken, ok := cause.(violation); ok {
			err = fmt.Errorf("seed %d, step %d: %s", c.Seed, s.step, string(broken))
		} else if cause != nil {
			panic(cause)
		}
	}()
	s.back.start()
	s.setUp()
	for s.step = 1; s.step <= c.Steps; s.step++ {
		s.next()
		s.follower.follow()
		s.expirer.expire()
	}
	s.finish()
	return
}

// violation is the value with which a run panics when an invariant is broken.
type violation string

type simulation struct {
	ctx  context.Context
	rng  *rand.Rand
	hash hash.Hash
	out  io.Writer
	step int

	report  Report
	back    backend
	cleanUp func()
	batch   int // the most requests in a batch
	calm    int // the higher, the fewer faults
	ending  bool
	found   violation // the first one

	clock     benefit.Instant
	processes []*process

	follower  *follower // nil: nobody reads the feed
	expirer   *expirer  // nil: no subscription wants expired vouchers
	world     *world
	model     *memory.Store
	oracle    *oracle.Oracle
	latest    benefit.Instant // now of the last commit
	confirmed benefit.Instant // the latest now that a batch without rows may have left in the store
}

func newSimulation(c Config) *simulation {
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	s := &simulation{
		ctx: context.Background(), rng: rng, hash: sha256.New(), out: c.Trace, clock: storetest.Start + 10*hour,
		report: Report{Results: map[string]int{}}, model: memory.New(), oracle: storetest.NewOracle(2), // a batch may draw all codes of two digits
	}
	if c.Database != nil {
		s.back, s.cleanUp = newOnDatabase(s, c)
	} else {
		s.back, s.cleanUp = newOnDisk(s, c)
	}
	s.batch, s.calm = some(s, 1, 3, 1024), some(s, 1, 1, 2, 8)
	s.world = newWorld(s.pick, s.oracle)
	if c.Seed >= FirstWithCommands {
		s.world.sources = oracle.Sources(c.Seed)
	}
	if c.Seed >= FirstWithFollower {
		s.follower = newFollower(s, c.Seed)
	}
	if c.Seed >= FirstWithDisabledApps {
		s.world.pickApp = rand.New(rand.NewPCG(c.Seed, 7)).IntN
	}
	if c.Seed >= FirstWithExpiry {
		s.expirer, s.world.endsChange = newExpirer(s, c.Seed), true
	}
	return s
}

// seeded reads from a random source.
type seeded struct{ *rand.Rand }

func (r seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

func (s *simulation) pick(n int) int { return s.rng.IntN(n) }

// some is one of the choices.
func some[T any](s interface{ pick(n int) int }, choices ...T) T {
	return choices[s.pick(len(choices))]
}

func (s *simulation) tracef(format string, args ...any) {
	line := fmt.Sprintf("%4d  ", s.step) + fmt.Sprintf(format, args...) + "\n"
	io.WriteString(s.hash, line)
	if s.out != nil {
		io.WriteString(s.out, line)
	}
}

func (s *simulation) failf(format string, args ...any) {
	if s.found == "" {
		s.found = violation(fmt.Sprintf(format, args...))
	}
	panic(s.found)
}

// next does one thing.
func (s *simulation) next() {
	switch n := s.pick(100); {
	case n < 30:
		for _, x := range s.world.requests() {
			s.ask(s.anyProcess(), x)
		}
	case n < 66:
		s.work(s.anyProcess())
	case n < 73:
		s.change(s.anyProcess())
	case n < 78:
		s.turnClock()
	case n >= 84 && n < 86:
		s.check("on the way")
	default:
		s.back.happen(n)
	}
	s.back.recover()
}

// turnClock lets some time pass, up to just before midnight at +08:00 perhaps, or sets the clock back.
func (s *simulation) turnClock() {
	if s.pick(6) == 0 {
		s.clock = (s.clock.Day() + 1).Start() - 1 - benefit.Instant(s.pick(700))
	} else {
		s.clock += some[benefit.Instant](s, 1, 300, 900, 999, 1000, 1700, 5000, hour, 9*hour, -700, -2*hour, -26*hour)
	}
	s.tracef("the clock shows %v and %d ms", s.clock, s.clock%1000)
}

// learn reports a committed change to the oracle.
func (s *simulation) learn(c *benefit.Changes) {
	if c == nil {
		return
	}
	s.oracle.SetUsers(c.Users...)
	if c.Catalogue != 0 {
		s.oracle.SetCatalogue(s.modelCatalogue())
		s.expirer.learned(c.Now)
	}
}

func (s *simulation) modelCatalogue() *benefit.Catalogue {
	all := s.contents(s.model)
	cat, err := benefit.CatalogueOf(all.Version, all.Entities)
	if err != nil {
		s.failf("the catalogue: %v", err)
	}
	return cat
}

// count counts what a caller was told.
func (s *simulation) count(c oracle.Call, err error) {
	i, issue := c.(*oracle.Issue)
	e, ends := c.(*oracle.Expiry)
	if err == nil && issue && i.Outcome.Reason == benefit.AppDisabled {
		s.report.Coverage.Disabled++
	}
	switch {
	case errors.Is(err, engine.ErrUnknown):
		s.report.Unknown++
	case err != nil:
		s.report.NotIssued++
	case ends:
		s.expirer.answered(e)
	case !issue:
		s.report.Results[c.Result()]++
	case i.Outcome.Reason == benefit.KeyConflict:
		s.report.Conflicts++
	case i.Outcome.Empty():
		s.report.Coverage.Nothing++
	case i.Outcome.Replayed:
		s.report.Replayed++
	case i.Outcome.Issuance == nil:
		s.report.Refused++
	default:
		s.report.Issued++
	}
}

// setUp writes the first catalogue, without faults.
func (s *simulation) setUp() {
	s.back.heal()
	p := s.processes[0]
	pending, err := p.engine.SubmitChange(s.ctx, s.world.setUp(s.clock))
	if err != nil {
		s.failf("the first change: %v", err)
	}
	p.queue = append(p.queue, &submission{pending: pending})
	s.work(p)
}

// finish asks everything that is open again, when nothing fails any more, and compares everything.
func (s *simulation) finish() {
	s.step++
	s.ending = true
	s.back.crash("in the end")
	s.back.heal()
	s.workAll()
	for _, r := range s.world.open() {
		s.ask(s.anyProcess(), r)
	}
	s.workAll()
	s.expirer.finish()
	s.check("in the end")
	s.back.stop()
	s.back.heal() // the start may have drawn faults
	s.check("after the last start")
	s.follower.finish()
	s.back.end()
}

// class returns an error in the trace, without what differs between two runs: paths, for example.
func class(err error) string {
	for _, known := range []error{
		engine.ErrUnknown, engine.ErrNotIssued, engine.ErrInvalid, engine.ErrStopping, store.ErrNotCommitted, store.ErrFailed,
		faultfs.ErrPowerOff,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return "another error"
	}
	return "ok"
}
