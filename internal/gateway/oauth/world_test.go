package oauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/oauth"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/seal"
	"faquan/internal/session"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

const (
	appKey     = "12345678"
	appSecret  = "hush-hush"
	consentKey = "the key of the operator"
	callback   = "https://shop.example/callback"
	withQuery  = "https://shop.example/callback?from=faquan"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)

// world is the platform with OAuth and TOP, on a real server.
type world struct {
	t      *testing.T
	url    string
	client *http.Client // follows no redirect
	desk   *session.Service
	now    atomic.Int64 // benefit.Instant
	log    bytes.Buffer
	logged sync.Mutex
}

func (w *world) Write(p []byte) (int, error) {
	w.logged.Lock()
	defer w.logged.Unlock()
	return w.log.Write(p)
}

func newWorld(t *testing.T, change ...func(*oauth.Options)) *world {
	t.Helper()
	w := &world{t: t, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	w.now.Store(start.UnixMilli())
	s := memory.New()
	writeCatalogue(t, s)
	issuer, err := engine.New(t.Context(), engine.Options{Store: s, Clock: func() benefit.Instant { return benefit.Instant(w.now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- issuer.Run() }()
	t.Cleanup(func() {
		issuer.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	box, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return time.UnixMilli(w.now.Load()) }
	sessions := gateway.NewSessions(storetest.Sessions(s), 0)
	w.desk = session.NewService(session.Options{
		Change: issuer.Change, Read: s.Read, Box: box, Forget: sessions.Forget, Clock: clock,
		Lifetimes: session.Lifetimes{Access: time.Hour, Refresh: 24 * time.Hour},
	})
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	apps := gateway.NewApps(issuer.Catalogue, log).WithSecrets(func(a *benefit.App) (string, error) { return string(a.AppSecret), nil })
	o := oauth.Options{Apps: apps, Service: w.desk, ConsentKey: consentKey, Clock: clock, Log: log}
	for _, c := range change {
		c(&o)
	}
	mux := http.NewServeMux()
	h := oauth.New(o)
	h.Mount(mux)
	mux.Handle(top.Path, top.New(top.Options{
		Issuer: issuer, Apps: apps, Sessions: sessions, Tokens: h, Clock: clock, Log: log,
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// writeCatalogue writes the app shop, one that is disabled and one that has no secret.
func writeCatalogue(t *testing.T, s *memory.Store) {
	t.Helper()
	c := &benefit.Changes{Catalogue: 1, Users: []*benefit.User{{ID: 1 << 40, Name: "alice", Identifiers: []benefit.Identifier{
		{Type: benefit.AlipayID, Value: "2088"}, {Type: benefit.TaobaoID, Value: "77"}, {Type: benefit.TaobaoID, Value: "78"},
		{Type: benefit.Nick, Value: "爱丽丝 &"}, {Type: benefit.OpenID, Value: "other's", App: 2}, {Type: benefit.OpenID, Value: "<ours>", App: 1},
	}}}}
	uris := []string{callback, withQuery, "javascript:alert(1)", "https://shop.example/#fragment", "//shop.example/x", "https://a@shop.example/"}
	for _, v := range []any{
		&benefit.Merchant{ID: 1, Name: "acme", Title: "优酷旗舰店", SellerID: 2054},
		&benefit.App{ID: 1, Name: "shop", Merchant: 1, AppKey: appKey, AppSecret: []byte(appSecret), RedirectURIs: uris},
		&benefit.App{ID: 2, Name: "off", Merchant: 1, AppKey: "2", AppSecret: []byte("s"), RedirectURIs: uris, Disabled: true},
		&benefit.App{ID: 3, Name: "bare", Merchant: 1, AppKey: "3", RedirectURIs: uris},
		&benefit.App{ID: 4, Name: "slow", Merchant: 1, AppKey: "4", AppSecret: []byte("s"), RatePerSecond: 1},
		&benefit.App{ID: 5, Name: "rival", Merchant: 1, AppKey: "5", AppSecret: []byte("s"), RedirectURIs: []string{"https://rival.example/"}},
	} {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		c.Rows = append(c.Rows, benefit.Entities.Rows(e))
	}
	if err := storetest.Write(t.Context(), s, benefit.InstantOf(start), c); err != nil {
		t.Fatal(err)
	}
}

// form makes parameters of names and values; a value "-" takes the name away.
func form(base url.Values, change ...string) url.Values {
	f := url.Values{}
	for k, v := range base {
		f[k] = v
	}
	for k := 0; k < len(change); k += 2 {
		if change[k+1] == "-" {
			f.Del(change[k])
		} else {
			f.Set(change[k], change[k+1])
		}
	}
	return f
}

// request returns a good request for consent, and consent a good answer of the person.
func request(change ...string) url.Values {
	return form(url.Values{
		"response_type": {"code"}, "client_id": {appKey}, "redirect_uri": {callback}, "state": {"x&y=1"}, "view": {"web"},
	}, change...)
}

func consent(change ...string) url.Values {
	return form(request("merchant", "acme", "user", "alice", "consent_key", consentKey, "decision", "agree"), change...)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	to     *url.URL // nil: no redirect
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if to, err := resp.Location(); err == nil {
		a.to = to
	} else if !errors.Is(err, http.ErrNoLocation) {
		w.t.Fatal(err)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%s may be cached", r.URL.Path)
	}
	return a
}

func (w *world) get(query url.Values) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.url+oauth.AuthorizePath+"?"+query.Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(r)
}

func (w *world) post(path string, f url.Values, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.url+path, strings.NewReader(f.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for k := 0; k < len(header); k += 2 {
		r.Header.Set(header[k], header[k+1])
	}
	return w.do(r)
}

// code gets an authorization code.
func (w *world) code(change ...string) string {
	w.t.Helper()
	a := w.post(oauth.AuthorizePath, consent(change...))
	if a.to == nil || a.to.Query().Get("code") == "" {
		w.t.Fatalf("no code: %d %s", a.status, a.body)
	}
	return a.to.Query().Get("code")
}

func exchange(code string, change ...string) url.Values {
	return form(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {appKey}, "client_secret": {appSecret},
		"redirect_uri": {callback}, "state": {"s"}, "view": {"web"},
	}, change...)
}

func refresh(token string, change ...string) url.Values {
	return form(url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {appKey}, "client_secret": {appSecret},
	}, change...)
}

// token posts to /token and gives the members of the answer.
func (w *world) token(f url.Values) (status int, members map[string]any) {
	w.t.Helper()
	a := w.post(oauth.TokenPath, f)
	return a.status, decode(w.t, a.body)
}

func decode(t *testing.T, text string) (members map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return members
}

// call calls a method on TOP and gives the members of the answer, those of an error included.
func (w *world) call(method, session string, params map[string]string) map[string]any {
	w.t.Helper()
	c := wire.Call{Method: method, AppKey: appKey, Session: session, Format: wire.JSON, At: time.UnixMilli(w.now.Load()), Params: params}
	resp, err := http.Post(w.url+top.Path, "application/x-www-form-urlencoded", strings.NewReader(c.Form(appSecret)))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range decode(w.t, string(body)) {
		if members, ok := v.(map[string]any); ok {
			return members
		}
	}
	w.t.Fatalf("no answer: %s", body)
	return nil
}

// seller calls a method that needs a session, and gives the error's sub_code, or "".
func (w *world) seller(session string) string {
	w.t.Helper()
	a := w.call("taobao.user.seller.get", session, map[string]string{"fields": "user_id,nick"})
	if sub, ok := a["sub_code"].(string); ok {
		return sub
	}
	if a["user"] == nil {
		return "no user"
	}
	return ""
}
