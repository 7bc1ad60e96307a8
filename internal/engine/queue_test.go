package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
)

func TestQueueBound(t *testing.T) {
	b := newBench(t, func(o *engine.Options) { o.Queue = 2 })
	first, second := b.submit(dryRun("1", 1, 1)), b.submit(dryRun("2", 1, 1))
	if _, err := b.engine.Submit(&benefit.Issue{Request: dryRun("3", 1, 1)}); !errors.Is(err, engine.ErrBusy) {
		t.Fatalf("the third of two: %v, want %v", err, engine.ErrBusy)
	}
	if err := b.engine.Change(t.Context(), nil); !errors.Is(err, engine.ErrBusy) {
		t.Fatalf("a change as the third of two: %v, want %v", err, engine.ErrBusy)
	}
	b.step()
	b.want("the first", b.result(first), nil, benefit.NotRefused)
	b.want("the second", b.result(second), nil, benefit.NotRefused)
	b.want("the third, later", b.issue(dryRun("3", 1, 1))[0], nil, benefit.NotRefused)
}

// asking returns an Issue under way in a goroutine.
func (b *bench) asking(ctx context.Context, r *benefit.Request) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		o, err := b.engine.Issue(ctx, r)
		done <- answer{o, err}
	}()
	return done
}

// A caller that gave up before its request was in a batch gets nothing, and takes up no room.
func TestGaveUpWaiting(t *testing.T) {
	b := newBench(t, func(o *engine.Options) { o.Queue = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	done := b.asking(ctx, dryRun("gone", 1, 1))
	soon(t, "the request waits", func() bool { return b.engine.Waiting() == 1 })
	cancel()
	b.want("gave up", <-done, engine.ErrGaveUp, 0)

	b.want("in its place", b.issue(dryRun("other", 2, 1))[0], nil, benefit.NotRefused)
	b.wantIssued(1)
}

// Only what gave up is gone: a batch without anybody commits nothing.
func TestGaveUpAlone(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := b.asking(ctx, dryRun("gone", 1, 1))
	soon(t, "the request waits", func() bool { return b.engine.Waiting() == 1 })
	cancel()
	<-done
	if worked, err := b.engine.Step(); worked || err != nil {
		t.Errorf("Step: worked=%v, %v", worked, err)
	}
	b.wantIssued(0)
}

// A caller that gives up while its batch is on its way does not know; a retry tells it.
func TestGaveUpInBatch(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := b.asking(ctx, dryRun("k", 1, 1))
	soon(t, "the request waits", func() bool { return b.engine.Waiting() == 1 })
	b.store.commit = func(write func() error) error {
		cancel()
		b.want("gave up", <-done, engine.ErrUnknown, 0)
		return write()
	}
	b.step()
	b.store.commit = nil
	again := b.issue(dryRun("k", 1, 1))[0]
	if b.want("a retry", again, nil, benefit.NotRefused); !again.Replayed {
		t.Error("the retry issued again")
	}
	b.wantIssued(1)
}

func TestStopDrains(t *testing.T) {
	b := newBench(t, func(o *engine.Options) { o.Batch = 2 })
	var all []submitted
	for _, key := range []string{"1", "2", "3", "4", "5"} {
		all = append(all, b.submit(dryRun(key, 1, 1)))
	}
	b.engine.Stop()
	if _, err := b.engine.Submit(&benefit.Issue{Request: dryRun("late", 1, 1)}); !errors.Is(err, engine.ErrStopping) {
		t.Errorf("Submit after Stop: %v, want %v", err, engine.ErrStopping)
	}
	if err := b.engine.Run(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, p := range all {
		b.want("drained", b.result(p), nil, benefit.NotRefused)
	}
	b.wantIssued(5)
}

// Stop wakes a Run that has nothing to do.
func TestStopIdle(t *testing.T) {
	b := newBench(t)
	done := make(chan error)
	go func() { done <- b.engine.Run() }()
	b.engine.Stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Requests for many vouchers make smaller batches, and one is always a batch.
func TestBatchOfLargeRequests(t *testing.T) {
	b := newBench(t)
	var all []submitted
	for k := range 18 {
		r := dryRun(fmt.Sprint("k", k), k, 1)
		r.Lines[0].Quantity = benefit.MaxRequestVouchers
		all = append(all, b.submit(r))
	}
	all = append(all, b.submit(dryRun("small", 1, 1)))
	for _, left := range []int{3, 0} {
		b.step()
		if got := b.engine.Waiting(); got != left {
			t.Errorf("%d requests wait after a batch, want %d", got, left)
		}
	}
	for _, p := range all {
		b.want("a request", b.result(p), nil, benefit.NotRefused)
	}
}
