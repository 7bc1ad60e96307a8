package top

import (
	"cmp"
	"strconv"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/money"
)

// The values of the member status.
const (
	statusSuccess = "SUCCESS"
	statusFail    = "FAIL"
	statusSending = "SENDING"
	statusNothing = "NO_DECISION_ITEM"
)

// decision is an outcome in the words of alibaba.alsc.upp.right.decisionsend.
type decision struct {
	status   string
	canRetry bool
	code     string // result_code; result_msg is its text
	rights   []sentRight
	errors   []decisionFailure
}

func (d *decision) success() bool { return d.status == statusSuccess }

// sentRight is an issued voucher with what the catalogue says of it.
type sentRight struct {
	benefit.Voucher
	name, requestID string
}

// decisionFailure is an element of error_top_dto_list.
type decisionFailure struct {
	kind      benefit.ErrorKind
	actCode   string // "" where none is named
	rightID   int64  // 0 where none is named
	sceneCode string
	reason    benefit.Reason
}

// decisionOf returns what came of a request. The catalogue gives the names of what was chosen; what has been taken out
// of it since goes without.
func decisionOf(cat *benefit.Catalogue, r *benefit.Request, o *benefit.Outcome) *decision {
	d := &decision{}
	switch {
	case o.Reason == benefit.KeyConflict:
		d.status, d.code = statusFail, decisionCode(benefit.KeyConflict)
		return d
	case o.Empty():
		d.status, d.code = statusNothing, statusNothing
		return d
	}
	for _, e := range o.Errors {
		d.errors = append(d.errors, decisionFailure{e.Kind, e.ActCode, e.RightID, r.Params.SceneCode, e.Reason})
	}
	sending := false
	for k := range o.Lines {
		l := &o.Lines[k]
		sending = sending || l.Sending
		d.canRetry = d.canRetry || !l.Final() //guard:TestPartOfAllRights without !l.Final()
		if l.Refused > 0 {
			d.errors = append(d.errors, refusedLine(cat, r, o, k))
		}
	}
	if o.Issuance != nil {
		d.rights = sentRights(cat, r, o.Issuance)
	}
	switch {
	case len(d.rights) > 0:
		d.status, d.code = statusSuccess, statusSuccess
	case sending:
		d.status, d.code = statusSending, statusSending
	default:
		d.status = statusFail
	}
	if d.status != statusSuccess && len(d.errors) > 0 {
		d.code = decisionCode(d.errors[0].reason)
	}
	return d
}

// refusedLine returns the failure of the k-th line that was chosen. Without an issuance it is in the attempt.
func refusedLine(cat *benefit.Catalogue, r *benefit.Request, o *benefit.Outcome, k int) decisionFailure {
	f := decisionFailure{kind: benefit.RightError, sceneCode: r.Params.SceneCode, reason: o.Lines[k].Reason}
	if t := cat.Templates[o.Lines[k].Template]; t != nil {
		f.rightID = t.RightID
	}
	of := o.Attempt
	if of == nil {
		of = o.Issuance
	}
	if of == nil {
		return f
	}
	if act := cat.Activities[of.Lines[k].Activity]; act != nil {
		f.actCode = act.ActCode
	}
	return f
}

// sentRights returns the vouchers that the user has; those in the hands of a downstream are not among them.
func sentRights(cat *benefit.Catalogue, r *benefit.Request, i *benefit.Issuance) (all []sentRight) {
	for _, v := range i.Vouchers() {
		if v.Status == benefit.Sending { //guard:TestSending
			continue
		}
		right := sentRight{Voucher: v, requestID: r.Key}
		if t := cat.Templates[v.Template]; t != nil {
			right.name = cmp.Or(t.Title, t.Name)
		}
		all = append(all, right)
	}
	return all
}

// write adds the members of result_obj.
func (d *decision) write(a *wire.Answer) {
	a.Objects("error_top_dto_list", "decision_error_top_d_t_o", len(d.errors), func(i int) { d.errors[i].write(a) })
	a.Objects("right_send_top_vo_list", "right_send_top_v_o", len(d.rights), func(i int) { d.rights[i].write(a) })
	a.Text("status", d.status)
}

func (f *decisionFailure) write(a *wire.Answer) {
	code := decisionCode(f.reason)
	a.TextIfAny("act_code", f.actCode)
	a.Text("error_code", code)
	a.Text("error_desc", decisionTexts[code])
	if f.rightID != 0 {
		a.Text("right_id", strconv.FormatInt(f.rightID, 10))
	}
	a.TextIfAny("scene_code", f.sceneCode)
	a.Text("type", errorKinds[f.kind])
}

var errorKinds = map[benefit.ErrorKind]string{
	benefit.SceneError: "SCENE", benefit.ActivityError: "ACT", benefit.RightError: "RIGHT",
}

// kinds are the values of benefit_type.
var kinds = map[benefit.Kind]string{
	benefit.Cash: "CASH", benefit.Reduction: "REDUCTION", benefit.Discount: "DISCOUNT",
	benefit.FixedPrice: "FIXED_PRICE", benefit.Exchange: "EXCHANGE", benefit.Certificate: "CERTIFICATE",
}

// write adds what applies to the kind and leaves out the rest. The amount of a CASH voucher, which may have been drawn
// for this user, goes as its reduction.
func (s *sentRight) write(a *wire.Answer) {
	if s.Valid.End != 0 {
		a.Time("end_time", s.Valid.End.Time())
	}
	a.TextIfAny("reduction_yuan", yuan(s.Amount))
	a.Text("req_id", s.requestID)
	a.Text("right_instance_id", strconv.FormatInt(int64(s.ID), 10))
	a.TextIfAny("right_name", s.name)
	if s.Valid.Start != 0 {
		a.Time("start_time", s.Valid.Start.Time())
	}
	a.TextIfAny("threshold_yuan", yuan(s.Face.Threshold))
	a.Text("benefit_type", kinds[s.Kind])
	a.TextIfAny("reduction", fen(s.Amount))
	a.TextIfAny("threshold", fen(s.Face.Threshold))
	a.TextIfAny("fixed_price", fen(s.Face.Price))
}

// fen returns an amount in fen as text; "" for none.
func fen(f money.Fen) string {
	if f == 0 {
		return ""
	}
	return strconv.FormatInt(int64(f), 10)
}

// yuan returns an amount in yuan without trailing zeros, such as 10.5 and 100; "" for none.
func yuan(f money.Fen) string {
	if f == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(f.Yuan(), "0"), ".")
}
