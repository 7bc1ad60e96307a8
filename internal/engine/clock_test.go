package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

// watch is a clock that can be set, beside the time that really passes.
type watch struct {
	now     benefit.Instant
	elapsed time.Duration
	log     bytes.Buffer
}

func (w *watch) use(o *engine.Options) {
	o.Clock = func() benefit.Instant { return w.now }
	o.Elapsed = func() time.Duration { return w.elapsed }
	o.Log = slog.New(slog.NewTextHandler(&w.log, nil))
}

func (w *watch) pass(d time.Duration) {
	w.elapsed += d
	w.set(d)
}

func (w *watch) set(ahead time.Duration) { w.now += benefit.Instant(ahead / time.Millisecond) }

const days = 24 * time.Hour

// A clock that runs away from the time that passes is refused: nothing is committed by it, and issuing goes on when it
// is right again.
func TestClockJumps(t *testing.T) {
	w := &watch{now: storetest.Start, elapsed: 5 * days}
	b := newBench(t, w.use)
	n := 0
	issue := func(what string, want error) {
		t.Helper()
		n++
		b.want(what, b.issue(dryRun(fmt.Sprint(n), n, 1))[0], want, benefit.NotRefused)
	}
	issue("at first", nil)
	w.pass(400 * days)
	issue("after a long time", nil)
	w.set(-3 * days)
	issue("after a step back", nil)
	w.set(3*days + 23*time.Hour)
	issue("less than a day ahead", nil)
	w.set(2 * time.Hour)
	last := b.store.LastNow()
	issue("more than a day ahead", engine.ErrNotIssued)
	issue("again", engine.ErrClock)
	if err := b.engine.ClockError(); !errors.Is(err, engine.ErrClock) {
		t.Errorf("ClockError: %v", err)
	}
	if err := b.change(setStatus(benefit.Paused)); !errors.Is(err, engine.ErrClock) || !errors.Is(err, engine.ErrNotIssued) {
		t.Errorf("a change: %v", err)
	}
	if _, err := b.ask(dryRun("question", 1, 1)); !errors.Is(err, engine.ErrClock) {
		t.Errorf("a question: %v", err)
	}
	if got := b.store.LastNow(); got != last {
		t.Errorf("a commit at %v by a refused clock", got)
	}
	b.wantIssued(4)
	w.set(-2 * time.Hour)
	if err := b.engine.CheckClock(t.Context()); err != nil {
		t.Errorf("CheckClock when it is right again: %v", err)
	}
	issue("right again", nil)
	if err := b.engine.ClockError(); err != nil {
		t.Errorf("ClockError when it is right again: %v", err)
	}
	if got := strings.Count(w.log.String(), "\n"); got != 2 {
		t.Errorf("%d lines in the log, want one for each change:\n%s", got, &w.log)
	}
}

// At the start a clock may be a year after the last commit, more if the operator confirms it, and as it likes on a new
// store.
func TestClockAtStart(t *testing.T) {
	tests := map[string]struct {
		ahead   time.Duration
		confirm bool
		want    error
	}{
		"idle for a year":             {365 * days, false, nil},
		"idle for longer":             {367 * days, false, engine.ErrClock},
		"confirmed":                   {3000 * days, true, nil},
		"behind":                      {-3000 * days, false, nil},
		"no id can carry it":          {13000 * days, false, engine.ErrClock},
		"no id can carry it, confirm": {13000 * days, true, engine.ErrClock},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &watch{now: storetest.Start}
			w.set(test.ahead)
			b := newBench(t, w.use, func(o *engine.Options) { o.AcceptClock = test.confirm })
			b.want("a request", b.issue(dryRun("1", 1, 1))[0], test.want, benefit.NotRefused)
			if err := b.engine.CheckClock(t.Context()); !errors.Is(err, test.want) {
				t.Errorf("CheckClock: %v, want %v", err, test.want)
			}
			if test.want != nil {
				b.wantIssued(0)
				return
			}
			w.set(-test.ahead)
			b.want("another request", b.issue(dryRun("2", 1, 1))[0], nil, benefit.NotRefused)
			w.set(test.ahead + 25*time.Hour)
			want := engine.ErrClock
			if test.ahead < 0 {
				want = nil // that is earlier than the last commit
			}
			b.want("a jump after the start", b.issue(dryRun("3", 1, 1))[0], want, benefit.NotRefused)
		})
	}
}

// The last instants that ids can carry, and those that they cannot, are refused, whatever the operator confirms.
func TestClockBeyondIDs(t *testing.T) {
	const day = benefit.Instant(days / time.Millisecond)
	for now, want := range map[benefit.Instant]error{
		id.MaxMillis - day: nil, id.MaxMillis - day + 1: engine.ErrClock, id.MaxMillis + 1: engine.ErrClock, 1 << 60: engine.ErrClock,
	} {
		w := &watch{now: now}
		b := newBench(t, w.use, func(o *engine.Options) { o.AcceptClock = true })
		b.want(fmt.Sprint("at ", int64(now)), b.issue(dryRun("1", 1, 1))[0], want, benefit.NotRefused)
	}
}

// change takes a change of the catalogue through.
func (b *bench) change(fn engine.ChangeFunc) error {
	b.t.Helper()
	p, err := b.engine.SubmitChange(b.t.Context(), fn)
	if err != nil {
		b.t.Fatal(err)
	}
	b.step()
	return b.result(submitted{Pending: p}).err
}

// ask asks how a request would be decided.
func (b *bench) ask(r *benefit.Request) (benefit.Outcome, error) {
	b.t.Helper()
	var o benefit.Outcome
	done := make(chan error, 1)
	go func() {
		var err error
		o, _, err = b.engine.DryIssue(context.Background(), r)
		done <- err
	}()
	soon(b.t, "the question waits", func() bool { return b.engine.Waiting() > 0 })
	b.step()
	err := <-done
	return o, err
}
