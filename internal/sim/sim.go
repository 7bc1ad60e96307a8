package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"path/filepath"

	"faquan/internal/benefit"
	"faquan/internal/issuing"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs/faultfs"
)

// Config of one run.
type Config struct {
	Seed  uint64
	Dir   string    // an empty directory, for the views
	Steps int       // default 200
	Trace io.Writer // gets a line for everything that happens; may be nil
}

// Report is what a run came to. Two runs of a seed give the same one.
type Report struct {
	Hash [32]byte // of the trace

	Issued, Replayed, Refused, Conflicts int // answers
	NotIssued, Unknown                   int // answers without an outcome
	Survived, Lost                       int // commits of unknown outcome, as the next start found them
	Starts, FailedStarts                 int
	Changes                              int // of the catalogue and the users
	Met                                  Met
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
		s.views.remove()
		cause := recover()
		if broken, ok := cause.(violation); ok {
			err = fmt.Errorf("seed %d, step %d: %s", c.Seed, s.step, string(broken))
		} else if cause != nil {
			panic(cause)
		}
	}()
	s.start()
	s.setUp()
	for s.step = 1; s.step <= c.Steps; s.step++ {
		s.next()
	}
	s.finish()
	return
}

// violation is what a run panics with when something is broken.
type violation string

type simulation struct {
	ctx  context.Context
	rng  *rand.Rand
	hash hash.Hash
	out  io.Writer
	step int

	report  Report
	disk    *faultfs.FS
	views   *views
	options embedded.Options
	batch   int // the most requests in a batch
	calm    int // the higher, the fewer faults
	ops     int // on the disk, so far

	clock  benefit.Instant
	store  *watched
	issuer *issuing.Issuer
	queue  []*asked // what was submitted and is not answered

	world  *world
	model  *memory.Store
	ledger *ledger
	maybe  *benefit.Changes // what a commit of unknown outcome would have written
}

// asked is one submitted request or change.
type asked struct {
	wish    *wish
	request *benefit.Request // nil: a change
	pending issuing.Pending
}

func newSimulation(c Config) *simulation {
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	s := &simulation{
		ctx: context.Background(), rng: rng, hash: sha256.New(), out: c.Trace,
		disk:  faultfs.New(rand.New(rand.NewPCG(c.Seed, 2))),
		views: &views{root: c.Dir}, clock: storetest.Start + 10*hour,
		model: memory.New(), ledger: newLedger(),
	}
	s.options = embedded.Options{
		Foreground: true, JournalDir: "journal", JournalRand: seeded{rand.New(rand.NewPCG(c.Seed, 3))},
		SegmentBytes:   int64(some(s, 32, 32, 64, 256)) << 10,
		GenerationSize: some(s, 5, 20, 10_000), MaxOverlay: some(s, 4, 8, 40, 10_000), CacheEntries: some(s, 1, 3, 10_000),
	}
	s.batch, s.calm = some(s, 1, 3, 1024), some(s, 1, 1, 2, 8)
	s.ledger.met = &s.report.Met
	s.world = newWorld(s.pick, s.ledger)
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
	panic(violation(fmt.Sprintf(format, args...)))
}

// next does one thing.
func (s *simulation) next() {
	switch n := s.pick(100); {
	case n < 30:
		for _, x := range s.world.requests() {
			s.ask(x)
		}
	case n < 66:
		s.work()
	case n < 73:
		s.change()
	case n < 78:
		s.turnClock()
	case n < 82:
		s.flush()
	case n < 84:
		s.views.copyAside()
		s.tracef("a copy of the view is put aside")
	case n < 86:
		s.check("on the way")
	case n < 88:
		s.stop()
	case s.pick(s.calm) > 0:
	case n < 96:
		s.arm()
	case n < 98:
		s.fillDisk()
	default:
		s.crash("for no reason")
	}
	if s.powerIsOff() {
		s.crash("the power is off")
	}
}

// ask submits a request.
func (s *simulation) ask(x *wish) {
	r := s.world.build(x)
	p, err := s.issuer.Submit(r)
	s.tracef("ask %s %q for %s:%s lines=%d: %v", r.Scope, r.Key, r.Recipient.Type, r.Recipient.Value, len(r.Lines), err)
	if err == nil {
		s.queue = append(s.queue, &asked{x, r, p})
	}
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

// change submits a change of the catalogue or of the users.
func (s *simulation) change() {
	what, plan := s.world.change(s.clock)
	p, err := s.issuer.SubmitChange(s.ctx, plan)
	s.tracef("ask to %s: %v", what, err)
	if err == nil {
		s.queue = append(s.queue, &asked{nil, nil, p})
	}
}

// work lets the committer take one batch through.
func (s *simulation) work() {
	batch := s.nextBatch()
	s.store.begin()
	worked, failed := s.issuer.Step()
	if worked != (len(batch) > 0) {
		s.failf("Step worked: %v, and %d were waiting", worked, len(batch))
	}
	if len(batch) > 0 {
		s.tracef("a batch of %d at %v: %s", len(batch), s.store.now, class(s.store.commitErr))
		s.answers(batch)
	}
	if failed != nil {
		if !errors.Is(failed, store.ErrFailed) {
			s.failf("Step: %v", failed)
		}
		s.crash("the store has failed")
	}
}

// nextBatch takes from the queue what the committer will take.
func (s *simulation) nextBatch() []*asked {
	n := 0
	for n < len(s.queue) && n < s.batch && (n == 0 || s.queue[n].request != nil && s.queue[0].request != nil) {
		n++
	}
	batch := s.queue[:n]
	s.queue = s.queue[n:]
	return batch
}

// answers judges what the callers of a batch were told.
func (s *simulation) answers(batch []*asked) {
	unknown := map[claim]bool{}
	for _, a := range batch {
		o, err, ok := a.pending.Result()
		if !ok {
			s.failf("a request of the batch was not answered")
		}
		if a.request == nil {
			s.changed(err)
			continue
		}
		r := a.request
		s.tracef("  %s %q: %s", r.Scope, r.Key, told(o, err))
		s.count(o, err)
		if errors.Is(err, issuing.ErrUnknown) {
			unknown[claim{r.Scope, r.Key}] = true
		}
		a.wish.answered(o, err == nil && s.pick(5) > 0)
		s.judge(r, o, err)
	}
	s.wantUnknown(unknown)
}

// judge holds one answer against the ledger.
func (s *simulation) judge(r *benefit.Request, o benefit.Outcome, err error) {
	var wrong error
	switch {
	case s.store.commitErr != nil && err == nil:
		wrong = s.ledger.judgeReplay(r, o, s.store.now)
	case s.store.commitErr != nil:
	case err != nil:
		wrong = fmt.Errorf("no outcome, though nothing failed: %w", err)
	default:
		wrong = s.ledger.judge(r, o, s.store.now)
	}
	if wrong != nil {
		s.failf("%s %q was told: %s: %v", r.Scope, r.Key, told(o, err), wrong)
	}
}

// wantUnknown checks that those and only those heard "unknown" whose outcome went with the commit.
func (s *simulation) wantUnknown(heard map[claim]bool) {
	written := map[claim]bool{}
	if s.maybe != nil {
		for _, i := range s.maybe.Issuances {
			written[claim{i.Scope, i.Key}] = true
		}
	}
	if diff := diff(written, heard); diff != "" {
		s.failf("who heard that the outcome is unknown (-should +did):\n%s", diff)
	}
}

func (s *simulation) changed(err error) {
	s.tracef("  the change: %s", class(err))
	switch {
	case (err == nil) != (s.store.commitErr == nil):
		s.failf("the change was told %v, the commit %v", err, s.store.commitErr)
	case err == nil:
		s.report.Changes++
		s.learn(s.store.committed)
	}
}

// learn tells the ledger of a committed change.
func (s *simulation) learn(c *benefit.Changes) {
	if c == nil {
		return
	}
	s.ledger.setUsers(c.Users)
	if c.Catalogue != 0 {
		s.ledger.setCatalogue(s.modelCatalogue())
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

func (s *simulation) count(o benefit.Outcome, err error) {
	switch {
	case errors.Is(err, issuing.ErrUnknown):
		s.report.Unknown++
	case err != nil:
		s.report.NotIssued++
	case o.Reason == benefit.KeyConflict:
		s.report.Conflicts++
	case o.Empty():
		s.report.Met.Nothing++
	case o.Replayed:
		s.report.Replayed++
	case o.Issuance == nil:
		s.report.Refused++
	default:
		s.report.Issued++
	}
}

func (s *simulation) flush() {
	s.tracef("flush: %s", class(s.store.Store.(*embedded.Store).Flush()))
}

// setUp writes the first catalogue, without faults.
func (s *simulation) setUp() {
	s.heal()
	if s.powerIsOff() {
		s.crash("too early")
		s.heal()
	}
	p, err := s.issuer.SubmitChange(s.ctx, s.world.setUp(s.clock))
	if err != nil {
		s.failf("the first change: %v", err)
	}
	s.queue = append(s.queue, &asked{nil, nil, p})
	s.work()
}

// finish asks everything that is open again, on a sound disk, and compares everything.
func (s *simulation) finish() {
	s.step++
	s.crash("in the end")
	s.heal()
	for len(s.queue) > 0 {
		s.work()
	}
	for _, r := range s.world.open() {
		s.ask(r)
	}
	for len(s.queue) > 0 {
		s.work()
	}
	s.check("in the end")
	s.stop()
	s.check("after the last start")
	s.closeStore()
	s.audit()
	s.tracef("%d operations on the disk", s.ops)
}

// told is an answer in the trace.
func told(o benefit.Outcome, err error) string {
	if err != nil {
		return class(err)
	}
	text := o.Reason.String()
	if o.Replayed {
		text += " replayed"
	}
	if o.Issuance != nil {
		text += fmt.Sprintf(" %d", o.Issuance.ID)
	}
	if o.BoxDone {
		text += " box done"
	}
	for _, e := range o.Errors {
		text += fmt.Sprintf(" (%s %d: %v)", e.ActCode, e.RightID, e.Reason)
	}
	for _, l := range o.Lines {
		text += fmt.Sprintf(" [%d of template %d, %d not: %v]", l.Issued, l.Template, l.Refused, l.Reason)
	}
	return text
}

// class is an error in the trace, without what differs between two runs: paths, for example.
func class(err error) string {
	for _, known := range []error{
		issuing.ErrUnknown, issuing.ErrNotIssued, issuing.ErrInvalid, issuing.ErrStopping, store.ErrNotCommitted, store.ErrFailed,
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

// viewDir is where a life of the process keeps its view.
func viewDir(root string, life int) string { return filepath.Join(root, fmt.Sprint("life-", life)) }
