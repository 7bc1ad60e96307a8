package gateway_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/gateway"
)

func TestRecord(t *testing.T) {
	long := strings.Repeat("x", 1000)
	tests := []struct {
		record gateway.Record
		want   string
	}{
		{
			gateway.Record{Protocol: "alipay", TraceID: "t", Method: "m", AppID: "a", Variant: "php", Code: "10000", Template: 3, Key: "k", Voucher: 4, Replayed: true, Took: time.Second},
			"level=INFO msg=call protocol=alipay trace=t method=m app_id=a code=10000 variant=php template=3 key=k voucher=4 replayed=true took=1s\n",
		},
		{
			gateway.Record{Protocol: "alipay", TraceID: "t", Method: long, AppID: long, Code: "40002", SubCode: "s", Key: "unverified", Err: errors.New("broken")},
			"level=WARN msg=call protocol=alipay trace=t method=" + long[:128] + " app_id=" + long[:128] + " code=40002 sub_code=s took=0s err=broken\n",
		},
	}
	for _, test := range tests {
		var b bytes.Buffer
		test.record.Log(t.Context(), slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
		if diff := cmp.Diff(test.want, b.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
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
