package wire

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// benchCall returns a call as most SDKs send it, with a new body each time.
func benchCall(b *testing.B, m SignMethod) func() *http.Request {
	b.Helper()
	p := with("sign_method", string(m), "single_benefit_request",
		`{"benefit_type":1,"send_count":1,"unique_id":"AE432CBF12A012","relation_id":12345234,"purchaser_id":12312312,"detail_id":123235235,"trace_id":"5e753b1d-3a1c-4b5e","biz_id":"12457112"}`)
	body := encode(signed(p))
	r := post("", body)
	reader := strings.NewReader(body)
	r.Body = io.NopCloser(reader)
	return func() *http.Request { reader.Reset(body); return r }
}

// BenchmarkCall is all that the package does for one call: parse, check, read the object, answer.
func BenchmarkCall(b *testing.B) {
	for _, m := range SignMethods() {
		for _, f := range []Format{JSON, XML} {
			b.Run(string(m)+"/"+f.String(), func(b *testing.B) {
				next, policy, w := benchCall(b, m), testPolicy(), nowhere{h: http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					r := next()
					req, bad := Parse(r, Limits{})
					if bad == nil {
						_, bad = policy.Check(req)
					}
					if bad != nil {
						b.Fatal(bad)
					}
					args := req.Args()
					dto := args.Object("single_benefit_request")
					key := dto.RequiredText("unique_id", 64)
					id := dto.RequiredInt("detail_id")
					if bad := args.Err(); bad != nil {
						b.Fatal(bad)
					}
					a := Success(f, req.Method(), NewRequestID())
					a.Object("send_result", func() {
						a.Bool("is_success", true)
						a.Text("unique_id", key)
						a.Objects("results", "mobile_benefit_send_result_ext", 1, func(int) {
							a.Int("index_id", id)
							a.Int("success_count", 1)
							a.Int("failure_count", 0)
						})
					})
					if err := Send(w, r, a); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	next := benchCall(b, MD5)
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := Parse(next(), Limits{}); bad != nil {
			b.Fatal(bad)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, m := range SignMethods() {
		b.Run(string(m), func(b *testing.B) {
			req, _ := Parse(benchCall(b, m)(), Limits{})
			b.ReportAllocs()
			for b.Loop() {
				if !req.Verify(secret, m).OK() {
					b.Fatal("it does not verify")
				}
			}
		})
	}
}

func BenchmarkAnswer(b *testing.B) {
	for _, f := range []Format{XML, JSON, SimplifiedJSON} {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a := Success(f, sendMethod, requestID)
				a.Object("send_result", func() {
					a.Bool("is_success", true)
					a.Text("unique_id", "AE432CBF12A012")
					a.Objects("results", "mobile_benefit_send_result_ext", 1, func(i int) { a.Int("index_id", 123235235) })
				})
				a.Body()
				a.Release()
			}
		})
	}
}

// nowhere takes an answer and drops it.
type nowhere struct{ h http.Header }

func (w nowhere) Header() http.Header         { return w.h }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
