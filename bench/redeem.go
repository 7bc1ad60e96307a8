package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
)

// redeemOptions are the flags of bench redeem.
type redeemOptions struct {
	Workload
	Store    string // "": the embedded store
	Dir      string
	Callers  int
	Vouchers int64 // issued before anything is measured
	Asks     int64 // of each stretch
	Rounds   int
	Out      io.Writer
}

func newRedeem() *cobra.Command {
	o := redeemOptions{}
	cmd := &cobra.Command{
		Use:   "redeem",
		Short: "Redemptions of random vouchers, beside issues",
		Long: `Measure redemptions of random vouchers among many, and issues beside them, through the core and a store, each durable
before it is answered, in a closed loop. Each round measures so many issues and then as many redemptions, with the
writing of the view behind them; the ratio is that of the processor time.`,
		Example: `  go run ./bench redeem                        # among ten million
  go run ./bench redeem --vouchers 1000000 --store private`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	storeFlag(f, &o.Store)
	dirFlag(f, &o.Dir)
	o.Workload.flags(f)
	o.Users = 10_000_000 // fewer reach their limits
	f.Lookup("users").DefValue = strconv.FormatInt(o.Users, 10)
	f.IntVar(&o.Callers, "callers", 256, "callers in the closed loop")
	f.Int64Var(&o.Vouchers, "vouchers", 10_000_000, "vouchers that are issued before anything is measured")
	f.Int64Var(&o.Asks, "asks", 100_000, "issues, and redemptions, of each round")
	f.IntVar(&o.Rounds, "rounds", 7, "rounds")
	return profileFlag(cmd)
}

func (o *redeemOptions) run(ctx context.Context) (err error) {
	if err := firstOf(o.Workload.Check(), atLeast("callers", o.Callers, 1), atLeast("vouchers", o.Vouchers, 1), atLeast("asks", o.Asks, 1),
		atLeast("rounds", o.Rounds, 1)); err != nil {
		return err
	}
	if o.Vouchers < o.Asks*int64(o.Rounds) {
		return fmt.Errorf("--vouchers is %d: must be %d at least, as each is redeemed once", o.Vouchers, o.Asks*int64(o.Rounds))
	}
	st, dir, drain, processes, closeStore, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	e, err := NewEngine(ctx, engine.Options{Store: st, Committers: 2}, o.Workload, o.Callers, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	vouchers := e.keepIDs(o.Vouchers)
	fmt.Fprintf(o.Out, "%s, %d callers, %d vouchers, %s; %d CPUs, %s/%s; sync before every answer\n",
		storeKind(o.Store), o.Callers, o.Vouchers, templatesText(o.Templates), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	if _, err := e.Run(ctx, o.Vouchers, drain); err != nil {
		return err
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(vouchers), func(i, j int) { vouchers[i], vouchers[j] = vouchers[j], vouchers[i] })
	var ratios, issues, redemptions []float64
	for k := range o.Rounds {
		e.meter = newMeter(dir, processes()...)
		issue, err := e.Run(ctx, o.Asks, drain)
		if err != nil {
			return err
		}
		redeem, err := e.redeem(ctx, vouchers[int64(k)*o.Asks:int64(k+1)*o.Asks], drain)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "round %d  issue   %v\n         redeem  %v  %.2f of an issue's CPU\n", k+1, issue, redeem, redeem.CPUMicros/issue.CPUMicros)
		ratios = append(ratios, redeem.CPUMicros/issue.CPUMicros)
		issues, redemptions = append(issues, issue.PerSecond), append(redemptions, redeem.PerSecond)
	}
	newResult("redeem").text("store", storeKind(o.Store)).number("vouchers", float64(o.Vouchers)).number("issues_per_second", median(issues)).
		number("redemptions_per_second", median(redemptions)).number("redeem_cpu_ratio", median(ratios)).print(o.Out)
	return nil
}

// open opens an empty store. drain waits for the work behind the answers; processes are those of a database.
func (o *redeemOptions) open(ctx context.Context) (
	st store.Store, dir string, drain func() error, processes func() []int, closeStore func() error, err error,
) {
	if o.Store == "" {
		db, dir, closeStore, err := openEmbedded(o.Dir)
		if err != nil {
			return nil, "", nil, nil, nil, err
		}
		return db, dir, db.Flush, func() []int { return nil }, closeStore, nil
	}
	server, err := openPGServer(o.Store)
	if err != nil {
		return nil, "", nil, nil, nil, err
	}
	url, drop, err := server.Database(ctx)
	if err != nil {
		return nil, "", nil, nil, nil, errors.Join(err, server.Close())
	}
	closeServer := func() error { return errors.Join(drop(), server.Close()) }
	db, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return nil, "", nil, nil, nil, errors.Join(err, closeServer())
	}
	processes = func() []int {
		if server.private == nil {
			return nil
		}
		return server.private.Processes()
	}
	return db, server.Dir(), nil, processes, func() error { return errors.Join(db.Close(), closeServer()) }, nil
}

// redeem redeems each voucher once, each for an order of its own.
func (e *Engine) redeem(ctx context.Context, vouchers []id.ID, drain func() error) (Figures, error) {
	var latency histogram
	from := e.meter.read()
	err := closedLoop(e.Callers, 0, int64(len(vouchers)), 1, func(int) func(int64) error {
		return func(n int64) error {
			c := &benefit.OnVoucher{
				Action:  &benefit.Redeem{Order: "2026-" + strconv.FormatInt(int64(vouchers[n]), 10), Shop: "shop-1", OrderAmount: 20_000, HasOrderAmount: true},
				Voucher: vouchers[n], Key: "redeem-" + strconv.FormatInt(int64(vouchers[n]), 10), App: 1,
			}
			began := time.Now()
			err := e.engine.Do(ctx, c)
			for tries := 0; retryable(err) && tries < maxRetries && ctx.Err() == nil; tries++ {
				time.Sleep(retryAfter)
				err = e.engine.Do(ctx, c)
			}
			latency.Add(time.Since(began))
			if err == nil && c.Outcome.Reason != benefit.NotRefused {
				err = fmt.Errorf("voucher %d: %v", vouchers[n], c.Outcome.Reason)
			}
			return err
		}
	})
	if err == nil && drain != nil {
		err = drain()
	}
	return figures(from, e.meter.read(), int64(len(vouchers)), &latency), err
}
