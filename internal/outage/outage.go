// Package outage reports failures that may go on for long without filling the log: a database that is away fails every
// batch, hundreds of times a second.
package outage

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Every is how far two lines about failures are apart, at least.
const Every = 10 * time.Second

// Reporter logs the failures of one thing. The first is logged at once. Those that follow are counted, and the next line
// comes after [Every] with their number. When it works again that is logged once. It is safe for concurrent use.
type Reporter struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	last     time.Time // of a line about failures; zero before the first
	failures int       // since that line
	failing  bool      // the last line was about failures
}

// New returns a Reporter that measures time by now.
func New(log *slog.Logger, now func() time.Time) *Reporter {
	return &Reporter{log: log, now: now}
}

// Failed reports a failure. A line has the attribute failures, the number since the line before, the error and args of
// the last of them.
func (r *Reporter) Failed(level slog.Level, msg string, err error, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures++
	now := r.now()
	if since := now.Sub(r.last); !r.last.IsZero() && since >= 0 && since < Every { // the clock may step back
		return
	}
	r.log.Log(context.Background(), level, msg, append(args, "failures", r.failures, "err", err)...)
	r.last, r.failures, r.failing = now, 0, true
}

// Worked reports that it works. It logs msg if the last line was about failures.
func (r *Reporter) Worked(msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failing {
		return
	}
	r.log.Info(msg, "failures", r.failures)
	r.failures, r.failing = 0, false
}
