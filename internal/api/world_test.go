package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/api"
	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/feed"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
	"faquan/internal/token"
)

// noon is the clock of the tests at first.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)

const (
	ours   benefit.MerchantID = 1
	others benefit.MerchantID = 2
)

// Users of the tests.
var (
	alice  = benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"}
	frozen = benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456117"}
)

// Templates of the tests; the fields that they share are set by templates.
var templateList = []*benefit.Template{
	{Name: "cash", TemplateID: "20140601000730010040000000EB", Kind: benefit.Cash, Amount: benefit.AmountRule{From: benefit.FromRequest, Min: 1, Max: 1 << 40}},
	{Name: "off", Title: "满20减5", RightID: 71, Kind: benefit.Reduction, Face: benefit.Face{Reduction: 500, Threshold: 2000}},
	{Name: "percent", Kind: benefit.Discount, Face: benefit.Face{Percent: 8500, Ceiling: 1000}},
	{Name: "price", Kind: benefit.FixedPrice, Face: benefit.Face{Price: 990}},
	{Name: "thing", Kind: benefit.Exchange},
	{Name: "code", OutID: 77, Kind: benefit.Certificate, Code: benefit.CodeRule{Digits: 12}},
	{Name: "later", Kind: benefit.Exchange, Valid: benefit.Validity{AfterMillis: 3600_000, ForMillis: 86_400_000}},
	{Name: "theirs", Merchant: others, GrantedTo: []benefit.AppID{1}, Kind: benefit.Exchange},
}

func catalogue() *benefit.Changes {
	c := &benefit.Changes{Catalogue: 1, Users: []*benefit.User{
		{ID: 1 << 40, Name: "frozen", Alipay: frozen.Value, Identifiers: []benefit.Identifier{frozen}},
	}}
	all := []any{
		&benefit.Merchant{ID: ours, Name: "acme", Open: true}, &benefit.Merchant{ID: others, Name: "others", Open: true},
		&benefit.App{ID: 1, Name: "shop", Merchant: ours}, &benefit.App{ID: 2, Name: "other", Merchant: others},
		&benefit.App{ID: 3, Name: "disabled", Merchant: ours, Disabled: true},
		&benefit.App{ID: 4, Name: "limited", Merchant: ours, RatePerSecond: 2}, &benefit.App{ID: 5, Name: "second", Merchant: ours},
		&benefit.App{ID: 6, Name: "nobody's"},
	}
	for n, t := range templateList {
		one := *t
		one.ID, one.Status, one.Stock = benefit.TemplateID(n+1), benefit.Active, benefit.UnlimitedStock()
		if one.Merchant == 0 {
			one.Merchant = ours
		}
		if one.Valid == (benefit.Validity{}) {
			one.Valid = benefit.Validity{ForMillis: 86_400_000}
		}
		all = append(all, &one)
	}
	for _, v := range all {
		e, err := benefit.EntityOf(v)
		if err != nil {
			panic(err)
		}
		c.Rows = append(c.Rows, benefit.Entities.Rows(e))
	}
	return c
}

// world is the API on a store.
type world struct {
	t        *testing.T
	store    store.Store
	engine   *engine.Engine
	tokens   *token.Service
	now      atomic.Int64 // benefit.Instant
	keys     atomic.Int64
	url      string
	secret   string // of a token of the app shop with all scopes
	fail     atomic.Pointer[error]
	lose     atomic.Bool                     // a command that fails is not carried out before
	spoil    func(o *benefit.VoucherOutcome) // changes what commands became; nil: nothing
	looked   atomic.Int64                    // calls of Rows of the store
	rows     atomic.Pointer[error]           // with which they fail; nil: they do not
	log      bytes.Buffer
	broken   func() error // comes before each look-up of an issuance; nil: nothing
	mu       sync.Mutex
	calls    []gateway.Record
	refusals *gateway.Refusals
	stop     func()
	handler  *api.Handler
	limits   func(*http.Server)
}

// failing is an engine whose commands can be made to fail after they were carried out.
type failing struct {
	*engine.Engine
	w *world
}

func (f failing) Do(ctx context.Context, c benefit.Command) error {
	if failure := f.w.fail.Load(); failure != nil && f.w.lose.Load() {
		f.w.fail.Store(nil)
		return *failure
	}
	err := f.Engine.Do(ctx, c)
	if f.w.spoil != nil {
		f.w.spoil(&c.(*benefit.OnVoucher).Outcome)
	}
	if failure := f.w.fail.Swap(nil); failure != nil {
		return *failure
	}
	return err
}

// breaking is a store whose look-ups of issuances can be made to fail.
type breaking struct {
	store.Store
	w *world
}

func (b breaking) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	b.w.looked.Add(1)
	if failure := b.w.rows.Load(); failure != nil {
		return nil, *failure
	}
	return b.Store.Rows(ctx, kind, keys)
}

func (b breaking) IssuanceOf(ctx context.Context, v id.ID) (*benefit.Issuance, error) {
	if b.w.broken != nil {
		if err := b.w.broken(); err != nil {
			return nil, err
		}
	}
	return b.Store.IssuanceOf(ctx, v)
}

func newWorld(t *testing.T) *world { return worldOn(t, memory.New(), true) }

func worldOn(t *testing.T, s store.Store, fresh bool) *world { return worldWith(t, s, fresh, nil) }

// worldWith is worldOn with other limits of the HTTP server.
func worldWith(t *testing.T, s store.Store, fresh bool, limits func(*http.Server)) *world {
	t.Helper()
	w := &world{t: t, store: s, refusals: gateway.NewRefusals(), limits: limits}
	w.now.Store(noon.UnixMilli())
	if fresh {
		if err := storetest.Write(t.Context(), s, w.instant(), catalogue()); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.engine, err = engine.New(t.Context(), engine.Options{Store: s, Clock: w.instant}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.engine.Run() }()
	clock := func() time.Time { return w.instant().Time() }
	w.tokens = token.NewService(token.Options{Change: w.engine.Change, Read: s.Read, Clock: clock})
	w.handler = api.New(api.Options{
		Engine: failing{w.engine, w}, Store: breaking{s, w}, Feed: feed.NewReader(s, w.engine.Catalogue), Apps: gateway.NewApps(w.engine.Catalogue, nil), Refusals: w.refusals, MaxBytes: 4096, Clock: clock,
		Log: slog.New(slog.NewJSONHandler(&w.log, nil)), Calls: slog.LevelInfo,
		Observe: func(r *gateway.Record) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls = append(w.calls, *r)
		},
	})
	w.handler.SetStreamTimes(50*time.Millisecond, 10*time.Second)
	server := httptest.NewUnstartedServer(w.handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 15*time.Second, 30*time.Second
	if w.limits != nil {
		w.limits(server.Config)
	}
	server.Start()
	w.url = server.URL
	w.stop = sync.OnceFunc(func() {
		w.handler.EndStreams()
		server.Close()
		w.engine.Stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	w.secret = w.token("shop", token.ScopeNames()...)
	return w
}

func (w *world) instant() benefit.Instant { return benefit.Instant(w.now.Load()) }

// at moves the clock.
func (w *world) at(after time.Duration) { w.now.Store(noon.Add(after).UnixMilli()) }

func (w *world) token(app string, scopes ...string) string {
	w.t.Helper()
	g, err := w.tokens.Make(w.t.Context(), token.Order{App: app, Scopes: scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	return g.Secret
}

// issue issues a voucher of a template, and returns it.
func (w *world) issue(template string, to benefit.Identifier, amount money.Fen) benefit.Voucher {
	w.t.Helper()
	t := w.engine.Catalogue().TemplateByName(template)
	r := &benefit.Request{
		Scope: scope.Template(t.ID), Key: fmt.Sprint("issue-", w.keys.Add(1)), App: 1, Recipient: to,
		Lines: []benefit.Line{{Template: t.ID, Sends: 1, Quantity: 1, Amount: amount, HasAmount: amount != 0}},
	}
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	o, err := w.engine.Issue(w.t.Context(), r)
	if err != nil || o.Reason != benefit.NotRefused {
		w.t.Fatalf("%v, %v", o.Reason, err)
	}
	return o.Issuance.Vouchers()[0]
}

// answer is the answer to a call.
type answer struct {
	status int
	header http.Header
	body   []byte
	object map[string]any
}

// field returns a member of the answer as text, by names joined with dots.
func (a *answer) field(names string) string {
	var node any = a.object
	for name := range strings.SplitSeq(names, ".") {
		switch at := node.(type) {
		case map[string]any:
			node = at[name]
		case []any:
			var n int
			if _, err := fmt.Sscan(name, &n); err != nil || n >= len(at) {
				return ""
			}
			node = at[n]
		default:
			return ""
		}
	}
	if node == nil {
		return ""
	}
	return fmt.Sprint(node)
}

// request is a call to be made.
type request struct {
	method, path, template string // the template is the path in the description
	token, key, body       string
	header                 map[string]string
}

// send makes a call, and holds its answer to the description.
func (w *world) send(r request) *answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), r.method, w.url+r.path, bytes.NewReader([]byte(r.body)))
	if err != nil {
		w.t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(a.body, &a.object); err != nil {
		w.t.Fatalf("%s %s: %s: %v", r.method, r.path, a.body, err)
	}
	if r.template != "" {
		if err := described().check(r.method, r.template, []byte(r.body), resp, a.body); err != nil {
			w.t.Errorf("%s %s: %v", r.method, r.path, err)
		}
	}
	return a
}

// get makes a query with the token that has all scopes.
func (w *world) get(template, path string) *answer {
	w.t.Helper()
	return w.send(request{method: "GET", path: path, template: template, token: w.secret})
}

func (w *world) voucher(v id.ID) *answer {
	w.t.Helper()
	return w.get("/api/v1/vouchers/{id}", fmt.Sprint("/api/v1/vouchers/", v))
}

func (w *world) redeem(key, body string) *answer {
	w.t.Helper()
	return w.send(request{method: "POST", path: "/api/v1/redemptions", template: "/api/v1/redemptions", token: w.secret, key: key, body: body})
}

func (w *world) reverse(redemption, key, body string) *answer {
	w.t.Helper()
	return w.send(request{
		method: "POST", path: "/api/v1/redemptions/" + redemption + "/reversals", template: "/api/v1/redemptions/{id}/reversals",
		token: w.secret, key: key, body: body,
	})
}

// change voids, extends or expires a voucher.
func (w *world) change(v id.ID, command, key, body string) *answer {
	w.t.Helper()
	return w.send(request{
		method: "POST", path: fmt.Sprintf("/api/v1/vouchers/%d/%s", v, command), template: "/api/v1/vouchers/{id}/" + command,
		token: w.secret, key: key, body: body,
	})
}

// want compares the status, and fields of an answer given as name=value.
func (a *answer) want(t *testing.T, status int, fields ...string) *answer {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		if got := a.field(name); got != value {
			t.Errorf("%s is %q, want %q: %s", name, got, value, a.body)
		}
	}
	return a
}
