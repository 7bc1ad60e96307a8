package top

import (
	"context"
	"fmt"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top/wire"
)

// method is one API. Each has a file of its own; the list of them all is below.
type method struct {
	name    string
	session bool   // it takes one, and needs it; else one that is sent is not looked at
	object  string // the name of its object parameter; "" when it has none
	key     string // of a method without an object, the parameter that must exist and decides
	// run answers a call that passed every check of the gateway: by an answer that c.success began, or a refusal.
	run func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error)
	// undecided answers a call that has no outcome; it is nil for methods that issue nothing. Unknown reports whether
	// this attempt may have issued something. When it is false the attempt issued nothing and may be repeated, although
	// an earlier attempt with the same key may have issued. What the SDKs make of each of these answers is in
	// docs/reference/undecided.md.
	undecided func(c *call, unknown bool) (*wire.Answer, *wire.Error)
}

// methods are the APIs of the gateway.
var methods = []*method{
	activitySend, sellerGet, timeGet, decisionSend, certificateSend, certificateQuery, tokenCreate, tokenRefresh,
}

// Methods returns the names of the APIs of the gateway.
func Methods() (names []string) {
	for _, m := range methods {
		names = append(names, m.name)
	}
	return names
}

// call is one call on its way through the checks.
type call struct {
	req     *wire.Request
	address string // it comes from
	method  *method
	apps    *gateway.AppSet
	app     *gateway.App     // nil until the signature is verified
	session *benefit.Session // nil when the call has none, or the method takes none
	record  gateway.Record   // its TraceID is the request_id of the answer
}

// success begins the answer of a success.
func (c *call) success() *wire.Answer {
	return wire.Success(c.req.Format(), c.method.name, c.record.TraceID)
}

// actsFor returns the merchant on whose behalf the app calls: the session's, or else its own.
func (c *call) actsFor() benefit.MerchantID {
	if c.session != nil && c.session.Merchant != 0 {
		return c.session.Merchant
	}
	return c.app.Merchant
}

// mayIssue reports whether there is a template and the app may issue it for the merchant that it acts for.
func (c *call) mayIssue(t *benefit.Template) bool { return t != nil && c.app.MayIssue(t, c.actsFor()) }

// object returns the object parameter of the call, which is required.
func (c *call) object() *wire.Args { return c.req.Args().Object(c.method.object) }

// maxTrace is how many characters are kept of a trace id, which may be longer.
const maxTrace = 256

// keptTrace returns what is kept of a trace id.
func keptTrace(id string) string {
	left := maxTrace
	for at := range id {
		if left == 0 {
			return strings.Clone(id[:at])
		}
		left--
	}
	return id
}

// issue hands a request to the core. After an error, which the record keeps, the call is undecided.
func (h *Handler) issue(ctx context.Context, c *call, r *benefit.Request) (benefit.Outcome, error) {
	c.record.Request, c.record.Key, c.record.CallerTrace = r, r.Key, r.Note.TraceID
	outcome, err := h.o.Issuer.Issue(ctx, r)
	if err != nil {
		c.record.Err = err
		if c.record.Outcome = gateway.Busy; !engine.NothingIssued(err) { //guard:TestOutcomes
			c.record.Outcome = gateway.Unknown
		}
		return outcome, err
	}
	c.record.Decided(&outcome)
	if outcome.Reason == benefit.NotRefused && outcome.Issuance != nil {
		c.record.Issued(outcome.Issuance.FirstVoucher(), outcome.Replayed)
	}
	return outcome, nil
}

// undecided answers a call for which issue returned an error.
func (c *call) undecided(err error) (*wire.Answer, *wire.Error) {
	return c.method.undecided(c, !engine.NothingIssued(err)) //guard:TestSendsWithoutAnOutcome !engine.NothingIssued(err) -> false
}

// refuseKey refuses a new request whose key XML cannot carry: its answer would name another key. Keys were bound before
// there was this rule, and such a key is still answered from its record, so it is looked up first. The answer and the
// error are nil for a request that may go on. The name is that of the key's parameter.
func (h *Handler) refuseKey(ctx context.Context, c *call, r *benefit.Request, name string) (*wire.Answer, *wire.Error) {
	if wire.InXML(r.Key) {
		return nil, nil
	}
	bound, err := h.o.Finder.Claim(ctx, r.Scope, r.Key)
	switch {
	case err != nil:
		c.record.Err = err
		return c.method.undecided(c, true)
	case bound == nil: //guard:TestKeysThatXMLCannotCarry without bound == nil
		return nil, wire.Invalid(name, "含有XML无法表示的字符（U+FFFE或U+FFFF）")
	}
	return nil, nil
}

// unasked takes back that the core has refused a call: it was asked about the key alone, because the parameters of the
// call do not fit the catalogue.
func (c *call) unasked() {
	c.record.Outcome, c.record.Reason, c.record.Attempt = gateway.Invalid, benefit.NotRefused, nil //guard:TestRefusalsOfCalls
}

// panicked answers a call that panicked. It may have been after the request was handed on.
func (c *call) panicked(cause any) (*wire.Answer, *wire.Error) {
	c.record.Err = fmt.Errorf("panic: %v", cause)
	if c.method == nil || c.method.undecided == nil {
		c.record.Outcome = gateway.Busy
		return nil, wire.ErrUnavailable
	}
	c.record.Outcome = gateway.Unknown
	//guard:TestAPanicIsAnUnknownOutcome c.method.undecided(c, true) -> nil, wire.ErrUnavailable
	return c.method.undecided(c, true)
}
