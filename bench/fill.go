package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/pflag"

	"faquan/internal/store/embedded"
)

// openEmbedded opens an embedded store in a new directory of dir. closeStore also removes that directory.
func openEmbedded(dir string) (st *embedded.Store, made string, closeStore func() error, err error) {
	if made, err = os.MkdirTemp(dir, "faquan-bench-"); err != nil {
		return nil, "", nil, err
	}
	if st, err = embedded.Open(embedded.Options{Dir: filepath.Join(made, "store")}); err != nil {
		return nil, "", nil, errors.Join(err, os.RemoveAll(made))
	}
	return st, made, func() error { return errors.Join(st.Close(), os.RemoveAll(made)) }, nil
}

// fillOptions are the flags of the benchmarks that fill an embedded store before they measure anything.
type fillOptions struct {
	Workload
	Dir      string // for the store, which is removed afterwards
	Callers  int    // in a closed loop
	Millions int    // how many steps the store is filled with
	Step     int64  // asks in one step; a million, but for trying things
	Out      io.Writer
}

func (o *fillOptions) flags(f *pflag.FlagSet) {
	dirFlag(f, &o.Dir)
	o.Workload.flags(f) // without retries: each ask has a voucher of its own
	f.IntVar(&o.Callers, "callers", 256, "callers of the issues")
	f.IntVar(&o.Millions, "millions", 10, "steps of issues before anything is measured")
	f.Int64Var(&o.Step, "step", 1_000_000, "asks in a step")
}

func (o *fillOptions) check() error {
	return firstOf(o.Workload.Check(), atLeast("callers", o.Callers, 1), atLeast("millions", o.Millions, 1), atLeast("step", o.Step, 1))
}

// vouchers returns how many a fill issues.
func (o *fillOptions) vouchers() int64 { return int64(o.Millions) * o.Step }

// fill fills a store, and returns the figures of the last step.
func (o *fillOptions) fill(ctx context.Context, e *Engine, drain func() error) (last Figures, err error) {
	fmt.Fprintf(o.Out, "%d callers, %d vouchers of %d users, %s; %d CPUs, %s/%s; sync before every answer\n",
		o.Callers, o.vouchers(), o.Users, templatesText(o.Templates), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	for k := range o.Millions {
		if last, err = e.Run(ctx, o.Step, drain); err != nil {
			return last, err
		}
		fmt.Fprintf(o.Out, "step %d of %d  %s\n", k+1, o.Millions, last)
	}
	return last, nil
}
