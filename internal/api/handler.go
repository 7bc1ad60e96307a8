package api

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/feed"
	"faquan/internal/gateway"
	"faquan/internal/store"
	"faquan/internal/token"
)

// Root is where all paths of the API begin.
const Root = "/api/v1"

// Description is the OpenAPI 3.1 description of the API, as YAML.
//
//go:embed openapi.yaml
var Description []byte

// Protocol is the name of the API in records of calls.
const Protocol = "api"

// Engine carries commands out; *engine.Engine is one.
type Engine interface {
	Do(ctx context.Context, c benefit.Command) error
}

// Options of a Handler.
type Options struct {
	Engine   Engine
	Store    store.Finder
	Feed     *feed.Reader          // of the same store
	FeedKeep time.Duration         // how old the events of the position start may be; default 7 days
	Apps     *gateway.Apps         // those of the gateways, so that an app has one rate limit
	Refusals *gateway.Refusals     // those of the gateways; nil: calls that change nothing are not remembered
	MaxBytes int                   // of a body; default 1 MiB
	Deadline time.Duration         // how long a call may wait for its outcome; default 5 s
	Clock    func() time.Time      // judges expiries, rates, and the status of vouchers; default time.Now
	Log      *slog.Logger          // gets one record for each call; default: nothing
	Calls    slog.Level            // of the record of a call that went well on our side: see gateway.NoCalls
	Observe  func(*gateway.Record) // gets the record of each call, for metrics; nil: it is not called
}

// Handler serves the API. It is safe for concurrent use.
type Handler struct {
	o         Options
	mux       *http.ServeMux
	tokens    *gateway.Readers // bounds the look-ups of tokens
	readers   *gateway.Readers // bounds the queries
	deadlines *gateway.Deadlines

	streams     *gateway.Readers // bounds the streams of events
	streamTimes streamTimes
	stopping    chan struct{} // closed by EndStreams
	stopStreams sync.Once
}

// How many look-ups of tokens, queries and streams of events may run at once, and how long one waits for room.
const (
	maxTokenReaders = 4
	maxReaders      = 4
	maxReadersOfApp = 2
	maxStreams      = 100
	maxStreamsOfApp = 20
	readersWait     = time.Second
)

// route is an operation of the API. An empty scope needs no token.
type route struct {
	name         string // operationId
	method, path string
	scope        benefit.TokenScope
	run          func(h *Handler, c *call) (any, *Problem)
}

var routes = []route{
	{"listVouchers", "GET", "/vouchers", benefit.MayQuery, (*Handler).listVouchers},
	{"getVoucher", "GET", "/vouchers/{id}", benefit.MayQuery, (*Handler).getVoucher},
	{"voidVoucher", "POST", "/vouchers/{id}/void", benefit.MayVoid, (*Handler).void},
	{"extendVoucher", "POST", "/vouchers/{id}/extend", benefit.MayExtend, (*Handler).extend},
	{"expireVoucher", "POST", "/vouchers/{id}/expire", benefit.MayExpire, (*Handler).expire},
	{"redeem", "POST", "/redemptions", benefit.MayRedeem, (*Handler).redeem},
	{"getRedemption", "GET", "/redemptions/{id}", benefit.MayQuery, (*Handler).getRedemption},
	{"reverse", "POST", "/redemptions/{id}/reversals", benefit.MayReverse, (*Handler).reverse},
	{"getKey", "GET", "/keys", benefit.MayQuery, (*Handler).getKey},
	{"listEvents", "GET", "/events", benefit.MayReadEvents, (*Handler).listEvents},
	{"getDescription", "GET", "/openapi.yaml", "", nil},
}

// Methods returns the names of the operations in records of calls, such as redeem.
func Methods() (names []string) {
	for _, r := range routes {
		names = append(names, r.name)
	}
	return names
}

// New makes the handler of the API.
func New(o Options) *Handler {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Deadline <= 0 {
		o.Deadline = 5 * time.Second
	}
	if o.FeedKeep <= 0 {
		o.FeedKeep = feed.DefaultKeep
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		o: o, mux: http.NewServeMux(), deadlines: gateway.NewDeadlines(o.Deadline),
		tokens:  gateway.NewReaders(maxTokenReaders, maxTokenReaders, readersWait),
		readers: gateway.NewReaders(maxReaders, maxReadersOfApp, readersWait),
		streams: gateway.NewReaders(maxStreams, maxStreamsOfApp, readersWait), streamTimes: defaultStreamTimes, stopping: make(chan struct{}),
	}
	allowed := map[string][]string{} // methods, by path
	for _, r := range routes {
		allowed[r.path] = append(allowed[r.path], r.method)
		h.mux.HandleFunc(r.method+" "+Root+r.path, func(w http.ResponseWriter, req *http.Request) { h.serve(w, req, &r) })
	}
	for path, methods := range allowed {
		h.mux.HandleFunc(Root+path, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			h.serve(w, req, refusing("wrongMethod", methodNotAllowed, "this path has "+strings.Join(methods, ", ")))
		})
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		h.serve(w, req, refusing("unknownPath", pathNotFound, "see "+Root+"/openapi.yaml"))
	})
	return h
}

// refusing returns the route of requests that no operation serves. The name is constant, as the path of a request may hold
// anything, such as a phone number.
func refusing(name string, why reason, detail string) *route {
	return &route{name: name, run: func(*Handler, *call) (any, *Problem) { return nil, refuse(why, detail) }}
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// call is a call in progress.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context // ends when the call has waited long enough
	record gateway.Record
	app    *gateway.App
	cat    *benefit.Catalogue
	now    benefit.Instant
	token  *benefit.Token
	stream *stream // that is the answer; nil: another was written
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, to *route) {
	start := time.Now()
	apps := h.o.Apps.Current()
	c := &call{
		w: w, r: r, ctx: h.deadlines.From(start), cat: apps.Catalogue, now: benefit.InstantOf(h.o.Clock()),
		record: gateway.Record{Protocol: Protocol, TraceID: gateway.NewTraceID(), Method: to.name, Code: "0", Outcome: gateway.Answered},
	}
	h.answer(c, apps, to)
	c.record.Took = time.Since(start)
	if h.o.Observe != nil {
		h.o.Observe(&c.record)
	}
	if to.method == http.MethodPost { // queries change nothing, and would push out what does
		h.o.Refusals.Note(&c.record, h.o.Clock())
	}
	c.record.Log(r.Context(), h.o.Log, h.o.Calls)
	if c.stream != nil { // whose record is of its beginning
		h.serveStream(c)
	}
}

// answer writes the answer of a call.
func (h *Handler) answer(c *call, apps *gateway.AppSet, to *route) {
	c.w.Header().Set("Faquan-Trace-Id", c.record.TraceID)
	c.w.Header().Set("Cache-Control", "no-store")
	defer func() {
		if cause := recover(); cause != nil { //guard:TestPanics recover() -> any(nil)
			if cause == http.ErrAbortHandler {
				panic(cause)
			}
			h.o.Log.Error("a call panicked", "trace", c.record.TraceID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			c.record.Err = fmt.Errorf("panic: %v", cause)
			h.refuse(c, c.panicked(to))
		}
	}()
	if to.scope == "" { //guard:TestTheLogIsBounded
		h.unverified(c)
	}
	if to.run == nil {
		c.w.Header().Set("Content-Type", "application/yaml")
		_, _ = c.w.Write(Description)
		return
	}
	result, bad := h.admitAndRun(c, apps, to)
	if bad != nil {
		h.refuse(c, bad)
		return
	}
	if c.stream == nil {
		c.write(http.StatusOK, "application/json", result)
	}
}

// panicked is the answer to a call that panicked. Its texts are constant, so that it can be written whatever has panicked.
func (c *call) panicked(to *route) *Problem {
	if to.method == http.MethodPost { //guard:TestPanics
		return c.unknown()
	}
	return c.broken()
}

func (h *Handler) admitAndRun(c *call, apps *gateway.AppSet, to *route) (any, *Problem) {
	if to.scope != "" {
		if bad := h.admit(c, apps, to.scope); bad != nil {
			return nil, bad
		}
	}
	return to.run(h, c)
}

// admit checks the token of a call. Only a call that passes all the rest counts against the rate of the app.
func (h *Handler) admit(c *call, apps *gateway.AppSet, scope benefit.TokenScope) (bad *Problem) {
	if c.token, bad = h.findToken(c); bad != nil {
		return bad
	}
	c.record.App, c.record.Outcome = c.token.App, gateway.Unauthorized
	if c.app = apps.ByID(c.token.App); c.app != nil {
		c.record.AppName = c.app.Name
	}
	switch bad := permits(c.token, c.app, scope, c.now); {
	case bad != nil && bad.Status == http.StatusUnauthorized:
		return h.unauthorized(c, bad)
	case bad != nil:
		return bad
	case !c.app.Allow(h.o.Clock()): //guard:TestRateOfAnApp
		c.record.Outcome = gateway.Limited
		return refuse(rateLimited, "")
	}
	c.record.Outcome = gateway.Answered
	gateway.Verified(c.r.Context())
	return nil
}

// permits returns why a token, of an app that may be nil, does not permit calls of a scope at now.
func permits(t *benefit.Token, app *gateway.App, scope benefit.TokenScope, now benefit.Instant) *Problem {
	switch {
	case t.Revoked != 0: //guard:TestTokens
		return refuse(tokenRevoked, "")
	case t.ExpiredAt(now): //guard:TestTokens
		return refuse(tokenExpired, "it expired at "+t.Expires.RFC3339())
	case app == nil || app.Disabled: //guard:TestTokens
		return refuse(appDisabled, "")
	case app.Merchant == 0: //guard:TestAppWithoutMerchant
		return refuse(noMerchant, "give it one in the catalogue") // in a command no merchant is any
	case !t.Permits(scope): //guard:TestScopes
		return refuse(scopeMissing, "this operation needs the scope "+string(scope))
	}
	return nil
}

// findToken returns the token of a call. Anybody can ask for a look-up, so those that are not answered are counted, too.
func (h *Handler) findToken(c *call) (*benefit.Token, *Problem) {
	all := c.r.Header.Values("Authorization")
	kind, secret := "", ""
	if len(all) == 1 {
		kind, secret, _ = strings.Cut(all[0], " ")
	}
	if len(all) != 1 || !strings.EqualFold(kind, "Bearer") || secret == "" {
		return nil, h.unauthorized(c, refuse(tokenMissing, "send the header Authorization: Bearer, with a token, once"))
	}
	if !token.IsSecret(secret) { //guard:TestTokensAreLookedUpByForm
		return nil, h.unauthorized(c, refuse(tokenUnknown, ""))
	}
	found, err := h.lookUp(c.ctx, benefit.TokenDigest(secret))
	switch {
	case err != nil:
		bad := c.busy(err)
		if !h.unverified(c) { //guard:TestTheLogIsBounded
			c.record.Err = nil // it would be logged
		}
		return nil, bad
	case found == nil:
		return nil, h.unauthorized(c, refuse(tokenUnknown, ""))
	}
	return found, nil
}

func (h *Handler) lookUp(ctx context.Context, token benefit.Digest) (*benefit.Token, error) {
	leave, err := h.tokens.Enter(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer leave()
	found, err := store.Token(ctx, h.o.Store, token)
	if err != nil {
		return nil, fmt.Errorf("reading the token: %w", err)
	}
	return found, nil
}

// unverified counts a call that does not authenticate, so that a flood of them does not fill the log. It reports whether the
// call may be logged.
func (h *Handler) unverified(c *call) bool {
	return c.record.Failed(h.o.Apps, c.record.App, c.r.RemoteAddr, h.o.Clock())
}

// unauthorized counts a call that does not authenticate, and sets its challenge.
func (h *Handler) unauthorized(c *call, bad *Problem) *Problem {
	c.record.Outcome = gateway.Unauthorized
	h.unverified(c)
	challenge := "Bearer"
	if bad.Reason != tokenMissing {
		challenge = `Bearer error="invalid_token"`
	}
	c.w.Header().Set("WWW-Authenticate", challenge)
	return bad
}

// busy is the answer to a call that has certainly changed nothing, and may be sent again.
func (c *call) busy(err error) *Problem {
	c.record.Outcome = gateway.Busy
	if !errors.Is(err, gateway.ErrReadersBusy) && !errors.Is(err, engine.ErrBusy) && !errors.Is(err, engine.ErrStopping) {
		c.record.Err = err
	}
	return refuse(busy, "nothing was changed by this call; retry it")
}

// unknown is the answer to a call that may have changed something.
func (c *call) unknown() *Problem {
	c.record.Outcome = gateway.Unknown
	return refuse(outcomeUnknown, "retry it with the same Idempotency-Key: whatever happened, it is carried out once")
}

// broken is the answer to a query that a retry does not help. It has changed nothing.
func (c *call) broken() *Problem {
	c.record.Outcome = gateway.Busy
	return refuse(internalError, "see the log of faquan for the trace id of this answer")
}

// refuse writes a problem.
func (h *Handler) refuse(c *call, p *Problem) {
	c.record.Code, c.record.SubCode, c.record.Message = strconv.Itoa(p.Status), string(p.Reason), p.Detail
	if c.record.Outcome == gateway.Answered {
		c.record.Outcome = gateway.Invalid
	}
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		c.w.Header().Set("Retry-After", "1")
	}
	c.write(p.Status, "application/problem+json", p)
}

// write writes an answer. A write that fails has lost its caller; a retry settles what was changed.
func (c *call) write(status int, contentType string, body any) {
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("api: an answer that JSON cannot hold: %v", err)) // it has no such fields
	}
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(text)
}
