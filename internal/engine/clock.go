package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// ErrClock is wrapped by errors that refuse the clock because it is so far ahead that it must be wrong. Nothing is
// committed at such a time: the time of a store never goes back, so it would stay wrong.
var ErrClock = errors.New("the clock is refused")

// How far ahead the clock may be of the last commit at the start, and of the time that has passed since.
const (
	maxClockStepAtStart = 366 * 24 * time.Hour
	maxClockStep        = 24 * time.Hour
)

// latestNow is the last instant that ids can carry, with a day to spare, because ids may run ahead of the clock.
const latestNow = benefit.Instant(id.MaxMillis) - benefit.Instant(24*time.Hour/time.Millisecond)

// clockCheck decides which instants are accepted. It is safe for concurrent use.
type clockCheck struct {
	elapsed func() time.Duration // see Options.Elapsed
	confirm bool                 // see Options.AcceptClock
	last    benefit.Instant      // of the last commit before the start; 0: none
	log     *slog.Logger

	mu      sync.Mutex
	first   benefit.Instant // the first that was accepted; 0: none yet
	at      time.Duration   // elapsed then
	refused error           // the latest verdict
}

// check accepts now, or returns an error that wraps ErrClock.
func (c *clockCheck) check(now benefit.Instant) error {
	c.mu.Lock()
	err := c.judge(max(now, c.last))
	before := c.refused
	c.refused = err
	c.mu.Unlock()
	switch { // without the lock: a log may be slow to write to
	case err != nil && before == nil:
		c.log.Error("the clock is refused; callers are told to retry", "err", err)
	case err == nil && before != nil:
		c.log.Info("the clock is accepted again")
	}
	return err
}

func (c *clockCheck) judge(now benefit.Instant) error {
	if now > latestNow { //guard:TestClockBeyondIDs
		return fmt.Errorf("%w: it shows %v, and ids end in November 2058", ErrClock, now)
	}
	if c.first == 0 {
		if ahead := sub(now, c.last); ahead > maxClockStepAtStart && c.last != 0 && !c.confirm { //guard:TestClockAtStart
			return fmt.Errorf("%w: it shows %v, and the last commit was at %v, more than a year before; "+
				"correct the clock, or confirm it with --accept-clock", ErrClock, now, c.last)
		}
		c.first = now
		if c.elapsed != nil {
			c.at = c.elapsed()
		}
		return nil
	}
	if c.elapsed == nil {
		return nil
	}
	if passed := c.elapsed() - c.at; sub(now, c.first)-passed > maxClockStep { //guard:TestClockJumps
		return fmt.Errorf("%w: it shows %v, and only %v have passed since it showed %v; "+
			"correct the clock, or restart to confirm it", ErrClock, now, passed.Round(time.Second), c.first)
	}
	return nil
}

// sub returns a-b, at most the longest duration.
func sub(a, b benefit.Instant) time.Duration { return a.Time().Sub(b.Time()) }

// ClockError returns why the clock was refused when it was last looked at, or nil. The error wraps ErrClock.
func (e *Engine) ClockError() error {
	e.clockCheck.mu.Lock()
	defer e.clockCheck.mu.Unlock()
	return e.clockCheck.refused
}

// CheckClock looks at the clock, that of the database where the store has one, and returns an error that wraps ErrClock
// when it is refused, or the error of the store. Every batch does so by itself.
func (e *Engine) CheckClock(ctx context.Context) error {
	if !e.o.Store.Shared() {
		return e.clockCheck.check(e.o.Clock())
	}
	tx, err := e.o.Store.Begin(ctx, e.o.Clock())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return e.clockCheck.check(tx.Now())
}
