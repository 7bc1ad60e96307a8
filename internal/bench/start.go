package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/store/embedded"
)

// StartOptions say what `faquan bench start` opens.
type StartOptions struct {
	Workload
	Dir     string // a store that the engine benchmark has kept
	Callers int
	// Load is how long to issue after the start; 0 for not at all.
	Load time.Duration
	// Kill ends the process with SIGKILL in the middle of the load, so that the next start finds what a crash
	// leaves.
	Kill bool
	Out  io.Writer
}

// RunStart measures how long a store takes from its opening to its first answer.
func RunStart(ctx context.Context, o StartOptions) error {
	o.RetryEvery = 0 // it does not know what the store has been asked before
	began := time.Now()
	st, err := embedded.Open(embedded.Options{Dir: o.Dir})
	if err != nil {
		return err
	}
	defer st.Close()
	opened := time.Since(began)
	engine, err := NewEngine(ctx, st, o.Workload, o.Callers, o.Dir)
	if err != nil {
		return err
	}
	// No ask of an earlier run may be met again: it would be a replay.
	first := int64(1)<<40 + rand.Int64N(1<<40)
	engine.settled = first
	outcome, err := engine.issuer.Issue(ctx, o.request(first))
	if err != nil || outcome.Reason != benefit.NotRefused {
		return fmt.Errorf("the first request: %s, %w", outcome.Reason, err)
	}
	fmt.Fprintf(o.Out, "open %.0f ms, first answer after %.0f ms\n", millis(opened), millis(time.Since(began)))
	if o.Load == 0 {
		return engine.Close()
	}
	engine.settled = first + 1
	if o.Kill {
		time.AfterFunc(o.Load, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	}
	for until := time.Now().Add(o.Load); o.Kill || time.Now().Before(until); {
		f, err := engine.Run(ctx, 100_000, nil)
		if err != nil {
			return err
		}
		fmt.Fprintln(o.Out, f)
	}
	return engine.Close()
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
