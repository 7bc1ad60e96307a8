package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// committer processes the batches of its queue to their answers, one at a time.
type committer struct {
	*Engine
	queue   *queue
	current benefit.Batch // what the commands of the batch see

	entered bool     // no other committer gathers a batch meanwhile
	whole   bool     // its batch has what waited for the others, too
	issued  int64    // vouchers of the batch under way
	events  Observer // of the batch under way

	// Kept from batch to batch for their memory.
	batch    []*Pending
	commands []benefit.Command
	waited   []time.Duration // for the observer
}

func newCommitter(e *Engine, r *rand.Rand, queue int) *committer {
	ids := id.NewGenerator
	if e.o.Store.Shared() {
		ids = id.NewSharedGenerator
	}
	return &committer{
		Engine: e, queue: newQueue(queue), current: benefit.Batch{
			State: benefit.NewState(),
			Env:   benefit.Env{Rand: r, IDs: ids(r, e.o.Store.LastIDMillis()), Rules: e.o.Rules, Secret: e.o.DrawSecret},
		},
	}
}

// run commits batches until the queue is stopped and empty, or the store has failed.
func (c *committer) run() error {
	for {
		worked, err := c.step()
		if err != nil {
			c.fail(err)
			return err
		}
		if worked {
			c.letCallersReturn()
			continue
		}
		if c.queue.ended() {
			return nil
		}
		<-c.queue.wake
	}
}

// letCallersReturn waits while the queues still grow: callers that were just answered often send their next request
// at once, and to wait for it saves a commit. It only yields the processor, so that a single caller is not delayed.
// After a large batch it sleeps if another committer or process is at work, because it would wait for locks anyway.
func (c *committer) letCallersReturn() {
	wait := runtime.Gosched
	if len(c.batch) >= manyCallers && (c.contended.Load() || c.underWay.Load() > 0) {
		wait = func() { time.Sleep(returnTime) }
	}
	for size, rounds := -1, 0; rounds < 8; rounds++ {
		now := c.Waiting()
		if now == size {
			return
		}
		size = now
		wait()
	}
}

const (
	manyCallers = 64
	returnTime  = 300 * time.Microsecond // far less than a batch of so many takes
)

// fail answers all waiting callers when the store has failed.
func (c *committer) fail(err error) {
	c.queue.stop()
	for {
		batch := c.queue.take(nil, c.o.Batch)
		if len(batch) == 0 {
			return
		}
		c.refuse(batch, err)
	}
}

// step processes one batch to its answers, if there is one.
func (c *committer) step() (bool, error) {
	if c.queue.size() == 0 {
		return false, nil
	}
	c.enter()
	defer c.leave()
	if c.contended.Load() {
		c.letCallersReturn() // of the batch that has just left
	}
	batch := c.gather()
	if len(batch) == 0 { // they were given up
		return false, nil
	}
	c.events = Unobserved{}   // figures are of the batches of callers, not of what operators do
	if !batch[0].ownBatch() { //guard:TestObserver without !batch[0].ownBatch()
		defer c.underWay.Add(-1)
		c.underWay.Add(1)
		c.events = c.o.Observer
		c.observeWait(batch)
	}
	return true, c.stepBatch(context.Background(), batch) // a batch belongs to many callers; none of them may cancel it
}

// observeWait reports to the observer how long the commands of a batch had waited.
func (c *committer) observeWait(batch []*Pending) {
	c.waited = c.waited[:0]
	now := c.events.Now()
	for _, p := range batch {
		c.waited = append(c.waited, now-p.since)
	}
	c.events.Batch(c.waited)
}

// One committer at a time gathers and loads a batch, until it has its locks in the store. Commands that arrive meanwhile
// become one larger batch, rather than several that wait for the same locks. When other processes issue too, each batch,
// however small, makes them wait, so this process then has one batch at a time, of all its waiting commands.

func (c *committer) enter() {
	c.pace <- struct{}{} //guard:TestNextBatchGathers c.pace <- struct{}{} -> c.entered = false; return
	c.entered = true
}

func (c *committer) leave() {
	if c.entered {
		c.entered = false
		<-c.pace
	}
}

// gather takes the commands that wait for this committer; under contention with other processes, those of the other
// committers as well.
func (c *committer) gather() []*Pending {
	c.batch = c.queue.take(c.batch[:0], c.o.Batch)
	c.whole = len(c.batch) > 0 && !c.batch[0].ownBatch() && c.contended.Load() && c.underWay.Load() == 0 //guard:TestOneBatchAmongOthers
	if c.whole {
		for _, other := range c.committers {
			c.batch = other.queue.take(c.batch, c.o.Batch)
		}
	}
	return c.batch
}

// afterLoad lets another committer gather a batch, unless this one holds the commands of the others too, or other
// processes contend for the store.
func (c *committer) afterLoad(tx store.Tx) {
	c.contended.Store(tx.Contended())
	//guard:TestBatchesOverlap
	if !c.whole && !tx.Contended() { //guard:TestOneBatchAmongOthers without !tx.Contended()
		c.leave()
	}
}

// How often a batch is decided again when other processes are first with its rows: whole, before it is parted; and a
// command alone, before its caller is told to retry.
const (
	maxBatchTries  = 3
	maxSingleTries = 16
)

func (c *committer) stepBatch(ctx context.Context, batch []*Pending) error {
	for try := 1; ; try++ {
		err := c.attempt(ctx, batch)
		if !errors.Is(err, store.ErrConflict) { //guard:TestConflictIsDecidedAgain without !errors.Is(err, store.ErrConflict)
			return err
		}
		c.events.Conflict()
		switch {
		case len(batch) > 1 && try == maxBatchTries: //guard:TestConflictOfOne
			return c.stepHalves(ctx, batch)
		case try == maxSingleTries: // it may not even have been decided
			c.o.Log.Error("a request was rejected after too many conflicts", "tries", maxSingleTries, "err", err)
			c.refuse(batch, err) //guard:TestConflict c.refuse(batch, err) -> return c.settleAll(batch, err)
			return nil
		}
	}
}

// refuse answers a batch of which certainly nothing was issued.
func (c *committer) refuse(batch []*Pending, err error) {
	for _, p := range batch {
		p.answer(fmt.Errorf("%w: %w", ErrNotIssued, err))
	}
}

// attempt loads, decides and commits a batch, and answers its callers. On store.ErrConflict no caller has been
// answered.
func (c *committer) attempt(ctx context.Context, batch []*Pending) error {
	began := c.events.Now()
	tx, err := c.begin(ctx, batch[0].change != nil)
	if err != nil {
		return c.loadFailed(batch, err)
	}
	defer tx.Rollback()
	switch err := c.load(ctx, tx, batch); {
	case errors.Is(err, store.ErrConflict):
		return err
	//guard:TestPoisonedBeforeLoading without errors.Is(err, ErrInvalid)
	//guard:internal/store/postgres.TestLostIssuanceInABatch without errors.Is(err, store.ErrDamaged)
	case (errors.Is(err, ErrInvalid) || errors.Is(err, store.ErrDamaged)) && len(batch) > 1:
		tx.Rollback() // the others of the batch are good
		return c.stepHalves(ctx, batch)
	case err != nil:
		return c.loadFailed(batch, err)
	}
	began = c.observeStep(Load, began)
	if !batch[0].ownBatch() { //guard:TestNothingGathersDuringAChange !batch[0].ownBatch() -> true
		c.afterLoad(tx)
	}
	if err := c.clockCheck.check(tx.Now()); err != nil { //guard:TestClockJumps|TestClockAtStart
		c.refuse(batch, err)
		return nil
	}
	c.issued = 0
	for _, p := range batch {
		c.decide(p)
	}
	began = c.observeStep(Decide, began)
	if batch[0].dryRun {
		batch[0].answer(batch[0].err)
		return nil
	}
	switch changes := c.current.Changes(); {
	case changes.Empty() && batch[0].change != nil: // its caller is told of nothing that was read
		c.settle(batch[0], nil)
		return nil
	case changes.Empty():
		err = tx.Confirm(ctx)
	default:
		err = tx.Commit(ctx, changes)
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		return err
	case errors.Is(err, store.ErrTooLarge) && len(batch) > 1:
		return c.stepHalves(ctx, batch)
	case err == nil:
		c.observeStep(Commit, began)
		c.events.Issued(c.issued)
	}
	return c.settleAll(batch, err)
}

// observeStep reports a finished step that began at the given time of the observer's clock. It returns the current
// time.
func (c *committer) observeStep(s Step, began time.Duration) time.Duration {
	now := c.events.Now()
	c.events.Step(s, now-began)
	return now
}

// begin starts a batch under the current catalogue, which another process may have changed. An exclusive one keeps all
// others from beginning.
func (c *committer) begin(ctx context.Context, exclusive bool) (store.Tx, error) {
	start := c.o.Store.Begin
	if exclusive {
		start = c.o.Store.BeginChange
	}
	for {
		tx, err := start(ctx, c.o.Clock())
		if err != nil {
			return nil, err
		}
		cat := c.Catalogue()
		if tx.Catalogue() == cat.Version { //guard:TestCatalogueOfAnotherProcess tx.Catalogue() == cat.Version -> tx.Catalogue() >= cat.Version
			c.current.Catalogue = cat
			return tx, nil
		}
		tx.Rollback()
		if err := c.Refresh(ctx); err != nil {
			return nil, err
		}
	}
}

// stepHalves decides a batch anew, in parts: the parts are good, or else the one command that is not fails alone.
func (c *committer) stepHalves(ctx context.Context, batch []*Pending) error {
	c.leave() // it may take long
	half := len(batch) / 2
	return errors.Join(c.stepBatch(ctx, batch[:half]), c.stepBatch(ctx, batch[half:]))
}

// load fetches what deciding the batch needs: first what the commands name, then the rows behind that. A command that
// makes the core panic is answered as ErrInvalid.
func (c *committer) load(ctx context.Context, tx store.Tx, batch []*Pending) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrInvalid, cause)
		}
	}()
	c.current.Reset(tx.Now())
	c.commands = c.commands[:0]
	for _, p := range batch {
		c.commands = append(c.commands, p.command)
	}
	return store.Load(ctx, tx, &c.current, c.commands)
}

// loadFailed answers a batch whose load failed. Nothing was written, but what an earlier attempt left under the same keys
// could not be looked up either, so the outcome of the keys is not known.
func (c *committer) loadFailed(batch []*Pending, err error) error {
	c.failures.Failed(slog.LevelError, "a batch could not be loaded", err, "requests", len(batch))
	c.events.Failed(Load)
	if len(c.committers) > 1 && !errors.Is(err, ErrInvalid) { //guard:TestFailuresTogether
		// As if contended: the next batch takes all waiting requests, so that they fail together, not batch after batch.
		c.contended.Store(true)
	}
	answer := err
	switch {
	case batch[0].change != nil: // it has no key under which something may stand
		answer = fmt.Errorf("%w: %w", ErrNotIssued, err)
	case !errors.Is(err, ErrInvalid):
		answer = fmt.Errorf("%w: %w", ErrUnknown, err) //guard:TestLoadError ErrUnknown -> ErrNotIssued
	}
	for _, p := range batch {
		p.answer(answer)
	}
	return fatal(err)
}

// decide runs one command through the core. Only the command that makes the core panic is rejected: until Absorb it has
// changed nothing.
func (c *committer) decide(p *Pending) {
	p.err = nil // it may be the second time
	defer func() {
		if cause := recover(); cause != nil { //guard:TestPoisonedRequest
			p.needsCommit, p.err = false, fmt.Errorf("%w: %v", ErrInvalid, cause)
			c.events.Failed(Decide)
			c.o.Log.Error("a request could not be decided", "command", fmt.Sprint(p.command), "cause", fmt.Sprint(cause))
		}
	}()
	d := p.command.Apply(&c.current)
	if p.dryRun {
		return
	}
	c.current.Absorb(d.Effect)
	c.issued += d.Effect.Vouchers()
	p.needsCommit, p.newRefusal = d.Effect != nil || d.Uncommitted, d.Refused
	if p.change != nil {
		p.err = p.change.err
	}
}

// settleAll answers a batch after its commit.
func (c *committer) settleAll(batch []*Pending, commit error) error {
	switch {
	case batch[0].change != nil && errors.Is(commit, store.ErrTooLarge): //guard:TestChangeTooLarge
		// The file is too large; nothing is wrong with the store.
	case commit != nil:
		c.failures.Failed(slog.LevelError, "a batch could not be committed", commit, "requests", len(batch))
		c.events.Failed(Commit)
	default:
		c.failures.Worked("batches are committed again")
	}
	for _, p := range batch {
		c.settle(p, commit)
	}
	return fatal(commit)
}

// settle answers a caller after the commit. If the commit failed, a result that needs it is lost or unknown. A new
// refusal may be due to vouchers that others in the batch did not get after all, so the caller is told to retry.
func (c *committer) settle(p *Pending, commit error) {
	err := p.err // none for a replay of something committed long before
	switch {
	case err != nil:
	case commit == nil:
		c.inForce(p.change)
	case p.change != nil && errors.Is(commit, store.ErrNotCommitted):
		//guard:TestChangeErrors commit) -> commit); c.inForce(p.change)
		err = fmt.Errorf("the change of the catalogue: %w", commit)
	case p.change != nil:
		//guard:TestChangeErrors commit) -> commit); c.inForce(p.change)
		err = fmt.Errorf("%w: %w", ErrChangeUnknown, commit)
	//guard:internal/sim.TestDatabase$ -sim.seed=102
	case p.needsCommit && !errors.Is(commit, store.ErrNotCommitted): //guard:TestUnknownCommit
		err = fmt.Errorf("%w: %w", ErrUnknown, commit)
	case p.needsCommit || p.newRefusal: //guard:TestNotCommitted without p.newRefusal
		err = fmt.Errorf("%w: %w", ErrNotIssued, commit)
	case errors.Is(commit, store.ErrUnconfirmed): //guard:TestReplay
		err = fmt.Errorf("%w: %w", ErrUnknown, commit)
	}
	p.answer(err)
}

// fatal passes on only what ends the process.
func fatal(err error) error {
	if errors.Is(err, store.ErrFailed) {
		return err
	}
	return nil
}
