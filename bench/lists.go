package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/vouchers"
)

// listsOptions are the flags of bench lists.
type listsOptions struct {
	fillOptions
	Lists   float64 // per second
	Seconds float64 // of each stretch
	Rounds  int
}

func newLists() *cobra.Command {
	o := listsOptions{}
	cmd := &cobra.Command{
		Use:   "lists",
		Short: "Pages of lists of vouchers, beside issues",
		Long: `Measure pages of lists of vouchers among many while others are issued, and what they cost the issues.

An embedded store is filled. The rate of issues in a closed loop is measured, and from then on issues come at 70 % of
it, whether answers do or not (an open loop). Each round measures the issues alone, and then with --lists calls a
second beside them: a page of 50 vouchers of a user, of a template, or of a trace id by turns, each from a random
voucher on, as the JSON API and faquan query read them. The processor time of an issue includes that of the lists, and
the writing of the view behind the issues. A list's latency counts from the moment when it should have been called. A
hundred issues in a row have the same trace id.`,
		Example: `  go run ./bench lists               # among ten million
  go run ./bench lists --millions 1 --lists 100`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	o.flags(f)
	f.Float64Var(&o.Lists, "lists", 20, "list calls per second")
	f.Float64Var(&o.Seconds, "seconds", 10, "how long each measurement of a round takes")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds; medians are over them")
	return profileFlag(cmd)
}

func (o *listsOptions) check() error {
	return firstOf(o.fillOptions.check(), atLeast("lists", o.Lists, 1), seconds("seconds", o.Seconds), atLeast("rounds", o.Rounds, 1))
}

// What a list call asks for: the limits are those of the JSON API.
const (
	listPage    = 50
	listLooked  = 1000
	listCallers = 4   // at once
	perTrace    = 100 // issues with the same trace id
)

func (o *listsOptions) run(ctx context.Context) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	st, dir, closeStore, err := openEmbedded(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	o.PerTrace = perTrace
	e, err := NewEngine(ctx, engine.Options{Store: st}, o.Workload, o.Callers, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	l := &lister{Workload: o.Workload, store: st, ids: e.keepIDs(o.vouchers())}
	filled, err := o.fill(ctx, e, st.Flush)
	if err != nil {
		return err
	}
	asks := func(rate float64) int64 { return max(int64(rate*o.Seconds), 1) }
	closed, err := e.Run(ctx, asks(filled.PerSecond), st.Flush)
	if err != nil {
		return err
	}
	e.rate = 0.7 * closed.PerSecond
	fmt.Fprintf(o.Out, "closed loop   %s\nopen loop from here on: %.0f issues/s\n", closed, e.rate)
	var alone, beside, ratios, aloneP99, besideP99 []float64
	for k := range o.Rounds {
		a, err := e.Run(ctx, asks(e.rate), st.Flush)
		if err != nil {
			return err
		}
		listed := make(chan error, 1)
		go func() { listed <- l.run(ctx, o.Lists, asks(o.Lists)) }()
		b, err := e.Run(ctx, asks(e.rate), st.Flush)
		if err := errors.Join(err, <-listed); err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "round %d  alone   %s\n         lists   %s  %.3f times the CPU\n", k+1, a, b, b.CPUMicros/a.CPUMicros)
		alone, beside, ratios = append(alone, a.CPUMicros), append(beside, b.CPUMicros), append(ratios, b.CPUMicros/a.CPUMicros)
		aloneP99, besideP99 = append(aloneP99, a.P99Millis), append(besideP99, b.P99Millis)
	}
	r := newResult("lists").number("vouchers", float64(o.vouchers())).number("issues_per_second", closed.PerSecond).number("open_issues_per_second", e.rate).
		number("cpu_us", median(alone)).number("cpu_us_with_lists", median(beside)).number("cpu_with_lists_ratio", median(ratios)).
		number("p99_ms", median(aloneP99)).number("p99_ms_with_lists", median(besideP99))
	l.report(o, r)
	r.print(o.Out)
	return nil
}

// listKinds are the lists, in the order of their turns.
var listKinds = []string{"user", "template", "trace"}

// lister reads pages of lists of vouchers at random places.
type lister struct {
	Workload
	store store.Finder
	ids   []id.ID // of the vouchers, in the order of the asks, which begin with 1

	all    histogram
	ofKind [3]histogram
}

// run makes so many list calls in an open loop.
func (l *lister) run(ctx context.Context, rate float64, calls int64) error {
	start := time.Now()
	return closedLoop(listCallers, 0, calls, 1, func(int) func(int64) error {
		return func(n int64) error {
			kind := int(n) % len(listKinds)
			began := waitDue(start, n, rate)
			err := l.list(ctx, listKinds[kind], rand.Int64N(int64(len(l.ids)))+1)
			latency := time.Since(began)
			l.all.Add(latency)
			l.ofKind[kind].Add(latency)
			return err
		}
	})
}

// list reads a page that begins with the voucher of an ask.
func (l *lister) list(ctx context.Context, kind string, ask int64) error {
	var list vouchers.List
	switch kind {
	case "user":
		u, err := l.store.Recipient(ctx, l.recipient(ask))
		if err != nil {
			return err
		}
		list = vouchers.OfUser(u)
	case "template":
		list = vouchers.OfTemplate(l.template(ask))
	default:
		list = vouchers.WithTrace(l.trace(ask))
	}
	first := l.ids[ask-1]
	page, _, err := list.Page(ctx, l.store, vouchers.Bounds{
		Before: first + 1, Limit: listPage, Looked: listLooked, Match: func(*benefit.Voucher) bool { return true },
	})
	if err == nil && (len(page) == 0 || page[0].ID != first) { //guard:TestListIsChecked
		err = fmt.Errorf("a page of %d vouchers of the %s of ask %d does not begin with voucher %d", len(page), kind, ask, first)
	}
	return err
}

// report prints the latencies, and adds them to a result.
func (l *lister) report(o *listsOptions, r *result) {
	for k, kind := range listKinds {
		fmt.Fprintf(o.Out, "lists of a %-9s p50 %6.2f  p99 %6.2f  max %6.2f ms\n", kind,
			millis(l.ofKind[k].Quantile(0.5)), millis(l.ofKind[k].Quantile(0.99)), millis(l.ofKind[k].Quantile(1)))
		r.number(kind+"_list_p99_ms", millis(l.ofKind[k].Quantile(0.99)))
	}
	r.number("list_p50_ms", millis(l.all.Quantile(0.5))).number("list_p99_ms", millis(l.all.Quantile(0.99))).number("list_max_ms", millis(l.all.Quantile(1)))
}
