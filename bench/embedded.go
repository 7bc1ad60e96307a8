package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"faquan/internal/engine"
	"faquan/internal/journal"
	"faquan/internal/metrics"
	"faquan/internal/store/embedded"
)

// embeddedOptions are the flags of bench engine on the embedded store.
type embeddedOptions struct {
	Workload
	Dir      string // for the stores; what is made there is removed afterwards, unless Keep
	Keep     bool   // leaves the embedded store, in store/ of the directory that is named at the end
	Callers  int    // in a closed loop
	Millions int    // how large the store gets
	Step     int64  // asks in one step; a million, but for trying things
	Metrics  bool   // collects metrics of the store and its engine, as serve with metrics.listen does
	Follow   bool   // reads the feed beside the issues
	// NoDirect leaves direct SQLite out: filling it takes longest.
	NoDirect bool
	// DirectMeasured is how many issues of each step direct SQLite is measured on; before them it is filled up
	// to the step without syncs.
	DirectMeasured int64
	Out            io.Writer
}

func (o *embeddedOptions) check() error {
	if !o.NoDirect {
		if err := atLeast("direct-measured", o.DirectMeasured, 1); err != nil {
			return err
		}
	}
	// The bare journal is measured on half of a step.
	return firstOf(o.Workload.Check(), atLeast("callers", o.Callers, 1), atLeast("millions", o.Millions, 1), atLeast("step", o.Step, 2))
}

// engineStep are the figures of one million.
type engineStep struct {
	engine, bare, direct Figures
	feed                 *follower // nil: none
}

// measureEmbedded measures the embedded store, and in each step the bare journal and direct SQLite beside it.
func measureEmbedded(ctx context.Context, o embeddedOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.Dir, "faquan-bench-")
	if err != nil {
		return err
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	var (
		storeOptions  = embedded.Options{Dir: filepath.Join(dir, "store")}
		issuerOptions engine.Options
	)
	if o.Metrics {
		m := metrics.New(metrics.Options{Store: "embedded"})
		storeOptions.Syncing, issuerOptions.Observer = m.Syncing, m
	}
	st, err := embedded.Open(storeOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	issuerOptions.Store = st
	engine, err := NewEngine(ctx, issuerOptions, o.Workload, o.Callers, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	bare, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "bare"), Background: true}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	direct := &sqliteRun{o: o}
	if !o.NoDirect {
		if err := direct.open(ctx, filepath.Join(dir, "direct.db")); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, direct.close()) }()
	}
	fmt.Fprintf(o.Out, "%d callers, %d users with a limit of %d per template, %s, one ask in %d a retry; %d CPUs, %s/%s; sync before every answer\n",
		o.Callers, o.Users, o.PerUser, templatesText(o.Templates), o.RetryEvery, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	var steps []engineStep
	for k := range o.Millions {
		var s engineStep
		if o.Follow {
			if s.feed, err = follow(ctx, st); err != nil {
				return err
			}
		}
		s.engine, err = engine.Run(ctx, o.Step, st.Flush)
		if s.feed != nil {
			err = errors.Join(err, s.feed.end())
		}
		if err != nil {
			return err
		}
		entry := int(journalBytes(filepath.Join(dir, "store", "journal"), k+1, o.Step))
		if s.bare, err = (&bareJournal{bare, o.Callers, entry, dir}).Run(o.Step / 2); err != nil {
			return err
		}
		if !o.NoDirect {
			if s.direct, err = direct.step(ctx, o.Step); err != nil {
				return err
			}
		}
		steps = append(steps, s)
		printStep(o.Out, k+1, s)
	}
	if o.Keep {
		fmt.Fprintln(o.Out, "\nkept:", filepath.Join(dir, "store"))
	}
	printSummary(o.Out, steps)
	return nil
}

func templatesText(n int) string {
	if n == 1 {
		return "one hot template"
	}
	return fmt.Sprintf("%d templates", n)
}

// journalBytes estimates what one issue takes in the journal from the segments written so far.
func journalBytes(dir string, steps int, step int64) int64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 350
	}
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return min(max((total-128<<20)/(int64(steps)*step), 150), 600)
}

// sqliteRun is direct SQLite under the same load.
type sqliteRun struct {
	o      embeddedOptions
	store  *direct
	engine *Engine
}

func (r *sqliteRun) open(ctx context.Context, path string) (err error) {
	if r.store, err = openDirect(path); err != nil {
		return err
	}
	r.engine, err = NewEngine(ctx, engine.Options{Store: r.store}, r.o.Workload, r.o.Callers, filepath.Dir(path))
	if err != nil {
		return errors.Join(err, r.store.Close())
	}
	return nil
}

func (r *sqliteRun) close() error { return errors.Join(r.engine.Close(), r.store.Close()) }

// step fills the store without syncs and measures the last issues with them.
func (r *sqliteRun) step(ctx context.Context, asks int64) (Figures, error) {
	measured := min(r.o.DirectMeasured, asks)
	if err := r.store.setSynchronous("OFF"); err != nil {
		return Figures{}, err
	}
	if asks > measured {
		if _, err := r.engine.Run(ctx, asks-measured, nil); err != nil {
			return Figures{}, err
		}
	}
	if err := r.store.setSynchronous("FULL"); err != nil {
		return Figures{}, err
	}
	return r.engine.Run(ctx, measured, nil)
}

func printStep(w io.Writer, million int, s engineStep) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, "\nstep %d  (heap in use %d MiB)\n", million, m.HeapInuse>>20)
	fmt.Fprintf(w, "  faquan        %s\n", s.engine)
	fmt.Fprintf(w, "  bare journal  %s   faquan is %.2f of it\n", s.bare, s.engine.PerSecond/s.bare.PerSecond)
	if f := s.feed; f != nil {
		fmt.Fprintf(w, "  feed          %8.0f issues/s  lag p50 %d  p99 %d  most %d ms\n",
			float64(f.issued)/s.engine.Seconds, f.lagMillis(0.5), f.lagMillis(0.99), f.lagMillis(1))
	}
	if s.direct.Issues > 0 {
		fmt.Fprintf(w, "  direct SQLite %s   faquan is %.1f times it\n", s.direct, s.engine.PerSecond/s.direct.PerSecond)
	}
}

// printSummary prints medians over the steps, and how the cost grows: the mean of the last two steps against that of
// the second and third, the first one being the one that makes the users.
func printSummary(w io.Writer, steps []engineStep) {
	var rate, cpu, p99, bare, sqlite, lag []float64
	for _, s := range steps {
		cpu, p99 = append(cpu, s.engine.CPUMicros), append(p99, s.engine.P99Millis)
		rate = append(rate, s.engine.PerSecond)
		if s.feed != nil {
			lag = append(lag, float64(s.feed.lagMillis(1)))
		}
		bare = append(bare, s.engine.PerSecond/s.bare.PerSecond)
		if s.direct.Issues > 0 {
			sqlite = append(sqlite, s.engine.PerSecond/s.direct.PerSecond)
		}
	}
	fmt.Fprintf(w, "\nmedian %.0f issues/s; median %.2f of the bare journal (least %.2f)", median(rate), median(bare), slices.Min(bare))
	if len(sqlite) > 0 {
		fmt.Fprintf(w, "; median %.1f times direct SQLite (least %.1f)", median(sqlite), slices.Min(sqlite))
	}
	fmt.Fprintln(w)
	if n := len(steps); n >= 5 {
		early := (steps[1].engine.CPUMicros + steps[2].engine.CPUMicros) / 2
		late := (steps[n-2].engine.CPUMicros + steps[n-1].engine.CPUMicros) / 2
		fmt.Fprintf(w, "CPU per issue grew from %.1f to %.1f µs (%+.0f %%) between steps 2-3 and %d-%d\n", early, late, 100*(late/early-1), n-1, n)
	}
	r := newResult("engine").text("store", "embedded").number("issues_per_second", median(rate)).number("cpu_us", median(cpu)).
		number("p99_ms", median(p99)).number("issues_of_bare_journal", median(bare))
	r.number("feed_lag_ms", median(lag))
	if len(sqlite) > 0 {
		r.number("issues_of_direct_sqlite", median(sqlite))
	}
	r.print(w)
}
