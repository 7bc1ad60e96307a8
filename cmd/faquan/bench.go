package main

import (
	"errors"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"

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
	cmd.AddCommand(newBenchEngine(), newBenchDecide(), newBenchHTTP(), newBenchStart(), newBenchWorker())
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
