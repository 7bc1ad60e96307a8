package top_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"faquan/internal/gateway"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/refusals"
)

// BenchmarkServe is what a call costs without a network: a handler that answers nothing, one call that is read,
// verified and answered, and one that is issued in memory. What is beyond the first is ours.
func BenchmarkServe(b *testing.B) {
	l := newActivityLab(b, nil)
	clock := &wire.Call{Method: "taobao.time.get", AppKey: labKey, Format: wire.JSON, SignMethod: wire.HMACSHA256, At: labNoon}
	var issues atomic.Int64
	sends := make([]string, 1<<15)
	for k := range sends {
		c := sending(fmt.Sprint("bench-", k), "box", object{"card_type": "game"})
		call := c.paramsAt(wire.JSON, labNoon)
		call.SignMethod = wire.HMACSHA256
		sends[k] = call.Form(labSecret)
	}
	l.with(func(o *top.Options) { o.Log, o.Issuer = nil, l.issuer })
	asks := clock.Form(labSecret)
	b.Run("empty", func(b *testing.B) {
		benchServe(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write([]byte("ok"))
		}), "ok", func() string { return asks })
	})
	b.Run("time", func(b *testing.B) {
		benchServe(b, l, `"time":`, func() string { return asks })
	})
	b.Run("issue", func(b *testing.B) {
		benchServe(b, l, `"is_success":true`, func() string { return sends[int(issues.Add(1))%len(sends)] })
	})
}

// BenchmarkRefuse is what a refused call costs when no refusals are remembered, in memory, and with their files. The files are
// written by another goroutine, so look at cpu-ns/op, which is that of the whole process.
func BenchmarkRefuse(b *testing.B) {
	for _, test := range []struct {
		name       string
		remembered bool
		keep       int64
	}{{"forgotten", false, 0}, {"memory", true, 0}, {"files", true, 256 << 20}} {
		b.Run(test.name, func(b *testing.B) {
			recent := gateway.NewRefusals()
			l := newActivityLab(b, nil)
			l.with(func(o *top.Options) {
				if o.Log, o.Issuer = nil, l.issuer; test.remembered {
					o.Refusals = recent
				}
			})
			sends := make([]string, 1<<12)
			for k := range sends {
				call := sending(fmt.Sprint("bench-", k), "none", nil).as("dave").paramsAt(wire.JSON, labNoon)
				call.SignMethod = wire.HMACSHA256
				sends[k] = call.Form(labSecret)
			}
			archive := refusals.Open(refusals.Options{Dir: b.TempDir(), Keep: test.keep, Recent: recent, Log: slog.New(slog.DiscardHandler)})
			var calls atomic.Int64
			before := cpu(b)
			benchServe(b, l, `"STOCK_EMPTY"`, func() string { return sends[int(calls.Add(1))%len(sends)] })
			if err := archive.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(archive.Status().Lost)/float64(b.N), "lost/op")
		})
	}
}

// cpu returns the CPU time that the process has taken.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

var benchHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=utf-8"}}

func benchServe(b *testing.B, h http.Handler, want string, body func() string) {
	target := &url.URL{Path: top.Path}
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := &sink{header: http.Header{}}
		for pb.Next() {
			text := body()
			w.body = w.body[:0]
			h.ServeHTTP(w, &http.Request{
				Method: http.MethodPost, URL: target, Header: benchHeader, ContentLength: int64(len(text)),
				Body: io.NopCloser(bytes.NewReader([]byte(text))),
			})
			if !bytes.Contains(w.body, []byte(want)) {
				b.Errorf("got %s", w.body)
			}
		}
	})
}

// sink keeps one answer.
type sink struct {
	header http.Header
	body   []byte
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.body = append(s.body, p...); return len(p), nil }
