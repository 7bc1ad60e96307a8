package engine

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/outage"
	"faquan/internal/store"
)

// Options of an Engine. The zero value of each field but Store and Clock has a default.
type Options struct {
	Store store.Store
	// Clock returns the time. The time at which batches are decided never goes back, even if the clock does.
	Clock func() benefit.Instant
	// Elapsed returns how much time has passed since some moment, by a clock that cannot be set and that does not stop
	// while the machine sleeps. Clock may not run far ahead of it; see ErrClock. If nil, time is simulated and may jump.
	Elapsed     func() time.Duration
	AcceptClock bool // accept what the clock shows at first, however long after the last commit that is
	// Rand is the source of the draws, including certificate codes, and of the ids' random starts. The default cannot
	// be guessed.
	Rand *rand.Rand
	// DrawSecret is the key of the draws in scenes of weighted activities: see benefit.Env. It must be the same in all
	// processes of a store and after every restart. The default is good for one process.
	DrawSecret []byte
	Rules      benefit.Rules // those of activities; nil where none has a rule
	Queue      int           // how many commands may wait; more are rejected with ErrBusy; default 8192
	Batch      int           // how many commands one commit takes at most, fewer when they ask for many vouchers; default 1024
	// Committers is how many batches may be under way at the same time, each with its own share of the commands; a
	// store for one process takes one. Default 1.
	Committers int
	Log        *slog.Logger // receives what an operator must know: commands that panic, failed commits; the default discards it
	Observer   Observer     // receives events about batches; the default observes nothing
}

// Engine carries out commands on one store. Do and Change are safe for concurrent use; Run (or Step) has one caller.
type Engine struct {
	o           Options
	clockCheck  clockCheck
	failures    *outage.Reporter // of batches
	catalogue   atomic.Pointer[benefit.Catalogue]
	catalogueMu sync.Mutex   // held to replace the catalogue, so that an older one never overwrites a newer one
	seed        maphash.Seed // spreads commands over the committers
	committers  []*committer
	pace        chan struct{} // see committer.enter
	contended   atomic.Bool   // other processes issue beside this one
	underWay    atomic.Int32  // batches of this one
}

// New makes an engine on an open store. It reads the catalogue; it carries out nothing until Run or Step.
func New(ctx context.Context, o Options) (*Engine, error) {
	o.defaults()
	e := &Engine{
		o: o, seed: maphash.MakeSeed(), pace: make(chan struct{}, 1),
		clockCheck: clockCheck{elapsed: o.Elapsed, confirm: o.AcceptClock, last: o.Store.LastNow(), log: o.Log},
	}
	e.failures = outage.New(o.Log, func() time.Time { return time.UnixMilli(int64(o.Clock())) })
	for k := range o.Committers {
		r := o.Rand
		switch {
		case r == nil:
			r = newSecureRand()
		case k > 0:
			r = rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		}
		e.committers = append(e.committers, newCommitter(e, r, (o.Queue+o.Committers-1)/o.Committers))
	}
	e.catalogue.Store(&benefit.Catalogue{Version: -1}) // of no store
	return e, e.Refresh(ctx)
}

func (o *Options) defaults() {
	o.Batch, o.Queue, o.Committers = cmp.Or(o.Batch, 1024), cmp.Or(o.Queue, 8192), cmp.Or(o.Committers, 1)
	if len(o.DrawSecret) == 0 {
		o.DrawSecret = make([]byte, 32)
		_, _ = crand.Read(o.DrawSecret) // it never fails
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = Unobserved{}
	}
}

// newSecureRand returns a generator whose values cannot be predicted.
func newSecureRand() *rand.Rand {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // it never fails
	return rand.New(rand.NewChaCha8(seed))
}

// Catalogue returns the snapshot in force. Take it once per request.
func (e *Engine) Catalogue() *benefit.Catalogue { return e.catalogue.Load() }

// Refresh takes the catalogue of the store in force, if it is another one: another process has changed it. Batches do
// so by themselves; it is for gateways, which read what they are asked by the catalogue before there is a batch.
func (e *Engine) Refresh(ctx context.Context) error {
	e.catalogueMu.Lock()
	defer e.catalogueMu.Unlock()
	entities, version, err := e.o.Store.Entities(ctx)
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	if version == e.Catalogue().Version {
		return nil
	}
	cat, err := benefit.CatalogueOf(version, entities)
	if err != nil {
		return err
	}
	e.catalogue.Store(cat)
	return nil
}

// Waiting returns how many requests wait for a batch.
func (e *Engine) Waiting() (n int) {
	for _, c := range e.committers {
		n += c.queue.size()
	}
	return n
}

// queueOf returns the queue of a command. It is always the same one for those that touch the same, so that no two
// concurrent batches have two of them. A batch taken from all queues runs alone; see committer.gather.
func (e *Engine) queueOf(c benefit.Command) *queue {
	if len(e.committers) == 1 {
		return e.committers[0].queue
	}
	var h maphash.Hash
	h.SetSeed(e.seed)
	c.Touches(&h)
	return e.committers[h.Sum64()%uint64(len(e.committers))].queue
}

// Do puts a command into a batch and waits until its result is durable; only then may the caller look at the command
// again. When ctx ends first, the answer is ErrGaveUp (this attempt has certainly changed nothing) or ErrUnknown (it was
// in a batch).
func (e *Engine) Do(ctx context.Context, c benefit.Command) error {
	p, err := e.Submit(c)
	if err != nil {
		return err
	}
	return p.await(ctx)
}

// DryRun decides a command as Do would at this moment, and changes nothing.
func (e *Engine) DryRun(ctx context.Context, c benefit.Command) error {
	p, err := e.submit(c, true)
	if err != nil {
		return err
	}
	return p.await(ctx)
}

// Submit puts a command into the queue without waiting. It is for callers that drive Step themselves.
func (e *Engine) Submit(c benefit.Command) (*Pending, error) { return e.submit(c, false) }

func (e *Engine) submit(c benefit.Command, dryRun bool) (*Pending, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := &Pending{command: c, dryRun: dryRun, size: c.Size(), since: e.o.Observer.Now(), done: make(chan struct{}, 1)}
	return p, e.queueOf(c).put(p)
}

// Result returns the error that Do would have returned; ok is false while the command still waits. Call it once after
// that.
func (p *Pending) Result() (err error, ok bool) {
	select {
	case <-p.done:
		return p.err, true
	default:
		return nil, false
	}
}

// Run commits batches until Stop was called and nothing waits, or until the store has failed; then it returns the
// store's error and every later request is rejected.
func (e *Engine) Run() error {
	ended := make(chan error, len(e.committers))
	for _, c := range e.committers {
		go func() { ended <- c.run() }()
	}
	var failed error
	for range e.committers {
		if err := <-ended; err != nil {
			failed = err
			e.Stop()
		}
	}
	return failed
}

// Stop lets Run finish the requests that wait already, and rejects all others.
func (e *Engine) Stop() {
	for _, c := range e.committers {
		c.queue.stop()
	}
}

// Step processes one batch of the first committer to its answers. It reports whether there was anything to do. Its
// error is store.ErrFailed: the store must be opened again.
func (e *Engine) Step() (bool, error) { return e.committers[0].step() }
