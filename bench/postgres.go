package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"time"

	"faquan/internal/engine"
	"faquan/internal/store/postgres"
)

// postgresOptions are the flags of bench engine --store.
type postgresOptions struct {
	Workload
	Store     string // the URL of a database, or Private
	Processes []int  // how many processes issue at once, one measurement for each
	// Committers of each process: see engine.Options.
	Committers int
	Callers    int   // of all processes together, but at least minCallers each
	Rounds     int   // of the comparison; 0: none. Each measures all of Processes and all peers, one after the other
	Asks       int64 // of one measurement; a tenth as many go before it, unmeasured
	Millions   int   // how large a database gets for the cost at its size; 0: not measured
	Step       int64 // asks in one step of that; a million, but for trying things

	Peers       string   // the directory bench/peers, or the program built from it; empty: none
	PeerNames   []string // which of them
	PeerSeconds float64  // how long a peer is measured in a round

	Profile  string    // file of a CPU profile; workers have their own, with a number at the end
	Out      io.Writer // the report
	Progress io.Writer // what is under way, for whoever waits
}

// minCallers is the number of callers that a process has at least: with fewer its batches stay small.
const minCallers = 128

// maxProcesses is a bound for slips of the finger.
const maxProcesses = 64

func (o *postgresOptions) check() error {
	for _, n := range o.Processes {
		w := o.Workload
		w.Processes = n
		if n < 1 || n > maxProcesses {
			return fmt.Errorf("--processes %d: must be 1 to %d", n, maxProcesses)
		}
		if err := w.Check(); err != nil {
			return err
		}
	}
	if len(o.Processes) == 0 {
		return errors.New("--processes: must have a number")
	}
	if err := firstOf(atLeast("callers", o.Callers, 1), atLeast("committers", o.Committers, 1), atLeast("asks", o.Asks, 1),
		atLeast("step", o.Step, 1), atLeast("rounds", o.Rounds, 0), atLeast("millions", o.Millions, 0)); err != nil {
		return err
	}
	if o.Peers != "" {
		if err := seconds("peer-seconds", o.PeerSeconds); err != nil {
			return err
		}
	}
	for _, name := range o.PeerNames {
		if !slices.Contains(PeerNames, name) {
			return fmt.Errorf("no peer %q; there are %v", name, PeerNames)
		}
	}
	return nil
}

// pgBench is such a run.
type pgBench struct {
	postgresOptions
	server *pgServer
	peers  *peers           // nil: none
	failed map[string]error // of peers
	result *result

	profiles int // of workers
}

// workerArgs returns the arguments of the next worker.
func (b *pgBench) workerArgs() []string {
	if b.Profile == "" {
		return nil
	}
	b.profiles++
	return []string{"--cpuprofile", fmt.Sprintf("%s.%d", b.Profile, b.profiles)}
}

// measurePostgres measures the core on PostgreSQL, in one and in several processes, beside the peers, and then as the
// database grows. A peer that fails is left out and is part of the error in the end.
func measurePostgres(ctx context.Context, o postgresOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	b := &pgBench{postgresOptions: o, failed: map[string]error{}, result: newResult("engine").text("store", "postgres")}
	if o.Peers != "" && o.Rounds > 0 {
		b.progress("building the peers")
		if b.peers, err = openPeers(ctx, o.Peers, &o); err != nil {
			return err
		}
		defer b.peers.remove()
	}
	if b.server, err = openPGServer(o.Store); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Close()) }()
	if err := b.head(ctx); err != nil {
		return err
	}
	err = b.compare(ctx)
	if ctx.Err() == nil {
		err = errors.Join(err, b.grow(ctx))
	}
	if err == nil {
		b.result.print(b.Out)
	}
	return errors.Join(err, errors.Join(slices.Collect(maps.Values(b.failed))...))
}

func (b *pgBench) progress(format string, args ...any) {
	fmt.Fprintf(b.Progress, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// head prints what is measured, and on what.
func (b *pgBench) head(ctx context.Context) error {
	server, err := b.server.Describe(ctx)
	if err != nil {
		return err
	}
	users := "each user has one process"
	if b.SharedUsers {
		users = "every process asks for every user"
	}
	fmt.Fprintf(b.Out, "%s\n%d callers, at least %d in each process, %d users with a limit of %d per template, %s, %s, one ask in %d a retry; %d committers in each process; %d CPUs, %s/%s\n",
		server, b.Callers, min(minCallers, b.Callers), b.Users, b.PerUser, templatesText(b.Templates), users, b.RetryEvery, b.Committers, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// measured are the figures of one measurement. What could not be seen is 0.
type measured struct {
	Figures              // by the wall clock from the first to the last; CPU of all processes of faquan, callers included
	ServerMicros float64 // CPU of the server, per issue
	WALBytes     float64 // per issue
	SizeBytes    float64 // by which the database has grown, per issue
	BatchSize    float64 // issues in a commit
	Conflicts    int64   // batches that were decided again because another process was first
	Again        int64   // retries of asks that were answered with an error to retry
	Uneven       float64 // how much longer the last process took than the first; 0: as long
	Checkpoint   time.Duration
}

// String returns the figures on one line.
func (m *measured) String() string {
	line := fmt.Sprintf("%s  server %s µs CPU, %.0f B WAL, grew %.0f B; %.0f issues in a commit, %d conflicts",
		m.Figures, tenths(m.ServerMicros), m.WALBytes, m.SizeBytes, m.BatchSize, m.Conflicts)
	if m.Again > 0 {
		line += fmt.Sprintf(", %d retries", m.Again)
	}
	if m.Uneven > 0.1 {
		line += fmt.Sprintf(", the slowest process took %.0f %% longer", 100*m.Uneven)
	}
	return line
}

// in makes a database with the workload's catalogue, starts the workers on it, and calls fn with them.
func (b *pgBench) in(ctx context.Context, processes int, fn func(url string, c crew) error) (err error) {
	url, drop, err := b.server.Database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	w := b.Workload
	w.Processes = processes
	if err := offer(ctx, url, w); err != nil {
		return err
	}
	callers := min(max(b.Callers/processes, minCallers), b.Callers)
	c, err := startCrew(workerTask{URL: url, Workload: w, Callers: callers, Committers: b.Committers}, b.workerArgs)
	if err != nil {
		return err
	}
	defer c.close()
	stop := context.AfterFunc(ctx, func() { // an interrupt ends the workers, which ends their reports
		for _, w := range c {
			_ = w.in.Close()
		}
	})
	defer stop()
	return fn(url, c)
}

// offer makes the schema and puts the catalogue into it.
func offer(ctx context.Context, url string, w Workload) error {
	db, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return err
	}
	engine, err := NewEngine(ctx, engine.Options{Store: db}, w, 0, "")
	if err == nil {
		err = engine.Close()
	}
	return errors.Join(err, db.Close())
}

// stretch measures so many asks of a crew. What the server has to write for them afterwards counts as bytes and
// processor time, but not as time.
func (b *pgBench) stretch(ctx context.Context, url string, c crew, asks int64) (*measured, error) {
	from, err := b.server.usage(ctx, url)
	if err != nil {
		return nil, err
	}
	wall, reports, err := c.run(asks)
	if err != nil {
		return nil, err
	}
	m := sum(wall, reports)
	if m.Checkpoint, err = b.server.checkpoint(ctx); err != nil {
		return nil, err
	}
	to, err := b.server.usage(ctx, url)
	n := float64(max(m.Issues, 1))
	m.ServerMicros = float64((to.cpu - from.cpu).Microseconds()) / n
	m.WriteBytes, m.WALBytes, m.SizeBytes = float64(to.written-from.written)/n, float64(to.wal-from.wal)/n, float64(to.size-from.size)/n
	if m.Issues != asks {
		err = errors.Join(err, fmt.Errorf("%d asks were answered, want %d", m.Issues, asks))
	}
	return m, err
}

// sum puts the reports of the workers together.
func sum(wall time.Duration, reports []workerReport) *measured {
	var (
		m       measured
		latency histogram
		cpu     time.Duration
		batches int64
		seconds []float64
	)
	for _, r := range reports {
		latency.merge(r.Latency)
		cpu += r.CPU
		batches += r.Batches
		m.Issues, m.Conflicts, m.Again = m.Issues+r.Issues, m.Conflicts+r.Conflicts, m.Again+r.Again
		seconds = append(seconds, r.Seconds)
	}
	began := time.Time{}
	m.Figures = figures(usage{at: began}, usage{at: began.Add(wall), cpu: cpu}, m.Issues, &latency)
	m.BatchSize = float64(m.Issues) / float64(max(batches, 1))
	m.Uneven = slices.Max(seconds)/slices.Min(seconds) - 1
	return &m
}

// pgRound are the figures of one round.
type pgRound struct {
	own   map[int]*measured // by the number of processes
	peers map[string]peerResult
}

// compare measures each number of processes on a new database, and the peers, round by round. When a round fails, those
// before it are reported all the same.
func (b *pgBench) compare(ctx context.Context) error {
	var rounds []pgRound
	defer func() { b.printComparison(rounds) }()
	for k := range b.Rounds {
		r := pgRound{map[int]*measured{}, map[string]peerResult{}}
		fmt.Fprintf(b.Out, "\nround %d\n", k+1)
		for _, n := range b.Processes {
			b.progress("round %d of %d: faquan in %s", k+1, b.Rounds, processesText(n))
			m, err := b.fresh(ctx, n)
			if err != nil {
				return err
			}
			r.own[n] = m
			fmt.Fprintf(b.Out, "  faquan, %-12s %s\n", processesText(n), m)
		}
		if err := b.measurePeers(ctx, k, &r); err != nil {
			return err
		}
		rounds = append(rounds, r)
	}
	return nil
}

// fresh measures on a database of its own, in which a tenth as many asks were made before.
func (b *pgBench) fresh(ctx context.Context, processes int) (m *measured, err error) {
	err = b.in(ctx, processes, func(url string, c crew) error {
		if _, _, err := c.run(max(b.Asks/10, 1)); err != nil {
			return err
		}
		if _, err := b.server.checkpoint(ctx); err != nil {
			return err
		}
		m, err = b.stretch(ctx, url, c, b.Asks)
		return err
	})
	return m, err
}

// measurePeers measures each peer once. One that fails once is not tried again.
func (b *pgBench) measurePeers(ctx context.Context, round int, r *pgRound) error {
	if b.peers == nil {
		return nil
	}
	names := b.PeerNames
	if len(names) == 0 {
		names = PeerNames
	}
	for _, name := range names {
		if b.failed[name] != nil {
			continue
		}
		b.progress("round %d of %d: %s", round+1, b.Rounds, name)
		p, err := b.peers.measure(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.progress("%v", err)
			b.failed[name] = err
			continue
		}
		r.peers[name] = p
		fmt.Fprintf(b.Out, "  %-20s %8.0f issues/s  %6.1f µs CPU with the server  p50 %6.2f  p99 %6.2f ms\n", name, p.PerSecond, p.cpuMicros(), p.P50Millis, p.P99Millis)
	}
	return nil
}

// grow measures how the cost of an issue changes as the database gets larger, with the first number of processes.
func (b *pgBench) grow(ctx context.Context) error {
	if b.Millions == 0 {
		return nil
	}
	n := b.Processes[0]
	fmt.Fprintf(b.Out, "\nas the database grows, %s, %s, %d asks in a step\n", processesText(n), templatesText(b.Templates), b.Step)
	return b.in(ctx, n, func(url string, c crew) error {
		var steps []*measured
		defer func() { b.printGrowth(steps) }()
		for k := range b.Millions {
			b.progress("step %d of %d", k+1, b.Millions)
			m, err := b.stretch(ctx, url, c, b.Step)
			if err != nil {
				return err
			}
			steps = append(steps, m)
			fmt.Fprintf(b.Out, "  step %d  %s; checkpoint after it %.1f s\n", k+1, m, m.Checkpoint.Seconds())
		}
		return nil
	})
}
