// Package outage reports failures that may go on for long without filling the log: a database that is away fails every
// batch, hundreds of times a second.
package outage

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Every is the minimum interval between two log lines about failures.
const Every = 10 * time.Second

// Reporter logs the failures of one thing. The first is logged at once. Those that follow are counted, and the next line
// comes after [Every] with their number: at the next failure, or when the thing has worked in between. When it works again
// that is logged once. It is safe for concurrent use.
type Reporter struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	last     time.Time // of a line about failures; zero before the first
	failures int       // since that line
	latest   failure   // the last of them
	failing  bool      // the last line was about failures
}

// failure is one that was counted and not logged.
type failure struct {
	at    time.Time
	level slog.Level
	msg   string
	err   error
	args  []any
}

// New returns a Reporter that measures time by now.
func New(log *slog.Logger, now func() time.Time) *Reporter {
	return &Reporter{log: log, now: now}
}

// Failed reports a failure. A line has the attribute failures, the number since the line before, the error and args of
// the last of them.
func (r *Reporter) Failed(level slog.Level, msg string, err error, args ...any) {
	now := r.now()
	r.mu.Lock()
	r.failures++
	failures := r.failures
	if r.within(now) {
		r.latest = failure{now, level, msg, err, args}
		r.mu.Unlock()
		return
	}
	r.last, r.failures, r.latest, r.failing = now, 0, failure{}, true
	r.mu.Unlock()
	r.log.Log(context.Background(), level, msg, append(slices.Clip(args), "failures", failures, "err", err)...)
}

// Worked reports that it works. It logs msg if the last line was about failures. Failures that followed a line with msg
// are logged first, with the time of the last of them, as soon as [Every] has passed since the line about failures.
func (r *Reporter) Worked(msg string) {
	now := r.now()
	r.mu.Lock()
	failures, latest, failing := r.failures, r.latest, r.failing
	if !failing && (failures == 0 || r.within(now)) {
		r.mu.Unlock()
		return
	}
	if !failing {
		r.last = now
	}
	r.failures, r.latest, r.failing = 0, failure{}, false
	r.mu.Unlock()
	if !failing {
		r.log.Log(context.Background(), latest.level, latest.msg, append(slices.Clip(latest.args), "failures", failures, "at", latest.at, "err", latest.err)...)
		failures = 0
	}
	r.log.Info(msg, "failures", failures)
}

// within reports whether the last line about failures is too recent for another one.
func (r *Reporter) within(now time.Time) bool {
	since := now.Sub(r.last)
	return !r.last.IsZero() && since >= 0 && since < Every // the clock may step back
}
