package control

import (
	"context"
	"strconv"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/store"
	"faquan/internal/vouchers"
)

// The outcomes of a Decision.
const (
	Issues        = "ISSUES" // something would be issued, or was issued
	Refused       = "REFUSED"
	NothingChosen = "NOTHING_CHOSEN" // the scene had nothing for the recipient, and nothing failed
	Undecided     = "UNDECIDED"      // an internal error; the answer has whether the outcome is unknown
)

// Decision is one decision in a form for people: the request, the outcome, and the reasons. Codes of certificates and
// identifiers of people are masked unless the search asks for them unmasked.
type Decision struct {
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason,omitzero"` // the first reason; NOT_REFUSED when something is issued; "" when the core did not decide
	Answer   Answer `json:"answer,omitzero"` // of a call that issued nothing
	Replayed bool   `json:"replayed,omitzero"`
	At       string `json:"at,omitzero"`        // at +08:00
	AtMillis int64  `json:"at_millis,omitzero"` // the same, of a refusal; Unix milliseconds
	Issuance string `json:"issuance,omitzero"`

	App         string         `json:"app,omitzero"` // the name in the catalogue
	Scope       ScopeName      `json:"scope"`
	Key         string         `json:"key,omitzero"`
	Recipient   string         `json:"recipient,omitzero"` // as sent
	User        string         `json:"user,omitzero"`
	CallerTrace string         `json:"caller_trace,omitzero"` // the trace id that the caller sent
	Params      benefit.Params `json:"asked"`

	Catalogue  int64                    `json:"catalogue,omitzero"` // the version that it was decided by
	Scene      string                   `json:"scene,omitzero"`
	Strategy   string                   `json:"strategy,omitzero"`
	Errors     []DecisionError          `json:"errors,omitempty"`
	Candidates []benefit.CandidateTrace `json:"candidates,omitempty"`
	Lines      []benefit.LineTrace      `json:"lines,omitempty"` // the lines that were to be issued
	Vouchers   []DecisionVoucher        `json:"vouchers,omitempty"`
	Remark     string                   `json:"remark,omitzero"`
	Process    string                   `json:"process,omitzero"` // the process that remembers it, on a database
	Files      string                   `json:"files,omitzero"`   // the directory with the files of an ended process, on a database
}

// Answer is the answer of a call, with the names that the log uses.
type Answer struct {
	Method  string `json:"method"`
	Trace   string `json:"trace"` // the trace id in the answer
	Code    string `json:"code"`
	SubCode string `json:"sub_code,omitzero"`
	SubMsg  string `json:"sub_msg,omitzero"`
	Err     string `json:"err,omitzero"` // what went wrong on our side
}

// DecisionError is an activity, a right or a scene that a request named and could not have.
type DecisionError struct {
	Kind    string `json:"kind"` // SCENE, ACT or RIGHT
	ActCode string `json:"act_code,omitzero"`
	RightID int64  `json:"right_id,string,omitzero"`
	Reason  string `json:"reason"`
}

// DecisionVoucher is a voucher that was issued, and what has become of it.
type DecisionVoucher struct {
	ID       string `json:"id"`
	Template string `json:"template"`
	Amount   int64  `json:"amount,omitzero"` // fen
	Code     string `json:"code,omitzero"`
	Start    string `json:"start"`
	End      string `json:"end"` // as issued

	Status     string       `json:"status"`               // now
	Balance    *int64       `json:"balance,omitzero"`     // of CASH, in fen
	Until      string       `json:"valid_until,omitzero"` // as extended, or ended early
	Operations []*Operation `json:"operations,omitempty"` // the oldest first
	Earlier    int64        `json:"earlier,omitzero"`     // operations before those that are listed
}

var (
	strategyNames = map[benefit.Strategy]string{
		benefit.ChooseAll: "ALL", benefit.ChooseFirst: "FIRST", benefit.ChooseWeighted: "WEIGHTED",
	}
	errorKinds = map[benefit.ErrorKind]string{
		benefit.SceneError: "SCENE", benefit.ActivityError: "ACT", benefit.RightError: "RIGHT",
	}
)

// formatter formats decisions. Names are those of the catalogue.
type formatter struct {
	cat      *benefit.Catalogue
	unmasked bool
}

func (t formatter) app(a benefit.AppID) string {
	if app := t.cat.Apps[a]; app != nil {
		return app.Name
	}
	return strconv.FormatInt(int64(a), 10)
}

func (t formatter) template(of benefit.TemplateID) string {
	if found := t.cat.Templates[of]; found != nil {
		return found.Name
	}
	return strconv.FormatInt(int64(of), 10)
}

// scope returns the inverse of ScopeName.of: the scope with names of the catalogue.
func (t formatter) scope(of benefit.Scope) ScopeName {
	parts, ok := scope.Parse(of)
	switch {
	case !ok:
		return ScopeName{}
	case parts.Template != 0:
		return ScopeName{Template: t.template(parts.Template)}
	}
	return ScopeName{App: t.app(parts.App), Relation: parts.RelationID, BizCode: parts.BizCode}
}

// SessionUser is the prefix of a recipient that comes from the session of the call; the user's number follows it.
const SessionUser = "the session's user "

func (t formatter) recipient(of benefit.Identifier) string {
	if u, ok := of.Ref(); ok {
		return SessionUser + strconv.FormatInt(int64(u), 10)
	}
	return of.Type + " " + t.person(of.Value)
}

// person masks a text that identifies a person.
func (t formatter) person(text string) string {
	if t.unmasked {
		return text
	}
	return vouchers.Mask(text, 3, 3) //guard:TestFindMasks vouchers.Mask(text, 3, 3) -> text
}

func (t formatter) request(r *benefit.Request) *Decision {
	return &Decision{
		App: t.app(r.App), Scope: t.scope(r.Scope), Key: r.Key, Recipient: t.recipient(r.Recipient),
		CallerTrace: r.Note.TraceID, Params: r.Params,
	}
}

func (t formatter) issuance(i *benefit.Issuance) *Decision {
	decision := &Decision{
		Outcome: Issues, Reason: benefit.NotRefused.String(), At: i.At().String(), Issuance: i.ID.String(),
		App: t.app(i.App), Scope: t.scope(i.Scope), Key: i.Key, Recipient: t.recipient(i.Recipient),
		CallerTrace: i.Note.TraceID, Params: i.Params, Catalogue: i.Catalogue,
	}
	if i.User != 0 {
		decision.User = strconv.FormatInt(int64(i.User), 10)
	}
	if i.FirstVoucher() == 0 { // an attempt: its ids were not kept
		decision.Issuance = ""
	}
	return decision
}

// vouchers adds the vouchers of an issuance, with everything that was done to them.
func (d *Service) vouchers(ctx context.Context, r store.Reader, t formatter, decision *Decision, i *benefit.Issuance) error {
	issued, err := vouchers.Issued(ctx, r, i)
	if err != nil {
		return err
	}
	now := d.now()
	for k := range issued {
		v := &issued[k].Voucher
		shown := DecisionVoucher{
			ID: v.ID.String(), Template: t.template(v.Template), Amount: int64(v.Amount), Code: t.code(v.Code),
			Start: v.Valid.Start.String(), End: v.Valid.End.String(),
			Status: v.StatusAt(now).String(), Balance: balance(v, v.Redeemed), Until: v.LastSecond().String(),
		}
		operations, err := vouchers.Operations(ctx, r, v)
		if err != nil {
			return err
		}
		for n := range operations {
			shown.Operations = append(shown.Operations, t.operation(v, &operations[n].Transition, operations[n].Reversed))
		}
		shown.Earlier = v.Operations - int64(len(operations))
		decision.Vouchers = append(decision.Vouchers, shown)
	}
	return nil
}

const conflictRemark = "the key is bound to another request, which is not shown"

// explain adds the reasons. There are none for a key that is bound to another request.
func (t formatter) explain(decision *Decision, e *benefit.Explanation) {
	if e == nil {
		decision.Remark = conflictRemark
		return
	}
	if decision.At == "" {
		decision.At = e.Now.String()
	}
	decision.Catalogue, decision.Scene, decision.Strategy = e.Catalogue, e.Scene, strategyNames[e.Strategy]
	decision.Candidates, decision.Lines = e.Candidates, e.Lines
	for _, x := range e.Errors {
		decision.Errors = append(decision.Errors, DecisionError{errorKinds[x.Kind], x.ActCode, x.RightID, x.Reason.String()})
	}
}
