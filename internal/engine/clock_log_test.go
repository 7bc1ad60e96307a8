package engine

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"faquan/internal/benefit"
)

// unlocked is a log that must not be written to while the clock is locked.
type unlocked struct {
	slog.Handler
	t     *testing.T
	c     *clockCheck
	lines int
}

func (u *unlocked) Enabled(context.Context, slog.Level) bool { return true }

func (u *unlocked) Handle(context.Context, slog.Record) error {
	u.lines++
	if !u.c.mu.TryLock() {
		u.t.Error("a line is written under the lock")
		return nil
	}
	u.c.mu.Unlock()
	return nil
}

// A log that is slow to write to keeps nobody from asking whether the clock is refused.
func TestClockLogsUnlocked(t *testing.T) {
	log := &unlocked{t: t}
	c := &clockCheck{log: slog.New(log), last: benefit.InstantOf(time.Date(2026, 11, 11, 0, 0, 0, 0, time.UTC))}
	log.c = c
	if err := c.check(latestNow + 1); err == nil {
		t.Error("the clock was accepted")
	}
	if err := c.check(c.last); err != nil {
		t.Error(err)
	}
	if log.lines != 2 {
		t.Errorf("%d lines, want 2", log.lines)
	}
}
