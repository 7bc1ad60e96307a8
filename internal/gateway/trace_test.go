package gateway

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"faquan/internal/id"
)

// requestID has the form of the request_id that the TOP gateway makes.
const requestID = "15rkt1o8iqy1v"

// The trace id of a call that was answered with a voucher leads to it, and each call has one of its own.
func TestTraceOfAVoucher(t *testing.T) {
	for _, voucher := range []id.ID{1, 35, 36, 765483968103695632, math.MaxInt64 - 1, math.MaxInt64} {
		for form, trace := range map[string]string{`^[0-7][0-9a-f]{31}$`: NewTraceID(), `^[0-9a-z]{17}$`: requestID} {
			r := Record{TraceID: trace}
			r.Issued(voucher, true)
			if got, ok := VoucherOf(r.TraceID); !ok || got != voucher || r.Voucher != voucher || !r.Replayed {
				t.Errorf("%s leads to %d, %v; want %d", r.TraceID, got, ok, voucher)
			}
			if !regexp.MustCompile(form).MatchString(r.TraceID) || !strings.HasSuffix(r.TraceID, trace[len(trace)-4:]) {
				t.Errorf("the trace id of voucher %d is %s, and was %s", voucher, r.TraceID, trace)
			}
		}
	}
}

// The trace id of a call without a voucher leads to none, and neither does what is no trace id of ours.
func TestTraceWithoutAVoucher(t *testing.T) {
	for range 1000 {
		if v, ok := VoucherOf(NewTraceID()); ok {
			t.Fatalf("it leads to %d", v)
		}
	}
	for _, trace := range []string{
		"", requestID, "t-1", "5e7541dc-89ec-4283-a943-e1f3b72fc975", strings.Repeat("0", 32), strings.Repeat("0", 17),
		"+" + strings.Repeat("1", 31), "-" + strings.Repeat("1", 16), strings.Repeat("A", 32), strings.Repeat("1", 15) + "F" + strings.Repeat("1", 16),
		strings.Repeat("f", 32), strings.Repeat("z", 17), strings.Repeat("_", 17), strings.Repeat("线", 11)[:32],
	} {
		if v, ok := VoucherOf(trace); ok {
			t.Errorf("%q leads to %d", trace, v)
		}
	}
}
