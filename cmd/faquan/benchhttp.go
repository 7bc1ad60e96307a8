package main

import (
	"bytes"
	"cmp"
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
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/bench"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay/wire"
)

func newBenchHTTP() *cobra.Command {
	var o benchLoad
	protocol := ""
	cmd := &cobra.Command{
		Use:   "http",
		Short: "A gateway end to end, over TCP on this machine",
		Long: `A gateway end to end: signed requests over TCP, issues durable before they are answered. Requests are signed before
the clock starts, and answers are looked at after it stopped. The load shares the machine.

--protocol alipay: each round measures, one after the other: signing alone (what the machine could answer if nothing
else cost anything), an empty handler of the same HTTP server, issues as fast as they go, and issues at 70 % of that
rate with latencies counted from the moment when each request should have been sent. Answers are verified by sample.

--protocol top: activity.send with hmac-sha256, one hot template. Each round measures an empty handler of the same HTTP
server that answers the same bytes, the gateway with an issuer that issues nothing, answers that the stock is empty,
issues as fast as they go, and issues at 70 % of that rate.

With --store the gateway issues on PostgreSQL, in a database that is made for it and dropped again.`,
		Example: `  faquan bench http
  faquan bench http --protocol top --rounds 9 --seconds 10
  faquan bench http --protocol top --store private`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.out = cmd.OutOrStdout()
			switch protocol {
			case "alipay":
				o.connections = cmp.Or(o.connections, 64)
				return benchAlipay(cmd.Context(), &o)
			case "top":
				o.connections = cmp.Or(o.connections, 256)
				return benchTOP(cmd.Context(), &o)
			}
			return fmt.Errorf("protocol %q is neither alipay nor top", protocol)
		},
	}
	f := cmd.Flags()
	f.StringVar(&protocol, "protocol", "alipay", "alipay or top")
	storeOfBench(f, &o.store)
	f.StringVar(&o.dir, "dir", "", "`DIR`ectory for the store, on the disk to measure (default: the system's for temporary files)")
	f.IntVar(&o.connections, "connections", 0, "connections of the load; 0: 64 for alipay, 256 for top, where nothing but the disk makes a call wait")
	f.IntVar(&o.rounds, "rounds", 5, "rounds; medians are over them")
	f.Float64Var(&o.seconds, "seconds", 5, "seconds of each measurement")
	f.BoolVar(&o.metrics, "metrics", false, "measure as serve does with --metrics-listen")
	f.IntVar(&o.users, "users", 20_000, "top: users, each with a session")
	return cmd
}

// benchLoad is what a benchmark of a gateway is told.
type benchLoad struct {
	store                      string // a URL or bench.Private; empty: the embedded store
	dir                        string
	connections, rounds, users int
	seconds                    float64
	metrics                    bool
	out                        io.Writer

	name string // of the store, to show
	disk string // where the store lies, for the bytes written; empty when that is not known
}

// serve starts a server of the benchmark's own on a catalogue, in a new directory or database, and calls fn with it.
func (o *benchLoad) serve(ctx context.Context, catalogue string, fn func(*server, *config.Config) error) (err error) {
	if o.dir, err = os.MkdirTemp(o.dir, "faquan-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	c := config.Default()
	c.Data, c.Listen = o.dir, "127.0.0.1:0"
	if o.metrics {
		c.Metrics.Listen = "127.0.0.1:0"
	}
	closeStore, err := o.openStore(ctx, &c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	s, err := startServer(ctx, &c, serverOptions{
		log: slog.New(slog.DiscardHandler), document: &control.Document{Name: "bench", Text: []byte(catalogue)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return fn(s, &c)
}

// openStore makes the database, if it shall be one, and removes it in the end.
func (o *benchLoad) openStore(ctx context.Context, c *config.Config) (closeStore func() error, err error) {
	o.name, o.disk = "the embedded store", o.dir
	if o.store == "" {
		return func() error { return nil }, nil
	}
	db, err := bench.OpenServer(o.store)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if o.name, err = db.Describe(ctx); err != nil {
		return nil, err
	}
	o.disk = db.Dir()
	at, drop, err := db.Database(ctx)
	if err != nil {
		return nil, err
	}
	c.Store = at
	return func() error { return errors.Join(drop(), db.Close()) }, nil
}

// serveHandler serves a handler as the gateways are.
func serveHandler(h http.Handler) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := gateway.NewServer(h, gateway.ServerLimits{}, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), func() { _ = server.Close() }, nil
}

// emptyHandler reads the request and answers, and does nothing else.
func emptyHandler(contentType string, answer []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	})
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

// benchAlipay serves a platform of its own and puts the load on its Alipay gateway.
func benchAlipay(ctx context.Context, load *benchLoad) error {
	o := bench.HTTPOptions{Connections: load.connections, Rounds: load.rounds, Seconds: load.seconds, Out: load.out}
	var err error
	if o.AppKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&o.AppKey.PublicKey)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(benchCatalogue, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return load.serve(ctx, text, func(s *server, _ *config.Config) error {
		empty, stopEmpty, err := serveHandler(emptyHandler("application/json", bytes.Repeat([]byte("x"), 560)))
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
		o.Address, o.Empty, o.Dir = strings.TrimPrefix(s.url, "http://"), empty, load.disk
		o.Store = load.name
		o.AppID, o.TemplateID, o.Gateway = "2026000000000001", "BENCH-HOT", &key.PublicKey
		return bench.RunHTTP(o)
	})
}
