package metrics

import (
	"testing"
	"time"

	"faquan/internal/gateway"
)

// What a call costs.
func BenchmarkCall(b *testing.B) {
	m := New(Options{Methods: map[string][]string{"top": {"taobao.time.get", "taobao.mobile.promotion.benefit.activity.send"}}})
	r := &gateway.Record{Protocol: "top", Method: "taobao.mobile.promotion.benefit.activity.send", Outcome: gateway.Issued, Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Call(r)
	}
}

// What a request of a batch costs: the time of its arrival, and its share of a batch of a thousand.
func BenchmarkRequest(b *testing.B) {
	m := New(Options{})
	waited := make([]time.Duration, 0, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if waited = append(waited, m.Now()); len(waited) == cap(waited) {
			m.Batch(waited)
			waited = waited[:0]
		}
	}
}
