package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/config"
	"faquan/internal/gateway/top/wire"
)

const (
	floodMemory      = 64 << 20
	floodConnections = 300
	// floodMargin is for what calls need that are served meanwhile, and for what the collector has not collected yet.
	floodMargin = 128 << 20
)

// Memory stays within the bounds, and calls are served, while strangers hold as many connections as they can, each
// with as much of a request as it can be made to hold. Without the bounds each kind takes several hundred MB.
func TestFloods(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20-1)
	var fields strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&fields, "%x:\n", 4096+i)
	}
	for _, kind := range []struct{ name, sent string }{
		{"all of a body but one byte", "POST /gateway.do HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n" + string(body)},
		{"all of a chunked body but its end", "POST /router/rest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + string(body)},
		{"all of a query but its end", "GET /gateway.do?a=" + string(body)},
		{"a header of as many fields as can be", "GET /gateway.do HTTP/1.1\r\n" + strings.Repeat("a:\n", 1<<20/3)},
		{"a header of many fields", "GET /gateway.do HTTP/1.1\r\n" + fields.String()},
		{"nothing", ""},
	} {
		t.Run(kind.name, func(t *testing.T) {
			w := newCrashWorld(t, testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`))
			p := w.start("--request-memory", strconv.Itoa(floodMemory), "--request-connections", strconv.Itoa(floodConnections))
			send := func(caller *caller, key string) {
				t.Helper()
				e, err := caller.send(context.Background(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: key})
				if err != nil || !e.answer.OK() {
					t.Errorf("%s: %+v, %v", key, e, err)
				}
			}
			send(&w.app, "before")
			before := memoryOf(t, p.cmd.Process.Pid, "VmRSS")
			flood(t, w.app.url, kind.sent, 2*floodConnections, func(n int) {
				send(&w.app, fmt.Sprint("established-", n))
				fresh := w.app
				fresh.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
				send(&fresh, fmt.Sprint("new-", n))
			})
			peak := memoryOf(t, p.cmd.Process.Pid, "VmHWM")
			t.Logf("%d MiB before, %d MiB at most", before>>20, peak>>20)
			if peak > before+floodMemory+floodMargin {
				t.Errorf("%d MiB at most, %d MiB before: more than %d MiB beside it", peak>>20, before>>20, (floodMemory+floodMargin)>>20)
			}
			p.stop()
		})
	}
}

// flood opens connections that send what they are given and stay silent. At every tenth of them it calls meanwhile.
func flood(t *testing.T, url, sent string, connections int, meanwhile func(n int)) {
	t.Helper()
	var writers sync.WaitGroup
	for n := range connections {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		writers.Go(func() { _, _ = io.WriteString(c, sent) }) // fails when the server lets go of it
		if n%(connections/10) == 0 {
			meanwhile(n)
		}
	}
	writers.Wait()
	meanwhile(connections)
}

// memoryOf returns a line of a process's status, in bytes.
func memoryOf(t *testing.T, pid int, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("the memory of a process is read in /proc: ", err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name+":" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("the status of the process has no %s", name)
	return 0
}

// A call that is verified, on whichever gateway, makes its connection a known one, which strangers do not displace.
func TestKnownCallersKeepTheirConnections(t *testing.T) {
	doc := testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)
	doc.Text = bytes.Replace(doc.Text, []byte("apps:"), []byte(`apps:
  - {name: top, merchant: acme, app_key: "12345678", app_secret: helloworld, redirect_uris: ["https://x.example/"]}`), 1)
	s := testServer(t, t.TempDir(), doc, func(c *config.Config) { c.Request.Connections = 16 })
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	top := func(secret string) string {
		return wire.SignRequest(map[string]string{"method": "taobao.time.get", "app_key": "12345678", "v": "2.0",
			"timestamp": wire.FormatTimestamp(time.Now())}, secret, wire.MD5)
	}
	batch := &wire.Call{AppKey: "12345678", Format: wire.JSON, At: time.Now()}
	query, items := batch.Batch("helloworld", []map[string]string{{"method": "taobao.time.get"}})
	token := func(secret string) string {
		return "grant_type=refresh_token&refresh_token=x&client_id=12345678&client_secret=" + secret
	}
	alipayForm, err := app.form((&voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k"}).text(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	type caller struct {
		name, path, body string
		known            bool
		conn             net.Conn
	}
	callers := []*caller{
		{name: "alipay", path: "/gateway.do", body: alipayForm, known: true},
		{name: "alipay, badly signed", path: "/gateway.do", body: alipayForm + "&more=1"},
		{name: "top", path: "/router/rest", body: top("helloworld"), known: true},
		{name: "top, badly signed", path: "/router/rest", body: top("another")},
		{name: "batch", path: "/router/batch?" + query, body: items, known: true},
		{name: "batch, badly signed", path: "/router/batch?" + query, body: items + "x"},
		{name: "token", path: "/token", body: token("helloworld"), known: true},
		{name: "token, wrong secret", path: "/token", body: token("another")},
		{name: "livez", path: "/livez"},
	}
	address := strings.TrimPrefix(s.url, "http://")
	dial := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for _, c := range callers {
		c.conn = dial()
		_, err := fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			c.path, len(c.body), c.body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c.conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // strangers have a second
	for range 16 - 4 {
		dial()
	}
	for _, c := range callers {
		_ = c.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := c.conn.Read(make([]byte, 1))
		if isOpen := errors.Is(err, os.ErrDeadlineExceeded); isOpen != c.known {
			t.Errorf("%s: open is %v, want %v: %v", c.name, isOpen, c.known, err)
		}
	}
}
