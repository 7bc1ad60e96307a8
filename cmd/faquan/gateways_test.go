package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway/top/wire"
)

// The settings of TOP reach its gateway, which knows the apps' secrets, sealed as they are.
func TestSettingsReachTOP(t *testing.T) {
	c := config.Default()
	c.Data, c.Listen = t.TempDir(), "127.0.0.1:0"
	c.TOP = config.TOP{Tolerance: time.Minute, Zones: "+08:00,UTC", BusinessCode: 15, Batch: 1}
	doc := &control.Document{Name: "test.yaml", Text: []byte(`merchants: [{name: acme}]
apps: [{name: shop, merchant: acme, app_key: "12345678", app_secret: helloworld}]
sessions: [{key: s-1, app: shop, merchant: acme}]
`)}
	s, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler), document: doc})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	answer := func(path string, body io.Reader) string {
		t.Helper()
		res, err := client.Post(s.url+path, "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	call := func(stamp string) string {
		params := map[string]string{
			"method": activitySend, "app_key": "12345678", "session": "s-1", "v": "2.0", "timestamp": stamp, "format": "json",
			"single_benefit_request": `{"benefit_type":1,"send_count":1,"unique_id":"k","relation_id":1,"purchaser_id":1,` +
				`"detail_id":1,"trace_id":"t","biz_id":"1"}`,
		}
		return answer("/router/rest?"+wire.SignRequest(params, "helloworld", wire.HMACSHA256), nil)
	}
	at := func(off time.Duration) string { return wire.FormatTimestamp(time.Now().Add(off)) }
	// The session has no user: a business error.
	for _, test := range []struct{ stamp, want string }{
		{at(0), `"code":15,`}, {at(-8 * time.Hour), `"code":15,`}, {at(-2 * time.Minute), `"code":31,`}, {at(time.Hour), `"code":31,`},
	} {
		if got := call(test.stamp); !strings.Contains(got, test.want) {
			t.Errorf("at %s: got %s", test.stamp, got)
		}
	}
	for items, want := range map[int]string{1: "time_get_response", 2: `"code":43,`} {
		batch := &wire.Call{AppKey: "12345678", Format: wire.JSON, At: time.Now()}
		calls := make([]map[string]string, items)
		for k := range calls {
			calls[k] = map[string]string{"method": "taobao.time.get"}
		}
		query, body := batch.Batch("helloworld", calls)
		if got := answer("/router/batch?"+query, strings.NewReader(body)); !strings.Contains(got, want) {
			t.Errorf("a batch of %d: got %s", items, got)
		}
	}
}

func TestLevelOfCalls(t *testing.T) {
	got := fmt.Sprint(levelOfCalls("info"), levelOfCalls("debug"), levelOfCalls("off") < slog.LevelDebug)
	if got != "INFO DEBUG true" {
		t.Error(got)
	}
}
