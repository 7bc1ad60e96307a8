package oauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/time/rate"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
	"faquan/internal/session"
)

// Where apps and browsers look for OAuth.
const (
	AuthorizePath = "/authorize"
	TokenPath     = "/token"
)

// MinConsentKey is the minimum length of a consent key, in characters.
const MinConsentKey = 16

// Service creates sessions; *session.Service implements it.
type Service interface {
	Authorize(ctx context.Context, c session.Consent) (code string, err error)
	Exchange(ctx context.Context, app benefit.AppID, code, redirect string) (*session.Grant, error)
	Refresh(ctx context.Context, app benefit.AppID, token string) (*session.Grant, error)
}

// Options of a Handler.
type Options struct {
	Apps    *gateway.Apps // with secrets: see gateway.Apps.WithSecrets
	Service Service
	// ConsentKey is the key that a person who consents must enter; empty switches /authorize off.
	ConsentKey string
	// Deadline is how long a request may wait for its outcome; default 5 s.
	Deadline time.Duration
	// Clock judges rates; default time.Now.
	Clock func() time.Time
	// Log gets what was given out and what was refused; default: nothing.
	Log *slog.Logger
	// Observe gets a record of each call of /token, for metrics; nil: it is not called.
	Observe func(*gateway.Record)
}

// Handler serves OAuth. It is safe for concurrent use.
type Handler struct {
	o        Options
	attempts *rate.Limiter // at the consent key
	mux      http.ServeMux
}

const (
	maxForm       = 64 << 10        // bytes of a query and of a body, each
	attemptsBurst = 10              // attempts at the consent key at once
	attemptsEvery = 3 * time.Second // and one more after this
)

// New makes the handler.
func New(o Options) *Handler {
	o.Deadline = cmp.Or(o.Deadline, 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Clock == nil {
		o.Clock = time.Now
	}
	h := &Handler{o: o, attempts: rate.NewLimiter(rate.Every(attemptsEvery), attemptsBurst)}
	h.mux.HandleFunc("GET "+AuthorizePath, h.ask)
	// The consent key is asked for at each consent, so there is nothing that a foreign page could make use of. This
	// keeps it from trying, too.
	//guard:TestThePageIsGuarded without http.NewCrossOriginProtection().Handler
	h.mux.Handle("POST "+AuthorizePath, http.NewCrossOriginProtection().Handler(http.HandlerFunc(h.decide)))
	h.mux.HandleFunc("POST "+TokenPath, h.token)
	return h
}

// Mount puts the handler at its paths.
func (h *Handler) Mount(mux *http.ServeMux) {
	mux.Handle(AuthorizePath, h)
	mux.Handle(TokenPath, h)
}

// ServeHTTP answers a browser or an app.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store") //guard:TestTheWholeWay
	header.Set("Pragma", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	if len(r.URL.RawQuery) > maxForm { // what is in it comes back in a page, and larger than it was
		http.Error(w, "请求过大", http.StatusRequestURITooLong)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	ctx, cancel := context.WithTimeout(r.Context(), h.o.Deadline)
	defer cancel()
	h.mux.ServeHTTP(w, r.WithContext(ctx))
}

// same compares secrets in a time that depends neither on them nor on their lengths.
func same(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// single returns the values of parameters. It refuses one that is there with different values, of which none is to be
// believed.
func single(sent url.Values, names ...string) (map[string]string, *refusal) {
	values := map[string]string{}
	for _, name := range names {
		values[name] = sent.Get(name)
		for _, v := range sent[name] {
			if v != values[name] {
				return nil, invalid("参数重复：" + name)
			}
		}
	}
	return values, nil
}

// badForm returns the refusal of a request whose form was read with the error.
func badForm(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, form.ErrBusy):
		return errBusy
	case errors.Is(err, form.ErrSlow):
		return invalid(form.Slow.Text)
	}
	return invalid("请求格式不正确")
}
