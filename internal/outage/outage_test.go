package outage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lines is a Reporter with a clock of its own and what it has logged.
type lines struct {
	*Reporter
	at  time.Time
	log bytes.Buffer
}

func newLines() *lines {
	l := &lines{at: time.Date(2026, 11, 11, 0, 0, 0, 0, time.UTC)}
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l.Reporter = New(slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{ReplaceAttr: drop})), func() time.Time { return l.at })
	return l
}

func (l *lines) want(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(want, l.log.String()); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
	l.log.Reset()
}

func TestOutage(t *testing.T) {
	l := newLines()
	l.Worked("again")
	l.want(t, "")
	for n := range 2500 { // 25 s
		l.Failed(slog.LevelError, "no", fmt.Errorf("e%d", n), "requests", n)
		l.at = l.at.Add(10 * time.Millisecond)
	}
	l.want(t, `level=ERROR msg=no requests=0 failures=1 err=e0
level=ERROR msg=no requests=1000 failures=1000 err=e1000
level=ERROR msg=no requests=2000 failures=1000 err=e2000
`)
	l.Worked("again")
	l.Worked("again")
	l.want(t, "level=INFO msg=again failures=499\n")
}

// What fails and works in turn is logged no more often.
func TestFlapping(t *testing.T) {
	l := newLines()
	for range 1000 { // 20 s
		l.Failed(slog.LevelWarn, "no", errors.New("e"))
		l.Worked("again")
		l.at = l.at.Add(20 * time.Millisecond)
	}
	l.want(t, `level=WARN msg=no failures=1 err=e
level=INFO msg=again failures=0
level=WARN msg=no failures=500 err=e
level=INFO msg=again failures=0
`)
}

// A failure right after a recovery, and the last for long, is logged when there may be another line. It is no part of what
// fails later.
func TestLastFailure(t *testing.T) {
	l := newLines()
	l.Failed(slog.LevelError, "no", errors.New("e1"))
	l.Worked("again")
	l.at = l.at.Add(time.Second)
	l.Failed(slog.LevelWarn, "no", errors.New("e2"), "requests", 7)
	l.Worked("again")
	l.at = l.at.Add(Every - time.Second - time.Millisecond)
	l.Worked("again")
	l.want(t, "level=ERROR msg=no failures=1 err=e1\nlevel=INFO msg=again failures=0\n")
	l.at = l.at.Add(time.Millisecond)
	l.Worked("again")
	l.Worked("again")
	l.want(t, "level=WARN msg=no requests=7 failures=1 at=2026-11-11T00:00:01.000Z err=e2\nlevel=INFO msg=again failures=0\n")
	l.at = l.at.Add(time.Hour)
	l.Failed(slog.LevelError, "no", errors.New("e3"))
	l.want(t, "level=ERROR msg=no failures=1 err=e3\n")
}

// No line is written under the lock: a log that is slow to write to holds up only the caller that writes to it.
func TestLogsUnlocked(t *testing.T) {
	var r *Reporter
	lines := 0
	r = New(slog.New(hook(func() {
		lines++
		if !r.mu.TryLock() {
			t.Error("a line is written under the lock")
			return
		}
		r.mu.Unlock()
	})), time.Now)
	r.Failed(slog.LevelError, "no", errors.New("e"))
	r.Worked("again")
	if lines != 2 {
		t.Errorf("%d lines, want 2", lines)
	}
}

// hook is a handler that is called for each line.
type hook func()

func (h hook) Enabled(context.Context, slog.Level) bool  { return true }
func (h hook) Handle(context.Context, slog.Record) error { h(); return nil }
func (h hook) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h hook) WithGroup(string) slog.Handler             { return h }

// A clock that steps back silences nothing.
func TestClockStepsBack(t *testing.T) {
	l := newLines()
	l.Failed(slog.LevelError, "no", errors.New("e"))
	l.at = l.at.Add(-time.Hour)
	l.Failed(slog.LevelError, "no", errors.New("e"))
	l.Failed(slog.LevelError, "no", errors.New("e"))
	l.want(t, "level=ERROR msg=no failures=1 err=e\nlevel=ERROR msg=no failures=1 err=e\n")
}
