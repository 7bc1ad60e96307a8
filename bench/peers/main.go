// Command peers measures what one would write instead of faquan, under one load, and prints a line of JSON for each:
//
//	go run . --callers 256 --seconds 10 --templates 1
//
// The peers are a PostgreSQL transaction per issue, written in two ways (package naive), and a Lua script in Redis
// that syncs before each answer or once in a second (package redisscript). Each is checked after its measurement
// (package peer). README.md describes the flags and the output, which other programs read.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"faquan/bench/peers/naive"
	"faquan/bench/peers/peer"
	"faquan/bench/peers/redisscript"
	"faquan/internal/pgserver"
)

// options are the flags.
type options struct {
	postgres, redisServer, redisClient, peers string
	callers, templates                        int
	connections, redisConnections             int
	users                                     int64
	seconds                                   float64
}

// names are the peers, in the order in which they run.
var names = []string{"naive", "naive-onetrip", "redis-always", "redis-everysec"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

// run measures what the arguments ask for. Its error says which peers did not come to an end or were wrong; their
// lines have been written then.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	if o.postgres == "" && slices.ContainsFunc(o.chosen(), isNaive) {
		server, err := pgserver.Open(pgserver.With("shared_buffers", "256MB"))
		if err != nil {
			return err
		}
		defer server.Close()
		o.postgres = server.URL("postgres")
	}
	var failed []string
	for _, name := range o.chosen() {
		if ctx.Err() != nil {
			failed = append(failed, name+": interrupted")
			continue
		}
		res, err := o.measure(ctx, name)
		if err := json.NewEncoder(out).Encode(res); err != nil {
			return err
		}
		switch {
		case err != nil:
			failed = append(failed, fmt.Sprintf("%s: %v", name, err))
		case !res.Correct:
			failed = append(failed, fmt.Sprintf("%s is wrong: %s", name, strings.Join(res.Wrong, "; ")))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, "\n"))
	}
	return nil
}

func parse(args []string, errs io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.postgres, "postgres", "", "`URL` of a PostgreSQL database; without it a private server is started")
	f.StringVar(&o.redisServer, "redis-server", "redis-server", "the `program` of Redis, which is started for the measurement")
	f.StringVar(&o.peers, "peers", strings.Join(names, ","), "which, with commas between")
	f.IntVar(&o.callers, "callers", 256, "callers at the same time")
	f.Float64Var(&o.seconds, "seconds", 10, "how long each is measured; a tenth more goes before")
	f.IntVar(&o.templates, "templates", 1, "templates, among which the load is spread; 1: a hot one")
	f.Int64Var(&o.users, "users", 1_000_000, "users who receive")
	f.IntVar(&o.connections, "connections", 0, "connections to PostgreSQL; 0: what does best, 8 for one template and 16 for more")
	f.StringVar(&o.redisClient, "redis-client", string(redisscript.AutoPipeline), "how requests reach Redis: autopipeline or pool")
	f.IntVar(&o.redisConnections, "redis-connections", 0, "connections to Redis of the pool; 0: as many as callers")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.connections == 0 {
		o.connections = naive.Connections(o.templates)
	}
	if o.redisConnections == 0 {
		o.redisConnections = o.callers
	}
	return o, o.check(f.Args())
}

func (o *options) check(rest []string) error {
	client := redisscript.Client(o.redisClient)
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.callers < 2:
		return fmt.Errorf("--callers %d: two or more, because the check sends keys twice at once", o.callers)
	case o.seconds <= 0 || o.templates < 1 || o.users < 1 || o.connections < 1 || o.redisConnections < 1:
		return fmt.Errorf("--seconds, --templates, --users and the connections must be above zero")
	case client != redisscript.AutoPipeline && client != redisscript.Pool:
		return fmt.Errorf("--redis-client %q: autopipeline or pool", o.redisClient)
	}
	for _, name := range o.chosen() {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no peer %q; there are: %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

func (o *options) chosen() []string { return strings.Split(o.peers, ",") }

func isNaive(name string) bool { return strings.HasPrefix(name, "naive") }

// measure opens a peer, measures it and closes it.
func (o *options) measure(ctx context.Context, name string) (peer.Result, error) {
	p, err := o.open(ctx, name)
	if err != nil {
		return peer.Result{Peer: name, Error: err.Error(), Wrong: []string{}}, err
	}
	res, err := peer.Measure(ctx, p, peer.Settings{
		Workload: peer.Workload{Templates: o.templates, Users: o.users},
		Callers:  o.callers, For: time.Duration(o.seconds * float64(time.Second)),
	})
	res.Peer = name
	if closing := p.Close(); err == nil {
		err = closing
	}
	return res, err
}

func (o *options) open(ctx context.Context, name string) (peer.Peer, error) {
	client := redisscript.Client(o.redisClient)
	switch name {
	case "naive":
		return naive.OpenTextbook(ctx, o.postgres, o.connections)
	case "naive-onetrip":
		return naive.OpenOneTrip(ctx, o.postgres, o.connections)
	case "redis-always":
		return redisscript.Open(ctx, o.redisServer, redisscript.Always, client, o.redisConnections)
	default:
		return redisscript.Open(ctx, o.redisServer, redisscript.EverySec, client, o.redisConnections)
	}
}
