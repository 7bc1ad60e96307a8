package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faquan/internal/config"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay/wire"
	topwire "faquan/internal/gateway/top/wire"
)

func TestLimitRequests(t *testing.T) {
	const mib = 1 << 20
	standard := config.Default().Request
	set := func(change func(r *config.Request)) config.Request {
		r := standard
		change(&r)
		return r
	}
	for _, test := range []struct {
		name        string
		r           config.Request
		memory      int64
		files       uint64
		total       int64 // of connections and shared memory
		connections int
		err         string
	}{
		{"a large machine", standard, 64 << 30, 1 << 20, 1 << 30, 8192, ""},
		{"1 GiB", standard, 1 << 30, 1 << 20, 256 * mib, 2048, ""},
		{"a tiny machine", standard, 64 * mib, 1 << 20, 64 * mib, 512, ""},
		{"few descriptors", standard, 64 << 30, 1024, 1 << 30, 768, ""},
		{"set memory", set(func(r *config.Request) { r.Memory = 96 * mib }), 64 << 30, 1 << 20, 96 * mib, 768, ""},
		{"set connections", set(func(r *config.Request) { r.Connections = 100 }), 1 << 30, 1 << 20, 256 * mib, 100, ""},
		{"more connections than memory", set(func(r *config.Request) { r.Connections = 5000 }), 1 << 30, 1 << 20, 0, 0,
			"request.memory: 268435456 bytes are too few: 5000 connections"},
		{"more connections than descriptors", set(func(r *config.Request) { r.Connections = 1000 }), 1 << 30, 1024, 0, 0,
			"request.connections: 1000 connections need a higher limit of file descriptors than 1024"},
		{"larger bodies than memory", set(func(r *config.Request) { r.Bytes = 64 * mib }), 1 << 30, 1 << 20, 0, 0,
			"a request of request.bytes takes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := serverLimits(test.r, test.memory, test.files)
			if fmt.Sprint(err) != "<nil>" || test.err != "" {
				if err == nil || test.err == "" || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q in it", err, test.err)
				}
				return
			}
			if total := l.Memory + int64(l.Connections)*gateway.ConnMemory; total != test.total || l.Connections != test.connections {
				t.Errorf("%d bytes and %d connections, want %d and %d", total, l.Connections, test.total, test.connections)
			}
			if l.BodyRate != test.r.Rate {
				t.Errorf("rate %d", l.BodyRate)
			}
		})
	}
}

// The settings reach the server.
func TestSettingsReachTheServer(t *testing.T) {
	s := testServer(t, t.TempDir(), nil, func(c *config.Config) {
		c.Request.Memory, c.Request.Connections, c.Request.Rate = 100<<20, 77, 4321
	})
	defer s.stop()
	want := gateway.ServerLimits{Write: s.limits.Write, Connections: 77, BodyRate: 4321, Memory: 100<<20 - 77*gateway.ConnMemory,
		HeaderBytes: 1<<20 + 64<<10}
	if s.limits != want {
		t.Errorf("got %+v, want %+v", s.limits, want)
	}
}

// A query is read up to request.bytes, and one beyond that is answered by its protocol, in the format that it asks for.
func TestLongQueries(t *testing.T) {
	doc := testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)
	doc.Text = bytes.Replace(doc.Text, []byte("apps:"), []byte(`apps:
  - {name: top, merchant: acme, app_key: "12345678", app_secret: helloworld}`), 1)
	s := testServer(t, t.TempDir(), doc, func(c *config.Config) { c.Request.Bytes = 2 << 20 })
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	now := time.Now()
	alipay := func(pad string) string {
		query, err := wire.SignRequest(map[string]string{
			"app_id": app.appID, "method": sendMethod, "version": "1.0", "timestamp": wire.FormatTimestamp(now),
			"biz_content": (&voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k"}).text(), "pad": pad,
		}, app.key, app.signType, app.charset)
		if err != nil {
			t.Fatal(err)
		}
		return query
	}
	top := func(pad string) string {
		return topwire.SignRequest(map[string]string{"method": "taobao.time.get", "app_key": "12345678", "v": "2.0", "format": "json",
			"timestamp": topwire.FormatTimestamp(now), "pad": pad}, "helloworld", topwire.MD5)
	}
	for _, c := range []struct {
		path      string
		query     func(pad string) string
		good, bad string
	}{
		{"/gateway.do", alipay, `{"alipay_marketing_voucher_send_response":{"code":"10000"`,
			`{"alipay_marketing_voucher_send_response":{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.invalid-parameter","sub_msg":"请求过大"}`},
		{"/router/rest", top, `{"time_get_response":`, `{"error_response":{"code":`},
	} {
		rest := len(c.query("-"))
		for more, want := range map[int]string{-1000: c.good, 1000: c.bad, 60 << 10: c.bad} { // signatures differ in length
			status, body := get(t, s.url+c.path+"?"+c.query(strings.Repeat("x", 2<<20-rest+more)))
			if status != http.StatusOK || !strings.HasPrefix(body, want) || want == c.bad && !strings.Contains(body, "请求过大") {
				t.Errorf("%s, %d bytes beyond the limit: %d %.200s", c.path, more, status, body)
			}
		}
		if status, body := get(t, s.url+c.path+"?"+c.query(strings.Repeat("x", 2<<20+80<<10))); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s, far beyond the limit: %d %.200s", c.path, status, body)
		}
	}
}

// A process takes as many file descriptors as it may have, and says so when they are few.
func TestFileLimit(t *testing.T) {
	if _, err := os.Stat("/proc/self/limits"); err != nil {
		t.Skip("the limits of a process are read in /proc: ", err)
	}
	w := newCrashWorld(t, testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`))
	for hard, warns := range map[int]bool{1000: true, 4096: false} {
		p := &crashProcess{t: t}
		script := fmt.Sprintf(`ulimit -n %d && ulimit -Sn 200 && exec faquan serve --log-level warn --listen 127.0.0.1:0 --data "$0" --apply "$1"`, hard)
		p.cmd = exec.Command("sh", "-c", script, w.data(), filepath.Join(w.dir, "catalog.yaml"))
		p.cmd.Stderr, p.cmd.Env = &p.err, bareEnviron()
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
		w.waitFor(p)
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(limits)) {
			if f := strings.Fields(line); strings.HasPrefix(line, "Max open files") && f[3] != fmt.Sprint(hard-1) { // as the Go runtime does
				t.Errorf("the soft limit is %s, want %d", f[3], hard-1)
			}
		}
		p.stop()
		if got := strings.Contains(p.err.String(), "few file descriptors"); got != warns {
			t.Errorf("%d descriptors: warned is %v, want %v: %s", hard, got, warns, p.err.String())
		}
	}
}
