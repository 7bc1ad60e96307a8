package oauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"faquan/internal/gateway"
)

const style = `body{font:16px/1.6 sans-serif;max-width:32em;margin:3em auto;padding:0 1em}
label{display:block;margin:.8em 0}input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.3em}
button{font:inherit;padding:.3em 1.5em;margin-right:1em}.problem{color:#b00}code{overflow-wrap:anywhere}`

const head = `<!DOCTYPE html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>授权</title><style>` + style + `</style></head><body>
`

var formTemplate = template.Must(template.New("form").Parse(head + `<h1>授权</h1>
<p>应用 <b>{{.App.Name}}</b>（{{.App.AppKey}}）申请代表商家调用本平台的接口。</p>
<p>同意后将返回 <code>{{.URI}}</code></p>
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>
{{end}}<form method="post" action="/authorize">
<input type="hidden" name="response_type" value="code">
<input type="hidden" name="client_id" value="{{.App.AppKey}}">
<input type="hidden" name="redirect_uri" value="{{.URI}}">
<input type="hidden" name="state" value="{{.State}}">
<input type="hidden" name="view" value="{{.View}}">
<label>商家名称 <input name="merchant" value="{{.Merchant}}" maxlength="64" autocomplete="off"></label>
<label>用户名称（选填） <input name="user" value="{{.User}}" maxlength="200" autocomplete="off"></label>
<label>授权密钥 <input name="consent_key" type="password" autocomplete="off"></label>
<p><button name="decision" value="agree">同意</button><button name="decision" value="refuse">拒绝</button></p>
</form></body></html>
`))

var errorTemplate = template.Must(template.New("error").Parse(head + `<h1>无法授权</h1>
<p class="problem" role="alert">{{.}}</p></body></html>
`))

// consent is a checked request for consent, and what the person has entered so far but the key.
type consent struct {
	App            *gateway.App
	redirect       *url.URL // one of the app's
	URI            string   // the same, as sent
	State, View    string
	Merchant, User string
	Problem        string
}

// showForm asks for consent, again when there is a problem.
func showForm(w http.ResponseWriter, status int, c *consent, problem string) {
	c.Problem = problem
	show(w, status, formTemplate, c, originOf(c.redirect))
}

func showError(w http.ResponseWriter, status int, text string) {
	show(w, status, errorTemplate, text, "")
}

var styleHash = func() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// show writes a page. Browsers hold the redirect that answers a form to form-action, too, so the app's origin is
// named there.
func show(w http.ResponseWriter, status int, t *template.Template, data any, origin string) {
	var page bytes.Buffer
	if err := t.Execute(&page, data); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", strings.TrimSpace("default-src 'none'; style-src "+styleHash+
		"; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+origin))
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "same-origin") // none at all would hide the origin of our own form from us
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// originOf returns the origin of a URL as a source of a policy; empty when it has characters that would mean something
// else there.
func originOf(u *url.URL) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]_"
	if strings.Trim(u.Host, plain) != "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
