package top_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
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
