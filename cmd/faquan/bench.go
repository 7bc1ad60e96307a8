package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/bench"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay/wire"
)

func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: the engine, and the gateway end to end",
		Long: `Measure faquan on this machine, beside the alternatives and ceilings in the same run.

Compare ratios and not figures between machines; and do nothing else on the machine meanwhile.`,
	}
	cmd.AddCommand(newBenchEngine(), newBenchHTTP(), newBenchStart())
	return cmd
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

func newBenchHTTP() *cobra.Command {
	o := bench.HTTPOptions{}
	dir := ""
	cmd := &cobra.Command{
		Use:   "http",
		Short: "The Alipay gateway end to end, over TCP on this machine",
		Long: `The Alipay gateway end to end: signed requests over TCP, issues durable before they are answered, signed answers.

Requests are signed before the clock starts, and answers are verified by sample after it stopped. Each round measures,
one after the other: signing alone (what the machine could answer if nothing else cost anything), an empty handler of
the same HTTP server, issues as fast as they go, and issues at 70 % of that rate with latencies counted from the moment
when each request should have been sent. The load shares the machine.`,
		Example: `  faquan bench http
  faquan bench http --rounds 9 --seconds 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return benchHTTP(cmd.Context(), dir, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "`DIR`ectory for the store, on the disk to measure (default: the system's for temporary files)")
	f.IntVar(&o.Connections, "connections", 64, "connections of the load")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds; medians are over them")
	f.Float64Var(&o.Seconds, "seconds", 5, "seconds of each measurement")
	return cmd
}

// benchCatalogue has one hot template and one app; %s is the app's public key.
const benchCatalogue = `
merchants: [{name: bench, recipients: open}]
apps:
  - {name: bench, merchant: bench, app_id: "2026000000000001", public_key: %q}
templates:
  - name: hot
    merchant: bench
    title: hot
    kind: REDUCTION
    template_id: BENCH-HOT
    reduction: "10.50"
    threshold: "100"
    publish: {start: 2022-01-01 00:00:00, end: 2050-12-31 23:59:59}
    valid: {days: 30}
    status: ACTIVE
`

// benchHTTP serves a platform of its own and puts the load on it.
func benchHTTP(ctx context.Context, dir string, o bench.HTTPOptions) (err error) {
	if dir, err = os.MkdirTemp(dir, "faquan-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.AppKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&o.AppKey.PublicKey)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(benchCatalogue, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	c := config.Default()
	c.Data, c.Listen = dir, "127.0.0.1:0"
	s, err := startServer(ctx, &c, serverOptions{
		log: slog.New(slog.DiscardHandler), document: &control.Document{Name: "bench", Text: []byte(text)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	empty, stopEmpty, err := serveEmpty()
	if err != nil {
		return err
	}
	defer stopEmpty()
	key, err := s.desk.PrivateKey(ctx)
	if err != nil {
		return err
	}
	if o.Signer, err = wire.NewKeySigner(key); err != nil {
		return err
	}
	o.Address, o.Empty, o.Dir = strings.TrimPrefix(s.url, "http://"), empty, dir
	o.AppID, o.TemplateID, o.Gateway = "2026000000000001", "BENCH-HOT", &key.PublicKey
	return bench.RunHTTP(o)
}

// serveEmpty serves a handler that reads the request and answers as many bytes as an issue does.
func serveEmpty() (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	answer := []byte(strings.Repeat("x", 560))
	server := gateway.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(answer)
	}), gateway.ServerLimits{}, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), func() { _ = server.Close() }, nil
}
