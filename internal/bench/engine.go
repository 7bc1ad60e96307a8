package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/issuing"
	"faquan/internal/store"
)

// Engine drives an issuing core over one store in a closed loop.
type Engine struct {
	Workload
	Callers int

	meter  meter
	issuer *issuing.Issuer
	done   chan error
	next   atomic.Int64 // the next ask
}

// NewEngine starts an issuer on the store, which lies in dir, and puts the workload's catalogue there.
func NewEngine(ctx context.Context, st store.Store, w Workload, callers int, dir string) (*Engine, error) {
	issuer, err := issuing.New(ctx, issuing.Options{Store: st, Clock: clock})
	if err != nil {
		return nil, err
	}
	e := &Engine{Workload: w, Callers: callers, meter: newMeter(dir), issuer: issuer, done: make(chan error, 1)}
	e.next.Store(1)
	go func() { e.done <- issuer.Run() }()
	if issuer.Catalogue().Version > 0 {
		return e, nil
	}
	return e, issuer.Change(ctx, func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return w.Catalogue(), nil
	})
}

// Run makes so many asks, then drain (if any) until the work behind the answers is done as well, and reports.
func (e *Engine) Run(ctx context.Context, asks int64, drain func() error) (Figures, error) {
	var (
		latency Histogram
		issued  atomic.Int64
		failed  atomic.Pointer[error]
		callers sync.WaitGroup
	)
	settled := e.next.Load()
	last := settled + asks
	from := e.meter.read()
	for c := range e.Callers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			r := rand.New(rand.NewPCG(uint64(c), uint64(settled)))
			for n := e.next.Add(1) - 1; n < last && failed.Load() == nil; n = e.next.Add(1) - 1 {
				request, replay := e.Ask(n, settled, r)
				began := time.Now()
				outcome, err := e.issuer.Issue(ctx, request)
				latency.Add(time.Since(began))
				if err == nil && (outcome.Reason != benefit.NotRefused || outcome.Replayed != replay) {
					err = fmt.Errorf("ask %d: %s, replayed %v, want %v", n, outcome.Reason, outcome.Replayed, replay)
				}
				if err != nil {
					failed.Store(&err)
					return
				}
				issued.Add(1)
			}
		}()
	}
	callers.Wait()
	e.next.Store(last)
	if err := failed.Load(); err != nil {
		return Figures{}, *err
	}
	if drain != nil {
		if err := drain(); err != nil {
			return Figures{}, err
		}
	}
	return figures(from, e.meter.read(), issued.Load(), &latency), nil
}

// Close ends the issuer. The store stays open.
func (e *Engine) Close() error {
	e.issuer.Stop()
	return <-e.done
}
