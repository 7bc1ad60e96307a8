package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
)

// testKey is the app's, made once.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

const testAppID = "2014072300007148"

// testDocument returns a catalogue of one app and the templates.
func testDocument(templates string) *control.Document {
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(&testKey().PublicKey)})
	return &control.Document{
		Name: "catalog.yaml", Attached: map[string][]byte{"app.pem": public},
		Text: []byte(`
merchants:
  - {name: acme, title: 优酷旗舰店, recipients: open}
apps:
  - {name: shop, merchant: acme, app_id: "` + testAppID + `", public_key_file: app.pem}
templates:
` + templates),
	}
}

// testServer starts a server in this process.
func testServer(t *testing.T, dir string, doc *control.Document, change ...func(*config.Config)) *server {
	t.Helper()
	c := config.Default()
	c.Data, c.Listen = dir, "127.0.0.1:0"
	for _, change := range change {
		change(&c)
	}
	s, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler), document: doc})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testCaller calls a server as the app.
func testCaller(t *testing.T, p control.Platform, url string) *caller {
	t.Helper()
	key, err := control.PublicKey.On(context.Background(), p, control.None{})
	if err != nil {
		t.Fatal(err)
	}
	return &caller{url: url, appID: testAppID, key: testKey(), gatewayKey: key, signType: wire.RSA2, charset: wire.UTF8,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(all)
}

// A stop under load answers every call that it took, and keeps what it answered.
func TestStopDrains(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`))
	app := testCaller(t, s.service, s.url)
	var (
		calls    sync.WaitGroup
		mu       sync.Mutex
		vouchers = map[string]string{}
		under    = make(chan struct{})
		once     sync.Once
	)
	for i := range 16 {
		calls.Go(func() {
			for n := 0; ; n++ {
				v := voucherSend{TemplateID: "T", UserID: fmt.Sprint(2088000000000000 + i), OutBizNo: fmt.Sprintf("k-%d-%d", i, n)}
				e, err := app.send(context.Background(), &v)
				if err != nil {
					return // the listener is closed
				}
				if !e.answer.OK() {
					t.Errorf("a call that was taken was answered %s %s", e.answer.Code, e.answer.SubCode)
					return
				}
				mu.Lock()
				vouchers[v.OutBizNo] = e.voucherID()
				mu.Unlock()
				once.Do(func() { close(under) })
			}
		})
	}
	<-under
	time.Sleep(50 * time.Millisecond)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	calls.Wait()
	s = testServer(t, dir, nil)
	defer s.stop()
	report, err := auditDir(context.Background(), dir, audit.EmbeddedOptions{Options: audit.Options{LookupEvery: 1}})
	if err != nil {
		t.Fatal(err)
	}
	// What was answered is there. A caller whose connection was cut got no answer; none should have been.
	if got, want := report.Checked.Vouchers, int64(len(vouchers)); got != want || !report.OK() {
		t.Errorf("%d vouchers are stored, %d were answered; findings %v", got, want, report.Findings)
	}
}

func TestReadiness(t *testing.T) {
	s := testServer(t, t.TempDir(), nil)
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := get(t, s.url+path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	s.ready.Store(false)
	if status, _ := get(t, s.url+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a stopping server: %d", status)
	}
	if status, _ := get(t, s.url+"/livez"); status != http.StatusOK {
		t.Errorf("/livez of a stopping server: %d", status)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// A store that has failed ends the server with its error, without a signal.
func TestFailedStoreEndsServer(t *testing.T) {
	s := testServer(t, t.TempDir(), nil)
	s.issuerFails(store.ErrFailed)
	ended := make(chan error, 1)
	go func() { ended <- s.wait(context.Background()) }()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if _, err := http.Get(s.url + "/livez"); err == nil {
		t.Error("it still answers")
	}
}

// Damage of the view that only a look-up meets ends the server, too, though no batch comes.
func TestDamagedViewEndsServer(t *testing.T) {
	dir := t.TempDir()
	doc := testDocument("")
	doc.Text = append(doc.Text, "sessions: [{key: s-1, app: shop, merchant: acme}]\n"...)
	if err := testServer(t, dir, doc).stop(); err != nil {
		t.Fatal(err)
	}
	s := testServer(t, dir, nil)                      // whose caches are empty
	r, err := s.node.store.Read(context.Background()) // which writes everything to the view
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	damagePages(t, embedded.ViewPath(dir), 0, 4096)
	damagePages(t, embedded.ViewPath(dir)+"-wal", 32+24, 4096+24)
	if _, err := store.Session(context.Background(), s.node.store, benefit.SessionDigest("s-1")); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("a session is looked up in a damaged view: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.wait(context.Background()) }()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	if _, err := http.Get(s.url + "/readyz"); err == nil {
		t.Error("it still answers")
	}
}

// damagePages changes a byte of each page of a file.
func damagePages(t *testing.T, path string, first, step int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := first + 2000; at < len(b); at += step {
		b[at] ^= 1
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(b, 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// issuerFails makes the committer end as it does when the store has failed.
func (s *server) issuerFails(err error) {
	s.node.engine.Stop()
	<-s.node.stopped
	s.node.stopped <- err
}

func TestListenFailsCleanly(t *testing.T) {
	first := testServer(t, t.TempDir(), nil)
	defer first.stop()
	dir := t.TempDir()
	c := config.Default()
	c.Data, c.Listen = dir, first.url[len("http://"):]
	if _, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("two servers listen on one address")
	}
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); err == nil {
		t.Error("a socket was left behind")
	}
	testServer(t, dir, nil).stop() // nothing holds the directory
}

// What a change brings is in force in the gateway when the command that made it returns: a session that was looked
// for in vain a moment ago, too.
func TestChangesAreTakenUp(t *testing.T) {
	const other = `  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}
  - {name: theirs, merchant: guest, kind: EXCHANGE, template_id: THEIRS, valid: {days: 1}}
`
	doc := testDocument(other)
	doc.Text = bytes.Replace(doc.Text, []byte("merchants:"), []byte("merchants:\n  - {name: guest, title: 别家旗舰店, recipients: open}"), 1)
	s := testServer(t, t.TempDir(), doc)
	defer s.stop()
	ctx := context.Background()
	app := testCaller(t, s.service, s.url)
	app.token = "token-1"
	send := func(key string) string {
		e, err := app.send(ctx, &voucherSend{TemplateID: "THEIRS", UserID: "2088000000000001", OutBizNo: key})
		if err != nil {
			t.Fatal(err)
		}
		return e.answer.SubCode
	}
	if got := send("k1"); got != "aop.invalid-app-auth-token" {
		t.Fatalf("before the session exists: %q", got)
	}
	session := &control.Document{Name: "s.yaml", Text: []byte("sessions:\n  - {key: token-1, app: shop, merchant: guest, expires: 2036-01-01 00:00:00}\n")}
	if _, err := s.service.Apply(ctx, session); err != nil {
		t.Fatal(err)
	}
	if got := send("k2"); got != "" {
		t.Errorf("with the session: %q", got)
	}
	paused := &control.Document{Name: "p.yaml", Text: []byte("templates:\n  - {name: theirs, merchant: guest, kind: EXCHANGE, valid: {days: 1}, status: PAUSED}\n")}
	if _, err := s.service.Apply(ctx, paused); err != nil {
		t.Fatal(err)
	}
	if got := send("k3"); got != "TEMPLATE_PAUSED" {
		t.Errorf("with the template paused: %q", got)
	}
}

// The settings reach what they are for.
func TestSettingsReachTheGateway(t *testing.T) {
	c := config.Default()
	c.Data, c.Listen = t.TempDir(), "127.0.0.1:0"
	c.Request.Bytes, c.Alipay.Tolerance = 2048, time.Minute
	doc := testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)
	s, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler), document: doc})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	v := voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k"}
	if e, err := app.send(context.Background(), &v); err != nil || !e.answer.OK() {
		t.Fatalf("%+v, %v", e, err)
	}
	v.ExtendInfo = strings.Repeat("x", 2048)
	if e, err := app.send(context.Background(), &v); err == nil && e.answer.OK() {
		t.Error("a request above request.bytes was taken")
	}
	v.ExtendInfo = ""
	form, err := app.form(v.text(), time.Now().Add(-2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := app.post(context.Background(), form)
	if err != nil || !strings.Contains(string(body), "isv.invalid-timestamp") {
		t.Errorf("a timestamp beyond alipay.tolerance: %s, %v", body, err)
	}
}

// HTTPS with the operator's certificate.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, pool := testCertificate(t, dir)
	c := config.Default()
	c.Data, c.Listen, c.TLS = filepath.Join(dir, "data"), "127.0.0.1:0", cert
	s, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	client := pool.Client()
	resp, err := client.Get(s.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}
