package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// engineCommand are the flags of bench engine.
type engineCommand struct {
	embeddedOptions                 // both stores have its workload
	database        postgresOptions // for PostgreSQL
	millions        int             // 0: what suits the store
}

func newEngine() *cobra.Command {
	o := engineCommand{}
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Full issues through the core and a store",
		Long: `Measure full issues through the core and a store, each durable before it is answered, in a closed loop.

Without --store it is the embedded store. After each step of a million the view is drained before the clock stops.
Beside each step the same run measures the bare journal (appending the same bytes for the same callers and deciding
nothing: the upper bound) and direct SQLite (the same core on the same rows, one transaction per batch,
synchronous=FULL: the alternative). Direct SQLite is filled up to each step without syncs and measured on the last
issues of it. Bytes are all that the disk wrote.

With --store it is PostgreSQL, in databases that the command makes and drops again: on the server of a URL, whose user
must be allowed to make databases, or, with --store private, on a server that is started for it where temporary files
are (TMPDIR). Rounds take turns: each measures every number of --processes on a new database, and every peer of
--peers on a server of its own. Then, with --millions, one database grows, a million in each step, issued by
the first number of --processes.`,
		Example: `  go run ./bench engine                          # to ten million vouchers of one hot template
  go run ./bench engine --templates 1000
  go run ./bench engine --millions 2 --no-direct # a quick look
  go run ./bench engine --store private --processes 1,2,4 --peers bench/peers
  go run ./bench engine --store private --rounds 0 --millions 5 --templates 1000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.flags(cmd.Flags())
	return profileFlag(cmd)
}

func (o *engineCommand) flags(f *pflag.FlagSet) {
	f.IntVar(&o.Callers, "callers", 256, "callers in the closed loop; of several processes together, but at least 128 each")
	f.IntVar(&o.millions, "millions", 0, "steps; 0: 10 for the embedded store, none for PostgreSQL")
	f.Int64Var(&o.Step, "step", 1_000_000, "asks in a step")
	o.Workload.flags(f)
	o.retryFlag(f)

	dirFlag(f, &o.Dir)
	f.BoolVar(&o.Keep, "keep", false, "embedded: leave the store for bench start")
	f.BoolVar(&o.Metrics, "metrics", false, "embedded: collect metrics, as serve with --metrics-listen does")
	f.BoolVar(&o.Follow, "follow", false, "embedded: read the feed beside the issues, and print how far it lags")
	f.BoolVar(&o.NoDirect, "no-direct", false, "embedded: leave direct SQLite out; it takes longest")
	f.Int64Var(&o.DirectMeasured, "direct-measured", 100_000, "embedded: issues of each step on which direct SQLite is measured")

	d := &o.database
	storeFlag(f, &d.Store)
	f.IntSliceVar(&d.Processes, "processes", []int{1}, "PostgreSQL: how many processes issue at once, with commas between")
	f.IntVar(&d.Committers, "committers", 2, "PostgreSQL: batches that each process may have under way at the same time")
	f.IntVar(&d.Rounds, "rounds", 3, "PostgreSQL: rounds that compare; medians are over them")
	f.Int64Var(&d.Asks, "asks", 200_000, "PostgreSQL: asks of each measurement of a round; a tenth more go before")
	f.BoolVar(&o.SharedUsers, "shared-users", false, "PostgreSQL: every process asks for every user; else each user has one process")
	f.StringVar(&d.Peers, "peers", "", "PostgreSQL: `DIR`ectory bench/peers, or the program built from it, to measure beside it")
	f.StringSliceVar(&d.PeerNames, "only-peers", nil, "which peers, with commas between (default: all)")
	f.Float64Var(&d.PeerSeconds, "peer-seconds", 5, "how long each peer is measured in each round; a tenth more goes before")
}

// storeFlag is the flag that chooses a database.
func storeFlag(f *pflag.FlagSet, store *string) {
	f.StringVar(store, "store", "", "`URL` of a PostgreSQL server on which databases may be made, or private (default: the embedded store)")
}

// dirFlag is the flag that chooses the disk of an embedded store.
func dirFlag(f *pflag.FlagSet, dir *string) {
	f.StringVar(dir, "dir", "", "`DIR`ectory for embedded stores, on the disk to measure (default: the system's for temporary files)")
}

func (o *engineCommand) run(cmd *cobra.Command) error {
	if err := atLeast("millions", o.millions, 0); err != nil {
		return err
	}
	d := &o.database
	if d.Store == "" {
		if cmd.Flags().Changed("processes") || d.Peers != "" {
			return errors.New("--processes and --peers are for PostgreSQL: give --store")
		}
		if o.Millions = o.millions; o.Millions == 0 {
			o.Millions = 10
		}
		o.Out = cmd.OutOrStdout()
		return measureEmbedded(cmd.Context(), o.embeddedOptions)
	}
	if o.Dir != "" || o.Keep || o.Metrics || o.Follow {
		return errors.New("--dir, --keep, --metrics and --follow are for the embedded store; a private server lies where TMPDIR says")
	}
	d.Workload, d.Callers, d.Millions, d.Step = o.Workload, o.Callers, o.millions, o.Step
	d.Out, d.Progress, d.Profile = cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.Flag("cpuprofile").Value.String()
	return measurePostgres(cmd.Context(), *d)
}
