package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Question is a request to be decided without issuing.
type Question struct {
	App string // the name of the calling app in the catalogue
	// Request is the request without App and, for an OPEN_ID, the recipient's app, which are filled in.
	Request  benefit.Request
	Scope    ScopeName
	Unmasked bool // do not mask codes and identifiers of people
}

// ScopeName names the scope of a key by names of the catalogue. Exactly one form is used: Template (the scope of
// voucher.send), App with Relation (activity.send), or App with BizCode (decisionsend).
type ScopeName struct {
	Template string `json:"template,omitzero"` // the operator's handle or the template_id
	App      string `json:"app,omitzero"`      // the operator's handle
	Relation int64  `json:"relation_id,string,omitzero"`
	BizCode  string `json:"biz_code,omitzero"`
}

// of returns the scope in a catalogue.
func (n ScopeName) of(cat *benefit.Catalogue) (benefit.Scope, error) {
	if n.Template != "" {
		t, err := templateNamed(cat, n.Template)
		if err != nil {
			return "", err
		}
		return scope.Template(t.ID), nil
	}
	app, err := appByName(cat, n.App)
	if err != nil {
		return "", err
	}
	if n.Relation != 0 {
		return scope.Relation(app.ID, n.Relation), nil
	}
	return scope.Biz(app.ID, n.BizCode), nil
}

func appByName(cat *benefit.Catalogue, name string) (*benefit.App, error) {
	for _, a := range cat.Apps {
		if a.Name == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("there is no app %q", name)
}

// Search selects decisions that were made. Exactly one of Voucher, Code, Trace and Key is set; with Refusals, one of Trace,
// Key and User, or none.
type Search struct {
	Voucher string    `json:",omitempty"` // its id, or its voucher_id of 28 digits
	Code    string    `json:",omitempty"` // of a certificate
	Trace   string    `json:",omitempty"` // the trace id that the caller sent, or received
	Key     string    `json:",omitempty"`
	Scope   ScopeName // of Key; required without Refusals
	User    string    `json:",omitempty"` // with Refusals: for whom the calls were; the name, the number, or an identifier
	// Refusals searches the latest calls that issued nothing: of the serving process, or what it left in its files.
	Refusals bool
	Limit    int  // the maximum number of results; 0 is 100
	Unmasked bool // do not mask codes and identifiers of people
}

// The calls about decisions: see the methods of Service.
var (
	Decide = newCall("/decide", "", (*Service).Decide)
	Find   = newCall("/find", "", (*Service).Find)
)

// Decide returns how a request would be decided now, without issuing anything.
func (d *Service) Decide(ctx context.Context, q *Question) (*Decision, error) {
	cat := d.Engine.Catalogue()
	app, err := appByName(cat, q.App)
	if err != nil {
		return nil, err
	}
	r := q.Request
	r.App = app.ID
	if r.Recipient.Type == benefit.OpenID {
		r.Recipient.App = app.ID
	}
	if r.Scope, err = q.Scope.of(cat); err != nil {
		return nil, err
	}
	o, explanation, err := d.Engine.DryIssue(ctx, &r)
	if err != nil {
		return nil, err
	}
	reader, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	t := formatter{cat: cat, unmasked: q.Unmasked}
	if o.Issuance != nil && o.Replayed { //guard:TestDecideBoundKey
		decision, err := d.describe(ctx, reader, t, o.Issuance)
		if err != nil {
			return nil, err
		}
		decision.Replayed = true
		if o.Attempt != nil && explanation != nil { // a retry tried some lines again: the reasons are the current ones
			decision.Lines = explanation.Lines
		}
		return decision, nil
	}
	decision := t.request(&r)
	decision.Outcome, decision.Reason = outcomeName(&o), o.Reason.String()
	if o.Reason == benefit.AppDisabled {
		return decision, nil
	}
	t.explain(decision, explanation)
	bound, err := reader.Claim(ctx, r.Scope, r.Key)
	if bound != nil && explanation != nil {
		decision.Remark = "the key is bound: a retry continues with what was chosen then, part of which was issued"
	}
	return decision, err
}

func outcomeName(o *benefit.Outcome) string {
	switch {
	case o.Empty():
		return NothingChosen
	case o.Reason != benefit.NotRefused:
		return Refused
	}
	return Issues
}

// describe explains an issuance under the catalogue of its own time.
func (d *Service) describe(ctx context.Context, r store.Reader, t formatter, i *benefit.Issuance) (*Decision, error) {
	decision := t.issuance(i)
	if err := d.vouchers(ctx, r, t, decision, i); err != nil {
		return nil, err
	}
	explanation, err := d.Engine.Explain(ctx, r, i)
	switch {
	case errors.Is(err, store.ErrNoVersion):
		decision.Remark = fmt.Sprintf("version %d of the catalogue, by which this was decided, is not in the store", i.Catalogue)
		return decision, nil
	case err != nil:
		return nil, err
	}
	t.explain(decision, explanation)
	return decision, nil
}

// maxTrace is how many characters of a trace id are kept with an issuance.
const maxTrace = 256

// keptTrace returns what is kept of a trace id.
func keptTrace(trace string) string {
	if r := []rune(trace); len(r) > maxTrace {
		return string(r[:maxTrace])
	}
	return trace
}

// ErrNotFound is returned when a Search finds nothing.
var ErrNotFound = errors.New("nothing is found")

// Find returns decisions that were made, oldest first (refusals newest first); ErrNotFound when there are none.
func (d *Service) Find(ctx context.Context, s *Search) ([]*Decision, error) {
	if s.Limit <= 0 {
		s.Limit = 100
	}
	s.Trace = keptTrace(s.Trace)
	r, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cat := d.Engine.Catalogue()
	t := formatter{cat: cat, unmasked: s.Unmasked}
	var all []*Decision
	if s.Refusals {
		all, err = d.refusals(ctx, r, t, s)
	} else {
		var found []*benefit.Issuance
		if found, err = s.issuances(ctx, r, cat); err != nil {
			return nil, err
		}
		for _, i := range found {
			decision, err := d.describe(ctx, r, t, i)
			if err != nil {
				return nil, err
			}
			all = append(all, decision)
		}
	}
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	return all, err
}

// issuances returns those that the search selects.
func (s *Search) issuances(ctx context.Context, r store.Reader, cat *benefit.Catalogue) ([]*benefit.Issuance, error) {
	switch {
	case s.Trace != "":
		return s.traced(ctx, r)
	case s.Voucher != "":
		v, err := voucherID(s.Voucher)
		if err != nil {
			return nil, err
		}
		return one(r.IssuanceOf(ctx, v))
	case s.Code != "":
		return one(r.Claim(ctx, benefit.CodeScope, s.Code))
	}
	scope, err := s.Scope.of(cat)
	if err != nil {
		return nil, err
	}
	return one(r.Claim(ctx, scope, s.Key))
}

// traced returns the issuances with the caller's trace id, and the one whose answer had it.
func (s *Search) traced(ctx context.Context, r store.Reader) ([]*benefit.Issuance, error) {
	found, err := r.TraceIssuances(ctx, s.Trace, 0, s.Limit)
	if err != nil {
		return nil, err
	}
	if v, ok := gateway.VoucherOf(s.Trace); ok {
		i, err := r.IssuanceOf(ctx, v)
		if err != nil {
			return nil, err
		}
		if i != nil && !slices.ContainsFunc(found, func(x *benefit.Issuance) bool { return x.ID == i.ID }) {
			found = append(found, i)
		}
	}
	return found, nil
}

func one(i *benefit.Issuance, err error) ([]*benefit.Issuance, error) {
	if i == nil || err != nil {
		return nil, err
	}
	return []*benefit.Issuance{i}, nil
}

// refusals returns the refused calls that match, newest first.
func (d *Service) refusals(ctx context.Context, r store.Reader, t formatter, s *Search) ([]*Decision, error) {
	inScope, err := s.Scope.matches(t.cat)
	if err != nil {
		return nil, err
	}
	forUser, err := d.askedFor(ctx, t.cat, s.User)
	if err != nil {
		return nil, err
	}
	match := func(c *gateway.Record) bool {
		return forUser(c.Request) && (s.Trace == "" || c.TraceID == s.Trace || c.CallerTrace == s.Trace) && (s.Key == "" || c.Key == s.Key) && inScope(c)
	}
	found, err := d.Refusals.Find(match, s.Limit)
	if err != nil {
		return nil, err
	}
	var all []*Decision
	for _, c := range found {
		decision, err := d.describeRefusal(ctx, r, t, &c)
		if err != nil {
			return nil, err
		}
		all = append(all, decision)
	}
	return all, nil
}

// matches reports whether a call is in the scope; every call is in the empty scope. A template that does not exist matches
// by the name that the call used.
func (n ScopeName) matches(cat *benefit.Catalogue) (func(*gateway.Record) bool, error) {
	if n == (ScopeName{}) {
		return func(*gateway.Record) bool { return true }, nil
	}
	scope, err := n.of(cat)
	if err != nil && n.Template != "" {
		return func(c *gateway.Record) bool { return c.Template == n.Template }, nil
	}
	return func(c *gateway.Record) bool { return c.Request != nil && c.Request.Scope == scope }, err
}

// describeRefusal explains a call that issued nothing: its answer, and what the core read, if the call reached it.
func (d *Service) describeRefusal(ctx context.Context, r store.Reader, t formatter, c *gateway.Record) (decision *Decision, err error) {
	switch {
	case c.Attempt != nil:
		if decision, err = d.describe(ctx, r, t, c.Attempt); err != nil {
			return nil, err
		}
	case c.Request != nil:
		decision = t.request(c.Request)
	default:
		decision = &Decision{Scope: ScopeName{Template: c.Template}}
		if c.App != 0 {
			decision.App = t.app(c.App)
		}
	}
	decision.Outcome, decision.Reason = Refused, ""
	at := benefit.InstantOf(c.At)
	decision.At, decision.AtMillis, decision.Key, decision.CallerTrace = at.String(), int64(at), c.Key, c.CallerTrace
	decision.Answer = Answer{Method: c.Method, Trace: c.TraceID, Code: c.Code, SubCode: c.SubCode, SubMsg: c.Message}
	switch {
	case c.Err != nil:
		decision.Outcome, decision.Answer.Err = Undecided, c.Err.Error()
	case c.Reason != benefit.NotRefused:
		decision.Reason = c.Reason.String()
	case c.Attempt != nil:
		decision.Outcome = NothingChosen
	}
	if c.Reason == benefit.KeyConflict {
		decision.Remark = conflictRemark
	}
	return decision, nil
}

// voucherID parses an id in the form of TOP or of Alipay.
func voucherID(text string) (id.ID, error) {
	if v, err := id.ParseLong(text); err == nil {
		return v, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("%q is not a voucher id", text)
	}
	return id.ID(v), nil
}
