package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Settings say how a peer is loaded.
type Settings struct {
	Workload
	Callers int           // each sends its next request when it has the answer to the last
	For     time.Duration // how long is measured; a tenth of it goes before, unmeasured
}

// Result is one line of the command's output. Its fields are described in README.md and only ever added to.
type Result struct {
	Peer       string            `json:"peer"`
	How        string            `json:"how"`
	Callers    int               `json:"callers"`
	Templates  int               `json:"templates"`
	Users      int64             `json:"users"`
	Seconds    float64           `json:"seconds"`
	Issues     int64             `json:"issues"`
	PerSecond  float64           `json:"issues_per_second"`
	P50Millis  float64           `json:"p50_ms"`
	P99Millis  float64           `json:"p99_ms"`
	ClientCPU  float64           `json:"client_cpu_seconds"`
	ServerCPU  *float64          `json:"server_cpu_seconds"` // null: not to be seen
	Synced     bool              `json:"synced"`
	Durability string            `json:"durability"`
	Correct    bool              `json:"correct"`
	Wrong      []string          `json:"wrong"` // at most maxWrong; empty when correct
	Error      string            `json:"error,omitempty"`
	Settings   map[string]string `json:"settings"`
}

// run is a measurement under way.
type run struct {
	Settings
	peer Peer

	next  atomic.Int64 // the load's next request
	acks  []acked      // of each caller
	found *findings
}

// acked is what one caller was told.
type acked struct {
	issued    []int64 // numbers of requests
	latencies []time.Duration
}

// Measure offers the templates to a fresh peer, probes it, loads it and checks it. Its error is one that ended the
// measurement; what the peer did wrong is in the result.
func Measure(ctx context.Context, p Peer, s Settings) (Result, error) {
	r := &run{Settings: s, peer: p, acks: make([]acked, s.Callers), found: &findings{}}
	r.next.Store(probeKeys)
	res := Result{Callers: s.Callers, Templates: s.Templates, Users: s.Users, Wrong: []string{}}
	err := r.all(ctx, &res)
	if err != nil {
		res.Error = err.Error()
	}
	res.Wrong = append(res.Wrong, r.found.list...)
	res.Correct = err == nil && len(res.Wrong) == 0
	return res, err
}

func (r *run) all(ctx context.Context, res *Result) error {
	if err := r.peer.Offer(ctx, r.Offer()); err != nil {
		return fmt.Errorf("offering the templates: %w", err)
	}
	about, err := r.peer.About(ctx)
	if err != nil {
		return err
	}
	res.Peer, res.How, res.Settings = about.Name, about.How, about.Settings
	res.Synced, res.Durability = about.Synced, about.Durability
	if err := r.probe(ctx); err != nil {
		return fmt.Errorf("probing: %w", err)
	}
	if err := r.load(ctx, r.For/10); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	before := r.usage()
	if err := r.load(ctx, r.For); err != nil {
		return fmt.Errorf("measuring: %w", err)
	}
	r.figures(before, r.usage(), res)
	return r.check(ctx)
}

// each runs fn for every caller at once and waits.
func (r *run) each(fn func(caller int) error) error {
	errs := make([]error, r.Callers)
	var all sync.WaitGroup
	for c := range r.Callers {
		all.Go(func() { errs[c] = fn(c) })
	}
	all.Wait()
	if k := slices.IndexFunc(errs, func(err error) bool { return err != nil }); k >= 0 {
		return errs[k] // one is enough: when a server is gone, all callers say so
	}
	return nil
}

// load lets all callers ask for so long.
func (r *run) load(ctx context.Context, d time.Duration) error {
	for c := range r.acks {
		r.acks[c].latencies = r.acks[c].latencies[:0]
	}
	until := time.Now().Add(d)
	return r.each(func(c int) error {
		mine := &r.acks[c]
		for began := time.Now(); began.Before(until); {
			n := r.next.Add(1) - 1
			answer, err := r.peer.Issue(ctx, r.Request(n))
			if err != nil {
				return err
			}
			if answer != Issued {
				r.found.add("request %d of the load: %s, want issued", n, answer)
				return errors.New("a request of the load was not issued")
			}
			now := time.Now()
			mine.issued = append(mine.issued, n)
			mine.latencies = append(mine.latencies, now.Sub(began))
			began = now
		}
		return nil
	})
}

// usage is what has been used until a moment.
type usage struct {
	at             time.Time
	client, server time.Duration
	seen           bool // the server's
}

func (r *run) usage() usage {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		panic(err) // it fails for a bad address only
	}
	u := usage{client: time.Duration(own.Utime.Nano() + own.Stime.Nano())}
	u.server, u.seen = r.peer.ServerCPU()
	u.at = time.Now()
	return u
}

func (r *run) figures(from, to usage, res *Result) {
	var all []time.Duration
	for _, a := range r.acks {
		all = append(all, a.latencies...)
	}
	slices.Sort(all)
	res.Issues, res.Seconds = int64(len(all)), to.at.Sub(from.at).Seconds()
	res.PerSecond = float64(res.Issues) / res.Seconds
	res.P50Millis, res.P99Millis = quantile(all, 50), quantile(all, 99)
	res.ClientCPU = (to.client - from.client).Seconds()
	if from.seen && to.seen {
		cpu := (to.server - from.server).Seconds()
		res.ServerCPU = &cpu
	}
}

// quantile returns the latency, in milliseconds, within which so many of a hundred stay.
func quantile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return float64(sorted[max(rank, 1)-1].Microseconds()) / 1000
}

// maxWrong bounds what is said of a peer that is wrong everywhere.
const maxWrong = 10

// findings are the faults of a peer. It is safe for concurrent use.
type findings struct {
	mu   sync.Mutex
	list []string
}

func (f *findings) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) < maxWrong {
		f.list = append(f.list, fmt.Sprintf(format, args...))
	}
}

// differ adds a fault when a count is not what it must be.
func differ[T cmp.Ordered](f *findings, what string, got, want T) {
	if got != want {
		f.add("%s: %v, want %v", what, got, want)
	}
}
