package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"faquan/internal/gateway"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
)

// Sources are the functions that read the states of a server at each scrape. None of them may block. Those of the store
// that the server does not use are nil.
type Sources struct {
	Ready        func() bool // the answer of /readyz
	StoreUp      func() bool // reports whether the store takes commits, as far as is known
	ClockRefused func() bool
	Waiting      func() int // requests in the queues
	MaxWaiting   int
	Server       func() gateway.ServerStats

	Embedded func() embedded.Status
	Free     func() (bytes uint64, err error) // of the data directory's file system
	Clock    func() time.Time                 // the clock that dates commits of an embedded store

	Pools func() []postgres.Pool
}

// state is a gauge or a counter that is read at a scrape.
type state struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

func newState(kind prometheus.ValueType, name, help string, labels ...string) state {
	return state{prometheus.NewDesc(name, help, labels, nil), kind}
}

// watcher collects the states of a server.
type watcher struct {
	Sources
	ready, storeUp, clockRefused         state
	waiting, maxWaiting                  state
	connections, maxConnections, dropped state
	memory, maxMemory, starved           state

	lagSeconds, lag, maxLag, stuck, short, free state

	pool, maxPool state
}

// Watch adds the states of a server to the metrics. Call it once.
func (m *Metrics) Watch(s Sources) {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	m.registry.MustRegister(&watcher{
		Sources:      s,
		ready:        newState(gauge, "faquan_ready", "Whether the server takes calls and can issue, as /readyz answers: 1 or 0."),
		storeUp:      newState(gauge, "faquan_store_up", "Whether the store takes commits: 1 or 0."),
		clockRefused: newState(gauge, "faquan_clock_refused", "Whether the clock is refused, so that nothing is committed: 1 or 0."),
		waiting:      newState(gauge, "faquan_queue_requests", "Requests that wait for a batch."),
		maxWaiting:   newState(gauge, "faquan_queue_limit_requests", "Requests that may wait; more are told to retry."),

		connections:    newState(gauge, "faquan_connections", "Open connections of the gateways."),
		maxConnections: newState(gauge, "faquan_connections_limit", "Connections that may be open at the same time."),
		dropped:        newState(counter, "faquan_connections_dropped_total", "Connections that were closed because there was no room."),
		memory:         newState(gauge, "faquan_request_memory_bytes", "Memory that large requests use of what they share."),
		maxMemory:      newState(gauge, "faquan_request_memory_limit_bytes", "Memory that large requests share."),
		starved:        newState(counter, "faquan_request_memory_refusals_total", "Requests that were refused because there was no memory."),

		lagSeconds: newState(gauge, "faquan_view_lag_seconds", "Age of the oldest commit that is not in the view yet; 0 when there is none."),
		lag:        newState(gauge, "faquan_view_lag_issuances", "Issuances that are not in the view yet, or KiB of their records if that is more."),
		maxLag:     newState(gauge, "faquan_view_lag_limit_issuances", "The lag of the view at which issuing waits for it."),
		stuck:      newState(gauge, "faquan_view_write_failed", "Whether the last attempt to write the view failed: 1 or 0."),
		short:      newState(gauge, "faquan_journal_segment_failed", "Whether the last attempt to make the journal's next segment failed: 1 or 0."),
		free:       newState(gauge, "faquan_data_free_bytes", "Free space of the file system of the data directory."),

		pool:    newState(gauge, "faquan_postgres_connections", "Connections to the database, by what they are for and what they do.", "pool", "state"),
		maxPool: newState(gauge, "faquan_postgres_connections_limit", "Connections to the database that a pool may have.", "pool"),
	})
}

// Describe describes nothing, because the set of metrics depends on the store.
func (w *watcher) Describe(chan<- *prometheus.Desc) {}

// Collect reads the states.
func (w *watcher) Collect(to chan<- prometheus.Metric) {
	send := func(s state, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(s.Desc, s.kind, value, labels...)
	}
	send(w.ready, number(w.Ready()))
	send(w.storeUp, number(w.StoreUp()))
	send(w.clockRefused, number(w.ClockRefused()))
	send(w.waiting, float64(w.Waiting()))
	send(w.maxWaiting, float64(w.MaxWaiting))
	s := w.Server()
	send(w.connections, float64(s.Connections))
	send(w.maxConnections, float64(s.MaxConnections))
	send(w.dropped, float64(s.Dropped))
	send(w.memory, float64(s.Memory))
	send(w.maxMemory, float64(s.MaxMemory))
	send(w.starved, float64(s.Starved))
	if w.Embedded != nil {
		at := w.Embedded()
		lag := 0.0
		if at.LagSince != 0 {
			lag = max(w.Clock().Sub(at.LagSince.Time()).Seconds(), 0)
		}
		send(w.lagSeconds, lag)
		send(w.lag, float64(at.Lag))
		send(w.maxLag, float64(at.MaxLag))
		send(w.stuck, number(at.Stuck))
		send(w.short, number(at.LowOnSpace))
	}
	if w.Free != nil {
		if bytes, err := w.Free(); err == nil { // else it is missing
			send(w.free, float64(bytes))
		}
	}
	if w.Pools != nil {
		for _, p := range w.Pools() {
			send(w.pool, float64(p.Used), p.Name, "used")
			send(w.pool, float64(p.Idle), p.Name, "idle")
			send(w.maxPool, float64(p.Max), p.Name)
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
