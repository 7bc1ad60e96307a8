package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/config"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/top"
	"faquan/internal/store"
)

func withMetrics(c *config.Config) { c.Metrics.Listen = "127.0.0.1:0" }

const metricsTemplates = `  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}
  - {name: none, merchant: acme, kind: EXCHANGE, template_id: NONE, valid: {days: 1}, stock: {count: 0}}
`

// scraped are the series of a server, by name and labels.
type scraped map[string]float64

// scrape reads the metrics of a server.
func scrape(t *testing.T, s *server) scraped {
	t.Helper()
	status, body := get(t, s.metrics.url())
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	all := scraped{}
	for line := range strings.Lines(body) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[name] = n
	}
	return all
}

// shows waits until the metrics have the values: a call is counted after its answer.
func (s *server) shows(t *testing.T, values map[string]float64) {
	t.Helper()
	for name, want := range values {
		within(t, fmt.Sprintf("%s is %v", name, want), func() bool {
			got, ok := scrape(t, s)[name]
			return ok && got == want
		})
	}
}

func callsOf(outcome string) string {
	return `faquan_calls_total{api="alipay",method="alipay.marketing.voucher.send",outcome="` + outcome + `"}`
}

// What calls come to is counted, on the whole way from the socket to the journal.
func TestMetrics(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(metricsTemplates), withMetrics)
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	for _, call := range []voucherSend{
		{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k1"}, {TemplateID: "T", UserID: "2088000000000002", OutBizNo: "k2"},
		{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k1"}, {TemplateID: "NONE", UserID: "2088000000000001", OutBizNo: "k3"},
		{TemplateID: "T", OutBizNo: "k4"},
	} {
		if _, err := app.send(context.Background(), &call); err != nil {
			t.Fatal(err)
		}
	}
	s.shows(t, map[string]float64{
		callsOf("issued"): 2, callsOf("replayed"): 1, callsOf("refused"): 1, callsOf("invalid"): 1, callsOf("unknown"): 0, callsOf("busy"): 0,
		`faquan_refusals_total{reason="STOCK_EMPTY"}`: 1, "faquan_vouchers_issued_total": 2,
		`faquan_call_duration_seconds_count{api="alipay",method="alipay.marketing.voucher.send"}`: 5,
		"faquan_queue_wait_seconds_count": 4, "faquan_batch_requests_sum": 4,
		`faquan_batch_duration_seconds_count{step="commit"}`: 4, "faquan_queue_requests": 0, "faquan_queue_limit_requests": 8192,
		"faquan_ready": 1, "faquan_store_up": 1, "faquan_clock_refused": 0, "faquan_view_write_failed": 0, "faquan_journal_segment_failed": 0,
	})
	at := scrape(t, s)
	for _, name := range []string{
		"faquan_sync_duration_seconds_sum", "faquan_queue_wait_seconds_sum", `faquan_batch_duration_seconds_sum{step="load"}`,
		"faquan_connections", "faquan_connections_limit", "faquan_request_memory_limit_bytes", "faquan_view_lag_limit_issuances",
		"go_goroutines",
	} {
		if at[name] <= 0 {
			t.Errorf("%s is %v", name, at[name])
		}
	}
	if n := at["faquan_sync_duration_seconds_count"]; n < 3 { // the catalogue, and two vouchers
		t.Errorf("%v syncs", n)
	}
	// The view takes up what was issued, and then has everything.
	s.shows(t, map[string]float64{"faquan_view_lag_issuances": 0, "faquan_view_lag_seconds": 0})

	s.ready.Store(false)
	s.shows(t, map[string]float64{"faquan_ready": 0, "faquan_store_up": 1})
}

// Whatever callers send, the number of series does not grow.
func TestMetricsAreBounded(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(metricsTemplates), withMetrics)
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	before := scrape(t, s)
	random := func() string { return strconv.FormatUint(rand.Uint64()>>12, 10) }
	const calls = 60
	for range calls {
		if _, err := app.send(context.Background(), &voucherSend{TemplateID: "T", UserID: fmt.Sprintf("2088%012d", rand.Uint64N(1_000_000_000_000)), OutBizNo: random()}); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{alipay.Path, top.Path, top.BatchPath, "/token"} {
			form := url.Values{
				"method": {"alipay." + random()}, "app_id": {random()}, "app_key": {random()}, "client_id": {random()}, "user_id": {random()},
				"grant_type": {random()}, "sign": {random()}, "session": {random()},
			}
			resp, err := app.client.PostForm(s.url+path, form)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	s.shows(t, map[string]float64{
		callsOf("issued"): calls,
		`faquan_calls_total{api="alipay",method="other",outcome="unauthorized"}`: calls,
		`faquan_calls_total{api="oauth",method="/token",outcome="unauthorized"}`: calls,
	})
	for name := range scrape(t, s) {
		if _, there := before[name]; !there && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is new", name)
		}
	}
}

// Callers that are told to retry are counted as such: here the queue is full because a change of the catalogue lasts.
func TestMetricsOfAFullQueue(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(metricsTemplates), withMetrics, func(c *config.Config) { c.Issuing.Queue = 1 })
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	begun, end, changed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		changed <- s.node.engine.Change(context.Background(), func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
			close(begun)
			<-end
			return nil, nil
		})
	}()
	<-begun
	sent := make(chan error, 1)
	send := func(key string) error {
		_, err := app.send(context.Background(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: key})
		return err
	}
	go func() { sent <- send("waits") }()
	s.shows(t, map[string]float64{"faquan_queue_requests": 1, "faquan_queue_limit_requests": 1})
	if err := send("refused"); err != nil {
		t.Error(err)
	}
	s.shows(t, map[string]float64{callsOf("busy"): 1, callsOf("issued"): 0})
	close(end)
	for _, c := range []chan error{changed, sent} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	s.shows(t, map[string]float64{callsOf("busy"): 1, callsOf("issued"): 1, "faquan_queue_requests": 0})
}

// A request that is refused because there is no memory is counted, and so is its call.
func TestMetricsOfNoMemory(t *testing.T) {
	const body = 60_000
	s := testServer(t, t.TempDir(), nil, withMetrics, func(c *config.Config) {
		c.Request.Bytes, c.Request.Connections, c.Request.Memory = 64<<10, 4, 4*(64<<10)+4*(128<<10)
	})
	defer s.stop()
	dial := func(sent int) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", alipay.Path, body, strings.Repeat("x", sent))
		return c
	}
	const held = 4*(body-1) - 32<<10 // of a request, without what its connection pays for
	dial(body - 1)
	dial(body - 1)
	within(t, "two requests hold memory", func() bool { return scrape(t, s)["faquan_request_memory_bytes"] >= 2*held })
	dial(body)
	s.shows(t, map[string]float64{
		"faquan_request_memory_refusals_total": 1, `faquan_calls_total{api="alipay",method="other",outcome="busy"}`: 1,
		"faquan_request_memory_limit_bytes": 512 << 10, "faquan_connections_limit": 4,
	})
	for range 3 {
		dial(0)
	}
	within(t, "connections give way", func() bool { return scrape(t, s)["faquan_connections_dropped_total"] > 0 })
}

// A start that cannot have the address of its metrics has changed nothing. One that fails later gives it back.
func TestMetricsAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start := func(c *config.Config) error {
		c.Listen = "127.0.0.1:0"
		s, err := startServer(context.Background(), c, serverOptions{log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Error("it starts", s.stop())
		}
		return err
	}
	c := config.Default()
	c.Data, c.Metrics.Listen = filepath.Join(t.TempDir(), "data"), taken.Addr().String()
	if err := start(&c); err == nil || !strings.HasPrefix(err.Error(), "metrics.listen: ") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(c.Data); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
	taken.Close()
	if err := os.WriteFile(c.Data, nil, 0o600); err != nil { // the store cannot be opened
		t.Fatal(err)
	}
	if err := start(&c); err == nil || strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("got %v", err)
	}
	again, err := net.Listen("tcp", taken.Addr().String())
	if err != nil {
		t.Fatalf("the address was not given back: %v", err)
	}
	again.Close()
}

// Nothing is measured unless it is asked for, and the gateway's address shows nothing.
func TestMetricsAreOff(t *testing.T) {
	s := testServer(t, t.TempDir(), nil)
	defer s.stop()
	if s.metrics.Metrics != nil {
		t.Error("something is measured")
	}
	if status, _ := get(t, s.url+"/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics of the gateway: %d", status)
	}
}

// Each method that an app can be granted has a series of its own.
func TestMetricsKnowEveryMethod(t *testing.T) {
	known := slices.Concat(alipay.Methods(), top.Methods())
	slices.Sort(known)
	if granted := slices.Sorted(slices.Values(catalog.Methods())); !slices.Equal(known, granted) {
		t.Errorf("the gateways have %q, the catalogue grants %q", known, granted)
	}
}
