package top

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top/wire"
)

// Lengths of the members of single_benefit_request, in characters. The platform's page names none.
const (
	maxBizID = 64
	maxCard  = 32
)

// defaultCard is the card of a call that names none: 游戏惊喜.
const defaultCard = "game"

// activitySend is taobao.mobile.promotion.benefit.activity.send: it sends an item of an activity to the session's
// user.
var activitySend = &method{
	name:      "taobao.mobile.promotion.benefit.activity.send",
	session:   true,
	object:    "single_benefit_request",
	run:       (*Handler).activitySend,
	undecided: activityUndecided,
}

// activityOrder is the single_benefit_request.
type activityOrder struct {
	key                               string // unique_id
	relationID, detailID, purchaserID int64
	benefitType, sends                int64 // sends is send_count
	bizID, card, trace                string
}

func (h *Handler) activitySend(ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
	order, bad := readActivityOrder(c.object())
	c.record.Key, c.record.CallerTrace = order.key, order.trace
	if bad != nil {
		return nil, bad
	}
	if c.session.User == 0 { //guard:TestRefusalsOfSends
		c.record.Reason = benefit.UserNotFound
		return nil, errNoRecipient
	}
	//guard:TestBoundKeysOutliveTheCatalogue order.line(c) -> order.line(c); if mismatch != nil { return nil, mismatch }
	line, box, mismatch := order.line(c)
	r := order.request(c, line)
	if box {
		r.Params.Card = order.card
	}
	if a, bad := h.refuseKey(ctx, c, r, "unique_id"); a != nil || bad != nil {
		return a, bad
	}
	outcome, err := h.issue(ctx, c, r)
	if err != nil {
		return c.undecided(err)
	}
	if bad := activityRefusals[outcome.Reason].failure; bad != nil {
		if outcome.Reason == benefit.TemplateNotFound && mismatch != nil {
			bad = mismatch
			if bad != errNoActivity {
				c.unasked()
			}
		}
		return nil, bad
	}
	return order.answer(c, &outcome, box), nil
}

// readActivityOrder reads the call without the catalogue, as much of it as there is when something is wrong with it.
func readActivityOrder(dto *wire.Args) (*activityOrder, *wire.Error) {
	o := &activityOrder{}
	o.benefitType = dto.RequiredInt("benefit_type")
	o.sends = dto.RequiredInt("send_count")
	o.key = dto.RequiredText("unique_id", benefit.MaxKey)
	o.relationID = dto.RequiredInt("relation_id")
	o.purchaserID = dto.RequiredInt("purchaser_id")
	o.detailID = dto.RequiredInt("detail_id")
	o.trace = keptTrace(dto.RequiredText("trace_id", math.MaxInt))
	o.bizID = dto.RequiredText("biz_id", maxBizID)
	o.card = cmp.Or(dto.Text("card_type", maxCard), defaultCard)
	if dto.Err() == nil && o.sends < 1 {
		dto.Fail(wire.Invalid("send_count", "应大于0"))
	}
	return o, dto.Err()
}

// line finds the item that the order names; box reports whether its activity has a treasure box. When the order does not
// fit the catalogue, mismatch is the refusal and the line names no template: the core then still answers a key that is
// bound, from its record, and finds no template for one that is not.
func (o *activityOrder) line(c *call) (line benefit.Line, box bool, mismatch *wire.Error) {
	cat := c.apps.Catalogue
	line = benefit.Line{DetailID: o.detailID, Sends: 1, Quantity: 1}
	act := cat.ActivityByRelationID(o.relationID)
	if act == nil || !c.mayUse(act) { //guard:TestRefusalsOfSends without !c.mayUse(act)
		return line, false, errNoActivity
	}
	if owner := cat.Merchants[act.Merchant]; owner == nil || owner.SellerID != o.purchaserID {
		return line, false, errPurchaser
	}
	at := slices.IndexFunc(act.Items, func(i benefit.Item) bool { return i.DetailID == o.detailID })
	if at < 0 {
		return line, false, errNoActivity
	}
	item := &act.Items[at]
	t := cat.Templates[item.Template]
	//guard:TestBoundKeysOutliveTheCatalogue !c.mayIssue(t) -> t == nil
	if !c.mayIssue(t) || t.BizID != o.bizID { //guard:TestRefusalsOfSends without t.BizID != o.bizID
		return line, false, errNoActivity
	}
	switch {
	case o.benefitType != item.BenefitType:
		return line, false, errBenefitType
	case o.sends > int64(item.MaxSends): //guard:TestRefusalsOfSends
		return line, false, wire.Invalid("send_count", "最大为"+strconv.Itoa(item.MaxSends))
	case act.Box == nil && o.card != defaultCard:
		return line, false, errCardWithoutBox
	case act.Box != nil && !slices.Contains(act.Box.Cards, o.card):
		return line, false, wire.Invalid("card_type", "应为"+strings.Join(act.Box.Cards, "、")+"之一")
	}
	c.record.Template = t.Name
	return item.Line(cat, act, int(o.sends)), act.Box != nil, nil
}

// mayUse reports whether the app may issue something of the activity. It does not learn that others exist.
func (c *call) mayUse(act *benefit.Activity) bool {
	return slices.ContainsFunc(act.Items, func(i benefit.Item) bool {
		return c.mayIssue(c.apps.Catalogue.Templates[i.Template])
	})
}

// request returns what the core is asked. The meaning is made of the wire's words alone, so that a retry means the same
// whatever the catalogue is by then.
func (o *activityOrder) request(c *call, line benefit.Line) *benefit.Request {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return &benefit.Request{
		Scope: scope.Relation(c.app.ID, o.relationID), Key: o.key, App: c.app.ID,
		Recipient: benefit.RefTo(c.session.User),
		Fingerprint: benefit.FingerprintOf(nil, number(o.detailID), o.bizID, number(o.purchaserID), number(o.benefitType),
			number(o.sends), o.card), //guard:TestOutcomesOfSends without number(o.sends)
		//guard:TestOneSecondGuard without Guarded: true
		Lines: []benefit.Line{line}, Guarded: true, Note: benefit.Note{TraceID: o.trace},
	}
}

// answer writes the outcome of a request that had one: issued in whole or in part, or refused.
func (o *activityOrder) answer(c *call, outcome *benefit.Outcome, box bool) *wire.Answer {
	line := benefit.LineOutcome{Refused: int(o.sends)} // of a key that is bound to another request
	if len(outcome.Lines) > 0 {
		line = outcome.Lines[0]
		if outcome.Issuance != nil {
			//guard:TestTreasureBox
			box = outcome.Issuance.Params.Card != "" // as it was when it was issued
		}
	}
	var codes []string // distinct
	for _, reason := range []benefit.Reason{line.Reason, outcome.Reason} {
		if reason != benefit.NotRefused && !slices.Contains(codes, reason.String()) {
			codes = append(codes, reason.String())
		}
	}
	a := c.success()
	a.Object("send_result", func() {
		if outcome.Reason != benefit.NotRefused {
			c.record.SubCode = outcome.Reason.String()
			a.Text("error_message", activityRefusals[outcome.Reason].message)
			a.Text("error_code", c.record.SubCode)
		}
		a.Bool("is_success", outcome.Reason == benefit.NotRefused)
		a.Objects("results", "mobile_benefit_send_result_ext", 1, func(int) {
			a.Texts("error_code_list", codes)
			a.Int("failure_count", int64(line.Refused))
			a.Int("success_count", int64(line.Issued))
			a.Int("index_id", o.detailID)
		})
		a.Text("unique_id", o.key)
		if box {
			a.Bool("is_baoxiang_task_done", outcome.BoxDone)
		}
	})
	return a
}

// activityUndecided answers a call without an outcome by the platform's word for it, on which clients send the call
// again. With the same unique_id that is right whether the outcome is unknown or nothing was issued: an answer that
// stopped them could report a failure although an earlier call had issued.
func activityUndecided(c *call, unknown bool) (*wire.Answer, *wire.Error) {
	if c.record.CallerTrace == "" { // the call came not as far as its parameters
		dto := c.object()
		if trace := dto.Text("trace_id", math.MaxInt); dto.Err() == nil {
			c.record.CallerTrace = keptTrace(trace)
		}
	}
	bad := errActivityNotIssued
	if unknown {
		bad = errActivityUnknown
	}
	return nil, bad.With(bad.SubMsg + cmp.Or(c.record.CallerTrace, c.record.TraceID))
}
