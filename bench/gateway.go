package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// gatewayOptions are the flags of bench http.
type gatewayOptions struct {
	protocol    string
	store       string // a URL or private; empty: the embedded store
	dir         string
	faquan      string // the program to measure; empty: built from this checkout
	connections int
	rounds      int
	users       int
	seconds     float64 // of each measurement
	metrics     bool
	out         io.Writer
}

func (o *gatewayOptions) check() error {
	return firstOf(atLeast("connections", o.connections, 0), atLeast("rounds", o.rounds, 1), atLeast("users", o.users, 1),
		seconds("seconds", o.seconds))
}

func newHTTP() *cobra.Command {
	var o gatewayOptions
	cmd := &cobra.Command{
		Use:   "http",
		Short: "A gateway of the program faquan, end to end over TCP",
		Long: `Measure a gateway end to end: signed requests over TCP on loopback to a "faquan serve" that is started for it, on a new
data directory. Each issue is durable before it is answered. Requests are signed before the clock starts, and answers
are checked after it has stopped. The load shares the machine.

Each round measures upper bounds, then issues as fast as they go, and then issues at 70 % of that rate, with latencies
counted from the moment at which each request should have been sent. One bound is an empty handler behind the same HTTP
server, in a process of its own, that answers the same bytes. The others are:

--protocol alipay: signing alone, what the machine could answer if nothing else took time. A sample of the answers is
verified.

--protocol top: refusals of a template without stock. The calls are activity.send with hmac-sha256 and one hot template.

With --store the gateway issues on PostgreSQL, in a database that is made for it and dropped again. --faquan measures
another program than that of this checkout, for example an older version.`,
		Example: `  go run ./bench http
  go run ./bench http --protocol top --rounds 9 --seconds 10
  go run ./bench http --protocol top --store private
  go run ./bench http --protocol top --faquan /usr/local/bin/faquan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.out = cmd.OutOrStdout()
			return measureGateway(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.protocol, "protocol", "alipay", "alipay or top")
	storeFlag(f, &o.store)
	dirFlag(f, &o.dir)
	f.StringVar(&o.faquan, "faquan", "", "`FILE` of the program to measure (default: built from this checkout)")
	f.IntVar(&o.connections, "connections", 0, "connections of the load; 0: 64 for alipay, 256 for top, where a call waits for the disk alone")
	f.IntVar(&o.rounds, "rounds", 5, "rounds; medians are over them")
	f.Float64Var(&o.seconds, "seconds", 5, "seconds of each measurement")
	f.BoolVar(&o.metrics, "metrics", false, "measure serve with --metrics-listen")
	f.IntVar(&o.users, "users", 20_000, "top: users, each with a session")
	return cmd
}

// gatewayLoad is what the protocols differ in.
type gatewayLoad struct {
	title  string
	bounds []bound // measured in each round before the issues; shares are of the first one
	// call returns the n-th signed call. It issues a voucher under a key of its own.
	call func(n int) ([]byte, error)
	// check returns how many of the answers it has looked at, and an error if one of them is not that of an issue.
	check func(answers [][]byte) (int, error)
}

// bound is a rate, per second, that issues are compared with.
type bound struct {
	name    string
	measure func() (float64, error)
}

// measureGateway runs the benchmark of one gateway.
func measureGateway(ctx context.Context, o gatewayOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	protocols := map[string]struct {
		connections int
		new         func(*gatewayBench) (catalogue, error)
	}{"alipay": {64, newAlipay}, "top": {256, newTOP}}
	protocol, ok := protocols[o.protocol]
	if !ok {
		return fmt.Errorf("protocol %q is neither alipay nor top", o.protocol)
	}
	if o.dir, err = os.MkdirTemp(o.dir, "faquan-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	b := &gatewayBench{gatewayOptions: o, storeName: "the embedded store"}
	b.loader = loader{disk: o.dir, width: cmp.Or(o.connections, protocol.connections)}
	files, err := protocol.new(b)
	if err != nil {
		return err
	}
	closeStore, err := b.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	if b.program, err = startProgram(ctx, b, files); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.program.stop()) }()
	b.server = b.program.cmd.Process.Pid
	return b.run()
}

// gatewayBench is a benchmark of a gateway under way.
type gatewayBench struct {
	gatewayOptions
	loader
	load     gatewayLoad
	warm     func() error // before the first round; may be nil
	database string       // URL of the database that the program issues on; empty: the embedded store
	program  *program
	empty    *emptyServer

	storeName string   // to show
	next      int      // number of the next call that issues
	calls     [][]byte // the last ones, which the empty handler gets, too
	checked   int      // answers
}

// openStore makes a database if --store asks for one. closeStore removes it.
func (b *gatewayBench) openStore(ctx context.Context) (closeStore func() error, err error) {
	if b.store == "" {
		return func() error { return nil }, nil
	}
	db, err := openPGServer(b.store)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if b.storeName, err = db.Describe(ctx); err != nil {
		return nil, err
	}
	b.disk = db.Dir()
	url, drop, err := db.Database(ctx)
	if err != nil {
		return nil, err
	}
	b.database = url
	return func() error { return errors.Join(drop(), db.Close()) }, nil
}

// gatewayRound are the figures of one round.
type gatewayRound struct {
	bounds     []float64 // per second
	full, open Figures   // as fast as they go, and at 70 % of that rate
}

// openShare is the load of the open loop, as a share of the closed loop's rate.
const openShare = 0.7

// run measures all rounds and reports.
func (b *gatewayBench) run() error {
	fmt.Fprintf(b.out, "%s, %d connections, %d CPUs shared with the load, sync before every issue is answered\non %s\n",
		b.load.title, b.width, runtime.NumCPU(), b.storeName)
	if b.warm != nil {
		if err := b.warm(); err != nil {
			return err
		}
	}
	rate, err := b.start()
	if err != nil {
		return err
	}
	if b.empty != nil {
		defer b.empty.close()
	}
	var rounds []gatewayRound
	for k := range b.rounds {
		r := gatewayRound{}
		for _, bound := range b.load.bounds {
			rate, err := bound.measure()
			if err != nil {
				return err
			}
			r.bounds = append(r.bounds, rate)
		}
		if r.full, _, err = b.issue(int(rate*b.seconds), 0); err != nil {
			return err
		}
		rate = r.full.PerSecond
		if r.open, _, err = b.issue(int(openShare*rate*b.seconds), openShare*rate); err != nil {
			return err
		}
		rounds = append(rounds, r)
		b.printRound(k+1, &r)
	}
	b.printMedians(rounds)
	return nil
}

// start issues for the first time, and starts the empty handler with one of the answers. It returns the rate of issues,
// from which the first round takes how many there shall be.
func (b *gatewayBench) start() (float64, error) {
	f, answers, err := b.issue(16*b.width, 0)
	if err != nil {
		return 0, err
	}
	b.empty, err = startEmptyServer(answers[0])
	return f.PerSecond, err
}

// emptyRate returns the rate of the empty handler.
func (b *gatewayBench) emptyRate() (float64, error) {
	return b.spin(b.empty.address, b.calls, b.seconds, nil)
}

// issue makes calls that issue: as fast as answers come, or at a rate per second.
func (b *gatewayBench) issue(count int, rate float64) (f Figures, answers [][]byte, err error) {
	count = max(count, 1)
	if b.calls, err = signed(b.next, count, b.load.call); err != nil {
		return f, nil, err
	}
	b.next += count
	if rate > 0 {
		f, answers, err = b.openLoop(b.program.address(), b.calls, rate)
	} else {
		f, answers, err = b.closed(b.program.address(), b.calls)
	}
	if err != nil {
		return f, nil, err
	}
	checked, err := b.load.check(answers)
	b.checked += checked
	return f, answers, err
}

// signed returns the calls with the numbers first and following, made on all CPUs.
func signed(first, count int, call func(n int) ([]byte, error)) ([][]byte, error) {
	all, errs := make([][]byte, count), make([]error, runtime.NumCPU())
	each(len(errs), func(c int) {
		for k := c; k < count && errs[c] == nil; k += len(errs) {
			all[k], errs[c] = call(first + k)
		}
	})
	return all, errors.Join(errs...)
}

func (b *gatewayBench) printRound(number int, r *gatewayRound) {
	fmt.Fprintf(b.out, "\nround %d\n", number)
	for k, bound := range b.load.bounds {
		fmt.Fprintf(b.out, "  %-15s %8.0f /s   %.2f\n", bound.name, r.bounds[k], r.bounds[k]/r.bounds[0])
	}
	fmt.Fprintf(b.out, "  %-15s %s   %.2f of %s\n", "issues", r.full, r.full.PerSecond/r.bounds[0], b.load.bounds[0].name)
	fmt.Fprintf(b.out, "  %-15s %s\n", "open loop", r.open)
}

func (b *gatewayBench) printMedians(rounds []gatewayRound) {
	over := func(figure func(r *gatewayRound) float64) float64 {
		var all []float64
		for k := range rounds {
			all = append(all, figure(&rounds[k]))
		}
		return median(all)
	}
	rate := over(func(r *gatewayRound) float64 { return r.full.PerSecond })
	share := over(func(r *gatewayRound) float64 { return r.full.PerSecond / r.bounds[0] })
	p99 := over(func(r *gatewayRound) float64 { return r.open.P99Millis })
	fmt.Fprintf(b.out, "\nmedian %.0f issues/s, %.2f of %s; p99 at 70 %% load %.2f ms; %d answers checked\n",
		rate, share, b.load.bounds[0].name, p99, b.checked)
	result := newResult("http").text("protocol", b.protocol).text("store", storeKind(b.store)).
		number("issues_per_second", rate).number("cpu_us", over(func(r *gatewayRound) float64 { return r.full.CPUMicros })).
		number("p99_ms_at_70_percent", p99).number("issues_of_"+slug(b.load.bounds[0].name), share)
	for k, bound := range b.load.bounds[1:] {
		result.number(slug(bound.name)+"_of_"+slug(b.load.bounds[0].name), over(func(r *gatewayRound) float64 { return r.bounds[k+1] / r.bounds[0] }))
	}
	result.print(b.out)
}
