package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/api"
	"faquan/internal/store/memory"
)

// events reads a page of events.
func (w *world) events(query string) *answer {
	w.t.Helper()
	return w.get("/api/v1/events", "/api/v1/events?"+query)
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	cash := w.issue("cash", alice, 5000)
	code := w.issue("code", alice, 0)
	w.redeem("r1", fmt.Sprintf(`{"voucher_id": "%d", "order": "o-1", "order_amount": "8000", "amount": "2000"}`, cash.ID)).want(t, 200)
	w.reverse(fmt.Sprintf("%d-1", cash.ID), "back", "").want(t, 200)
	w.change(code.ID, "void", "v1", `{"return_stock": true, "memo": "客户退款"}`).want(t, 200)
	whole := w.events("types=voucher.*").want(t, 200, "more=false",
		fmt.Sprintf("events.0.id=%d-0", cash.ID), "events.0.type=voucher.issued", "events.0.template=cash", "events.0.merchant=acme",
		"events.0.at=2026-11-22T12:00:00.000+08:00", "events.0.data.balance=5000", "events.0.data.app=shop", "events.0.data.key=issue-1",
		"events.1.data.kind=CERTIFICATE", "events.2.type=voucher.redeemed", "events.2.data.value=2000", "events.2.data.order=o-1",
		"events.3.type=voucher.reversed", fmt.Sprintf("events.3.data.redemption_id=%d-1", cash.ID),
		"events.4.type=voucher.voided", "events.4.data.memo=客户退款", "events.5=")
	if strings.Contains(string(whole.body), code.Code) || strings.Contains(string(whole.body), alice.Value) {
		t.Errorf("%s", whole.body)
	}
	page := w.events("types=voucher.*&limit=2").want(t, 200, "more=true", "events.1.type=voucher.issued", "events.2=")
	w.events("types=voucher.*&from="+page.field("next")).want(t, 200, "more=false", "events.2.type=voucher.voided", "events.3=")
	w.events("types=voucher.*&from="+whole.field("events.3.position")).want(t, 200, "events.0.type=voucher.voided", "events.1=")
	w.events("templates=cash,off&types=voucher.issued,template.*").want(t, 200, "events.0.template=cash", "events.1=")
	w.events("from=end").want(t, 200, "events=[]", "more=false", "next="+whole.field("next"))
	w.events("from="+url.QueryEscape("2026-11-22 12:00:00")).want(t, 200, "events.4.type=voucher.voided")
	w.events("from="+url.QueryEscape("2026-11-23T00:00:00+08:00")).want(t, 200, "events=[]")
	w.at(8 * 24 * time.Hour)
	w.events("").want(t, 200, "events=[]") // they are older than the feed is kept
	for query, field := range map[string]string{
		"from=yesterday": "from", "from=1-1": "from", "types=voucher": "types", "templates=nothing": "templates", "templates=theirs": "templates",
		"limit=0": "limit", "limit=1001": "limit", "cursor=1": "cursor",
	} {
		w.events(query).want(t, 400, "reason=REQUEST_INVALID", "field="+field)
	}
	w.events("from=1-00000000").want(t, 410, "reason=POSITION_UNKNOWN")
	w.secret = w.token("shop", "query")
	w.events("").want(t, 403, "reason=SCOPE_MISSING")
}

func TestEventsOfOtherMerchants(t *testing.T) {
	w := newWorld(t)
	w.issue("cash", alice, 100)
	w.issue("theirs", alice, 0)
	w.events("").want(t, 200, "events.0.template=cash", "events.1=")
	w.secret = w.token("other", "events")
	w.events("").want(t, 200, "events.0.template=theirs", "events.1=")
}

// An app does not learn the keys of another.
func TestKeysInEvents(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 100)
	w.redeem("r1", fmt.Sprintf(`{"voucher_id": "%d"}`, v.ID)).want(t, 200)
	w.events("").want(t, 200, "events.0.data.key=issue-1", "events.1.data.key=r1")
	w.secret = w.token("second", "events")
	w.events("").want(t, 200, "events.0.data.app=shop", "events.0.data.key=", "events.1.data.app=shop", "events.1.data.key=")
}

// sse is a stream of events as a client receives it.
type sse struct {
	t     *testing.T
	resp  *http.Response
	lines chan string // closed at its end
}

// stream begins a stream.
func (w *world) stream(query, last string) *sse {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), "GET", w.url+"/api/v1/events?"+query, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.secret)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	s := &sse{t: w.t, resp: resp, lines: make(chan string, 1000)}
	go func() {
		defer close(s.lines)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			s.lines <- lines.Text()
		}
	}()
	return s
}

// next returns the next line that begins with a text, without it; at the end of the stream, or after some seconds, none.
func (s *sse) next(prefix string) string {
	s.t.Helper()
	for timeout := time.After(10 * time.Second); ; {
		select {
		case line, ok := <-s.lines:
			if rest, is := strings.CutPrefix(line, prefix); is || !ok {
				return rest
			}
		case <-timeout:
			return ""
		}
	}
}

// ended reports whether the stream ends within some seconds.
func (s *sse) ended() bool {
	for timeout := time.After(5 * time.Second); ; {
		select {
		case _, ok := <-s.lines:
			if !ok {
				return true
			}
		case <-timeout:
			return false
		}
	}
}

func TestEventStream(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 100)
	s := w.stream("", "")
	if kind := s.resp.Header.Get("Content-Type"); s.resp.StatusCode != 200 || kind != "text/event-stream" || s.resp.Header.Get("Faquan-Trace-Id") == "" {
		t.Fatalf("%d %v", s.resp.StatusCode, s.resp.Header)
	}
	id, event, data := s.next("id: "), s.next("event: "), s.next("data: ")
	if event != "voucher.issued" || !strings.Contains(data, fmt.Sprintf(`"id":"%d-0"`, v.ID)) || !strings.Contains(data, `"position":"`+id+`"`) {
		t.Errorf("%s %s %s", id, event, data)
	}
	if err := described().validate("/components/schemas/Event", []byte(data)); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	if beat := s.next(": still here"); beat != "" || s.next("id: ") != id {
		t.Errorf("no sign of life at %s", id)
	}
	for n := range 3 { // what happens later comes, too
		w.redeem(fmt.Sprint("r", n), fmt.Sprintf(`{"voucher_id": "%d", "amount": "10"}`, v.ID)).want(t, 200)
		if data := s.next("data: "); !strings.Contains(data, fmt.Sprintf(`"key":"r%d"`, n)) {
			t.Errorf("%s", data)
		}
	}
	again := w.stream("from=end", id)
	if data := again.next("data: "); !strings.Contains(data, `"key":"r0"`) {
		t.Errorf("behind %s: %s", id, data)
	}
	bad := w.stream("", "1-00000000")
	if bad.resp.StatusCode != 410 {
		t.Errorf("%d", bad.resp.StatusCode)
	}
	if limited := w.stream("limit=5", ""); limited.resp.StatusCode != 400 {
		t.Errorf("%d", limited.resp.StatusCode)
	}
	w.handler.EndStreams()
	if !s.ended() {
		t.Error("the stream does not end when the process stops")
	}
	if late := w.stream("", ""); late.resp.StatusCode != 503 {
		t.Errorf("%d", late.resp.StatusCode)
	}
}

// The time for a request and its answer ends no stream.
func TestStreamsOutliveTheLimits(t *testing.T) {
	w := worldWith(t, memory.New(), true, func(s *http.Server) {
		s.ReadTimeout, s.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	s := w.stream("", "")
	time.Sleep(700 * time.Millisecond)
	w.issue("cash", alice, 100)
	if s.next("data: ") == "" {
		t.Error("the stream has ended")
	}
}

func TestStreamOfARevokedToken(t *testing.T) {
	w := newWorld(t)
	all := w.secret
	w.secret = w.token("shop", "events")
	s := w.stream("", "")
	if s.next(": still here"); len(s.lines) > 100 {
		t.Fatal("too many")
	}
	if revoked, err := w.tokens.Revoke(t.Context(), w.secret); !revoked || err != nil {
		t.Fatal(err)
	}
	if !s.ended() {
		t.Error("the stream goes on")
	}
	if after := w.stream("", ""); after.resp.StatusCode != 401 {
		t.Errorf("%d", after.resp.StatusCode)
	}
	w.secret = all
}

// A client that does not receive loses its stream.
func TestSlowStream(t *testing.T) {
	w := worldWith(t, memory.New(), true, func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			_ = c.(*net.TCPConn).SetWriteBuffer(4096)
			return ctx
		}
	})
	w.handler.SetStreamTimes(time.Hour, 100*time.Millisecond)
	for range 1000 {
		w.issue("thing", alice, 0)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(1024)
	fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", w.secret)
	time.Sleep(time.Second)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	all, err := io.ReadAll(conn)
	if n := bytes.Count(all, []byte("event: ")); errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n > 900 {
		t.Errorf("%d events; %v", n, err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t)
	for range api.MaxStreamsOfApp {
		if s := w.stream("from=end", ""); s.resp.StatusCode != 200 {
			t.Fatalf("%d", s.resp.StatusCode)
		}
	}
	if s := w.stream("from=end", ""); s.resp.StatusCode != 503 {
		t.Errorf("%d", s.resp.StatusCode)
	}
	w.secret = w.token("second", "events")
	if s := w.stream("from=end", ""); s.resp.StatusCode != 200 {
		t.Errorf("another app: %d", s.resp.StatusCode)
	}
}

// An app whose streams are all taken is answered its queries and pages at once, however many of its clients wait for a stream.
func TestWaitingStreamsHoldUpNoQueries(t *testing.T) {
	w := newWorld(t)
	w.handler.SetStreamWait(time.Minute)
	v := w.issue("cash", alice, 100)
	for range api.MaxStreamsOfApp {
		if s := w.stream("from=end", ""); s.resp.StatusCode != 200 {
			t.Fatalf("%d", s.resp.StatusCode)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 8 {
		req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/api/v1/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.secret)
		req.Header.Set("Accept", "text/event-stream")
		waiting.Go(func() {
			if resp, err := http.DefaultClient.Do(req); err == nil { // it has waited for its whole deadline
				resp.Body.Close()
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	w.voucher(v.ID).want(t, 200)
	w.events("").want(t, 200, "events.0.type=voucher.issued")
	cancel()
	waiting.Wait()
}

// A stream that does not begin takes no room from others, and a page needs none.
func TestRefusedStreamsLeave(t *testing.T) {
	w := newWorld(t)
	w.issue("cash", alice, 100)
	all := w.secret
	for range api.MaxStreamsOfApp {
		for query, status := range map[string]int{"from=yesterday": 400, "from=1-00000000": 410, "types=voucher": 400, "limit=5": 400} {
			if s := w.stream(query, ""); s.resp.StatusCode != status {
				t.Fatalf("%s: %d", query, s.resp.StatusCode)
			}
		}
		w.events("").want(t, 200)
	}
	w.secret = w.token("shop", "query")
	for range api.MaxStreamsOfApp {
		if s := w.stream("", ""); s.resp.StatusCode != 403 {
			t.Fatalf("%d", s.resp.StatusCode)
		}
	}
	w.secret = all
	for n := range api.MaxStreamsOfApp {
		if s := w.stream("from=end", ""); s.resp.StatusCode != 200 {
			t.Fatalf("stream %d: %d", n, s.resp.StatusCode)
		}
	}
}
