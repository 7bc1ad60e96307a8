package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/audit"
	"faquan/internal/catalog"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/outage"
	"faquan/internal/pgtest"
	"faquan/internal/pgtest/cutproxy"
	"faquan/internal/seal"
	"faquan/internal/session"
	"faquan/internal/store/postgres"
)

// testPostgres is one server for the tests that do not hurt it. It syncs, because faquan takes no other.
var testPostgres = sync.OnceValues(func() (*pgtest.Server, error) { return pgtest.Open() })

// testDatabase makes an empty database.
func testDatabase(t *testing.T) string {
	t.Helper()
	server, err := testPostgres()
	if err != nil {
		t.Fatal(err)
	}
	return server.Database(t)
}

// onDatabase starts a server of this process on a database. Those with one directory have one key.
func onDatabase(t *testing.T, store, dir string, doc *control.Document, log *slog.Logger, change ...func(*config.Config)) *server {
	t.Helper()
	c := config.Default()
	c.Data, c.Listen, c.Store = dir, "127.0.0.1:0", store
	for _, change := range change {
		change(&c)
	}
	s, err := startServer(context.Background(), &c, serverOptions{log: log, document: doc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return s
}

// within waits for what must come about soon. The bound is far above the second that is promised, for busy machines.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > 40*time.Second {
			t.Fatalf("%s: not after %s", what, time.Since(start).Round(time.Millisecond))
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%s: after %s", what, time.Since(start).Round(time.Millisecond))
}

const sharedTemplates = `  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}
  - {name: theirs, merchant: guest, kind: EXCHANGE, template_id: THEIRS, valid: {days: 1}}
`

// What one process changes the others take up: what their gateways keep of it too.
func TestChangesReachOtherProcesses(t *testing.T) {
	store, dir, ctx := testDatabase(t), t.TempDir(), context.Background()
	doc := testDocument(sharedTemplates)
	doc.Text = bytes.Replace(doc.Text, []byte("merchants:"), []byte("merchants:\n  - {name: guest, title: 别家旗舰店, recipients: open}"), 1)
	discard := slog.New(slog.DiscardHandler)
	one := onDatabase(t, store, dir, doc, discard)
	two := onDatabase(t, store, dir, nil, discard)
	app := testCaller(t, two.service, two.url)
	defer app.client.CloseIdleConnections()
	n := 0
	send := func(template string) string {
		n++
		e, err := app.send(ctx, &voucherSend{TemplateID: template, UserID: "2088000000000001", OutBizNo: fmt.Sprint("k", n)})
		if err != nil {
			return err.Error()
		}
		return e.answer.SubCode
	}

	if got := send("NEW"); got != "TEMPLATE_NOT_EXIST" {
		t.Fatalf("before there is such a template: %q", got)
	}
	raised := &control.Document{Name: "n.yaml", Text: []byte("templates:\n  - {name: new, merchant: acme, kind: EXCHANGE, template_id: NEW, valid: {days: 1}}\n")}
	if _, err := one.service.Apply(ctx, raised); err != nil {
		t.Fatal(err)
	}
	within(t, "a template of the other process", func() bool { return send("NEW") == "" })

	if got := send("THEIRS"); got != "TEMPLATE_NOT_EXIST" {
		t.Fatalf("without a session: %q", got)
	}
	grant, err := one.service.NewSession(ctx, session.Order{App: "shop", Merchant: "guest"})
	if err != nil {
		t.Fatal(err)
	}
	app.token = grant.Access
	if got := send("THEIRS"); got != "" {
		t.Errorf("a new session of the other process, which nobody has asked for yet: %q", got)
	}
	if _, err := one.service.RevokeSession(ctx, grant.Access); err != nil {
		t.Fatal(err)
	}
	within(t, "a session that the other process has revoked", func() bool { return send("THEIRS") == "aop.invalid-app-auth-token" })
	app.token = ""

	key, err := catalog.NewPlatformKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.service.RotateKey(ctx, control.PrivateKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	app.gatewayKey = &key.PublicKey
	within(t, "the platform's key", func() bool { return send("T") == "" })

	disabled := &control.Document{Name: "d.yaml", Text: bytes.ReplaceAll(doc.Text, []byte("public_key_file: app.pem}"), []byte("public_key_file: app.pem, status: DISABLED}")), Attached: doc.Attached}
	if _, err := one.service.Apply(ctx, disabled); err != nil {
		t.Fatal(err)
	}
	within(t, "an app that the other process has disabled", func() bool { return send("T") != "" })
}

// When the command that pauses a template has returned, no process issues it any more.
func TestPausedEverywhere(t *testing.T) {
	store, dir, ctx := testDatabase(t), t.TempDir(), context.Background()
	discard := slog.New(slog.DiscardHandler)
	servers := []*server{
		onDatabase(t, store, dir, testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`), discard),
		onDatabase(t, store, dir, nil, discard),
	}
	var (
		callers       sync.WaitGroup
		paused, ended atomic.Bool
		before, after atomic.Int64
	)
	for i := range 8 {
		s := servers[i%2]
		app := testCaller(t, s.service, s.url)
		callers.Go(func() {
			defer app.client.CloseIdleConnections()
			for n := 0; !ended.Load(); n++ {
				late := paused.Load() // sent when the command had returned
				v := voucherSend{TemplateID: "T", UserID: fmt.Sprint(2088000000000000 + i), OutBizNo: fmt.Sprintf("k-%d-%d", i, n)}
				e, err := app.send(ctx, &v)
				switch {
				case err != nil:
					t.Error(err)
					return
				case e.answer.OK() && late:
					t.Error("a voucher of a paused template")
					return
				case e.answer.OK():
					before.Add(1)
				case late && e.answer.SubCode != "TEMPLATE_PAUSED":
					t.Errorf("refused for %s", e.answer.SubCode)
				case late:
					after.Add(1)
				}
			}
		})
	}
	within(t, "some vouchers", func() bool { return before.Load() > 100 })
	file := filepath.Join(t.TempDir(), "paused.yaml")
	text := "templates:\n  - {name: t, merchant: acme, kind: EXCHANGE, valid: {days: 1}, status: PAUSED}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := newRoot()
	cmd.SetArgs([]string{"apply", "-f", file, "--store", store, "--data", dir})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	paused.Store(true)
	within(t, "some refusals", func() bool { return after.Load() > 100 || t.Failed() })
	ended.Store(true)
	callers.Wait()
	report, err := auditLocation(ctx, location{dir: dir, store: store}, audit.EmbeddedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := report.Checked.Vouchers, before.Load(); got != want || !report.OK() {
		t.Errorf("%d vouchers are stored, %d were answered; findings %v", got, want, report.Findings)
	}
}

// A process outlives its database: it reports that it cannot issue, tells callers to retry, and recovers by itself.
func TestDatabaseGoesAndComes(t *testing.T) {
	postgres := pgtest.Start(t)
	var log syncBuffer
	s := onDatabase(t, postgres.Database(t), t.TempDir(),
		testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`), slog.New(slog.NewTextHandler(&log, nil)), withMetrics)
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	send := func(key string) *exchange {
		e, err := app.send(context.Background(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: key})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	first := send("k1")
	if !first.answer.OK() {
		t.Fatal(first.raw)
	}
	if status, body := get(t, s.url+"/readyz"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	s.shows(t, map[string]float64{"faquan_ready": 1, "faquan_store_up": 1, callsOf("issued"): 1})
	if at := scrape(t, s); at[`faquan_postgres_connections{pool="issuing",state="idle"}`] < 1 || at["faquan_sync_duration_seconds_count"] < 2 {
		t.Errorf("%v", at)
	}

	away := time.Now()
	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		send("k1")
	}
	within(t, "not ready", func() bool {
		status, body := get(t, s.url+"/readyz")
		return status == http.StatusServiceUnavailable && body == "the database takes no commits; callers are told to retry\n"
	})
	if status, _ := get(t, s.url+"/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	if e := send("k1"); e.answer.Code != "20000" && e.answer.SubCode != "SYSTEM_ERROR" {
		t.Errorf("without the database: %s", e.raw)
	}
	s.shows(t, map[string]float64{"faquan_ready": 0, "faquan_store_up": 0})
	if at := scrape(t, s); at[callsOf("unknown")]+at[callsOf("busy")] < 30 || at[`faquan_batch_failures_total{step="load"}`] < 1 {
		t.Errorf("the calls without the database: %v", at)
	}

	postgres.StartAgain(t)
	within(t, "ready again", func() bool {
		status, _ := get(t, s.url+"/readyz")
		return status == http.StatusOK
	})
	s.shows(t, map[string]float64{"faquan_ready": 1, "faquan_store_up": 1})
	within(t, "the same voucher", func() bool { return send("k1").voucherID() == first.voucherID() })
	within(t, "another voucher", func() bool { return send("k2").answer.OK() })
	for _, line := range []string{
		"the database takes no commits; callers are told to retry", "the database takes commits again", "batches are committed again",
	} {
		if !bytes.Contains(log.Bytes(), []byte(line)) {
			t.Errorf("the log does not say: %s", line)
		}
	}
	most := 1 + int(time.Since(away)/outage.Every)
	for _, line := range []string{
		"a batch could not be ", "LISTEN connection lost; retrying", "background work failed.*work.*sessions", "background work failed.*work.*feed",
	} {
		if n := len(regexp.MustCompile(line).FindAll(log.Bytes(), -1)); n > most {
			t.Errorf("%d lines of %q, want at most %d", n, line, most)
		}
	}
}

// roleDatabase makes an empty database that a new role owns.
func roleDatabase(t *testing.T) (at, role string) {
	t.Helper()
	u, err := url.Parse(testDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	role = "r_" + strings.ToLower(crand.Text())
	execute(t, "CREATE ROLE "+role+" LOGIN")
	execute(t, "ALTER DATABASE "+strings.TrimPrefix(u.Path, "/")+" OWNER TO "+role)
	u.User = url.User(role)
	return u.String(), role
}

// execute runs a statement on the server of the tests, as its superuser.
func execute(t *testing.T, statement string) {
	t.Helper()
	pg, err := testPostgres()
	if err != nil {
		t.Fatal(err)
	}
	if err := pg.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// A process whose role gets no connection for a batch is not ready, from the first probe on.
func TestReadyNeedsAConnectionForABatch(t *testing.T) {
	at, role := roleDatabase(t)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: at})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	execute(t, "ALTER ROLE "+role+" CONNECTION LIMIT 0")
	s := &server{node: &node{database: db}, log: slog.New(slog.DiscardHandler)}
	s.ready.Store(true)
	s.startBackground()
	defer s.stopBackground()
	if s.unready() == "" {
		t.Error("it is ready without a connection to issue on")
	}
}

// A network that stops without a word, as when the machine of the primary is gone, is given up after some seconds: calls
// and the news of other processes come by another host of the URL.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	store, dir, ctx := testDatabase(t), t.TempDir(), context.Background()
	discard := slog.New(slog.DiscardHandler)
	other := onDatabase(t, store, dir, testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`), discard)
	grant, err := other.service.NewSession(ctx, session.Order{App: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	proxy := cutproxy.Start(t, store)
	direct, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := url.Parse(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	hosts.Host += "," + direct.Host
	s := onDatabase(t, hosts.String(), dir, nil, discard)
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	app.token = grant.Access
	n := 0
	send := func() *exchange {
		n++
		e, err := app.send(ctx, &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: fmt.Sprint("k", n)})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	within(t, "a voucher", func() bool { return send().answer.OK() }) // a busy machine may take longer than a call waits
	proxy.Freeze()
	if e := send(); e.answer.Code != "20000" && e.answer.SubCode != "SYSTEM_ERROR" {
		t.Errorf("while nothing passes: %s", e.raw)
	}
	within(t, "a voucher by the other host", func() bool { return send().answer.OK() })
	within(t, "ready by the other host", func() bool { status, _ := get(t, s.url+"/readyz"); return status == http.StatusOK })
	if _, err := other.service.RevokeSession(ctx, grant.Access); err != nil {
		t.Fatal(err)
	}
	within(t, "news by the other host", func() bool { return send().answer.SubCode == "aop.invalid-app-auth-token" })
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b.Bytes())
}

// Of the processes that start at once on an empty database all come up with one catalogue and one platform key, or
// are refused because they have another key file.
func TestFirstStartsTogether(t *testing.T) {
	store, dir := testDatabase(t), t.TempDir()
	started := make(chan *server, 4)
	for k := range cap(started) {
		go func() {
			c := config.Default()
			c.Listen, c.Store, c.Data = "127.0.0.1:0", store, dir
			if k == 3 {
				c.Data = filepath.Join(dir, "another")
			}
			s, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler),
				document: testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)})
			if err != nil {
				t.Logf("refused: %v", err)
				started <- nil
				return
			}
			started <- s
		}()
	}
	var proofs [][]byte
	for range cap(started) {
		s := <-started
		if s == nil {
			continue
		}
		defer s.stop()
		proofs = append(proofs, s.node.box.Proof())
		if e, err := testCaller(t, s.service, s.url).send(context.Background(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k"}); err != nil || !e.answer.OK() {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if len(proofs) != 3 && len(proofs) != 1 {
		t.Errorf("%d servers came up; those of one key should", len(proofs))
	}
	for _, proof := range proofs {
		if !bytes.Equal(proof, proofs[0]) {
			t.Error("two servers with two keys came up")
		}
	}
}

// A session that has long been over is removed, by one process for all.
func TestSweptSessions(t *testing.T) {
	store, ctx := testDatabase(t), context.Background()
	doc := testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)
	doc.Text = append(doc.Text, []byte(`
sessions:
  - {key: s-old, app: shop, expires: 2020-01-01 00:00:00}
  - {key: s-recent, app: shop, expires: `+time.Now().Add(-48*time.Hour).Format("2006-01-02 15:04:05")+`}
  - {key: s-good, app: shop, expires: 2036-01-01 00:00:00}
`)...)
	s := onDatabase(t, store, t.TempDir(), doc, slog.New(slog.DiscardHandler))
	count := func() int {
		all, err := s.service.ListSessions(ctx, session.Filter{All: true})
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	within(t, "the old session is gone", func() bool { return count() == 2 })
	time.Sleep(50 * time.Millisecond)
	if got := count(); got != 2 {
		t.Errorf("%d sessions are left", got)
	}
}

// What has happened is in the feed within a moment, and is removed from it when it is older than is kept.
func TestSweptFeed(t *testing.T) {
	store, dir := testDatabase(t), t.TempDir()
	bounds := func(t *testing.T, s *server) (begin, end int64) {
		t.Helper()
		first, err := s.node.database.FeedSince(t.Context(), 0)
		last, lastErr := s.node.database.FeedEnd(t.Context())
		if err := errors.Join(err, lastErr); err != nil {
			t.Fatal(err)
		}
		return first.Seq, last.Seq
	}
	t.Run("kept", func(t *testing.T) {
		doc := testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)
		s := onDatabase(t, store, dir, doc, slog.New(slog.DiscardHandler))
		within(t, "the new template is in the feed", func() bool {
			_, end := bounds(t, s)
			return end == 1
		})
	})
	conn, err := pgx.Connect(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	days := func(n int) int64 { return time.Now().Add(time.Duration(-n) * 24 * time.Hour).UnixMilli() }
	const age = `WITH old AS (UPDATE feed SET latest = $1 RETURNING *) INSERT INTO feed SELECT seq + 1, now, $2, body FROM old`
	if _, err := conn.Exec(t.Context(), age, days(8), days(6)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE feed_state SET last = 2`); err != nil {
		t.Fatal(err)
	}
	// A command, which does not know how long events are kept, begins with the oldest one.
	err = openExisting(t.Context(), location{dir: dir, store: store}, func(p control.Platform) error {
		page, err := control.Events.On(t.Context(), p, &control.EventQuery{From: "start", Limit: 10})
		if err == nil && len(page.Events) != 2 {
			t.Errorf("%d events", len(page.Events))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s := onDatabase(t, store, dir, nil, slog.New(slog.DiscardHandler))
	within(t, "the older one is removed", func() bool { begin, _ := bounds(t, s); return begin == 1 })
	time.Sleep(50 * time.Millisecond)
	if begin, _ := bounds(t, s); begin != 1 {
		t.Errorf("the feed begins at %d", begin)
	}
}

// A database that cannot be reached stops the start, and leaves nothing behind.
func TestUnreachableDatabase(t *testing.T) {
	c := config.Default()
	c.Data, c.Listen, c.Store = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "postgres://shop:hushhush@127.0.0.1:"+freePort(t)+"/faquan"
	_, err := startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler)})
	if err == nil || bytes.Contains([]byte(err.Error()), []byte("hush")) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Data, seal.KeyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
}
