package gateway_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

func TestRecord(t *testing.T) {
	long := strings.Repeat("x", 1000)
	tests := []struct {
		record gateway.Record
		want   string
	}{
		{
			gateway.Record{Protocol: "alipay", TraceID: "t", Method: "m", AppID: "a", Variant: "php", Code: "10000", Template: "coupon", Key: "k", Voucher: 1<<62 + 1, Replayed: true, Took: time.Second},
			"level=INFO msg=call protocol=alipay trace=t method=m app_id=a code=10000 variant=php template=coupon key=k voucher=4611686018427387905 replayed=true took_ms=1000\n",
		},
		{
			gateway.Record{Protocol: "top", TraceID: "t", Method: "m", AppKey: "a", Code: "0", CallerTrace: "c" + long},
			"level=INFO msg=call protocol=top trace=t method=m app_key=a code=0 caller_trace=c" + long[:127] + " took_ms=0\n",
		},
		{
			gateway.Record{Protocol: "alipay", TraceID: "t", Method: long, AppID: long, Code: "40002", SubCode: "s", Reason: benefit.UserLimit, Key: "unverified", Err: errors.New("broken")},
			"level=WARN msg=call protocol=alipay trace=t method=" + long[:128] + " app_id=" + long[:128] + " code=40002 sub_code=s reason=USER_LIMIT key=unverified took_ms=0 err=broken\n",
		},
	}
	for _, test := range tests {
		var b bytes.Buffer
		test.record.Log(t.Context(), slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: withoutTime})), slog.LevelInfo)
		if diff := cmp.Diff(test.want, b.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// What the level leaves out is not written, but what went wrong on our side is.
func TestTheLevelOfCalls(t *testing.T) {
	for _, test := range []struct {
		calls  slog.Level
		broken error
		want   bool
	}{
		{slog.LevelInfo, nil, true},
		{slog.LevelDebug, nil, false},
		{gateway.NoCalls, nil, false},
		{slog.LevelDebug, errors.New("broken"), true},
		{gateway.NoCalls, errors.New("broken"), true},
	} {
		var b bytes.Buffer
		record := gateway.Record{Protocol: "top", AppKey: "a", Err: test.broken}
		record.Log(t.Context(), slog.New(slog.NewTextHandler(&b, nil)), test.calls)
		if got := b.Len() > 0; got != test.want {
			t.Errorf("%v, %v: got %q", test.calls, test.broken, b.String())
		}
	}
	var b bytes.Buffer
	all := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.Level(-1 << 62)}))
	if (&gateway.Record{}).Log(t.Context(), all, gateway.NoCalls); b.Len() > 0 {
		t.Errorf("got %q", b.String())
	}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func TestTraceIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := gateway.NewTraceID()
		if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || seen[id] {
			t.Fatalf("got %q", id)
		}
		seen[id] = true
	}
}
