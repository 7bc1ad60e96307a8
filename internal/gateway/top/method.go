package top

import (
	"context"
	"errors"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top/wire"
)

// method is one API. Each has a file of its own; the list of them all is below.
type method struct {
	name    string
	session need
	object  string // the name of its object parameter; "" when it has none
	key     string // of a method without an object, the parameter that must exist and decides
	// run answers a call that passed every check of the gateway: by an answer that c.success began, or a refusal.
	run func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error)
	// undecided answers a call that has no outcome: err is errNotIssued or errUnknown. What the SDKs make of each of
	// these answers is in docs/reference/undecided.md. It is nil for methods that issue nothing.
	undecided func(c *call, err error) (*wire.Answer, *wire.Error)
}

// methods returns the APIs of the gateway.
func methods() []*method {
	return []*method{
		activitySend,
		sellerGet,
		timeGet,
		decisionSend,
		certificateSend,
		certificateQuery,
		tokenCreate,
		tokenRefresh,
	}
}

// Methods returns the names of the APIs of the gateway.
func Methods() (names []string) {
	for _, m := range methods() {
		names = append(names, m.name)
	}
	return names
}

// need reports whether a method takes a session.
type need uint8

const (
	noSession       need = iota // one that is sent is not looked at
	optionalSession             // one that is sent must be good
	requiredSession
)

// call is one call on its way through the checks.
type call struct {
	req     *wire.Request
	address string // it comes from
	method  *method
	apps    *gateway.AppSet
	named   benefit.AppID    // the app that the call says it is of; 0 for none, and for a call that could not be read
	app     *gateway.App     // nil until the signature is verified
	session *benefit.Session // nil when the call has none, or the method takes none
	record  gateway.Record   // record.TraceID is the request_id of the answer
}

// success begins the answer of a success.
func (c *call) success() *wire.Answer {
	return wire.Success(c.req.Format(), c.method.name, c.record.TraceID)
}

// merchant returns the merchant that the session acts for; nil without a session, or when it acts for none.
func (c *call) merchant() *benefit.Merchant {
	if c.session == nil {
		return nil
	}
	return c.apps.Catalogue.Merchants[c.session.Merchant]
}

// actsFor returns the merchant on whose behalf the app calls: the session's, or else its own.
func (c *call) actsFor() benefit.MerchantID {
	if c.session != nil && c.session.Merchant != 0 {
		return c.session.Merchant
	}
	return c.app.Merchant
}

// firstCharacters is at most the first n characters of a text.
func firstCharacters(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for at := range text {
		if n == 0 {
			return text[:at]
		}
		n--
	}
	return text
}

// issue hands a request to the core. When there is no outcome the record tells why, and the error is either
// errUnknown or errNotIssued.
func (h *Handler) issue(ctx context.Context, c *call, r *benefit.Request) (benefit.Outcome, error) {
	c.record.Request, c.record.Key, c.record.CallerTrace = r, r.Key, r.Note.TraceID
	outcome, err := h.o.Issuer.Issue(ctx, r)
	if err != nil {
		c.record.Err = err
		err = undecided(err)
		if c.record.Outcome = gateway.Busy; err == errUnknown { //guard:TestOutcomes
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

// The two ways in which a request has no outcome.
var (
	// errNotIssued: this attempt certainly issued nothing, and the core made no decision either. It may be sent again.
	// An earlier attempt with the same key may have issued all the same.
	errNotIssued = errors.New("surely not issued")
	// errUnknown: whether anything was issued is not known.
	errUnknown = errors.New("unknown outcome")
)

// undecided sorts the issuer's errors.
func undecided(err error) error {
	if engine.NothingIssued(err) {
		return errNotIssued
	}
	return errUnknown //guard:TestSendsWithoutAnOutcome errUnknown -> errNotIssued
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
	//guard:TestAPanicIsAnUnknownOutcome c.method.undecided(c, errUnknown) -> nil, wire.ErrUnavailable
	return c.method.undecided(c, errUnknown)
}
