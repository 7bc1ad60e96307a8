package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
)

// Other is the label for methods that no gateway has.
const Other = "other"

// Options are the options of New.
type Options struct {
	Version string              // of faquan
	Store   string              // the kind of store: embedded or postgres
	Methods map[string][]string // of each API, by its name in gateway.Record.Protocol
}

// Metrics are the metrics of one server. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	start    time.Time
	calls    map[string]map[string]*methodCalls // by API and method, Other among them
	refusals map[benefit.Reason]prometheus.Counter

	vouchers  prometheus.Counter
	wait      prometheus.Observer
	batch     prometheus.Observer
	steps     []prometheus.Observer // by engine.Step
	failures  []prometheus.Counter  // by engine.Step
	conflicts prometheus.Counter
	sync      prometheus.Observer
}

// methodCalls are the calls of one method.
type methodCalls struct {
	ended    []prometheus.Counter // by gateway.Outcome
	duration prometheus.Observer
}

// Bounds of the histograms' buckets. One bound of seconds is twice or two and a half times the one before.
var (
	callSeconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	stepSeconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	batchSizes  = prometheus.ExponentialBuckets(1, 2, 14) // to 8192, the largest batch
)

// New returns metrics in a registry of their own.
func New(o Options) *Metrics {
	registry := prometheus.NewRegistry()
	m := &Metrics{
		registry: registry, start: time.Now(),
		calls: map[string]map[string]*methodCalls{}, refusals: map[benefit.Reason]prometheus.Counter{},
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r := registrar{promauto.With(registry)}
	r.NewGaugeVec(prometheus.GaugeOpts{
		Name: "faquan_build_info", Help: "The version of faquan, of the Go that built it, and the kind of store. Always 1.",
	}, []string{"version", "goversion", "store"}).WithLabelValues(o.Version, runtime.Version(), o.Store).Set(1)
	m.newCalls(r, o.Methods)
	m.newBatches(r)
	return m
}

func (m *Metrics) newCalls(r registrar, methods map[string][]string) {
	ended := r.counter("faquan_calls_total", "Calls that were answered, by their outcome.", "api", "method", "outcome")
	duration := r.histogram("faquan_call_duration_seconds", "Time from the arrival of a call to the end of its answer.",
		callSeconds, "api", "method")
	refusals := r.counter("faquan_refusals_total", "Calls with the outcome refused, by the reason.", "reason")
	for _, reason := range benefit.Reasons() {
		m.refusals[reason] = refusals.WithLabelValues(reason.String())
	}
	for api, names := range methods {
		m.calls[api] = map[string]*methodCalls{}
		for _, method := range append([]string{Other}, names...) {
			c := &methodCalls{duration: duration.WithLabelValues(api, method)}
			for _, outcome := range gateway.Outcomes() {
				c.ended = append(c.ended, ended.WithLabelValues(api, method, outcome.String()))
			}
			m.calls[api][method] = c
		}
	}
}

func (m *Metrics) newBatches(r registrar) {
	m.vouchers = r.counter("faquan_vouchers_issued_total", "Vouchers that were issued and are durable.").WithLabelValues()
	m.wait = r.histogram("faquan_queue_wait_seconds", "Time that requests waited for their batch.", stepSeconds).WithLabelValues()
	m.batch = r.histogram("faquan_batch_requests", "Requests of a batch.", batchSizes).WithLabelValues()
	steps := r.histogram("faquan_batch_duration_seconds", "Time of the steps of batches.", stepSeconds, "step")
	failures := r.counter("faquan_batch_failures_total", "Batches that failed in a step, so that requests have no outcome.", "step")
	for _, s := range engine.Steps() {
		m.steps = append(m.steps, steps.WithLabelValues(s.String()))
		m.failures = append(m.failures, failures.WithLabelValues(s.String()))
	}
	m.conflicts = r.counter("faquan_batch_conflicts_total", "Batches that were decided again because another process was first.").WithLabelValues()
	m.sync = r.histogram("faquan_sync_duration_seconds", "Time in which the store makes a commit durable.", stepSeconds).WithLabelValues()
}

// Call counts a call that was answered.
func (m *Metrics) Call(r *gateway.Record) {
	api := m.calls[r.Protocol]
	if api == nil {
		return
	}
	method := api[r.Method]
	if method == nil {
		method = api[Other]
	}
	method.ended[r.Outcome].Inc()
	method.duration.Observe(r.Took.Seconds())
	if r.Outcome == gateway.Refused {
		if counter := m.refusals[r.Reason]; counter != nil {
			counter.Inc()
		}
	}
}

// Syncing measures how long a store takes to make a commit durable. Call it before, and the function that it returns
// afterwards.
func (m *Metrics) Syncing() (synced func()) {
	began := time.Now()
	return func() { m.sync.Observe(time.Since(began).Seconds()) }
}

var _ engine.Observer = (*Metrics)(nil)

// Now returns the time since the start.
func (m *Metrics) Now() time.Duration { return time.Since(m.start) }

// Batch counts a batch and how long its requests have waited.
func (m *Metrics) Batch(waited []time.Duration) {
	m.batch.Observe(float64(len(waited)))
	for _, d := range waited {
		m.wait.Observe(d.Seconds())
	}
}

// Step counts a step of a batch.
func (m *Metrics) Step(s engine.Step, took time.Duration) { m.steps[s].Observe(took.Seconds()) }

// Issued counts vouchers.
func (m *Metrics) Issued(vouchers int64) { m.vouchers.Add(float64(vouchers)) }

// Conflict counts a batch that must be decided again.
func (m *Metrics) Conflict() { m.conflicts.Inc() }

// Failed counts a batch that failed.
func (m *Metrics) Failed(s engine.Step) { m.failures[s].Inc() }

// registrar makes metrics in a registry.
type registrar struct{ promauto.Factory }

func (r registrar) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return r.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (r registrar) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return r.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}
