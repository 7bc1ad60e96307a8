package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Engine drives an issuing core over one store, in a closed loop unless it is told otherwise.
type Engine struct {
	Workload
	Callers int

	meter   meter
	engine  *engine.Engine
	stop    func() error
	issued  func(n int64, o *benefit.Outcome) // unless nil: called for each ask that was answered
	rate    float64                           // unless 0, asks come so many a second whether answers do or not: an open loop
	settled int64                             // asks below it have certainly been answered, those of other processes included; the next run begins with it
}

// startEngine starts an engine, by the clock of the system unless the options have one. stop ends it, and leaves the store open.
func startEngine(ctx context.Context, o engine.Options) (_ *engine.Engine, stop func() error, err error) {
	if o.Clock == nil {
		o.Clock = clock
	}
	issuer, err := engine.New(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	done := make(chan error, 1)
	go func() { done <- issuer.Run() }()
	return issuer, func() error {
		issuer.Stop()
		return <-done
	}, nil
}

// NewEngine starts an engine on a store, which lies in dir, and puts the workload's catalogue there if it has none.
func NewEngine(ctx context.Context, o engine.Options, w Workload, callers int, dir string) (*Engine, error) {
	issuer, stop, err := startEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	e := &Engine{Workload: w, Callers: callers, meter: newMeter(dir), engine: issuer, stop: stop, settled: 1}
	if issuer.Catalogue().Version > 0 {
		return e, nil
	}
	if err := change(ctx, issuer, w.Catalogue()); err != nil {
		return nil, errors.Join(err, stop())
	}
	return e, nil
}

// apply puts objects of the catalogue into the store.
func (e *Engine) apply(ctx context.Context, objects ...any) error {
	c := &benefit.Changes{Catalogue: e.engine.Catalogue().Version + 1}
	for _, o := range objects {
		addEntity(c, o)
	}
	return change(ctx, e.engine, c)
}

// change puts changes into the store as they are.
func change(ctx context.Context, issuer *engine.Engine, c *benefit.Changes) error {
	return issuer.Change(ctx, func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return c, nil
	})
}

// stretch is what came of a run of asks.
type stretch struct {
	issued, again atomic.Int64 // again: retries of asks that were answered with an error to retry
	latency       histogram
	start         time.Time // when its first ask is due
	first         int64     // ask
}

// Run makes so many asks, then drain (if any) until the work behind the answers is done as well, and reports. Of
// several processes it makes the share of this one.
func (e *Engine) Run(ctx context.Context, asks int64, drain func() error) (Figures, error) {
	from := e.meter.read()
	s, err := e.run(ctx, asks)
	if err == nil && drain != nil {
		err = drain()
	}
	if err != nil {
		return Figures{}, err
	}
	return figures(from, e.meter.read(), s.issued.Load(), &s.latency), nil
}

func (e *Engine) run(ctx context.Context, asks int64) (*stretch, error) {
	s := stretch{start: time.Now()}
	settled, stride := e.settled, e.stride()
	s.first = settled + ((int64(e.Process)-settled)%stride+stride)%stride
	e.settled += asks
	err := closedLoop(e.Callers, s.first, e.settled, stride, func(caller int) func(int64) error {
		r := rand.New(rand.NewPCG(uint64(caller), uint64(settled)))
		return func(n int64) error { return e.ask(ctx, n, settled, r, &s) }
	})
	return &s, err
}

// closedLoop makes the asks first, first+stride and so on below end, until one fails, and returns the first error. Each caller makes the next ask when
// its last one is answered; caller returns how.
func closedLoop(callers int, first, end, stride int64, caller func(c int) func(n int64) error) error {
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	next.Store(first)
	each(callers, func(c int) {
		ask := caller(c)
		//guard:TestCounts n = next.Add(stride) - stride -> n = next.Add(1) - 1
		for n := next.Add(stride) - stride; n < end && failed.Load() == nil; n = next.Add(stride) - stride {
			if err := ask(n); err != nil {
				failed.CompareAndSwap(nil, &err) // those after it may come of it
			}
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// ask makes the n-th ask, and checks what comes of it. Told to retry it does, as any caller would.
func (e *Engine) ask(ctx context.Context, n, settled int64, r *rand.Rand, s *stretch) error {
	request, replay := e.Ask(n, settled, r)
	began := time.Now()
	if e.rate > 0 {
		began = waitDue(s.start, (n-s.first)/e.stride(), e.rate)
	}
	outcome, err := e.engine.Issue(ctx, request)
	for tries := 0; retryable(err) && tries < maxRetries && ctx.Err() == nil; tries++ {
		s.again.Add(1)
		time.Sleep(retryAfter)
		outcome, err = e.engine.Issue(ctx, request)
		replay = outcome.Replayed // the attempt before may have issued
	}
	s.latency.Add(time.Since(began))
	if err == nil && (outcome.Reason != benefit.NotRefused || outcome.Replayed != replay) {
		err = fmt.Errorf("ask %d: %s, replayed %v, want %v", n, outcome.Reason, outcome.Replayed, replay)
	}
	if err == nil {
		s.issued.Add(1)
		if e.issued != nil {
			e.issued(n, &outcome)
		}
	}
	return err
}

// keepIDs returns where the ids of the next n issues will be, in the order of the asks, none of which may be a retry. Each
// issue has one voucher, which has the same id.
func (e *Engine) keepIDs(n int64) []id.ID {
	ids, first := make([]id.ID, n), e.settled
	e.issued = func(ask int64, o *benefit.Outcome) {
		if k := ask - first; k < n {
			ids[k] = o.Issuance.ID
		}
	}
	return ids
}

// A caller retries for some seconds.
const (
	maxRetries = 500
	retryAfter = 10 * time.Millisecond
)

func retryable(err error) bool {
	return errors.Is(err, engine.ErrBusy) || errors.Is(err, engine.ErrNotIssued) || errors.Is(err, engine.ErrUnknown)
}

// Close ends the engine. The store stays open.
func (e *Engine) Close() error { return e.stop() }
