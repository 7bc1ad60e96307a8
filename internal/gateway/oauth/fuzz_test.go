package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/oauth"
)

// Whatever comes, browsers are sent nowhere but to an address of the app, with its own query, and nothing panics.
func FuzzHandler(f *testing.F) {
	f.Add("GET", "/authorize?"+request().Encode(), "")
	f.Add("GET", "/authorize?"+request("redirect_uri", withQuery, "response_type", "token").Encode(), "")
	f.Add("POST", "/authorize", consent("decision", "refuse").Encode())
	f.Add("POST", "/authorize?"+request("redirect_uri", "https://evil.example/").Encode(), consent("redirect_uri", withQuery).Encode())
	f.Add("POST", "/token", exchange("c").Encode())
	f.Add("POST", "/token?grant_type=refresh_token", refresh("r").Encode())
	f.Add("POST", "/authorize", "client_id=12345678&redirect_uri=https%3A%2F%2Fshop.example%2Fcallback&redirect_uri=//x&decision=refuse;a=%zz")
	cat := benefit.NewCatalogue(1, []*benefit.Merchant{{ID: 1, Name: "acme"}}, []*benefit.App{{
		ID: 1, Name: "shop", Merchant: 1, AppKey: appKey, AppSecret: []byte(appSecret), RedirectURIs: []string{callback, withQuery},
	}}, nil, nil, nil)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://faquan.example"+target, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		apps := gateway.NewApps(func() *benefit.Catalogue { return cat }, nil).WithSecrets(
			func(a *benefit.App) (string, error) { return string(a.AppSecret), nil })
		w := httptest.NewRecorder()
		oauth.New(oauth.Options{Apps: apps, Service: failing{engine.ErrBusy}, ConsentKey: consentKey}).ServeHTTP(w, r)
		to := w.Header().Get("Location")
		if to == "" || w.Code != http.StatusSeeOther {
			return // the mux cleans paths by redirects of its own, within this host
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "https" || u.Host != "shop.example" || u.Path != "/callback" || u.Fragment != "" {
			t.Errorf("sent to %q", to)
		}
		if q := u.Query(); q.Get("error") == "" || len(q["error"]) != 1 || q.Has("code") {
			t.Errorf("sent with %q", to)
		}
	})
}
