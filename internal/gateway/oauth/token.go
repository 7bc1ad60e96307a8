package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/session"
)

// refusal is the body of an answer that is no success: RFC 6749, 5.2.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	status      int
	outcome     gateway.Outcome
}

func invalid(description string) *refusal {
	return &refusal{"invalid_request", description, http.StatusBadRequest, gateway.Invalid}
}

// One answer for all that is wrong with who asks: which app keys exist is not disclosed.
var errClient = &refusal{"invalid_client", "client_id或client_secret不正确", http.StatusBadRequest, gateway.Unauthorized}

var (
	errDisabled = &refusal{"unauthorized_client", "应用已停用", http.StatusBadRequest, gateway.Unauthorized}
	errLimited  = &refusal{"temporarily_unavailable", "调用过于频繁，请稍后再试", http.StatusTooManyRequests, gateway.Limited}
	errBusy     = &refusal{"temporarily_unavailable", "系统繁忙，请稍后再试", http.StatusServiceUnavailable, gateway.Busy}
	errType     = &refusal{
		"unsupported_grant_type", "grant_type只支持authorization_code和refresh_token", http.StatusBadRequest, gateway.Invalid,
	}
)

// grantRefusals are what is wrong with a code or a refresh token.
var grantRefusals = []struct {
	err  error
	text string
}{
	{session.ErrNotFound, "授权码或刷新令牌不存在"},
	{session.ErrExpired, "授权码或刷新令牌已过期"},
	{session.ErrEnded, "授权码或刷新令牌已使用或已撤销"},
	{session.ErrRedirect, "redirect_uri与获取授权码时不一致"},
}

// token returns a session for a code or a refresh token.
func (h *Handler) token(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	form, bad := tokenForm(r)
	var app *gateway.App
	if bad == nil {
		app, bad = h.client(r, form)
	}
	var body any
	if bad == nil {
		gateway.Verified(r.Context())
		var g *session.Grant
		if g, bad = h.grant(r.Context(), app, form); bad == nil {
			body = answerOf(app.App, g)
		}
	}
	status, outcome := http.StatusOK, gateway.Answered
	if bad != nil {
		body, status, outcome = bad, bad.status, bad.outcome
		h.logRefusal(r, app, bad)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = encode(w, body)
	if h.o.Observe != nil {
		h.o.Observe(&gateway.Record{Protocol: "oauth", Method: TokenPath, Outcome: outcome, Took: time.Since(start)})
	}
}

// encode writes JSON. Characters of HTML are not escaped, since the Java SDKs misread the letters of \u003c.
func encode(w io.Writer, body any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(body)
}

// logRefusal logs that nothing was given out, as often as one app and address may fail.
func (h *Handler) logRefusal(r *http.Request, app *gateway.App, bad *refusal) {
	id, name := benefit.AppID(0), ""
	if app != nil {
		id, name = app.ID, app.Name
	}
	if within, suppressed := h.o.Apps.Failed(id, r.RemoteAddr, h.o.Clock()); within {
		h.o.Log.Info("session refused",
			"app", name, "error", bad.Error, "description", bad.Description, "suppressed", suppressed)
	}
}

// tokenForm returns the parameters, of the query and of the form together: callers use either.
func tokenForm(r *http.Request) (map[string]string, *refusal) {
	parse := r.ParseForm
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "multipart/form-data" {
		parse = func() error { return r.ParseMultipartForm(maxForm) }
	}
	if bad := badForm(parse()); bad != nil {
		return nil, bad
	}
	return single(r.Form, "grant_type", "client_id", "client_secret", "code", "redirect_uri", "refresh_token")
}

// client finds the app that asks, by its key and secret, which may also come as RFC 6749, 2.3.1 has it.
func (h *Handler) client(r *http.Request, form map[string]string) (*gateway.App, *refusal) {
	id, secret := form["client_id"], form["client_secret"]
	if user, password, ok := r.BasicAuth(); ok && secret == "" {
		plainID, err1 := url.QueryUnescape(user)
		plainSecret, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil || id != "" && id != plainID {
			return nil, errClient
		}
		id, secret = plainID, plainSecret
	}
	app := h.o.Apps.Current().ByAppKey(id)
	known := false
	if app != nil {
		for _, s := range app.Secrets {
			known = same(secret, s) && s != "" || known
		}
	}
	switch {
	case !known: //guard:TestTokenRefusals !known -> app == nil
		return nil, errClient
	case app.Disabled:
		return nil, errDisabled
	case !app.Allow(h.o.Clock()):
		return nil, errLimited
	}
	return app, nil
}

func (h *Handler) grant(ctx context.Context, app *gateway.App, form map[string]string) (*session.Grant, *refusal) {
	var g *session.Grant
	var err error
	switch form["grant_type"] {
	case "":
		return nil, missing("grant_type")
	case "authorization_code":
		for _, name := range []string{"code", "redirect_uri"} {
			if form[name] == "" {
				return nil, missing(name)
			}
		}
		g, err = h.o.Service.Exchange(ctx, app.ID, form["code"], form["redirect_uri"])
	case "refresh_token":
		if form["refresh_token"] == "" {
			return nil, missing("refresh_token")
		}
		g, err = h.o.Service.Refresh(ctx, app.ID, form["refresh_token"])
	default:
		return nil, errType
	}
	return h.grantFrom(app.App, g, err)
}

func missing(name string) *refusal { return invalid("缺少参数：" + name) }

// grantFrom logs what was given out to the app, or returns the refusal for an error of the service.
func (h *Handler) grantFrom(app *benefit.App, g *session.Grant, err error) (*session.Grant, *refusal) {
	if err == nil {
		h.o.Log.Info("session issued", "app", app.Name, "digest", g.Digest.String()[:8], "merchant", g.Merchant.Name)
		return g, nil
	}
	for _, r := range grantRefusals {
		if errors.Is(err, r.err) {
			return nil, &refusal{"invalid_grant", r.text, http.StatusBadRequest, gateway.Unauthorized}
		}
	}
	h.o.Log.Warn("cannot issue a session", "app", app.Name, "err", err)
	return nil, errBusy
}

// ErrBusy: our side cannot give a session out now.
var ErrBusy = errors.New("cannot issue a session")

// Create returns the exchange of a code in a signed call (taobao.top.auth.token.create), where the app is known by its
// signature and no redirect_uri travels. The result is the JSON of /token. Refused is why there is none, in Chinese;
// the error is ErrBusy.
func (h *Handler) Create(ctx context.Context, app *benefit.App, code string) (result, refused string, err error) {
	g, err := h.o.Service.Exchange(ctx, app.ID, code, session.AnyRedirect)
	return h.inBand(app, g, err)
}

// Refresh returns the same for a refresh token (taobao.top.auth.token.refresh).
func (h *Handler) Refresh(ctx context.Context, app *benefit.App, token string) (result, refused string, err error) {
	g, err := h.o.Service.Refresh(ctx, app.ID, token)
	return h.inBand(app, g, err)
}

func (h *Handler) inBand(app *benefit.App, g *session.Grant, err error) (result, refused string, _ error) {
	g, bad := h.grantFrom(app, g, err)
	switch {
	case bad == errBusy:
		return "", "", ErrBusy
	case bad != nil:
		return "", bad.Description, nil
	}
	var body strings.Builder
	err = encode(&body, answerOf(app, g))
	return strings.TrimSuffix(body.String(), "\n"), "", err
}
