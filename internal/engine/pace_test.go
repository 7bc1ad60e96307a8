package engine_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
)

// crowd is how many users ask at once: so many that each of two committers has some of them. (That one has all happens
// once in 2^39 times.)
const crowd = 40

// paced returns an engine with two committers. Their batches may overlap: what does not is hidden below begun, since
// this store takes one at a time.
func paced(t *testing.T) (b *bench, begun *atomic.Int64) {
	b, begun = newBench(t, func(o *engine.Options) { o.Committers = 2 }), &atomic.Int64{}
	free := make(chan struct{}, 1)
	b.store.begin = func() error {
		begun.Add(1)
		free <- struct{}{}
		return nil
	}
	b.store.commit = func(write func() error) error {
		defer func() { <-free }()
		return write()
	}
	return b, begun
}

// holdCommit stops the first commit.
func (b *bench) holdCommit(h *held) {
	commit := b.store.commit
	b.store.commit = func(write func() error) error {
		return commit(func() error { return h.pass(write) })
	}
}

// submitCrowd sends the requests of the crowd.
func (b *bench) submitCrowd() []submitted {
	b.t.Helper()
	all := make([]submitted, crowd)
	for k := range all {
		all[k] = b.submit(dryRun(fmt.Sprint("key ", k), k, 1))
	}
	return all
}

// crowd sends the requests of the crowd, and returns what waits for their vouchers.
func (b *bench) crowd() (answered func()) {
	b.t.Helper()
	all := b.submitCrowd()
	return func() {
		b.t.Helper()
		for k, p := range all {
			b.issued(fmt.Sprint("request ", k), p)
		}
	}
}

// issued waits for the answer, which must be a voucher.
func (b *bench) issued(what string, p submitted) {
	b.t.Helper()
	var o benefit.Outcome
	var err error
	soon(b.t, what+" is answered", func() (ok bool) { o, err, ok = p.Result(); return ok })
	b.want(what, answer{o, err}, nil, benefit.NotRefused)
}

// held stops the first that comes to it until it is released.
type held struct {
	came     atomic.Int64
	released chan struct{}
	release  func()
}

func newHeld() *held {
	h := &held{released: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.released) })
	return h
}

func (h *held) pass(do func() error) error {
	if h.came.Add(1) == 1 {
		<-h.released
	}
	return do()
}

// While a batch is committed the other committer begins its own.
func TestBatchesOverlap(t *testing.T) {
	b, begun := paced(t)
	h := newHeld()
	defer h.release()
	b.holdCommit(h)
	first := b.submit(dryRun("first", 0, 1))
	b.run()
	soon(t, "the first commit", func() bool { return h.came.Load() == 1 })
	answered := b.crowd()
	soon(t, "another batch beside it", func() bool { return begun.Load() == 2 })
	h.release()
	answered()
	b.issued("the first", first)
	b.wantIssued(1 + crowd)
}

// While a batch waits for its turns, all else gathers.
func TestNextBatchGathers(t *testing.T) {
	b, _ := paced(t)
	h := newHeld()
	defer h.release()
	b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) {
		return keys, h.pass(func() error { return nil })
	}
	b.submit(dryRun("first", 0, 1))
	b.run()
	soon(t, "the first load", func() bool { return h.came.Load() == 1 })
	answered := b.crowd()
	b.stays("the crowd waits", func() bool { return b.engine.Waiting() == crowd })
	h.release()
	answered()
	b.wantIssued(1 + crowd)
}

// Among other processes there is one batch at a time, of all that waits.
func TestOneBatchAmongOthers(t *testing.T) {
	b, _ := paced(t)
	b.store.among = true
	h := newHeld()
	defer h.release()
	var sizes []int // of the batches, by the claims that each loads
	b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) {
		if n := len(keys.Claims); n > 0 {
			sizes = append(sizes, n)
		}
		return keys, nil
	}
	b.holdCommit(h)
	b.submit(dryRun("first", 0, 1))
	b.run()
	soon(t, "the first commit", func() bool { return h.came.Load() == 1 })
	answered := b.crowd()
	b.stays("the crowd waits", func() bool { return b.engine.Waiting() == crowd })
	h.release()
	answered()
	if len(sizes) != 2 || sizes[1] != crowd {
		t.Errorf("batches of %v requests, want 1 and %d", sizes, crowd)
	}
	b.wantIssued(1 + crowd)
}

// While a change is made, which keeps batches from beginning, requests stay in the queue, where their callers can still
// give up.
func TestNothingGathersDuringAChange(t *testing.T) {
	b, _ := paced(t)
	h := newHeld()
	defer h.release()
	b.holdCommit(h)
	change, err := b.engine.SubmitChange(t.Context(), setStatus(benefit.Active))
	if err != nil {
		t.Fatal(err)
	}
	b.run()
	soon(t, "the commit of the change", func() bool { return h.came.Load() == 1 })
	answered := b.crowd()
	b.stays("the crowd waits", func() bool { return b.engine.Waiting() == crowd })
	h.release()
	answered()
	if a := b.result(submitted{Pending: change}); a.err != nil {
		t.Errorf("Change: %v", a.err)
	}
}

// stays checks that something holds, and that it does not end by itself.
func (b *bench) stays(what string, holds func() bool) {
	b.t.Helper()
	for range 50 {
		if !holds() {
			b.t.Fatalf("it is not so that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// While nothing can be loaded, nobody waits for the failures of others one after the other.
func TestFailuresTogether(t *testing.T) {
	b, _ := paced(t)
	h := newHeld()
	defer h.release()
	b.store.begin = func() error {
		return h.pass(func() error { return errDisk })
	}
	b.submit(dryRun("first", 0, 1))
	b.run()
	soon(t, "the first batch", func() bool { return h.came.Load() == 1 })
	all := b.submitCrowd()
	h.release()
	for _, p := range all {
		soon(t, "an answer", func() bool { _, _, ok := p.Result(); return ok })
	}
	if n := h.came.Load(); n != 2 {
		t.Errorf("%d batches, want 2", n)
	}
}
