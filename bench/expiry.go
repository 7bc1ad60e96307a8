package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/expiry"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
)

// expiryOptions are the flags of bench expiry.
type expiryOptions struct {
	fillOptions
	Ending  int64   // vouchers of the template with a fixed end
	Seconds float64 // of each stretch at rest
	Rounds  int
}

func newExpiry() *cobra.Command {
	o := expiryOptions{}
	cmd := &cobra.Command{
		Use:   "expiry",
		Short: "Looking for expired vouchers among many, and recording them",
		Long: `Measure what it costs to look for vouchers whose end passes by itself, and how fast their events are recorded.

An embedded store is filled with vouchers that live for 30 days, and with --ending vouchers of a template that all end
in a week. Each round then measures the processor time of the process while nothing is issued: without a subscription,
and with one to voucher.expired of all templates. It looks for expired vouchers every 15 seconds, as faquan serve does.
After the rounds the clock is set behind the week, and all --ending vouchers are recorded, with the writing of the view
behind them. The feed must have exactly one event of each.`,
		Example: `  go run ./bench expiry                                    # among ten million
  go run ./bench expiry --millions 1 --ending 100000 --rounds 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	o.flags(f)
	o.Templates, o.PerUser = hotTemplates, 1000 // each template has vouchers, and nobody reaches a limit
	f.Lookup("templates").DefValue, f.Lookup("per-user").DefValue = strconv.Itoa(o.Templates), strconv.FormatInt(o.PerUser, 10)
	f.Int64Var(&o.Ending, "ending", 1_000_000, "vouchers of the template with a fixed end")
	f.Float64Var(&o.Seconds, "seconds", 60, "how long the process rests in each measurement of a round")
	f.IntVar(&o.Rounds, "rounds", 3, "rounds; medians are over them")
	return profileFlag(cmd)
}

func (o *expiryOptions) check() error {
	return firstOf(o.fillOptions.check(), atLeast("ending", o.Ending, 1), seconds("seconds", o.Seconds), atLeast("rounds", o.Rounds, 1))
}

// recordEvery is how often expired vouchers are looked for, as in cmd/faquan.
const recordEvery = 15 * time.Second

func (o *expiryOptions) run(ctx context.Context) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	st, dir, closeStore, err := openEmbedded(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	b := &expiryBench{expiryOptions: o, store: st, finder: &expiry.Finder{}}
	if b.engine, err = NewEngine(ctx, engine.Options{Store: st, Clock: b.now}, o.Workload, o.Callers, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.engine.Close()) }()
	if err := b.fill(ctx); err != nil {
		return err
	}
	return b.report(ctx)
}

type expiryBench struct {
	*expiryOptions
	store  *embedded.Store
	engine *Engine
	finder *expiry.Finder
	ahead  atomic.Int64 // how far the clock is ahead of the system's, in milliseconds

	ending benefit.TemplateID // the template with a fixed end
	end    benefit.Instant    // a whole second, as all ends
	filled store.Place        // in the feed
}

func (b *expiryBench) now() benefit.Instant { return clock() + benefit.Instant(b.ahead.Load()) }

// advance moves the clock.
func (b *expiryBench) advance(by time.Duration) { b.ahead.Add(by.Milliseconds()) }

// fill issues all vouchers.
func (b *expiryBench) fill(ctx context.Context) error {
	if _, err := b.fillOptions.fill(ctx, b.engine, b.store.Flush); err != nil {
		return err
	}
	templates := b.engine.engine.Catalogue().Templates
	b.ending = benefit.TemplateID(len(templates) + 1)
	b.end = (b.now()/1000 + 7*24*3600) * 1000
	t := *templates[1]
	t.ID, t.Name, t.TemplateID, t.Limits = b.ending, "ending", "ENDING", benefit.Limits{}
	// The window has its last second.
	t.Valid = benefit.Validity{Absolute: benefit.Window{End: b.end - 1000}}
	if err := b.engine.apply(ctx, &t); err != nil {
		return err
	}
	b.engine.Only = b.ending
	if _, err := b.engine.Run(ctx, b.Ending, b.store.Flush); err != nil {
		return err
	}
	fmt.Fprintf(b.Out, "and %d that end at once\n", b.Ending)
	var err error
	b.filled, err = b.store.FeedEnd(ctx)
	return err
}

func (b *expiryBench) report(ctx context.Context) error {
	var without, with []float64
	for k := range b.Rounds {
		// An ended subscription wants nothing, as if there were none.
		none, err := b.rest(ctx, benefit.Ended)
		if err != nil {
			return err
		}
		one, err := b.rest(ctx, benefit.Active)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.Out, "round %d  CPU in %v s at rest: without a subscription %.2f ms, with one %.2f ms\n", k+1, b.Seconds, millis(none), millis(one))
		without, with = append(without, millis(none)), append(with, millis(one))
	}
	f, err := b.pass(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.Out, "%d events in %.1f s: %.0f events/s, %.1f µs CPU for each\n", f.Issues, f.Seconds, f.PerSecond, f.CPUMicros)
	newResult("expiry").text("vouchers", strconv.FormatInt(b.vouchers()+b.Ending, 10)).number("rest_seconds", b.Seconds).
		number("rest_cpu_ms", median(without)).number("rest_subscribed_cpu_ms", median(with)).
		text("events", strconv.FormatInt(f.Issues, 10)).number("events_per_second", f.PerSecond).number("event_cpu_us", f.CPUMicros).print(b.Out)
	return nil
}

func (b *expiryBench) record(ctx context.Context) error {
	return b.finder.Record(ctx, b.store.Read, b.engine.engine)
}

// rest returns the processor time of a stretch in which nothing is issued and no end passes, with a subscription of a status.
func (b *expiryBench) rest(ctx context.Context, status benefit.Status) (time.Duration, error) {
	err := b.engine.apply(ctx, &benefit.Subscription{
		ID: 1, Name: "expired", Merchant: 1, Types: []benefit.EventPattern{"voucher.expired"}, Status: status,
	})
	if err != nil {
		return 0, err
	}
	// What a new subscription begins with is no part of the rest: cursors look at vouchers that are more than a minute old.
	b.advance(2 * time.Minute)
	if err := errors.Join(b.record(ctx), b.store.Flush()); err != nil {
		return 0, err
	}
	debug.FreeOSMemory() // else a collection, or what it leaves to do in the background, falls into one of the stretches
	from := b.engine.meter.read()
	for left := time.Duration(b.Seconds * float64(time.Second)); left > 0; left -= recordEvery {
		if err := b.record(ctx); err != nil {
			return 0, err
		}
		select {
		case <-time.After(min(left, recordEvery)):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return b.engine.meter.read().cpu - from.cpu, nil
}

// pass moves the clock behind the fixed end and records the vouchers.
func (b *expiryBench) pass(ctx context.Context) (Figures, error) {
	b.advance(time.Duration(b.end-b.now())*time.Millisecond + 2*time.Minute)
	from := b.engine.meter.read()
	if err := errors.Join(b.record(ctx), b.store.Flush()); err != nil {
		return Figures{}, err
	}
	to := b.engine.meter.read()
	feed := follower{}
	done, cancel := context.WithCancel(ctx)
	cancel() // so that it reads to the end
	if err := feed.read(done, b.store, b.filled); err != nil {
		return Figures{}, err
	}
	return figures(from, to, b.Ending, &histogram{}), b.checkExpired(feed.expired)
}

// checkExpired returns an error unless there is exactly one event of each voucher with the fixed end, and no other event.
func (b *expiryBench) checkExpired(events []benefit.ExpiredVoucher) error {
	seen := make(map[id.ID]bool, len(events))
	for _, e := range events {
		switch {
		case e.Template != b.ending || e.End != b.end: //guard:TestCheckExpired
			return fmt.Errorf("voucher %d of template %d has an event though it has not expired", e.Voucher, e.Template)
		case seen[e.Voucher]: //guard:TestCheckExpired
			return fmt.Errorf("voucher %d has two events", e.Voucher)
		}
		seen[e.Voucher] = true
	}
	if int64(len(events)) != b.Ending { //guard:TestCheckExpired
		return fmt.Errorf("%d events, want %d", len(events), b.Ending)
	}
	return nil
}
