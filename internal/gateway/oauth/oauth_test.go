package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	gatewayform "faquan/internal/gateway/form"
	"faquan/internal/gateway/oauth"
	"faquan/internal/session"
)

// From the link to a call with the session, and on to the next session.
func TestTheWholeWay(t *testing.T) {
	w := newWorld(t)
	page := w.get(request())
	for _, want := range []string{"shop", appKey, callback, `name="state" value="x&amp;y=1"`, "授权密钥"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	agreed := w.post(oauth.AuthorizePath, consent())
	if agreed.status != http.StatusSeeOther || !strings.HasPrefix(agreed.to.String(), callback+"?") || agreed.to.Query().Get("state") != "x&y=1" {
		t.Fatalf("%d to %s", agreed.status, agreed.to)
	}
	code := agreed.to.Query().Get("code")
	status, got := w.token(exchange(code))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, got)
	}
	access, _ := got["access_token"].(string)
	if sub := w.seller(access); sub != "" {
		t.Errorf("a call with the session: %s", sub)
	}
	for _, other := range []string{code, got["refresh_token"].(string)} {
		if sub := w.seller(other); sub != "invalid-sessionkey" {
			t.Errorf("a call with a code or refresh token: %q", sub)
		}
	}
	status, next := w.token(refresh(got["refresh_token"].(string)))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, next)
	}
	if old, now := w.seller(access), w.seller(next["access_token"].(string)); old != "session-not-exist" || now != "" {
		t.Errorf("after the refresh the old session gets %q, the new one %q", old, now)
	}
	w.now.Add(int64(time.Hour/time.Millisecond) - 1)
	if sub := w.seller(next["access_token"].(string)); sub != "" {
		t.Errorf("a millisecond before its expiry: %s", sub)
	}
	w.now.Add(1)
	if sub := w.seller(next["access_token"].(string)); sub != "session-expired" {
		t.Errorf("at its expiry: %q", sub)
	}
	w.checkLog(code, access, got["refresh_token"].(string), next["access_token"].(string), appSecret, consentKey)
}

// checkLog looks for secrets in the log.
func (w *world) checkLog(secrets ...string) {
	w.t.Helper()
	w.logged.Lock()
	defer w.logged.Unlock()
	if w.log.Len() == 0 {
		w.t.Error("nothing was logged")
	}
	for _, s := range secrets {
		if strings.Contains(w.log.String(), s) {
			w.t.Errorf("the log has %q", s)
		}
	}
}

func TestTheMembersOfATokenAnswer(t *testing.T) {
	w := newWorld(t)
	hour, day := start.Add(time.Hour).UnixMilli(), start.Add(24*time.Hour).UnixMilli()
	want := map[string]any{"token_type": "Bearer", "re_expires_in": json.Number("86400"), "refresh_token_valid_time": json.Number(fmt.Sprint(day))}
	for _, level := range []string{"", "r1_", "r2_", "w1_", "w2_"} {
		want[level+"expires_in"] = json.Number("3600")
		want[level+"valid"] = json.Number(fmt.Sprint(hour))
	}
	want["expire_time"] = want["valid"]
	delete(want, "valid")
	for _, c := range []struct{ user, id, nick, open string }{
		{"alice", "77", "爱丽丝 &", "<ours>"},
		{"", "2054", "优酷旗舰店", ""},
	} {
		_, got := w.token(exchange(w.code("user", c.user)))
		nick, err := url.QueryUnescape(got["taobao_user_nick"].(string))
		open, _ := got["taobao_open_uid"].(string)
		if err != nil || nick != c.nick || got["taobao_user_id"] != c.id || open != c.open {
			t.Errorf("user %q: %v", c.user, got)
		}
		if got["access_token"] == "" || got["refresh_token"] == "" {
			t.Errorf("no tokens: %v", got)
		}
		for _, name := range []string{"access_token", "refresh_token", "taobao_user_id", "taobao_user_nick", "taobao_open_uid"} {
			delete(got, name)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
}

// Browsers go where the catalogue says, to the letter, and nowhere else.
func TestNoOpenRedirect(t *testing.T) {
	w := newWorld(t)
	for _, uri := range []string{
		"-", "", "https://evil.example/", callback + "/", callback + "?", callback + "x", callback + "/../evil", callback + "#",
		"https://shop.example/CALLBACK", "HTTPS://shop.example/callback", "https://shop.example/callback%2f", "https://shop.example:443/callback",
		"http://shop.example/callback", "https://shop.example@evil.example/callback", "//evil.example", " " + callback, callback + "\r\nX: y",
		"https://rival.example/",
		// The catalogue has these, but they are nowhere to send a browser with a code.
		"javascript:alert(1)", "https://shop.example/#fragment", "//shop.example/x", "https://a@shop.example/",
	} {
		for name, do := range map[string]func() answer{
			"get":    func() answer { return w.get(request("redirect_uri", uri)) },
			"agree":  func() answer { return w.post(oauth.AuthorizePath, consent("redirect_uri", uri)) },
			"refuse": func() answer { return w.post(oauth.AuthorizePath, consent("redirect_uri", uri, "decision", "refuse")) },
			"type":   func() answer { return w.get(request("redirect_uri", uri, "response_type", "token")) },
		} {
			if a := do(); a.to != nil || a.status != http.StatusBadRequest || !strings.Contains(a.body, "回调地址未登记") {
				t.Errorf("%s %q: %d to %v", name, uri, a.status, a.to)
			}
		}
	}
	for name, change := range map[string][]string{
		"no app": {"client_id", "-"}, "an unknown app": {"client_id", "none"}, "a disabled app": {"client_id", "2"},
	} {
		if a := w.get(request(change...)); a.to != nil || a.status != http.StatusBadRequest || strings.Contains(a.body, "回调") {
			t.Errorf("%s: %d to %v", name, a.status, a.to)
		}
	}
	twice := request()
	twice.Add("redirect_uri", "https://evil.example/")
	if a := w.get(twice); a.to != nil || a.status != http.StatusBadRequest {
		t.Errorf("two addresses: %d to %v", a.status, a.to)
	}
}

func TestRedirectsBack(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		got  answer
		want url.Values
	}{
		"refused": {w.post(oauth.AuthorizePath, consent("decision", "refuse", "consent_key", "-", "redirect_uri", withQuery)),
			url.Values{"from": {"faquan"}, "error": {"access_denied"}, "error_description": {"用户拒绝授权"}, "state": {"x&y=1"}}},
		"another response type": {w.get(request("response_type", "token", "state", "-")),
			url.Values{"error": {"unsupported_response_type"}, "error_description": {"response_type只支持code"}}},
	} {
		if c.got.status != http.StatusSeeOther || c.got.to == nil || c.got.to.Host != "shop.example" {
			t.Errorf("%s: %d to %v", name, c.got.status, c.got.to)
			continue
		}
		if d := cmp.Diff(c.want, c.got.to.Query()); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

func TestConsentIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change []string
		status int
		text   string
	}{
		"a wrong key":      {[]string{"consent_key", consentKey + "x"}, http.StatusForbidden, "授权密钥不正确"},
		"no key":           {[]string{"consent_key", "-"}, http.StatusForbidden, "授权密钥不正确"},
		"no merchant":      {[]string{"merchant", ""}, http.StatusUnprocessableEntity, "没有这个商家"},
		"unknown merchant": {[]string{"merchant", "none"}, http.StatusUnprocessableEntity, "没有这个商家"},
		"unknown user":     {[]string{"user", "TAOBAO:1"}, http.StatusUnprocessableEntity, "没有这个用户"},
		"no decision":      {[]string{"decision", "-"}, http.StatusBadRequest, "授权密钥"},
	} {
		a := w.post(oauth.AuthorizePath, consent(c.change...))
		if a.to != nil || a.status != c.status || !strings.Contains(a.body, c.text) || strings.Contains(a.body, consentKey) {
			t.Errorf("%s: %d to %v\n%s", name, a.status, a.to, a.body)
		}
	}
	if a := w.post(oauth.AuthorizePath, consent("merchant", `"><script>`, "consent_key", "no")); strings.Contains(a.body, "<script") {
		t.Errorf("a name gets into the page as it is:\n%s", a.body)
	}
	w.checkLog(consentKey)
}

// Guesses at the key are few, and one that is right does not help while there are too many.
func TestAttemptsAreLimited(t *testing.T) {
	w := newWorld(t)
	for k := range 10 {
		if a := w.post(oauth.AuthorizePath, consent("consent_key", fmt.Sprint(k))); a.status != http.StatusForbidden {
			t.Fatalf("attempt %d: %d", k, a.status)
		}
	}
	for _, key := range []string{"wrong", consentKey} {
		if a := w.post(oauth.AuthorizePath, consent("consent_key", key)); a.status != http.StatusTooManyRequests || a.to != nil {
			t.Errorf("%s: %d to %v", key, a.status, a.to)
		}
	}
	w.now.Add(3000)
	w.code()
}

func TestSwitchedOff(t *testing.T) {
	w := newWorld(t, func(o *oauth.Options) { o.ConsentKey = "" })
	for name, a := range map[string]answer{
		"get": w.get(request()), "agree": w.post(oauth.AuthorizePath, consent("consent_key", "")),
	} {
		if a.status != http.StatusForbidden || a.to != nil || !strings.Contains(a.body, "未开启") {
			t.Errorf("%s: %d to %v", name, a.status, a.to)
		}
	}
	g, err := w.desk.New(t.Context(), session.Order{App: "shop", Lifetime: time.Hour, Refresh: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if status, got := w.token(refresh(g.Refresh)); status != http.StatusOK {
		t.Errorf("a refresh token from the operator: %d %v", status, got)
	}
}

// The page runs nothing, is in no frame and takes no form from elsewhere.
func TestThePageIsGuarded(t *testing.T) {
	w := newWorld(t)
	for name, a := range map[string]answer{"form": w.get(request()), "error": w.get(request("client_id", "none"))} {
		policy := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s: %s", name, want, policy)
			}
		}
		if a.header.Get("X-Frame-Options") != "DENY" || strings.Contains(a.body, "<script") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	if policy := w.get(request()).header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "form-action 'self' https://shop.example") {
		t.Errorf("browsers would not follow the redirect: %s", policy)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if a := w.post(oauth.AuthorizePath, consent(), header...); a.status != http.StatusForbidden || a.to != nil {
			t.Errorf("a form with %v: %d to %v", header, a.status, a.to)
		}
	}
	if a := w.post(oauth.AuthorizePath, consent(), "Sec-Fetch-Site", "same-origin"); a.to == nil {
		t.Errorf("our own form: %d", a.status)
	}
}

func TestTokenRefusals(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	for name, c := range map[string]struct {
		form  url.Values
		error string
		text  string
	}{
		"wrong secret":        {exchange(code, "client_secret", appSecret+"x"), "invalid_client", "client_secret"},
		"no secret":           {exchange(code, "client_secret", "-"), "invalid_client", ""},
		"unknown app":         {exchange(code, "client_id", "none"), "invalid_client", ""},
		"no app":              {exchange(code, "client_id", "-"), "invalid_client", ""},
		"an app without one":  {exchange(code, "client_id", "3", "client_secret", ""), "invalid_client", ""},
		"disabled app":        {exchange(code, "client_id", "2", "client_secret", "s"), "unauthorized_client", ""},
		"another app":         {exchange(code, "client_id", "5", "client_secret", "s"), "invalid_grant", "不存在"},
		"another redirect":    {exchange(code, "redirect_uri", withQuery), "invalid_grant", "redirect_uri"},
		"no redirect":         {exchange(code, "redirect_uri", "-"), "invalid_request", "redirect_uri"},
		"no code":             {exchange(code, "code", "-"), "invalid_request", "code"},
		"unknown code":        {exchange("none"), "invalid_grant", "不存在"},
		"no grant type":       {exchange(code, "grant_type", "-"), "invalid_request", "grant_type"},
		"another grant type":  {exchange(code, "grant_type", "password"), "unsupported_grant_type", ""},
		"unknown token":       {refresh("none"), "invalid_grant", "不存在"},
		"a code as a token":   {refresh(code), "invalid_grant", "不存在"},
		"no token":            {refresh("", "refresh_token", "-"), "invalid_request", "refresh_token"},
		"two different codes": {form(exchange(code), "code", "-"), "invalid_request", "code"},
	} {
		if name == "two different codes" {
			c.form["code"] = []string{code, "other"}
		}
		status, got := w.token(c.form)
		text, _ := got["error_description"].(string)
		if status != http.StatusBadRequest || got["error"] != c.error || !strings.Contains(text, c.text) || len(got) != 2 {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	if status, got := w.token(exchange(code)); status != http.StatusOK {
		t.Errorf("the code, after all of these: %d %v", status, got)
	}
	w.now.Add(11 * 60_000)
	if _, got := w.token(exchange(code)); !strings.Contains(got["error_description"].(string), "已使用") {
		t.Errorf("again: %v", got)
	}
	w.token(exchange("x", "client_id", "4", "client_secret", "s"))
	if status, _ := w.token(exchange("x", "client_id", "4", "client_secret", "s")); status != http.StatusTooManyRequests {
		t.Errorf("over the app's rate: %d", status)
	}
	if a, err := http.Get(w.url + oauth.TokenPath + "?" + exchange(code).Encode()); err != nil || a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, %v", a.Status, err)
	}
	w.checkLog(appSecret, code)
}

// Parameters come in the query, in a form, in parts, or with the client in a header.
// However many refusals there are, the log gets a bounded number of them.
func TestAFloodOfBogusTokenCalls(t *testing.T) {
	w := newWorld(t)
	h := func(form url.Values) int {
		res, err := w.client.PostForm(w.url+oauth.TokenPath, form)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	bogus := exchange("c")
	bogus.Set("client_secret", "wrong")
	for range 100 {
		if status := h(bogus); status != http.StatusBadRequest {
			t.Fatalf("status %d", status)
		}
	}
	w.logged.Lock()
	logged := strings.Count(w.log.String(), "session refused")
	w.logged.Unlock()
	if logged != 60 {
		t.Errorf("%d of 100 are logged, want 60", logged)
	}
}

func TestWhereParametersTravel(t *testing.T) {
	w := newWorld(t)
	inQuery := w.post(oauth.TokenPath+"?"+exchange(w.code()).Encode(), nil)
	both := exchange(w.code())
	inBoth := w.post(oauth.TokenPath+"?"+both.Encode(), both)
	var parts strings.Builder
	m := multipart.NewWriter(&parts)
	for name, values := range exchange(w.code()) {
		if err := m.WriteField(name, values[0]); err != nil {
			t.Fatal(err)
		}
	}
	m.Close()
	r, err := http.NewRequest(http.MethodPost, w.url+oauth.TokenPath, strings.NewReader(parts.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", m.FormDataContentType())
	inParts := w.do(r)
	r, err = http.NewRequest(http.MethodPost, w.url+oauth.TokenPath, strings.NewReader(exchange(w.code(), "client_id", "-", "client_secret", "-").Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(appKey, url.QueryEscape(appSecret))
	inHeader := w.do(r)
	for name, a := range map[string]answer{"query": inQuery, "both": inBoth, "parts": inParts, "header": inHeader} {
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := w.post(oauth.TokenPath, url.Values{"code": {strings.Repeat("x", 100_000)}}); a.status != http.StatusBadRequest {
		t.Errorf("a large form: %d", a.status)
	}
}

// Of exchanges of one code at once one succeeds, over HTTP and in band.
func TestConcurrentExchange(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	var won atomic.Int32
	var all sync.WaitGroup
	for k := range 12 {
		all.Go(func() {
			if k%2 == 0 {
				if a := w.call("taobao.top.auth.token.create", "", map[string]string{"code": code}); a["token_result"] != nil {
					won.Add(1)
				}
			} else if status, _ := w.token(exchange(code)); status == http.StatusOK {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d succeeded", won.Load())
	}
}

func TestReuseRevokes(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	_, got := w.token(exchange(code))
	access := got["access_token"].(string)
	w.token(exchange(code, "client_secret", "wrong"))
	if sub := w.seller(access); sub != "" {
		t.Errorf("somebody without the secret ended the session: %s", sub)
	}
	if status, again := w.token(exchange(code)); status != http.StatusBadRequest || again["error"] != "invalid_grant" {
		t.Errorf("again: %d %v", status, again)
	}
	if sub := w.seller(access); sub != "session-not-exist" {
		t.Errorf("the session: %q", sub)
	}
	if _, r := w.token(refresh(got["refresh_token"].(string))); r["error"] != "invalid_grant" {
		t.Errorf("the refresh token: %v", r)
	}
}

// The methods in band answer the same JSON, as a text.
func TestInBand(t *testing.T) {
	w := newWorld(t)
	_, plain := w.token(exchange(w.code()))
	created := w.call("taobao.top.auth.token.create", "", map[string]string{"code": w.code("redirect_uri", withQuery), "uuid": "abc"})
	text, _ := created["token_result"].(string)
	got := decode(t, text)
	refreshed := w.call("taobao.top.auth.token.refresh", "", map[string]string{"refresh_token": got["refresh_token"].(string)})
	text, _ = refreshed["token_result"].(string)
	next := decode(t, text)
	if !strings.Contains(text, `"taobao_open_uid":"<ours>"`) { // Java SDKs misread \u003c
		t.Errorf("no open id as it is in %s", text)
	}
	names := func(m map[string]any) (all []string) {
		for name := range m {
			all = append(all, name)
		}
		slices.Sort(all)
		return all
	}
	if d := cmp.Diff(names(plain), names(next)); d != "" {
		t.Errorf("(-/token +in band)\n%s", d)
	}
	if old, now := w.seller(got["access_token"].(string)), w.seller(next["access_token"].(string)); old != "session-not-exist" || now != "" {
		t.Errorf("old %q, new %q", old, now)
	}
	for want, a := range map[string]map[string]any{
		"isv.missing-parameter:code":          w.call("taobao.top.auth.token.create", "", nil),
		"isv.invalid-parameter:code":          w.call("taobao.top.auth.token.create", "", map[string]string{"code": "none"}),
		"isv.missing-parameter:refresh_token": w.call("taobao.top.auth.token.refresh", "", nil),
		"isv.invalid-parameter:refresh_token": w.call("taobao.top.auth.token.refresh", "", map[string]string{"refresh_token": "none"}),
	} {
		if a["sub_code"] != want {
			t.Errorf("%v, want %s", a, want)
		}
	}
}

// failing is a desk of a platform that cannot commit.
type failing struct{ err error }

func (f failing) Authorize(context.Context, session.Consent) (string, error) { return "", f.err }
func (f failing) Exchange(context.Context, benefit.AppID, string, string) (*session.Grant, error) {
	return nil, f.err
}
func (f failing) Refresh(context.Context, benefit.AppID, string) (*session.Grant, error) {
	return nil, f.err
}

// When it is our side that cannot, callers hear so, and not that something is wrong with what they sent.
func TestOurSideCannot(t *testing.T) {
	for _, err := range []error{engine.ErrBusy, engine.ErrUnknown, context.DeadlineExceeded, errors.New("the disk")} {
		w := newWorld(t, func(o *oauth.Options) { o.Service = failing{err} })
		if a := w.post(oauth.AuthorizePath, consent()); a.status != http.StatusServiceUnavailable || a.to != nil {
			t.Errorf("%v: /authorize %d to %v", err, a.status, a.to)
		}
		for _, f := range []url.Values{exchange("c"), refresh("r")} {
			if status, got := w.token(f); status != http.StatusServiceUnavailable || got["error"] != "temporarily_unavailable" {
				t.Errorf("%v: %d %v", err, status, got)
			}
		}
		if a := w.call("taobao.top.auth.token.create", "", map[string]string{"code": "c"}); fmt.Sprint(a["code"]) != "10" {
			t.Errorf("%v: in band %v", err, a)
		}
	}
}

// A request for which there is no memory may be sent again, and one that arrives too slowly is refused as such.
func TestRefusedBodies(t *testing.T) {
	apps := gateway.NewApps(func() *benefit.Catalogue { return &benefit.Catalogue{} }, nil)
	h := oauth.New(oauth.Options{Apps: apps, ConsentKey: consentKey})
	const urlEncoded, multipart = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
	for _, test := range []struct {
		path, contentType string
		cause             error
		status            int
		want              string
	}{
		{oauth.TokenPath, urlEncoded, gatewayform.ErrBusy, http.StatusServiceUnavailable, "temporarily_unavailable"},
		{oauth.TokenPath, multipart, gatewayform.ErrBusy, http.StatusServiceUnavailable, "temporarily_unavailable"},
		{oauth.AuthorizePath, urlEncoded, gatewayform.ErrBusy, http.StatusServiceUnavailable, "系统繁忙"},
		{oauth.TokenPath, urlEncoded, gatewayform.ErrSlow, http.StatusBadRequest, "接收请求超时"},
		{oauth.TokenPath, multipart, gatewayform.ErrSlow, http.StatusBadRequest, "接收请求超时"},
		{oauth.AuthorizePath, urlEncoded, gatewayform.ErrSlow, http.StatusBadRequest, "接收请求超时"},
	} {
		r := httptest.NewRequest(http.MethodPost, test.path, iotest.ErrReader(test.cause))
		r.Header.Set("Content-Type", test.contentType)
		res := httptest.NewRecorder()
		h.ServeHTTP(res, r)
		if res.Code != test.status || !strings.Contains(res.Body.String(), test.want) {
			t.Errorf("%s, %s, %v: %d %s", test.path, test.contentType, test.cause, res.Code, res.Body)
		}
	}
}

// A page repeats what stands in the query, so a long one would make a longer answer.
func TestLongQueryIsRefused(t *testing.T) {
	w := newWorld(t)
	state := strings.Repeat(`"`, 64<<10)
	if a := w.get(url.Values{"state": {state}}); a.status != http.StatusRequestURITooLong {
		t.Errorf("/authorize: %d", a.status)
	}
	if a := w.post(oauth.TokenPath+"?state="+url.QueryEscape(state), refresh("r")); a.status != http.StatusRequestURITooLong {
		t.Errorf("/token: %d", a.status)
	}
}
