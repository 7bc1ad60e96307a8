package main

import (
	"errors"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/bench"
)

func newBench() *cobra.Command {
	profile := ""
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: the engine, decisions, and the gateways end to end",
		Long: `Measure faquan on this machine, beside the alternatives and ceilings in the same run.

Compare ratios and not figures between machines; and do nothing else on the machine meanwhile.`,
	}
	cmd.AddCommand(newBenchEngine(), newBenchDecide(), newBenchHTTP(), newBenchStart())
	cmd.PersistentFlags().StringVar(&profile, "cpuprofile", "", "write a CPU profile to `FILE`, for go tool pprof")
	for _, child := range cmd.Commands() {
		measure := child.RunE
		child.RunE = func(cmd *cobra.Command, args []string) error {
			return profiled(profile, func() error { return measure(cmd, args) })
		}
	}
	return cmd
}

// profiled runs fn with a CPU profile of it, unless file is empty.
func profiled(file string, fn func() error) error {
	if file == "" {
		return fn()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = fn()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

func newBenchEngine() *cobra.Command {
	o := bench.EngineOptions{}
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Full issues through the core and the embedded store",
		Long: `Full issues through the core and the embedded store, each durable before it is answered, in a closed loop.

After each step of a million the view is drained before the clock stops. Beside each step the same run measures the
bare journal (appending the same bytes for the same callers and deciding nothing: the ceiling) and direct SQLite
(the same core on the same rows, one transaction per batch, synchronous=FULL: the alternative). Direct SQLite is
filled up to each step without syncs and measured on the last issues of it. Bytes are all that the disk wrote.`,
		Example: `  faquan bench engine                        # to ten million vouchers of one hot template
  faquan bench engine --templates 1000
  faquan bench engine --millions 2 --no-direct   # a quick look`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return bench.RunEngine(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "`DIR`ectory for the stores, on the disk to measure (default: the system's for temporary files)")
	f.BoolVar(&o.Keep, "keep", false, "keep the store, for bench start")
	f.IntVar(&o.Callers, "callers", 256, "callers in the closed loop")
	f.IntVar(&o.Millions, "millions", 10, "steps")
	f.Int64Var(&o.Step, "step", 1_000_000, "asks in a step")
	workloadFlags(f, &o.Workload)
	f.BoolVar(&o.NoDirect, "no-direct", false, "leave direct SQLite out; it takes longest")
	f.Int64Var(&o.DirectMeasured, "direct-measured", 100_000, "issues of each step on which direct SQLite is measured")
	return cmd
}

// workloadFlags are what the callers of the engine ask for.
func workloadFlags(f *pflag.FlagSet, w *bench.Workload) {
	f.IntVar(&w.Templates, "templates", 1, "1: one hot template; more: asks spread over them")
	f.Int64Var(&w.Users, "users", 1_000_000, "users")
	f.Int64Var(&w.PerUser, "per-user", 5, "the limit per user and template")
	f.Int64Var(&w.RetryEvery, "retry-every", 100, "one ask in so many repeats an earlier one; 0: none")
}

func newBenchStart() *cobra.Command {
	o := bench.StartOptions{}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "From opening a large store to its first answer",
		Long: `Open a store that bench engine has kept and issue one voucher: how long does a restart take?

With --load and --kill the process then issues as fast as it can and ends itself with SIGKILL, so that the next
bench start measures the recovery.`,
		Example: `  faquan bench engine --keep --no-direct
  faquan bench start --data /tmp/faquan-bench-1/store
  faquan bench start --data /tmp/faquan-bench-1/store --load 10s --kill; faquan bench start --data /tmp/faquan-bench-1/store`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return bench.RunStart(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "data", "", "`DIR`ectory of the kept store")
	_ = cmd.MarkFlagRequired("data")
	f.IntVar(&o.Callers, "callers", 256, "callers of the load")
	f.DurationVar(&o.Load, "load", 0, "issue for so long after the start")
	f.BoolVar(&o.Kill, "kill", false, "end with SIGKILL when the load's time is over")
	workloadFlags(f, &o.Workload)
	return cmd
}

func newBenchDecide() *cobra.Command {
	o := bench.DecideOptions{}
	cmd := &cobra.Command{
		Use:   "decide",
		Short: "What a decision among activities with rules costs on top of an issue",
		Long: `What a decision costs: the same users receive one right that the request names, and then one that a scene chooses
among its activities, each with a rule over the user's attributes and a right of its own. All rights
have room; --holding says how many of the rules hold. Both go through the core and the embedded store and are durable
before they are answered; they take turns, and the difference of their CPU times is the decision.`,
		Example: `  faquan bench decide
  faquan bench decide --holding 3
  faquan bench decide --activities 5 --holding 5 --cpuprofile decide.prof`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return bench.RunDecide(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "`DIR`ectory for the store, on the disk to measure (default: the system's for temporary files)")
	f.IntVar(&o.Callers, "callers", 256, "callers in the closed loop")
	f.IntVar(&o.Users, "users", 20_000, "users, who are known and have attributes")
	f.IntVar(&o.Activities, "activities", 20, "activities of the scene")
	f.IntVar(&o.Holding, "holding", 20, "activities whose rules hold for a user, the last ones of the scene")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds; medians are over them")
	f.IntVar(&o.Requests, "requests", 200_000, "requests of each measurement")
	return cmd
}
