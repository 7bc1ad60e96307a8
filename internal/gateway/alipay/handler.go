package alipay

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay/wire"
)

// Path is where the platform's SDKs look for the gateway.
const Path = "/gateway.do"

// Issuer issues; *engine.Engine is one.
type Issuer interface {
	Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error)
}

// Options of a Handler.
type Options struct {
	Issuer   Issuer
	Apps     *gateway.Apps
	Sessions *gateway.Sessions // those behind an app_auth_token
	// Signer signs the answers with the platform's key: see wire.NewKeySigner and Handler.SetSigner.
	Signer wire.Signer
	// MaxBytes bounds the query and the body of a request, each; 0 is the default of form.Options.
	MaxBytes int
	// Tolerance is how far a timestamp may be from now, either way; 0 turns the check off.
	Tolerance time.Duration
	// Refusals remembers the calls that issue nothing; nil: they are not remembered.
	Refusals *gateway.Refusals
	// Deadline is how long a call may wait for its outcome; default 5 s.
	Deadline time.Duration
	// Clock judges timestamps, expiries and rates; default time.Now.
	Clock func() time.Time
	// Log gets one record for each call; default: nothing.
	Log *slog.Logger
	// Calls is the level of the record of a call that went well on our side, whatever it was answered: see
	// gateway.NoCalls. The others are warnings.
	Calls slog.Level
	// Observe gets the record of each call, for metrics; nil: it is not called.
	Observe func(*gateway.Record)
}

// Handler serves the gateway. It is safe for concurrent use.
type Handler struct {
	o      Options
	signer atomic.Pointer[wire.FailureCache]
}

// methods are the APIs by their names. Each returns the answer of a success, or the refusal.
var methods = map[string]func(h *Handler, ctx context.Context, c *call) (answer, *wire.Error){
	"alipay.marketing.voucher.send": (*Handler).voucherSend,
}

// Methods returns the names of the APIs of the gateway.
func Methods() []string { return slices.Sorted(maps.Keys(methods)) }

// answer writes the API's own members of a success.
type answer func(n *wire.Node)

// call is one call on its way through the checks.
type call struct {
	req     *wire.Request
	address string // it comes from
	apps    *gateway.AppSet
	app     *gateway.App       // nil until the signature is verified
	acting  benefit.MerchantID // on whose behalf: the app's merchant, or that of the app_auth_token
	record  gateway.Record
}

// cachedFailures is how many signatures of failures are remembered, times two at most.
const cachedFailures = 1024

// New makes the handler of the gateway. Mount it at Path, or at the root: other paths are not found.
func New(o Options) *Handler {
	o.Deadline = cmp.Or(o.Deadline, 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Clock == nil {
		o.Clock = time.Now
	}
	h := &Handler{o: o}
	h.SetSigner(o.Signer)
	return h
}

// SetSigner puts another key in the place of the platform's. Answers that are on their way may still be signed
// with the one before.
func (h *Handler) SetSigner(s wire.Signer) { h.signer.Store(wire.NewFailureCache(s, cachedFailures)) }

// errVerb refuses everything but POST and GET.
var errVerb = wire.ErrInvalidParameter.With("仅支持POST和GET请求")

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		http.NotFound(w, r)
		return
	}
	start := time.Now()
	req, bad := wire.Parse(r, h.o.MaxBytes)
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		bad = errVerb
	}
	c := &call{req: req, address: r.RemoteAddr, apps: h.o.Apps.Current()}
	c.record = gateway.Record{Protocol: "alipay", TraceID: gateway.NewTraceID(), Method: req.Method(), AppID: req.AppID()}
	var success answer
	if bad != nil {
		c.record.Outcome = gateway.Unread(bad.SubMsg)
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), h.o.Deadline)
		success, bad = h.serve(ctx, c)
		cancel()
	}
	h.settle(r.Context(), c)
	h.send(w, c, success, bad)
	h.log(r.Context(), c, start)
}

// serve checks the call and runs its method. A panic is an unknown outcome: it may have come after the request was
// handed on.
func (h *Handler) serve(ctx context.Context, c *call) (success answer, bad *wire.Error) {
	defer func() {
		if cause := recover(); cause != nil {
			c.record.Err = fmt.Errorf("panic: %v", cause)
			h.o.Log.Error("a call panicked", "trace", c.record.TraceID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			c.record.Outcome = gateway.Unknown
			success, bad = nil, errUnknown
		}
	}()
	if bad := h.authenticate(c); bad != nil {
		return nil, bad
	}
	if bad := h.admit(ctx, c); bad != nil {
		return nil, bad
	}
	c.record.Outcome = gateway.Invalid // unless the method sets another one
	return methods[c.req.Method()](h, ctx, c)
}

// authenticate runs the checks of the protocol, the last of which is the signature. A refusal for something that only a
// good signature makes known leaves the call authenticated.
func (h *Handler) authenticate(c *call) *wire.Error {
	var app *gateway.App
	policy := wire.Policy{
		KnownMethod: func(name string) bool { return methods[name] != nil },
		Key: func(appID string) (*rsa.PublicKey, *wire.Error) {
			if app = c.apps.ByAppID(appID); app == nil {
				return nil, wire.ErrInvalidAppID
			}
			c.record.App = app.ID
			return app.Key, nil
		},
		Tolerance: h.o.Tolerance,
		Now:       h.o.Clock,
	}
	variant, bad := policy.Check(c.req)
	if variant != wire.NoMatch {
		c.record.Variant = variant.String()
		c.app = app
	} else {
		c.record.Outcome = gateway.Unauthorized
	}
	if bad == wire.ErrInvalidSignature && h.failed(c) {
		return c.req.Why(app.Key)
	}
	return bad
}

// settle marks the connection of a call that is authenticated, and counts one that is not.
func (h *Handler) settle(ctx context.Context, c *call) {
	if c.record.Variant != "" {
		gateway.Verified(ctx)
	} else {
		h.failed(c)
	}
}

// failed counts a call that does not authenticate, by its signature or by its token. It reports whether the reason may
// be explained.
func (h *Handler) failed(c *call) bool {
	return c.record.Failed(h.o.Apps, c.record.App, c.address, h.o.Clock())
}

// admit checks what the app may do, and for whom it acts. Only a call that passes all the rest counts against the rate.
func (h *Handler) admit(ctx context.Context, c *call) *wire.Error {
	c.record.Outcome = gateway.Unauthorized
	switch {
	case c.app.Disabled:
		return wire.ErrInvalidAppState
	case !mayUse(c.app, c.req.AnswerSignType()):
		return errSignType
	case !c.app.Granted(c.req.Method()):
		return wire.ErrInsufficientPermissions
	}
	if bad := h.actFor(ctx, c); bad != nil {
		if c.record.Err == nil { // the token was looked up, and is not good
			h.failed(c)
		}
		return bad
	}
	if !c.app.Allow(h.o.Clock()) {
		c.record.Outcome = gateway.Limited
		return wire.ErrAppCallLimited
	}
	return nil
}

var errSignType = wire.ErrInvalidSignatureType.With("应用未启用该签名类型，请使用应用配置的sign_type")

// mayUse reports whether the app signs by the algorithm. An app that names none signs by RSA2.
func mayUse(app *gateway.App, t wire.SignType) bool {
	return slices.Contains(app.SignTypes, string(t)) || len(app.SignTypes) == 0 && t == wire.RSA2
}

// actFor finds the merchant that the app acts for. A token of another app is answered like one that does not exist, so
// that nobody learns that it does.
func (h *Handler) actFor(ctx context.Context, c *call) *wire.Error {
	c.acting = c.app.Merchant
	token := c.req.Get("app_auth_token")
	if token == "" {
		return nil
	}
	session, err := h.o.Sessions.Session(ctx, token)
	switch {
	case err != nil:
		c.record.Err = fmt.Errorf("reading the session: %w", err)
		c.record.Outcome = gateway.Busy
		return errNotIssued
	//guard:TestTokenExpiry without session.Ended != 0
	case session == nil || session.App != c.app.ID || session.Merchant == 0 || session.Ended != 0:
		return wire.ErrInvalidAppAuthToken
	case session.ExpiredAt(benefit.InstantOf(h.o.Clock())):
		return wire.ErrAppAuthTokenTimeOut
	}
	c.acting = session.Merchant
	return nil
}

// send writes the answer. It is built from the start for a failure, so nothing of a success can be in one.
func (h *Handler) send(w http.ResponseWriter, c *call, success answer, bad *wire.Error) {
	node := wire.NewNode(c.req.Charset)
	if bad != nil {
		node.Failure(bad)
		c.record.Code, c.record.SubCode, c.record.Message = bad.Code, bad.SubCode, bad.SubMsg
	} else {
		node.Success()
		success(node)
		c.record.Code = "10000"
	}
	body, err := wire.Seal(c.req.Method(), node, c.req.AnswerSignType(), h.signer.Load())
	if err != nil {
		// Without a signature no SDK would believe the answer, so there is none: to the caller the outcome is unknown.
		c.record.Err = errors.Join(c.record.Err, err)
		c.record.Outcome = gateway.Unknown
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	// A write that fails has lost its caller; the retry settles it.
	_ = wire.Send(w, c.req.Charset, body, c.record.TraceID)
}

func (h *Handler) log(ctx context.Context, c *call, start time.Time) {
	c.record.Took = time.Since(start)
	if h.o.Observe != nil {
		h.o.Observe(&c.record)
	}
	h.o.Refusals.Note(&c.record, h.o.Clock())
	c.record.Log(ctx, h.o.Log, h.o.Calls)
}
