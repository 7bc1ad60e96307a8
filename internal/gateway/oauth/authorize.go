package oauth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"faquan/internal/gateway"
	"faquan/internal/session"
)

// ask shows the page.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request) {
	if c := h.check(w, r.URL.Query()); c != nil {
		showForm(w, http.StatusOK, c, "")
	}
}

// check checks what the app sent. It answers itself, and gives nil, when there is nothing to consent to.
func (h *Handler) check(w http.ResponseWriter, form url.Values) *consent {
	if h.o.ConsentKey == "" { //guard:TestSwitchedOff
		showError(w, http.StatusForbidden, "本平台未开启授权页面，请联系平台运营人员。")
		return nil
	}
	value, bad := single(form, "client_id", "redirect_uri", "response_type", "state", "view")
	if bad != nil {
		showError(w, bad.status, bad.Description)
		return nil
	}
	c := &consent{
		App: h.o.Apps.Current().ByAppKey(value["client_id"]), URI: value["redirect_uri"],
		State: value["state"], View: value["view"],
	}
	if c.App == nil || c.App.Disabled {
		showError(w, http.StatusBadRequest, "应用不存在或已停用：请检查client_id。")
		return nil
	}
	// Nothing before this line may redirect.
	if c.redirect = registered(c.App, c.URI); c.redirect == nil {
		showError(w, http.StatusBadRequest, "回调地址未登记：redirect_uri必须与应用登记的地址完全一致。")
		return nil
	}
	if value["response_type"] != "code" {
		c.back(w, url.Values{"error": {"unsupported_response_type"}, "error_description": {"response_type只支持code"}})
		return nil
	}
	return c
}

// registered returns the redirect_uri, when it is the app's and one that a browser may be sent to; else nil.
func registered(app *gateway.App, uri string) *url.URL {
	if !slices.Contains(app.RedirectURIs, uri) { //guard:TestNoOpenRedirect
		return nil
	}
	u, err := url.Parse(uri)
	//guard:TestNoOpenRedirect without u.Scheme != "https" && u.Scheme != "http"
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Contains(uri, "#") {
		return nil
	}
	return u
}

// back sends the browser back to the app. What the redirect_uri has in its query stays.
func (c *consent) back(w http.ResponseWriter, answer url.Values) {
	if c.State != "" {
		answer.Set("state", c.State)
	}
	to := *c.redirect
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += answer.Encode()
	w.Header().Set("Location", to.String())
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// decide takes what the person decided.
func (h *Handler) decide(w http.ResponseWriter, r *http.Request) {
	if bad := badForm(r.ParseForm()); bad != nil {
		showError(w, bad.status, bad.Description+"。")
		return
	}
	c := h.check(w, r.PostForm)
	if c == nil {
		return
	}
	c.Merchant, c.User = r.PostForm.Get("merchant"), r.PostForm.Get("user")
	switch r.PostForm.Get("decision") {
	case "refuse":
		h.o.Log.Info("authorization refused", "app", c.App.Name)
		c.back(w, url.Values{"error": {"access_denied"}, "error_description": {"用户拒绝授权"}})
	case "agree":
		h.agree(w, r, c)
	default:
		showForm(w, http.StatusBadRequest, c, "")
	}
}

// agree issues a code to a person who has entered the consent key.
func (h *Handler) agree(w http.ResponseWriter, r *http.Request, c *consent) {
	log := h.o.Log.With("app", c.App.Name, "remote", r.RemoteAddr)
	//guard:TestAttemptsAreLimited
	if !h.attempts.AllowN(h.o.Clock(), 1) { // before the key is looked at, or guesses would still be answered
		log.Warn("too many attempts at the consent key")
		showForm(w, http.StatusTooManyRequests, c, "尝试过于频繁，请稍后再试。")
		return
	}
	if !same(r.PostForm.Get("consent_key"), h.o.ConsentKey) { //guard:TestConsentIsRefused
		log.Warn("wrong consent key")
		showForm(w, http.StatusForbidden, c, "授权密钥不正确。")
		return
	}
	code, err := "", session.ErrNoMerchant
	if c.Merchant != "" { // an order without one would take the app's own
		code, err = h.o.Service.Authorize(r.Context(), session.Consent{
			App: c.App.ID, Merchant: c.Merchant, User: c.User, Redirect: c.URI,
		})
	}
	switch {
	case err == nil:
		log.Info("authorization code issued", "merchant", c.Merchant)
		c.back(w, url.Values{"code": {code}})
	case errors.Is(err, session.ErrNoMerchant):
		showForm(w, http.StatusUnprocessableEntity, c, "没有这个商家。")
	case errors.Is(err, session.ErrNoUser):
		showForm(w, http.StatusUnprocessableEntity, c, "没有这个用户。")
	default:
		log.Warn("cannot issue an authorization code", "err", err)
		showForm(w, http.StatusServiceUnavailable, c, "系统繁忙，请稍后再试。")
	}
}
