package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store/embedded"
)

// startOptions are the flags of bench start.
type startOptions struct {
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

func (o *startOptions) check() error {
	if o.Load < 0 {
		return fmt.Errorf("--load %v: must not be negative", o.Load)
	}
	return firstOf(o.Workload.Check(), atLeast("callers", o.Callers, 1))
}

func newStart() *cobra.Command {
	o := startOptions{}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "From opening a large store to its first answer",
		Long: `Open a store that bench engine has kept and issue one voucher: how long does a restart take?

With --load and --kill the process then issues as fast as it can and ends itself with SIGKILL, so that the next
bench start measures the recovery.`,
		Example: `  go run ./bench engine --keep --no-direct
  go run ./bench start --data /tmp/faquan-bench-1/store
  go run ./bench start --data /tmp/faquan-bench-1/store --load 10s --kill; go run ./bench start --data /tmp/faquan-bench-1/store`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return measureStart(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "data", "", "`DIR`ectory of the kept store")
	_ = cmd.MarkFlagRequired("data")
	f.IntVar(&o.Callers, "callers", 256, "callers of the load")
	f.DurationVar(&o.Load, "load", 0, "issue for so long after the start")
	f.BoolVar(&o.Kill, "kill", false, "end with SIGKILL when the load's time is over")
	o.flags(f) // without retries: it does not know what the store has been asked before
	return profileFlag(cmd)
}

// measureStart measures how long a store takes from its opening to its first answer.
func measureStart(ctx context.Context, o startOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	began := time.Now()
	st, err := embedded.Open(embedded.Options{Dir: o.Dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	opened := time.Since(began)
	engine, err := NewEngine(ctx, engine.Options{Store: st}, o.Workload, o.Callers, o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	// No ask of an earlier run may be met again: it would be a replay.
	first := int64(1)<<40 + rand.Int64N(1<<40)
	engine.settled = first
	outcome, err := engine.engine.Issue(ctx, o.request(first))
	if err != nil {
		return fmt.Errorf("the first request: %w", err)
	}
	if outcome.Reason != benefit.NotRefused {
		return fmt.Errorf("the first request is refused: %s", outcome.Reason)
	}
	answered := time.Since(began)
	fmt.Fprintf(o.Out, "open %.0f ms, first answer after %.0f ms\n", millis(opened), millis(answered))
	// It comes before the load, which may end with SIGKILL.
	newResult("start").number("open_ms", millis(opened)).number("first_answer_ms", millis(answered)).print(o.Out)
	if o.Load == 0 {
		return nil
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
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
