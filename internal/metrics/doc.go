// Package metrics serves the metrics of a server at /metrics, in the format of Prometheus: the outcomes and durations of
// calls, the steps of batches, the state of the store.
//
//	m := metrics.New(metrics.Options{Version: version, Store: "embedded", Methods: …})
//	alipay.New(alipay.Options{Observe: m.Call, …})
//	engine.New(ctx, engine.Options{Observer: m, …})
//	embedded.Open(embedded.Options{Syncing: m.Syncing, …})
//	m.Watch(metrics.Sources{…})
//	handler := m.Handler(log)
//
// The packages that are measured do not depend on Prometheus. Events are counted as they happen, on children that are
// resolved when New makes them; states are read from the [Sources] at each scrape.
//
// The number of series is bounded, whatever callers send: labels only have values of fixed sets, and never name a user,
// a voucher, a key, an app or a free text. A method that no gateway has is counted as [Other].
//
// docs/metrics.md has a table of all metrics, which a test compares with what is here.
package metrics
