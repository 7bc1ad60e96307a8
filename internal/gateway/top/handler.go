package top

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
)

// Where the platform's SDKs look for the gateway. A trailing slash is accepted.
const (
	Path      = "/router/rest"
	BatchPath = "/router/batch"
)

// Issuer issues; *engine.Engine is one.
type Issuer interface {
	Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error)
}

// Sessions finds the session behind a key, nil when there is none; *gateway.Sessions is one.
type Sessions interface {
	Session(ctx context.Context, key string) (*benefit.Session, error)
}

// Finder is the part of the store that methods which look things up need; every store.Store implements it. What was
// acknowledged before a call is seen by it.
type Finder interface {
	// Claim returns the issuance under a key; nil when nothing does.
	Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error)
	// Recipient returns the user that an identifier names; nil when there is none.
	Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error)
	// RecentIssuances iterates over a user's issuances, the newest first, those with an id below before; over all when it is 0.
	// An error is its last element.
	RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error]
}

// Options of a Handler.
type Options struct {
	Issuer   Issuer
	Apps     *gateway.Apps // with secrets: see gateway.Apps.WithSecrets
	Sessions Sessions
	Finder   Finder
	// States returns what has become of vouchers, by voucher, without those to which nothing has happened. It sees what was
	// acknowledged before the call.
	States   func(ctx context.Context, vouchers ...id.ID) (map[id.ID]benefit.VoucherState, error)
	Tokens   Tokens            // nil: the methods taobao.top.auth.token.* are not available
	Refusals *gateway.Refusals // nil: calls that issue nothing are not remembered
	Limits   wire.Limits       // of what is read of a request; zero fields take their defaults
	// Tolerance is how far a timestamp may be from now, either way: 0 is 10 minutes, less turns the check off.
	Tolerance    time.Duration
	Zones        []*time.Location // in which a timestamp may be; none is +08:00 alone
	BatchItems   int              // how many calls a batch may hold; 0 is 20
	BusinessCode int              // of business errors: 0 is 50, the other one in use is 15
	Deadline     time.Duration    // how long a call, or a whole batch, may wait for its outcome; default 5 s
	Clock        func() time.Time // judges timestamps, expiries and rates; default time.Now
	Log          *slog.Logger     // gets one record for each call; default: nothing
	// Calls is the level of the record of a call that went well on our side, whatever it was answered: see
	// gateway.NoCalls. The others are warnings.
	Calls   slog.Level
	Observe func(*gateway.Record) // gets the record of each call, for metrics; nil: it is not called
}

// Handler serves the gateway. It is safe for concurrent use.
type Handler struct {
	o         Options
	methods   map[string]*method
	decisive  map[string]wire.Method // by what the methods decide
	readers   *gateway.Readers       // bounds the queries
	deadlines *gateway.Deadlines
}

// New makes the handler of the gateway. Mount it at Path and BatchPath, or at the root: other paths are not found.
func New(o Options) *Handler {
	if o.Deadline <= 0 {
		o.Deadline = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		o: o, methods: map[string]*method{}, decisive: map[string]wire.Method{},
		readers:   gateway.NewReaders(maxReaders, maxReadersOfApp, readersWait),
		deadlines: gateway.NewDeadlines(o.Deadline),
	}
	for _, m := range methods {
		h.methods[m.name] = m
		h.decisive[m.name] = wire.Method{Object: m.object, Key: m.key}
	}
	return h
}

// ServeHTTP answers one call, or a batch of them.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case Path, Path + "/":
		h.serveOne(w, r)
	case BatchPath, BatchPath + "/":
		h.serveBatch(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (h *Handler) serveOne(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	req, bad := wire.Parse(r, h.o.Limits)
	c, bad := h.accept(r, req, bad, (*wire.Policy).Check)
	a := h.answer(h.deadlines.From(start), c, bad)
	// A write that fails has lost its caller; the retry settles it.
	_ = wire.Send(w, r, a)
	h.log(r.Context(), c, start)
}

// serveBatch answers a batch: one signature around it, then its calls one after the other. The gateway's own
// refusals of the whole are one answer.
func (h *Handler) serveBatch(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	req, bad := wire.ParseBatch(r, h.o.Limits)
	outer, bad := h.accept(r, req, bad, (*wire.Policy).CheckBatch)
	var items []wire.Item
	if bad == nil {
		items, bad = h.policy(outer.apps).Items(req)
	}
	if bad != nil {
		_ = wire.Send(w, r, h.refuse(outer, bad))
		h.log(r.Context(), outer, start)
		return
	}
	ctx := h.deadlines.From(start)
	answers := make([]*wire.Answer, len(items))
	for i, item := range items {
		start := time.Now()
		c := h.newCall(item.Request, outer.apps, outer.address)
		c.record.App, c.record.Variant = outer.record.App, outer.record.Variant
		answers[i] = h.answer(ctx, c, item.Refusal)
		h.log(ctx, c, start)
	}
	_ = wire.SendBatch(w, r, req, answers)
}

// accept begins a call, or what stands around a batch, and runs the checks of the protocol on it, unless it could not be
// read. A refusal for something that only a good signature makes known leaves the call authenticated.
func (h *Handler) accept(
	r *http.Request, req *wire.Request, bad *wire.Error, check func(*wire.Policy, *wire.Request) (wire.Variant, *wire.Error),
) (*call, *wire.Error) {
	c := h.newCall(req, h.o.Apps.Current(), r.RemoteAddr)
	if bad != nil {
		c.record.Outcome = gateway.Unread(bad.SubMsg)
		h.failed(c)
		return c, bad
	}
	if named := c.apps.ByAppKey(req.AppKey()); named != nil {
		c.record.App = named.ID
	}
	p := h.policy(c.apps)
	variant, bad := check(p, req)
	if variant != wire.NoMatch {
		c.record.Variant = variant.String()
		gateway.Verified(r.Context())
		return c, bad
	}
	c.record.Outcome = gateway.Unauthorized
	if explain := h.failed(c); explain && bad == wire.ErrInvalidSignature {
		bad = p.Why(req)
	}
	return c, bad
}

// policy returns the checks of the protocol, with the secrets of these apps.
func (h *Handler) policy(apps *gateway.AppSet) *wire.Policy {
	return &wire.Policy{
		Methods: h.decisive,
		Credentials: func(appKey string) (wire.Credentials, *wire.Error) {
			app := apps.ByAppKey(appKey)
			if app == nil {
				return wire.Credentials{}, wire.ErrInvalidAppKey
			}
			return wire.Credentials{Secrets: app.Secrets, Explain: app.ExplainSignature}, nil
		},
		Tolerance: h.o.Tolerance, Zones: h.o.Zones, Now: h.o.Clock, BatchItems: h.o.BatchItems,
	}
}

func (h *Handler) newCall(req *wire.Request, apps *gateway.AppSet, address string) *call {
	return &call{req: req, address: address, apps: apps, record: gateway.Record{
		Protocol: "top", TraceID: wire.NewRequestID(), Method: req.Method(), AppKey: req.AppKey(),
	}}
}

// failed counts a call that does not authenticate, by its signature or by its session. It reports whether the reason
// may be explained.
func (h *Handler) failed(c *call) bool {
	return c.record.Failed(h.o.Apps, c.record.App, c.address, h.o.Clock())
}

// answer serves a call whose signature is verified, unless it is refused already.
func (h *Handler) answer(ctx context.Context, c *call, bad *wire.Error) (a *wire.Answer) {
	if bad == nil {
		a, bad = h.admitAndRun(ctx, c)
	}
	if bad != nil {
		a = h.refuse(c, bad)
	}
	return a
}

// admitAndRun admits a call and runs its method.
func (h *Handler) admitAndRun(ctx context.Context, c *call) (a *wire.Answer, bad *wire.Error) {
	defer func() {
		if cause := recover(); cause != nil {
			h.o.Log.Error("a call panicked", "trace", c.record.TraceID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			a, bad = c.panicked(cause)
		}
	}()
	c.method, c.app = h.methods[c.req.Method()], c.apps.ByAppKey(c.req.AppKey())
	if bad := h.admit(ctx, c); bad != nil {
		return nil, bad
	}
	c.record.Outcome = gateway.Answered // unless the method sets another
	a, bad = c.method.run(h, ctx, c)
	if c.record.Reason == benefit.AppDisabled { // since admit looked
		a, bad = nil, errAppDisabled //guard:TestGoldenCertificateSend
	}
	switch {
	case bad == nil:
		c.record.Code = "0"
	case c.record.Outcome == gateway.Answered:
		c.record.Outcome = gateway.Invalid
	}
	return a, bad
}

var errAppDisabled = &wire.Error{Code: 11, Msg: wire.ErrAppPermissions.Msg, SubCode: "isv.app-disabled", SubMsg: "应用已停用"}

// admit checks for whom the app acts, and what it may do. Only a call that passes all the rest counts against the rate.
func (h *Handler) admit(ctx context.Context, c *call) *wire.Error {
	c.record.Outcome = gateway.Unauthorized
	if c.app.Disabled { //guard:TestOrderOfChecks
		return errAppDisabled
	}
	if bad := h.openSession(ctx, c); bad != nil {
		if bad != wire.ErrMissingSession && c.record.Err == nil { // a session was looked up, and is not good
			h.failed(c)
		}
		return bad
	}
	switch {
	case !c.app.Granted(c.method.name): //guard:TestOrderOfChecks
		return wire.ErrAppPermissions
	case !c.app.Allow(h.o.Clock()): //guard:TestRateOfAnApp
		c.record.Outcome = gateway.Limited
		return wire.ErrCallLimited
	}
	return nil
}

// openSession finds the session of a call whose method takes one. That of another app is answered like one that does
// not exist, so that callers do not learn of it.
func (h *Handler) openSession(ctx context.Context, c *call) *wire.Error {
	if !c.method.session {
		return nil
	}
	key := c.req.Session()
	if key == "" {
		return wire.ErrMissingSession
	}
	session, err := h.o.Sessions.Session(ctx, key)
	switch {
	case err != nil:
		c.record.Err = fmt.Errorf("reading the session: %w", err)
		c.record.Outcome = gateway.Busy
		return wire.ErrBusy
	case session == nil || session.App != c.app.ID: //guard:TestRefusalsOfSends without session.App != c.app.ID
		return wire.ErrInvalidSession
	case session.Ended != 0: //guard:internal/gateway/oauth.TestTheWholeWay
		return wire.ErrSessionRevoked
	case session.ExpiredAt(benefit.InstantOf(h.o.Clock())): //guard:TestSessionsThatSend h.o.Clock()) -> h.o.Clock()) - 1
		return wire.ErrSessionExpired
	}
	c.session = session
	return nil
}

// refuse writes a refusal. A call that the gateway was too busy for is answered like one that the core was too busy for,
// where the API is known.
func (h *Handler) refuse(c *call, bad *wire.Error) *wire.Answer {
	//guard:TestTheTraceOfAnUnreadSession
	if m := h.methods[c.req.Method()]; m != nil && m.undecided != nil && bad.Is(wire.ErrBusy) {
		c.method = m
		var a *wire.Answer
		if a, bad = m.undecided(c, false); bad == nil {
			c.record.Code = "0"
			return a
		}
	}
	bad = bad.Carried(h.o.BusinessCode)
	c.record.Code, c.record.SubCode, c.record.Message = strconv.Itoa(bad.Code), bad.SubCode, cmp.Or(bad.SubMsg, bad.Msg)
	return wire.Failure(c.req.Format(), bad, c.record.TraceID)
}

func (h *Handler) log(ctx context.Context, c *call, start time.Time) {
	c.record.Took = time.Since(start)
	if h.o.Observe != nil {
		h.o.Observe(&c.record)
	}
	h.o.Refusals.Note(&c.record, h.o.Clock())
	c.record.Log(ctx, h.o.Log, h.o.Calls)
}
