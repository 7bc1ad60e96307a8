package alipay_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
)

// BenchmarkGateway is the whole way of a call without a network: read, verify, issue in memory, sign, log. Beside
// it BenchmarkSign is the signature of the answer alone, the part that no gateway can do without.
func BenchmarkGateway(b *testing.B) {
	w := newWorld(b, func(o *alipay.Options) { o.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	bodies := make([]string, 4096)
	for k := range bodies {
		c := send(fmt.Sprintf(`{"template_id":"%s","user_id":"2088%012d","out_biz_no":"bench-%d","memo":"优酷3个月兑换券"}`, offID, k, k))
		bodies[k] = urlEncoded(c.pairs())
	}
	target := &url.URL{Path: alipay.Path}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=utf-8"}}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			body := bodies[int(next.Add(1))%len(bodies)]
			r := &http.Request{
				Method: "POST", URL: target, Header: header, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader([]byte(body))),
			}
			res := httptest.NewRecorder()
			w.ServeHTTP(res, r)
			if !bytes.Contains(res.Body.Bytes(), []byte("voucher_id")) {
				b.Error(res.Body)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	node := []byte(`{"code":"10000","msg":"Success","voucher_id":"2026112200765483968103834896","user_id":"2088302001456115"}`)
	signer := platform()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := signer.Sign(wire.RSA2, node); err != nil {
				b.Error(err)
			}
		}
	})
}
