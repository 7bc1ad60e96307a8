package engine

import (
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

// Options of an Issuer. The zero value of each field but Store and Clock has a default.
type Options struct {
	Store store.Store
	// Clock returns the time. The time at which batches are decided never goes back, even if the clock does.
	Clock func() benefit.Instant
	// Elapsed returns how much time has passed since some moment, by a clock that cannot be set and that does not stop
	// while the machine sleeps. Clock may not run far ahead of it; see ErrClock. If nil, time is simulated and may jump.
	Elapsed func() time.Duration
	// AcceptClock accepts what the clock shows at first, however long after the last commit that is.
	AcceptClock bool
	// Rand is the source of the draws, including certificate codes, and of the ids' random starts. The default cannot
	// be guessed.
	Rand *rand.Rand
	// DrawSecret is the key of the draws in scenes of weighted activities: see benefit.Env. It must be the same in all
	// processes of a store and after every restart. The default is good for one process.
	DrawSecret []byte
	// Rules evaluates the rules of activities; nil where none has a rule.
	Rules benefit.Rules
	// Queue is how many requests may wait; more are rejected with ErrBusy. Default 8192.
	Queue int
	// Batch is how many requests one commit takes at most; fewer when they ask for many vouchers. Default 1024.
	Batch int
	// Committers is how many batches may be under way at the same time, each with its own share of the recipients; a
	// store for one process takes one. Default 1.
	Committers int
	// Log receives what an operator must know: requests that panic, failed commits. The default discards it.
	Log *slog.Logger
	// Observer receives events about batches. The default observes nothing.
	Observer Observer
}

// Issuer issues on one store. Issue and Change are safe for concurrent use; Run (or Step) has one caller.
type Issuer struct {
	store       store.Store
	clock       func() benefit.Instant
	clockCheck  clockCheck
	rules       benefit.Rules
	drawSecret  []byte
	maxBatch    int
	log         *slog.Logger
	failures    *outage.Reporter // of batches
	observer    Observer
	catalogue   atomic.Pointer[benefit.Catalogue]
	catalogueMu sync.Mutex   // held to replace the catalogue, so that an older one never overwrites a newer one
	seed        maphash.Seed // spreads recipients over the committers
	committers  []*committer
	pace        chan struct{} // see committer.enter
	contended   atomic.Bool   // other processes issue beside this one
	underWay    atomic.Int32  // batches of this one
}

// New makes an issuer on an open store. It reads the catalogue; it issues nothing until Run or Step.
func New(ctx context.Context, o Options) (*Issuer, error) {
	o.defaults()
	i := &Issuer{
		store: o.Store, clock: o.Clock, rules: o.Rules, drawSecret: o.DrawSecret, maxBatch: o.Batch, log: o.Log, observer: o.Observer, seed: maphash.MakeSeed(),
		pace:       make(chan struct{}, 1),
		clockCheck: clockCheck{elapsed: o.Elapsed, confirm: o.AcceptClock, last: o.Store.LastNow(), log: o.Log},
	}
	i.failures = outage.New(o.Log, func() time.Time { return time.UnixMilli(int64(o.Clock())) })
	for k := range o.Committers {
		r := o.Rand
		switch {
		case r == nil:
			r = newSecureRand()
		case k > 0:
			r = rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		}
		i.committers = append(i.committers, newCommitter(i, r, (o.Queue+o.Committers-1)/o.Committers))
	}
	i.catalogue.Store(&benefit.Catalogue{Version: -1}) // of no store
	return i, i.Refresh(ctx)
}

func (o *Options) defaults() {
	if o.Batch == 0 {
		o.Batch = 1024
	}
	if o.Queue == 0 {
		o.Queue = 8192
	}
	if o.Committers == 0 {
		o.Committers = 1
	}
	if len(o.DrawSecret) == 0 {
		o.DrawSecret = make([]byte, 32)
		_, _ = crand.Read(o.DrawSecret) // it never fails
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
}

// newSecureRand returns a generator whose values cannot be predicted.
func newSecureRand() *rand.Rand {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // it never fails
	return rand.New(rand.NewChaCha8(seed))
}

// Catalogue returns the snapshot in force. Take it once per request.
func (i *Issuer) Catalogue() *benefit.Catalogue { return i.catalogue.Load() }

// Refresh takes the catalogue of the store in force, if it is another one: another process has changed it. Batches do
// so by themselves; it is for gateways, which read what they are asked by the catalogue before there is a batch.
func (i *Issuer) Refresh(ctx context.Context) error {
	i.catalogueMu.Lock()
	defer i.catalogueMu.Unlock()
	entities, version, err := i.store.Entities(ctx)
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	if version == i.Catalogue().Version {
		return nil
	}
	cat, err := benefit.CatalogueOf(version, entities)
	if err != nil {
		return err
	}
	i.catalogue.Store(cat)
	return nil
}

// Waiting returns how many requests wait for a batch.
func (i *Issuer) Waiting() (n int) {
	for _, c := range i.committers {
		n += c.queue.size()
	}
	return n
}

// queueOf returns the queue of a recipient. It is always the same one, so that no two concurrent batches have requests
// of one recipient. A batch taken from all queues runs alone; see committer.gather.
func (i *Issuer) queueOf(r benefit.Identifier) *queue {
	if len(i.committers) == 1 {
		return i.committers[0].queue
	}
	return i.committers[maphash.Comparable(i.seed, r)%uint64(len(i.committers))].queue
}

// Issue puts a request into a batch and waits for its outcome. The request must not be changed until it returns, nor
// afterwards when it returned ErrUnknown. When ctx ends first, the answer is ErrGaveUp (certainly not issued by this
// attempt) or ErrUnknown (it was in a batch).
func (i *Issuer) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	p, err := i.Submit(r)
	if err != nil {
		return benefit.Outcome{}, err
	}
	return await(ctx, p.p)
}

// Pending is a submitted request.
type Pending struct{ p *pending }

// Submit puts a request into the queue without waiting. It is for callers that drive Step themselves.
func (i *Issuer) Submit(r *benefit.Request) (Pending, error) {
	if err := check(r); err != nil {
		return Pending{}, err
	}
	p := &pending{request: r, since: i.observer.Now(), done: make(chan struct{}, 1)}
	for k := range r.Lines {
		p.size += r.Lines[k].Vouchers()
	}
	return Pending{p}, i.queueOf(r.Recipient).put(p)
}

// Result returns the outcome; ok is false while the request still waits. Call it once after that.
func (p Pending) Result() (o benefit.Outcome, err error, ok bool) {
	select {
	case <-p.p.done:
		return p.p.outcome, p.p.err, true
	default:
		return benefit.Outcome{}, nil, false
	}
}

// Run commits batches until Stop was called and nothing waits, or until the store has failed; then it returns the
// store's error and every later request is rejected.
func (i *Issuer) Run() error {
	ended := make(chan error, len(i.committers))
	for _, c := range i.committers {
		go func() { ended <- c.run() }()
	}
	var failed error
	for range i.committers {
		if err := <-ended; err != nil {
			failed = err
			i.Stop()
		}
	}
	return failed
}

// Stop lets Run finish the requests that wait already, and rejects all others.
func (i *Issuer) Stop() {
	for _, c := range i.committers {
		c.queue.stop()
	}
}

// Step processes one batch of the first committer to its answers. It reports whether there was anything to do. Its
// error is store.ErrFailed: the store must be opened again.
func (i *Issuer) Step() (bool, error) { return i.committers[0].step() }

// check rejects requests that no gateway may build.
func check(r *benefit.Request) error {
	if r.Scope == "" || !benefit.ValidKey(r.Key) {
		return fmt.Errorf("%w: the key must have 1 to %d characters, in a scope", ErrInvalid, benefit.MaxKey)
	}
	if (len(r.Lines) == 0) == (r.Params.SceneCode == "") || r.Recipient.Type == "" {
		return fmt.Errorf("%w: a recipient is needed, and lines or a scene", ErrInvalid)
	}
	if r.BindMillis < 0 || r.BindMillis > 0 && r.Continues {
		return fmt.Errorf("%w: a key of %d ms cannot be bound, or continued", ErrInvalid, r.BindMillis)
	}
	total := 0
	for _, l := range r.Lines {
		if l.Sends < 1 || l.Quantity < 1 || l.Sends > benefit.MaxRequestVouchers || l.Quantity > benefit.MaxRequestVouchers {
			return fmt.Errorf("%w: %d sends of %d vouchers", ErrInvalid, l.Sends, l.Quantity)
		}
		total += l.Vouchers()
	}
	if total > benefit.MaxRequestVouchers {
		return fmt.Errorf("%w: %d vouchers in one request, at most %d", ErrInvalid, total, benefit.MaxRequestVouchers)
	}
	return nil
}
