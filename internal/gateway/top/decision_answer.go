package top

import (
	"cmp"
	"slices"
	"strconv"

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

	request   *benefit.Request
	catalogue *benefit.Catalogue // what has been taken out of it since the choice goes without a name
	errors    []benefit.DecisionError
	rights    []benefit.Voucher // that the user has; those in the hands of a downstream are not among them
}

func (d *decision) success() bool { return d.status == statusSuccess }

// decisionOf returns what came of a request.
func decisionOf(cat *benefit.Catalogue, r *benefit.Request, o *benefit.Outcome) *decision {
	d := &decision{request: r, catalogue: cat}
	switch {
	case o.Reason == benefit.KeyConflict:
		d.status, d.code = statusFail, decisionCode(benefit.KeyConflict)
		return d
	case o.Empty():
		d.status, d.code = statusNothing, statusNothing
		return d
	}
	d.errors = slices.Clone(o.Errors)
	sending := false
	for k := range o.Lines {
		l := &o.Lines[k]
		sending = sending || l.Sending
		d.canRetry = d.canRetry || !l.Final() //guard:TestPartOfAllRights without !l.Final()
		if l.Refused > 0 {
			d.errors = append(d.errors, refusedLine(cat, o, k))
		}
	}
	if o.Issuance != nil {
		//guard:TestSending v.Status == benefit.Sending -> false
		d.rights = slices.DeleteFunc(o.Issuance.Vouchers(), func(v benefit.Voucher) bool { return v.Status == benefit.Sending })
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
		d.code = decisionCode(d.errors[0].Reason)
	}
	return d
}

// refusedLine returns the failure of the k-th line that was chosen. Without an issuance it is in the attempt.
func refusedLine(cat *benefit.Catalogue, o *benefit.Outcome, k int) benefit.DecisionError {
	e := benefit.DecisionError{Kind: benefit.RightError, Reason: o.Lines[k].Reason}
	if t := cat.Templates[o.Lines[k].Template]; t != nil {
		e.RightID = t.RightID
	}
	if of := cmp.Or(o.Attempt, o.Issuance); of != nil {
		if act := cat.Activities[of.Lines[k].Activity]; act != nil {
			e.ActCode = act.ActCode
		}
	}
	return e
}

// write adds the members of result_obj.
func (d *decision) write(a *wire.Answer) {
	a.Objects("error_top_dto_list", "decision_error_top_d_t_o", len(d.errors), func(i int) { d.writeError(a, &d.errors[i]) })
	a.Objects("right_send_top_vo_list", "right_send_top_v_o", len(d.rights), func(i int) { d.writeRight(a, &d.rights[i]) })
	a.Text("status", d.status)
}

func (d *decision) writeError(a *wire.Answer, e *benefit.DecisionError) {
	code := decisionCode(e.Reason)
	a.TextIfAny("act_code", e.ActCode)
	a.Text("error_code", code)
	a.Text("error_desc", decisionTexts[code])
	if e.RightID != 0 {
		a.Text("right_id", strconv.FormatInt(e.RightID, 10))
	}
	a.TextIfAny("scene_code", d.request.Params.SceneCode)
	a.Text("type", errorKinds[e.Kind])
}

var errorKinds = map[benefit.ErrorKind]string{
	benefit.SceneError: "SCENE", benefit.ActivityError: "ACT", benefit.RightError: "RIGHT",
}

// kinds are the values of benefit_type.
var kinds = map[benefit.Kind]string{
	benefit.Cash: "CASH", benefit.Reduction: "REDUCTION", benefit.Discount: "DISCOUNT",
	benefit.FixedPrice: "FIXED_PRICE", benefit.Exchange: "EXCHANGE", benefit.Certificate: "CERTIFICATE",
}

// writeRight adds what applies to the kind and leaves out the rest. The amount of a CASH voucher, which may have been
// drawn for this user, goes as its reduction.
func (d *decision) writeRight(a *wire.Answer, v *benefit.Voucher) {
	timeIfAny(a, "end_time", v.Valid.End)
	a.TextIfAny("reduction_yuan", yuan(v.Amount))
	a.Text("req_id", d.request.Key)
	a.Text("right_instance_id", strconv.FormatInt(int64(v.ID), 10))
	if t := d.catalogue.Templates[v.Template]; t != nil {
		a.TextIfAny("right_name", cmp.Or(t.Title, t.Name))
	}
	timeIfAny(a, "start_time", v.Valid.Start)
	a.TextIfAny("threshold_yuan", yuan(v.Face.Threshold))
	a.Text("benefit_type", kinds[v.Kind])
	a.TextIfAny("reduction", fen(v.Amount))
	a.TextIfAny("threshold", fen(v.Face.Threshold))
	a.TextIfAny("fixed_price", fen(v.Face.Price))
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
	return f.ShortYuan()
}
