package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/rule"
)

// decideOptions are the flags of bench decide.
type decideOptions struct {
	Dir        string // for the store, which is removed afterwards
	Callers    int    // in a closed loop
	Users      int
	Activities int // of the scene, each with a rule and a right of its own
	Holding    int // how many of their rules hold
	Rounds     int
	Requests   int // of each measurement
	Out        io.Writer
}

func (o *decideOptions) check() error {
	if o.Holding < 1 || o.Holding > o.Activities {
		return fmt.Errorf("--holding %d: must be 1 to --activities, %d", o.Holding, o.Activities)
	}
	return firstOf(atLeast("callers", o.Callers, 1), atLeast("users", o.Users, 1), atLeast("rounds", o.Rounds, 1),
		atLeast("requests", o.Requests, 1))
}

// The catalogue of the benchmark: one plain template, and a scene of activities.
const (
	decideScene = "BENCH"
	decideFirst = benefit.UserID(1 << 40) // the users have consecutive ids, as no generator makes them
)

func newDecide() *cobra.Command {
	o := decideOptions{}
	cmd := &cobra.Command{
		Use:   "decide",
		Short: "What a decision among activities with rules costs on top of an issue",
		Long: `Measure what a decision costs: the same users receive one right that the request names, and then one that a scene
chooses among its activities, each with a rule over the user's attributes and a right of its own. All rights have room;
--holding is the number of rules that hold. Both go through the core and the embedded store and are durable before they
are answered; they take turns, and the difference of their CPU times is the decision.`,
		Example: `  go run ./bench decide
  go run ./bench decide --holding 3
  go run ./bench decide --activities 5 --holding 5 --cpuprofile decide.prof`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return measureDecisions(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	dirFlag(f, &o.Dir)
	f.IntVar(&o.Callers, "callers", 256, "callers in the closed loop")
	f.IntVar(&o.Users, "users", 20_000, "users, who are known and have attributes")
	f.IntVar(&o.Activities, "activities", 20, "activities of the scene")
	f.IntVar(&o.Holding, "holding", 20, "activities whose rules hold for a user, the last ones of the scene")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds; medians are over them")
	f.IntVar(&o.Requests, "requests", 200_000, "requests of each measurement")
	return profileFlag(cmd)
}

// measureDecisions measures what a decision costs on top of an issue. Each round issues the one right that a request names,
// and then the one that a scene chooses among its activities by their rules, through the same core and store. The
// activities whose rules hold are the last ones, and the last has the greatest priority, so that nothing is left out.
func measureDecisions(ctx context.Context, o decideOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	st, dir, closeStore, err := openEmbedded(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	issuer, stop, err := startEngine(ctx, engine.Options{Store: st, Rules: rule.New()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	d := &decideBench{decideOptions: o, meter: newMeter(dir), engine: issuer}
	if err := d.fill(ctx); err != nil {
		return err
	}
	return d.report(ctx)
}

type decideBench struct {
	decideOptions
	meter  meter
	engine *engine.Engine
	next   int64
}

func (d *decideBench) report(ctx context.Context) error {
	fmt.Fprintf(d.Out, "%d activities with a rule each, of which %d hold, %d known users, %d callers, %d CPUs\n", d.Activities, d.Holding, d.Users, d.Callers, runtime.NumCPU())
	var plain, chosen, more []float64
	for k := range d.Rounds {
		p, err := d.measure(ctx, d.plain)
		if err != nil {
			return err
		}
		c, err := d.measure(ctx, d.decision)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.Out, "round %d\n  plain issue  %s\n  decision     %s   %+.1f µs CPU\n", k+1, p, c, c.CPUMicros-p.CPUMicros)
		plain, chosen, more = append(plain, p.CPUMicros), append(chosen, c.CPUMicros), append(more, c.CPUMicros-p.CPUMicros)
	}
	fmt.Fprintf(d.Out, "\nmedian CPU: plain %.1f µs, with a decision %.1f µs; the decision costs %.1f µs\n", median(plain), median(chosen), median(more))
	newResult("decide").number("plain_cpu_us", median(plain)).number("decision_cpu_us", median(chosen)).
		number("difference_cpu_us", median(more)).print(d.Out)
	return nil
}

// fill puts the catalogue and the users into the store.
func (d *decideBench) fill(ctx context.Context) error {
	if err := change(ctx, d.engine, d.catalogue()); err != nil {
		return err
	}
	const chunk = 2000
	for first := 0; first < d.Users; first += chunk {
		c := &benefit.Changes{}
		for n := first; n < min(first+chunk, d.Users); n++ {
			u := &benefit.User{
				ID: decideFirst + id.ID(n), Alipay: decideUser(n), Attributes: fmt.Appendf(nil, `{"city":"杭州","level":%d,"vip":true}`, 10+n%10),
			}
			u.Identifiers = []benefit.Identifier{{Type: benefit.AlipayID, Value: u.Alipay}}
			c.Users = append(c.Users, u)
		}
		if err := change(ctx, d.engine, c); err != nil {
			return err
		}
	}
	return nil
}

func decideUser(n int) string { return strconv.Itoa(2_088_000_000_000_000 + n) }

func (d *decideBench) catalogue() *benefit.Changes {
	changes := &benefit.Changes{Catalogue: 1}
	add := func(v any) { addEntity(changes, v) }
	add(&benefit.Merchant{ID: 1, Name: "bench", Open: true})
	add(&benefit.App{ID: 1, Name: "bench", Merchant: 1})
	for t := 1; t <= d.Activities+1; t++ {
		add(&benefit.Template{
			ID: benefit.TemplateID(t), Name: "t" + strconv.Itoa(t), Merchant: 1, RightID: int64(t),
			Kind: benefit.Reduction, Face: benefit.Face{Reduction: 1050, Threshold: 10000},
			Valid: benefit.Validity{ForMillis: 30 * 24 * 3600 * 1000}, Stock: benefit.UnlimitedStock(),
			Limits: benefit.Limits{PerUser: 1_000_000}, Status: benefit.Active,
		})
	}
	scene := &benefit.Scene{ID: 1, Name: "bench", Merchant: 1, SceneCode: decideScene, Strategy: benefit.ChooseFirst, Status: benefit.Active}
	for a := 1; a <= d.Activities; a++ {
		city := "杭州"
		if a <= d.Activities-d.Holding {
			city = "上海"
		}
		add(&benefit.Activity{
			ID: benefit.ActivityID(a), Name: "a" + strconv.Itoa(a), Merchant: 1, ActCode: "act-" + strconv.Itoa(a),
			Status: benefit.Active, Priority: int64(a),
			Rule:  fmt.Sprintf(`user.level >= %d && user.city == %q && request.biz_code == "BIZ"`, a%10, city),
			Items: []benefit.Item{{Template: benefit.TemplateID(a + 1), MaxSends: 1, Quantity: 1}},
		})
		scene.Activities = append(scene.Activities, benefit.SceneEntry{Activity: benefit.ActivityID(a)})
	}
	add(scene)
	return changes
}

// request returns what both kinds of requests have.
func (d *decideBench) request(n int) *benefit.Request {
	return &benefit.Request{
		Scope: scope.Biz(1, "BIZ"), Key: "bench-" + strconv.Itoa(n), App: 1,
		Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: decideUser(n * 611_953 % d.Users)},
	}
}

// plain names the right.
func (d *decideBench) plain(n int) *benefit.Request {
	r := d.request(n)
	r.Lines = []benefit.Line{{Template: 1, Sends: 1, Quantity: 1}}
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	return r
}

// decision leaves the right to the scene.
func (d *decideBench) decision(n int) *benefit.Request {
	r := d.request(n)
	r.Continues = true
	r.Params = benefit.Params{SceneCode: decideScene, BizCode: "BIZ"}
	r.Fingerprint = benefit.FingerprintOf(nil, decideScene)
	return r
}

// measure makes the requests of one kind in a closed loop.
func (d *decideBench) measure(ctx context.Context, ask func(n int) *benefit.Request) (Figures, error) {
	var latency histogram
	first := d.next
	d.next += int64(d.Requests)
	one := func(n int64) error {
		request := ask(int(n))
		began := time.Now()
		outcome, err := d.engine.Issue(ctx, request)
		latency.Add(time.Since(began))
		if err == nil && (outcome.Reason != benefit.NotRefused || len(outcome.Lines) != 1 || outcome.Lines[0].Issued != 1) {
			err = fmt.Errorf("request %d: %s, %d lines", n, outcome.Reason, len(outcome.Lines))
		}
		return err
	}
	from := d.meter.read()
	err := closedLoop(d.Callers, first, d.next, 1, func(int) func(int64) error { return one })
	return figures(from, d.meter.read(), int64(d.Requests), &latency), err
}
