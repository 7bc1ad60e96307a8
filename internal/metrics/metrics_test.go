package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testMetrics returns the metrics of a server that has both stores.
func testMetrics() *Metrics {
	m := New(Options{Version: "v1", Store: "embedded", Methods: map[string][]string{
		"alipay": {"send"}, "top": {"send", "time"}, "oauth": {"/token"},
	}})
	m.Watch(Sources{
		Ready: func() bool { return true }, StoreUp: func() bool { return true }, ClockRefused: func() bool { return false },
		Waiting: func() int { return 3 }, MaxWaiting: 8,
		Server: func() gateway.ServerStats {
			return gateway.ServerStats{Connections: 1, MaxConnections: 2, Memory: 3, MaxMemory: 4, Dropped: 5, Starved: 6}
		},
		Refusals: func() (int64, bool) { return 11, true },
		Embedded: func() embedded.Status {
			return embedded.Status{Lag: 7, MaxLag: 9, LagSince: benefit.InstantOf(noon.Add(-90 * time.Second)), Stuck: true, LowOnSpace: true}
		},
		Free:  func() (uint64, error) { return 1 << 40, nil },
		Clock: func() time.Time { return noon },
		Pools: func() []postgres.Pool { return []postgres.Pool{{Name: "issuing", Used: 1, Idle: 2, Max: 4}} },
	})
	return m
}

// scrape returns the lines of the metrics.
func scrape(t *testing.T, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return strings.Split(strings.TrimSpace(w.Body.String()), "\n")
}

// want checks that the metrics have each line.
func want(t *testing.T, m *Metrics, lines ...string) {
	t.Helper()
	all := scrape(t, m)
	for _, line := range lines {
		if !slices.Contains(all, line) {
			name, _, _ := strings.Cut(line, " ")
			at := slices.IndexFunc(all, func(l string) bool { return strings.HasPrefix(l, name+" ") })
			if at < 0 {
				t.Errorf("no %s", name)
				continue
			}
			t.Errorf("got %s, want %s", all[at], line)
		}
	}
}

func TestCalls(t *testing.T) {
	m := testMetrics()
	for _, r := range []gateway.Record{
		{Protocol: "top", Method: "send", Outcome: gateway.Issued, Took: 3 * time.Millisecond},
		{Protocol: "top", Method: "send", Outcome: gateway.Issued, Took: 20 * time.Second},
		{Protocol: "top", Method: "send", Outcome: gateway.Refused, Reason: benefit.StockEmpty},
		{Protocol: "alipay", Method: "send", Outcome: gateway.Refused, Reason: benefit.StockEmpty},
		{Protocol: "alipay", Method: "made up", Outcome: gateway.Unauthorized},
		{Protocol: "alipay", Method: "time", Outcome: gateway.Unauthorized}, // of another API
		{Protocol: "oauth", Method: "/token", Outcome: gateway.Busy},
	} {
		m.Call(&r)
	}
	want(t, m,
		`faquan_calls_total{api="top",method="send",outcome="issued"} 2`,
		`faquan_calls_total{api="top",method="send",outcome="replayed"} 0`,
		`faquan_calls_total{api="top",method="send",outcome="refused"} 1`,
		`faquan_calls_total{api="alipay",method="other",outcome="unauthorized"} 2`,
		`faquan_calls_total{api="oauth",method="/token",outcome="busy"} 1`,
		`faquan_refusals_total{reason="STOCK_EMPTY"} 2`, `faquan_refusals_total{reason="USER_LIMIT"} 0`,
		`faquan_call_duration_seconds_bucket{api="top",method="send",le="0.0025"} 1`,
		`faquan_call_duration_seconds_bucket{api="top",method="send",le="0.005"} 2`,
		`faquan_call_duration_seconds_bucket{api="top",method="send",le="10"} 2`,
		`faquan_call_duration_seconds_count{api="top",method="send"} 3`)
}

func TestBatches(t *testing.T) {
	m := testMetrics()
	m.Batch([]time.Duration{time.Millisecond, time.Second, 2 * time.Second})
	m.Step(engine.Load, 3*time.Second)
	m.Step(engine.Commit, time.Second)
	m.Issued(5)
	m.Conflict()
	m.Failed(engine.Commit)
	m.Syncing()()
	want(t, m,
		`faquan_batch_requests_bucket{le="2"} 0`, `faquan_batch_requests_bucket{le="4"} 1`, `faquan_batch_requests_sum 3`,
		`faquan_queue_wait_seconds_bucket{le="1"} 2`, `faquan_queue_wait_seconds_count 3`, `faquan_queue_wait_seconds_sum 3.001`,
		`faquan_batch_duration_seconds_sum{step="load"} 3`, `faquan_batch_duration_seconds_sum{step="commit"} 1`,
		`faquan_batch_duration_seconds_count{step="decide"} 0`, `faquan_vouchers_issued_total 5`, `faquan_batch_conflicts_total 1`,
		`faquan_batch_failures_total{step="commit"} 1`, `faquan_batch_failures_total{step="load"} 0`, `faquan_sync_duration_seconds_count 1`)
	if a, b := m.Now(), m.Now(); a <= 0 || b < a {
		t.Errorf("the clock shows %v, then %v", a, b)
	}
}

func TestStates(t *testing.T) {
	want(t, testMetrics(),
		`faquan_build_info{goversion="`+runtime.Version()+`",store="embedded",version="v1"} 1`,
		`faquan_ready 1`, `faquan_store_up 1`, `faquan_clock_refused 0`, `faquan_queue_requests 3`, `faquan_queue_limit_requests 8`,
		`faquan_connections 1`, `faquan_connections_limit 2`, `faquan_connections_dropped_total 5`,
		`faquan_request_memory_bytes 3`, `faquan_request_memory_limit_bytes 4`, `faquan_request_memory_refusals_total 6`,
		`faquan_refusals_lost_total 11`, `faquan_refusals_write_failed 1`,
		`faquan_view_lag_seconds 90`, `faquan_view_lag_issuances 7`, `faquan_view_lag_limit_issuances 9`,
		`faquan_view_write_failed 1`, `faquan_journal_segment_failed 1`, `faquan_data_free_bytes 1.099511627776e+12`,
		`faquan_postgres_connections{pool="issuing",state="used"} 1`, `faquan_postgres_connections{pool="issuing",state="idle"} 2`,
		`faquan_postgres_connections_limit{pool="issuing"} 4`)
}

// A state that the store does not have, or that cannot be read, is not shown.
func TestStatesThatAreMissing(t *testing.T) {
	m := New(Options{})
	yes := func() bool { return true }
	m.Watch(Sources{
		Ready: yes, StoreUp: yes, ClockRefused: yes, Waiting: func() int { return 0 },
		Server:   func() gateway.ServerStats { return gateway.ServerStats{} },
		Refusals: func() (int64, bool) { return 0, false },
		Embedded: func() embedded.Status { return embedded.Status{} },
		Clock:    func() time.Time { return noon },
		Free:     func() (uint64, error) { return 0, errors.New("no such directory") },
	})
	text := strings.Join(scrape(t, m), "\n")
	if strings.Contains(text, "faquan_data_free_bytes") || strings.Contains(text, "faquan_postgres") {
		t.Errorf("there is no database, and no directory:\n%s", text)
	}
	want(t, m, `faquan_view_lag_seconds 0`, `faquan_clock_refused 1`)
}

// Whatever callers send, the number of series does not grow.
func TestSeriesAreBounded(t *testing.T) {
	m := testMetrics()
	before := len(scrape(t, m))
	random := func() string { return fmt.Sprint("taobao.", rand.Uint64()) }
	for range 2000 {
		m.Call(&gateway.Record{
			Protocol: []string{"alipay", "top", "oauth", random()}[rand.IntN(4)], Method: random(), AppID: random(), AppKey: random(), Key: random(),
			CallerTrace: random(), SubCode: random(), TraceID: random(),
			Outcome: gateway.Outcomes()[rand.IntN(len(gateway.Outcomes()))], Reason: benefit.Reason(rand.IntN(256)),
		})
	}
	if after := len(scrape(t, m)); after != before {
		t.Errorf("%d lines, before the calls %d", after, before)
	}
	if before > 1200 {
		t.Errorf("%d lines", before)
	}
}

// The address only answers GET of the path.
func TestHandler(t *testing.T) {
	h := testMetrics().Handler(slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/metrics", http.StatusOK}, {http.MethodGet, "/metrics?x=1", http.StatusOK},
		{http.MethodGet, "/", http.StatusNotFound}, {http.MethodGet, "/metrics/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound}, {http.MethodPost, "/", http.StatusNotFound},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed}, {http.MethodHead, "/metrics", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/metrics", http.StatusMethodNotAllowed},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.status)
		}
		if allow := w.Header().Get("Allow"); w.Code == http.StatusMethodNotAllowed && allow != "GET" {
			t.Errorf("%s %s: Allow %q", c.method, c.path, allow)
		}
	}
}

// The answer can be parsed, and the names, types and help texts follow the conventions of Prometheus.
func TestLint(t *testing.T) {
	found, err := promlint.New(strings.NewReader(strings.Join(scrape(t, testMetrics()), "\n") + "\n")).Lint()
	if err != nil {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	for _, p := range found {
		if strings.HasPrefix(p.Metric, "faquan_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// documented returns the metrics of the page: name, type and labels.
func documented(t *testing.T, m *Metrics) (all [][]string) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "faquan_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.Sort(labels)
		all = append(all, []string{f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", ")})
	}
	return all
}

const pageFile = "../../docs/metrics.md"

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cells returns the rows of the page's tables whose first cell begins with the prefix.
func cells(t *testing.T, first string) (all [][]string) {
	t.Helper()
	for line := range strings.SplitSeq(page(t), "\n") {
		if !strings.HasPrefix(line, "| "+first) {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for k := range row {
			row[k] = strings.TrimSpace(row[k])
		}
		all = append(all, row)
	}
	return all
}

// The page has every metric, with its type and labels, and each has a unit in its name that the page also names.
func TestThePageHasEveryMetric(t *testing.T) {
	want := documented(t, testMetrics())
	var got [][]string
	for _, row := range cells(t, "`faquan_") {
		name := strings.Trim(row[0], "`")
		labels := strings.Split(row[3], ", ")
		slices.Sort(labels)
		got = append(got, []string{name, row[1], strings.Join(labels, ", ")})
		for _, unit := range []string{"seconds", "bytes"} {
			if strings.Contains(name, "_"+unit) != (row[2] == unit) {
				t.Errorf("%s is in %s", name, row[2])
			}
		}
		if len(row) != 5 || row[4] == "" {
			t.Errorf("%s: %q", name, row)
		}
	}
	slices.SortFunc(got, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-the program +the page)\n%s", diff)
	}
}

func TestThePageHasEveryOutcome(t *testing.T) {
	var want, got []string
	for _, o := range gateway.Outcomes() {
		want = append(want, "`"+o.String()+"`")
	}
	_, section, _ := strings.Cut(page(t), "### Outcomes")
	section, _, _ = strings.Cut(section, "###")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z]+`) ").FindAllStringSubmatch(section, -1) {
		got = append(got, row[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-the program +the page)\n%s", diff)
	}
}

// The alerts only use metrics and labels that exist.
func TestAlertsNameWhatThereIs(t *testing.T) {
	_, rules, found := strings.Cut(page(t), "rules:\n")
	if !found {
		t.Fatal("the page has no rules")
	}
	lines := scrape(t, testMetrics())
	seen := 0
	for _, m := range regexp.MustCompile(`\b(faquan_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(rules, -1) {
		seen++
		matcher := strings.Trim(m[2], "{}")
		if !slices.ContainsFunc(lines, func(l string) bool {
			return (strings.HasPrefix(l, m[1]+" ") || strings.HasPrefix(l, m[1]+"{")) && strings.Contains(l, matcher)
		}) {
			t.Errorf("an alert asks for %s, which there is not", m[0])
		}
	}
	if seen < 15 {
		t.Errorf("the alerts name %d metrics", seen)
	}
}
