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
	// Refusals returns how many refusals the files lack, and whether they cannot be written.
	Refusals func() (lost int64, failing bool)

	// Of an embedded store: all three or none.
	Embedded func() embedded.Status
	Free     func() (bytes uint64, err error) // of the data directory's file system
	Clock    func() time.Time                 // the clock that dates commits

	Pools func() []postgres.Pool // of a database
}

// Watch adds the states of a server to the metrics. Call it once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(watcher{s}) }

// watcher collects the states of a server.
type watcher struct{ Sources }

// Describe describes nothing, because the set of metrics depends on the store.
func (w watcher) Describe(chan<- *prometheus.Desc) {}

// Collect reads the states.
func (w watcher) Collect(to chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name, help string, value float64, labels prometheus.Labels) {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, labels), kind, value)
	}
	gauge := func(name, help string, value float64) { send(prometheus.GaugeValue, name, help, value, nil) }
	counter := func(name, help string, value float64) { send(prometheus.CounterValue, name, help, value, nil) }

	gauge("faquan_ready", "Whether the server takes calls and can issue, as /readyz answers: 1 or 0.", number(w.Ready()))
	gauge("faquan_store_up", "Whether the store takes commits: 1 or 0.", number(w.StoreUp()))
	gauge("faquan_clock_refused", "Whether the clock is refused, so that nothing is committed: 1 or 0.", number(w.ClockRefused()))
	gauge("faquan_queue_requests", "Requests that wait for a batch.", float64(w.Waiting()))
	gauge("faquan_queue_limit_requests", "Requests that may wait; more are told to retry.", float64(w.MaxWaiting))

	s := w.Server()
	gauge("faquan_connections", "Open connections of the gateways.", float64(s.Connections))
	gauge("faquan_connections_limit", "Connections that may be open at the same time.", float64(s.MaxConnections))
	counter("faquan_connections_dropped_total", "Connections that were closed because there was no room.", float64(s.Dropped))
	gauge("faquan_request_memory_bytes", "Memory that large requests use of what they share.", float64(s.Memory))
	gauge("faquan_request_memory_limit_bytes", "Memory that large requests share.", float64(s.MaxMemory))
	counter("faquan_request_memory_refusals_total", "Requests that were refused because there was no memory.", float64(s.Starved))

	lost, failing := w.Refusals()
	counter("faquan_refusals_lost_total", "Refusals that are not in the files, because they could not be written in time.", float64(lost))
	gauge("faquan_refusals_write_failed", "Whether the last attempt to write the files of refusals failed: 1 or 0.", number(failing))

	if w.Embedded != nil {
		at := w.Embedded()
		lag := 0.0
		if at.LagSince != 0 {
			lag = max(w.Clock().Sub(at.LagSince.Time()).Seconds(), 0)
		}
		gauge("faquan_view_lag_seconds", "Age of the oldest commit that is not in the view yet; 0 when there is none.", lag)
		gauge("faquan_view_lag_issuances", "Issuances that are not in the view yet, or KiB of their records if that is more.", float64(at.Lag))
		gauge("faquan_view_lag_limit_issuances", "The lag of the view at which issuing waits for it.", float64(at.MaxLag))
		gauge("faquan_view_write_failed", "Whether the last attempt to write the view failed: 1 or 0.", number(at.Stuck))
		gauge("faquan_journal_segment_failed", "Whether the last attempt to make the journal's next segment failed: 1 or 0.", number(at.LowOnSpace))
		if bytes, err := w.Free(); err == nil { // else it is missing
			gauge("faquan_data_free_bytes", "Free space of the file system of the data directory.", float64(bytes))
		}
	}
	if w.Pools != nil {
		for _, p := range w.Pools() {
			const help = "Connections to the database, by what they are for and what they do."
			send(prometheus.GaugeValue, "faquan_postgres_connections", help, float64(p.Used), prometheus.Labels{"pool": p.Name, "state": "used"})
			send(prometheus.GaugeValue, "faquan_postgres_connections", help, float64(p.Idle), prometheus.Labels{"pool": p.Name, "state": "idle"})
			send(prometheus.GaugeValue, "faquan_postgres_connections_limit", "Connections to the database that a pool may have.",
				float64(p.Max), prometheus.Labels{"pool": p.Name})
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
