package issuing

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Options of an Issuer. The zero value of each field but Store and Clock has a default.
type Options struct {
	Store store.Store
	// Clock tells the time. Now never goes back even if it does.
	Clock func() benefit.Instant
	// Rand gives the draws, certificate codes among them, and the ids' random starts. The default cannot be guessed.
	Rand *rand.Rand
	// Rules evaluates the rules of activities; nil where none has a rule.
	Rules benefit.Rules
	// Refusals is how many refused requests are remembered for explanations. Default 1024.
	Refusals int
	// Queue is how many requests may wait; more are turned away with ErrBusy. Default 8192.
	Queue int
	// Batch is how many requests one commit takes at most; fewer when they ask for many vouchers. Default 1024.
	Batch int
	// Log gets what an operator must know of: poisoned requests, failed commits. Default: nothing.
	Log *slog.Logger
}

// Issuer issues on one store. Issue and Change are safe for concurrent use; Run (or Step) has one caller.
type Issuer struct {
	store     store.Store
	clock     func() benefit.Instant
	env       benefit.Env
	most      int
	log       *slog.Logger
	queue     *queue
	refusals  *ring
	catalogue atomic.Pointer[benefit.Catalogue]

	// Of the committer alone, kept from batch to batch for their memory.
	state    *benefit.State
	requests []*benefit.Request
}

// New makes an issuer on an open store. It reads the catalogue; it issues nothing until Run or Step.
func New(ctx context.Context, o Options) (*Issuer, error) {
	i := &Issuer{
		store: o.Store, clock: o.Clock, most: o.Batch, log: o.Log, state: benefit.NewState(),
		env: benefit.Env{Rand: o.Rand, Rules: o.Rules},
	}
	if i.env.Rand == nil {
		var seed [32]byte
		_, _ = crand.Read(seed[:]) // it never fails
		i.env.Rand = rand.New(rand.NewChaCha8(seed))
	}
	if o.Refusals == 0 {
		o.Refusals = 1024
	}
	i.refusals = newRing(o.Refusals)
	if i.most == 0 {
		i.most = 1024
	}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	if o.Queue == 0 {
		o.Queue = 8192
	}
	i.queue = newQueue(o.Queue)
	i.env.IDs = id.NewGenerator(i.env.Rand, o.Store.LastIDMillis())
	i.catalogue.Store(&benefit.Catalogue{Version: -1}) // of no store
	return i, i.Refresh(ctx)
}

// Catalogue is the snapshot in force. Take it once per request.
func (i *Issuer) Catalogue() *benefit.Catalogue { return i.catalogue.Load() }

// Waiting is how many requests wait for a batch.
func (i *Issuer) Waiting() int { return i.queue.size() }

// Issue puts a request into a batch and waits for its outcome. The request must not be changed until it returns,
// nor afterwards when it returned ErrUnknown. When ctx ends first, the answer is ErrGaveUp (surely not issued by
// this attempt) or ErrUnknown (it was in a batch).
func (i *Issuer) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	p, err := i.Submit(r)
	if err != nil {
		return benefit.Outcome{}, err
	}
	return i.queue.await(ctx, p.p)
}

// Pending is a submitted request.
type Pending struct{ p *pending }

// Submit puts a request into the queue without waiting. It is for callers that drive Step themselves.
func (i *Issuer) Submit(r *benefit.Request) (Pending, error) {
	if err := check(r); err != nil {
		return Pending{}, err
	}
	p := &pending{request: r, done: make(chan struct{}, 1)}
	for k := range r.Lines {
		p.size += r.Lines[k].Vouchers()
	}
	return Pending{p}, i.queue.put(p)
}

// Result tells how it went; ok is false while the request still waits. It may be asked once.
func (p Pending) Result() (o benefit.Outcome, err error, ok bool) {
	select {
	case <-p.p.done:
		return p.p.outcome, p.p.err, true
	default:
		return benefit.Outcome{}, nil, false
	}
}

// check refuses what no façade may build.
func check(r *benefit.Request) error {
	if r.Scope == "" || !benefit.ValidKey(r.Key) {
		return fmt.Errorf("%w: the key must have 1 to %d characters, in a scope", ErrInvalid, benefit.MaxKey)
	}
	if (len(r.Lines) == 0) == (r.Asked.SceneCode == "") || r.Recipient.Type == "" {
		return fmt.Errorf("%w: lines or a scene, and a recipient, are needed", ErrInvalid)
	}
	if r.BindMillis < 0 || r.BindMillis > 0 && r.Continues {
		return fmt.Errorf("%w: a key of %d ms cannot be bound, or continued", ErrInvalid, r.BindMillis)
	}
	total := 0
	for _, l := range r.Lines {
		if l.Sends < 1 || l.Quantity < 1 || l.Sends > benefit.MaxLineVouchers || l.Quantity > benefit.MaxLineVouchers {
			return fmt.Errorf("%w: %d sends of %d vouchers", ErrInvalid, l.Sends, l.Quantity)
		}
		total += l.Vouchers()
	}
	if total > benefit.MaxLineVouchers {
		return fmt.Errorf("%w: %d vouchers in one request, at most %d", ErrInvalid, total, benefit.MaxLineVouchers)
	}
	return nil
}

// Run commits batches until Stop was called and the queue is empty, or until the store has failed; then it
// returns the store's error and every later request is turned away.
func (i *Issuer) Run() error {
	for {
		worked, err := i.Step()
		if err != nil {
			i.fail(err)
			return err
		}
		if worked {
			i.letCallersReturn()
			continue
		}
		if i.stopped() {
			return nil
		}
		<-i.queue.wake
	}
}

// Stop lets Run finish what waits already, and turns away everything else.
func (i *Issuer) Stop() { i.queue.stop() }

func (i *Issuer) stopped() bool {
	i.queue.mu.Lock()
	defer i.queue.mu.Unlock()
	return i.queue.stopping && len(i.queue.waiting) == 0
}

// letCallersReturn yields while the queue still grows: the callers just answered are about to ask again, and a
// batch that waits for them a moment costs one sync less. There is no timer in it: a lone caller waits for
// nobody.
func (i *Issuer) letCallersReturn() {
	for size, rounds := -1, 0; rounds < 8; rounds++ {
		now := i.queue.size()
		if now == size {
			return
		}
		size = now
		runtime.Gosched()
	}
}

// fail answers everybody who still waits when the store has failed.
func (i *Issuer) fail(err error) {
	i.queue.stop()
	for {
		batch := i.queue.takeAll(i.most)
		if len(batch) == 0 {
			return
		}
		for _, p := range batch {
			p.answer(benefit.Outcome{}, fmt.Errorf("%w: %w", ErrNotIssued, err))
		}
	}
}

// Step takes one batch through to its answers. It says whether there was anything to do. Its error is
// store.ErrFailed: the store must be opened again.
func (i *Issuer) Step() (bool, error) {
	batch := i.queue.takeAll(i.most)
	if len(batch) == 0 {
		return false, nil
	}
	ctx := context.Background() // a batch belongs to many callers; none of them may cancel it
	switch {
	case batch[0].change != nil:
		return true, i.stepChange(ctx, batch[0])
	case batch[0].asks != nil:
		return true, i.stepAsk(ctx, batch[0])
	}
	return true, i.stepBatch(ctx, batch)
}

// How often a batch is decided again when other processes are first with its rows: whole, before it is parted; and a
// request alone, before its caller is told to retry.
const (
	triesWhole = 3
	triesAlone = 16
)

func (i *Issuer) stepBatch(ctx context.Context, batch []*pending) error {
	for try := 1; ; try++ {
		err := i.attempt(ctx, batch)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		switch {
		case len(batch) > 1 && try == triesWhole:
			return i.stepHalves(ctx, batch)
		case try == triesAlone:
			return i.settleAll(batch, err)
		}
	}
}

// attempt loads, decides and commits a batch, and answers its callers. On store.ErrConflict nobody was answered.
func (i *Issuer) attempt(ctx context.Context, batch []*pending) error {
	tx, cat, err := i.begin(ctx)
	if err != nil {
		return i.unloaded(batch, err)
	}
	defer tx.Rollback()
	switch err := i.load(ctx, tx, cat, batch); {
	case errors.Is(err, store.ErrConflict):
		return err
	case errors.Is(err, ErrInvalid) && len(batch) > 1:
		tx.Rollback()
		return i.stepHalves(ctx, batch)
	case err != nil:
		return i.unloaded(batch, err)
	}
	for _, p := range batch {
		i.decide(cat, p)
	}
	if changes := i.state.Changes(); changes.Empty() {
		err = tx.Confirm(ctx)
	} else {
		err = tx.Commit(ctx, changes)
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		return err
	case errors.Is(err, store.ErrTooLarge) && len(batch) > 1:
		return i.stepHalves(ctx, batch)
	}
	return i.settleAll(batch, err)
}

// begin starts a batch on the catalogue in force, which another process may have changed.
func (i *Issuer) begin(ctx context.Context) (store.Tx, *benefit.Catalogue, error) {
	for {
		tx, err := i.store.Begin(ctx, i.clock())
		if err != nil {
			return nil, nil, err
		}
		cat := i.Catalogue()
		if tx.Catalogue() == cat.Version {
			return tx, cat, nil
		}
		tx.Rollback()
		if err := i.Refresh(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// Refresh takes the catalogue of the store in force, if it is another one: another process has changed it. Batches do
// so by themselves; it is for gateways, which read what they are asked by the catalogue before there is a batch.
func (i *Issuer) Refresh(ctx context.Context) error {
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

// stepHalves decides a batch anew, in parts: the parts are good, or else the one request that is not fails alone.
func (i *Issuer) stepHalves(ctx context.Context, batch []*pending) error {
	half := len(batch) / 2
	return errors.Join(i.stepBatch(ctx, batch[:half]), i.stepBatch(ctx, batch[half:]))
}

// load fetches what deciding the batch needs: first what the requests name, then what their users have. A request
// that makes the core panic is answered as ErrInvalid.
func (i *Issuer) load(ctx context.Context, tx store.Tx, cat *benefit.Catalogue, batch []*pending) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrInvalid, cause)
		}
	}()
	i.state.Reset(tx.Now())
	i.requests = i.requests[:0]
	for _, p := range batch {
		i.requests = append(i.requests, p.request)
	}
	return store.LoadFor(ctx, tx, i.requests, cat, i.env, i.state)
}

// unloaded answers a batch that got no further than reading. Nothing was written, but what an earlier attempt
// left under the same keys could not be looked up either, so the outcome of the keys is not known.
func (i *Issuer) unloaded(batch []*pending, err error) error {
	i.log.Error("a batch could not be loaded", "requests", len(batch), "err", err)
	if !errors.Is(err, ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	for _, p := range batch {
		p.answer(benefit.Outcome{}, err)
	}
	return fatal(err)
}

// decide takes one request through the core. A request that makes the core panic is turned away alone: until
// Absorb it has changed nothing.
func (i *Issuer) decide(cat *benefit.Catalogue, p *pending) {
	p.err = nil // it may be the second time
	defer func() {
		if cause := recover(); cause != nil {
			p.effect, p.err = false, fmt.Errorf("%w: %v", ErrInvalid, cause)
			i.log.Error("a request could not be decided", "scope", p.request.Scope, "cause", fmt.Sprint(cause))
		}
	}()
	claim := benefit.Choose(cat, i.state, p.request, i.env)
	outcome, effect := benefit.Apply(cat, claim, i.state)
	i.state.Absorb(effect)
	p.outcome, p.now, p.catalogue = outcome, i.state.Now, cat
	p.effect = effect != nil || i.state.Uncommitted(outcome.Issuance)
	p.tried = outcome.Issuance == nil || p.request.Continues && slices.ContainsFunc(outcome.Lines, func(l benefit.LineOutcome) bool {
		return l.Issued == 0
	})
}

// settleAll answers a batch once it is known how the commit went.
func (i *Issuer) settleAll(batch []*pending, commit error) error {
	if commit != nil {
		i.log.Error("a batch could not be committed", "requests", len(batch), "err", commit)
	}
	for _, p := range batch {
		i.settle(p, commit)
	}
	return fatal(commit)
}

// settle answers a caller once it is known how the commit went. When it failed, an outcome that rests on it is
// lost or unknown; and a refusal may rest on what others of the batch did not get, so it says "retry" instead.
func (i *Issuer) settle(p *pending, commit error) {
	switch {
	case p.err != nil:
		p.answer(benefit.Outcome{}, p.err)
	case commit == nil:
		i.refusals.note(p)
		p.answer(p.outcome, nil)
	case p.effect && !errors.Is(commit, store.ErrNotCommitted):
		p.answer(benefit.Outcome{}, fmt.Errorf("%w: %w", ErrUnknown, commit))
	case p.effect || p.tried:
		p.answer(benefit.Outcome{}, fmt.Errorf("%w: %w", ErrNotIssued, commit))
	case errors.Is(commit, store.ErrUnconfirmed):
		p.answer(benefit.Outcome{}, fmt.Errorf("%w: %w", ErrUnknown, commit))
	default: // a replay of something committed long before
		p.answer(p.outcome, nil)
	}
}

// fatal passes on only what ends the process.
func fatal(err error) error {
	if errors.Is(err, store.ErrFailed) {
		return err
	}
	return nil
}
