package oauth

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
	"faquan/internal/session"
)

// consentRequest is a checked request for consent: the app, and where the answer goes.
type consentRequest struct {
	app      *gateway.App
	redirect *url.URL // one of the app's
	uri      string   // the same, as sent
	state    string
	view     string
}

// ask shows the page.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request) {
	a := h.check(w, r.URL.Query())
	if a != nil {
		showForm(w, http.StatusOK, &formPage{asked: a})
	}
}

// check checks what the app sent. It answers itself, and gives nil, when there is nothing to consent to.
func (h *Handler) check(w http.ResponseWriter, form url.Values) *consentRequest {
	if h.o.ConsentKey == "" { //guard:TestSwitchedOff
		showError(w, http.StatusForbidden, "本平台未开启授权页面，请联系平台运营人员。")
		return nil
	}
	value := map[string]string{}
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "state", "view"} {
		v, ok := one(form, name)
		if !ok {
			showError(w, http.StatusBadRequest, "参数重复："+name)
			return nil
		}
		value[name] = v
	}
	a := &consentRequest{
		app: h.o.Apps.Current().ByAppKey(value["client_id"]), uri: value["redirect_uri"],
		state: value["state"], view: value["view"],
	}
	if a.app == nil || a.app.Disabled {
		showError(w, http.StatusBadRequest, "应用不存在或已停用：请检查client_id。")
		return nil
	}
	// Nothing before this line may redirect.
	if a.redirect = registered(a.app, a.uri); a.redirect == nil {
		showError(w, http.StatusBadRequest, "回调地址未登记：redirect_uri必须与应用登记的地址完全一致。")
		return nil
	}
	if value["response_type"] != "code" {
		a.back(w, url.Values{"error": {"unsupported_response_type"}, "error_description": {"response_type只支持code"}})
		return nil
	}
	return a
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
func (a *consentRequest) back(w http.ResponseWriter, answer url.Values) {
	if a.state != "" {
		answer.Set("state", a.state)
	}
	to := *a.redirect
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
	switch err := r.ParseForm(); {
	case errors.Is(err, form.ErrBusy):
		showError(w, http.StatusServiceUnavailable, "系统繁忙，请稍后再试。")
		return
	case errors.Is(err, form.ErrSlow):
		showError(w, http.StatusBadRequest, form.Slow.Text+"。")
		return
	case err != nil:
		showError(w, http.StatusBadRequest, "请求格式不正确。")
		return
	}
	a := h.check(w, r.PostForm)
	if a == nil {
		return
	}
	page := &formPage{asked: a, Merchant: r.PostForm.Get("merchant"), User: r.PostForm.Get("user")}
	switch r.PostForm.Get("decision") {
	case "refuse":
		h.o.Log.Info("authorization refused", "app", a.app.Name)
		a.back(w, url.Values{"error": {"access_denied"}, "error_description": {"用户拒绝授权"}})
	case "agree":
		h.agree(w, r, page)
	default:
		showForm(w, http.StatusBadRequest, page)
	}
}

// agree issues a code to a person who knows the consent key.
func (h *Handler) agree(w http.ResponseWriter, r *http.Request, page *formPage) {
	a := page.asked
	log := h.o.Log.With("app", a.app.Name, "remote", r.RemoteAddr)
	//guard:TestAttemptsAreLimited
	if !h.attempts.AllowN(h.o.Clock(), 1) { // before the key is looked at, or guesses would still be answered
		log.Warn("too many attempts at the consent key")
		page.Problem = "尝试过于频繁，请稍后再试。"
		showForm(w, http.StatusTooManyRequests, page)
		return
	}
	if !same(r.PostForm.Get("consent_key"), h.o.ConsentKey) { //guard:TestConsentIsRefused
		log.Warn("wrong consent key")
		page.Problem = "授权密钥不正确。"
		showForm(w, http.StatusForbidden, page)
		return
	}
	code, err := "", session.ErrNoMerchant
	if page.Merchant != "" { // an order without one would take the app's own
		code, err = h.o.Service.Authorize(r.Context(), session.Consent{
			App: a.app.ID, Merchant: page.Merchant, User: page.User, Redirect: a.uri,
		})
	}
	if err != nil {
		h.notAgreed(w, log, page, err)
		return
	}
	log.Info("authorization code issued", "merchant", page.Merchant)
	a.back(w, url.Values{"code": {code}})
}

func (h *Handler) notAgreed(w http.ResponseWriter, log *slog.Logger, page *formPage, err error) {
	status := http.StatusUnprocessableEntity
	switch {
	case errors.Is(err, session.ErrNoMerchant):
		page.Problem = "没有这个商家。"
	case errors.Is(err, session.ErrNoUser):
		page.Problem = "没有这个用户。"
	default:
		log.Warn("cannot issue an authorization code", "err", err)
		status, page.Problem = http.StatusServiceUnavailable, "系统繁忙，请稍后再试。"
	}
	showForm(w, status, page)
}
