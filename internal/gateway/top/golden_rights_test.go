package top_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/top/wire"
)

// outcomeCall is a call whose outcome is made up.
type outcomeCall struct {
	*labCall
	outcome func(*benefit.Request) benefit.Outcome
}

func (c outcomeCall) ask(l *lab, f wire.Format) string {
	l.crafted = c.outcome
	return c.labCall.ask(l, f)
}

// refusing returns a call of which one line is refused.
func refusing(c *labCall, reason benefit.Reason) outcomeCall {
	return outcomeCall{c, func(r *benefit.Request) benefit.Outcome {
		return crafted(r, benefit.LineOutcome{Template: 1, Refused: 1, Reason: reason})
	}}
}

// later is a call some milliseconds after noon.
type later struct {
	*labCall
	at int64
}

func (c later) String() string { return fmt.Sprintf("after %d ms: %v", c.at, c.labCall) }

func (c later) ask(l *lab, f wire.Format) string {
	l.clock.Store(c.at)
	return c.labCall.ask(l, f)
}

// operating is a call some milliseconds after noon, just before which something is done to the certificate that was issued
// last.
type operating struct {
	*labCall
	at     int64
	action benefit.Action
}

func (c operating) String() string {
	return fmt.Sprintf("after %d ms, and after %v of the last certificate: %v", c.at, c.action.Operation(), c.labCall)
}

func (c operating) ask(l *lab, f wire.Format) string {
	l.clock.Store(c.at)
	l.operate(l.lastCode(), c.action)
	return c.labCall.ask(l, f)
}

// traced returns a call of decisionsend with a trace id, so that the answer is always the same.
func traced(key string, change object) *labCall {
	c := decide(key, object{"trace_id": "the caller's trace"})
	put(c.body.(object), change)
	return c
}

func TestGoldenDecisionSend(t *testing.T) {
	allKinds := func(d *draft) { d.activity("act-c", "percent", "price", "drink", "code") }
	shared := func(d *draft) {
		d.activity("act-c", "off")
		d.templates["off"].Stock.Count = 1
	}
	sending := func(r *benefit.Request) benefit.Outcome {
		return crafted(r, benefit.LineOutcome{Template: 1, Issued: 1, Sending: true})
	}
	missing := func(name string) goldenCase { return calls("without "+name, traced("k", object{name: nil})) }
	cases := []goldenCase{
		calls("success", traced("k", nil), traced("k", nil)),
		{name: "success of every kind", change: allKinds, calls: []goldenCall{traced("k", nil)}},
		{name: "partial", change: shared, calls: []goldenCall{traced("k", nil), traced("k", nil)}},
		calls("named and not there", traced("k", object{"act_codes": "act-a,act-z"})),
		{name: "NO_DECISION_ITEM", change: func(d *draft) {
			d.activities["act-a"].Rule, d.activities["act-b"].Rule = "never", "never"
		}, calls: []goldenCall{traced("k", nil)}},
		calls("SENDING", outcomeCall{traced("k", nil), sending}),
		{name: "SYSTEM_BUSY", broken: engine.ErrBusy, calls: []goldenCall{traced("k", nil)}},
		{name: "SYSTEM_UNKNOWN", broken: engine.ErrUnknown, calls: []goldenCall{traced("k", nil)}},
		calls("KEY_CONFLICT", traced("k", nil), traced("k", object{"act_codes": "act-a"})),
		calls("SCENE_NOT_FOUND", traced("k", object{"scene_code": "<no>"})),
		{name: "SCENE_NOT_OPEN", change: func(d *draft) { d.scene.Status = benefit.Paused }, calls: []goldenCall{traced("k", nil)}},
		calls("ACTIVITY_NOT_FOUND", traced("k", object{"act_codes": "act-z"})),
		calls("RIGHT_NOT_FOUND", traced("k", object{"act_right_top_infos": []object{{"act_code": "act-a", "right_id": 99}}})),
		{name: "NARROWING_NOT_ALLOWED", change: func(d *draft) { d.scene.Narrowing = benefit.NarrowNone }, calls: []goldenCall{
			traced("k", object{"act_codes": "act-a", "act_right_top_infos": []object{{"act_code": "act-b"}, {"right_id": 99}}}),
		}},
		{name: "USER_NOT_FOUND", change: func(d *draft) { d.merchants[0].Open = false }, calls: []goldenCall{traced("k", object{"user_id": "1"})}},
		calls("USER_FROZEN", traced("k", object{"user_id": labFrozen})),
		missing("scene_code"), missing("request_id"), missing("biz_code"), missing("user_type"), missing("user_id"),
		calls("an empty pair", traced("k", object{"act_right_top_infos": []object{{}}})),
		calls("a right_id beyond 64 bits", traced("k", object{"act_right_top_infos": []object{{"right_id": json.Number("-9223372036854775809")}}})),
		calls("a key without quotes", traced("1796000000", nil), traced("k", object{"request_id": 1796000000})),
		calls("a right_id of none", traced("k", object{"act_right_top_infos": []object{{"right_id": 0}}})),
		{name: "OTHER_MERCHANT", change: func(d *draft) {
			d.templates["off"].Merchant, d.activities["act-b"].Merchant = 3, 3
		}, calls: []goldenCall{traced("k", nil)}},
		calls("a user_id that is no number", traced("k", object{"user_id": "x y"})),
		calls("a placeholder", traced("k", object{"user_type": "TAOBAO", "user_id": "undefined"})),
		{name: "a user_type that is not accepted", change: func(d *draft) { d.merchants[0].UserTypes = []string{"ALIPAY", "MEMBER"} },
			calls: []goldenCall{traced("k", object{"user_type": "INVENTED"}), traced("k", object{"user_type": "MEMBER"})}},
		calls("a key that XML cannot carry", traced("k\uFFFF", nil)),
		calls("a wrong user_type", traced("k", object{"user_type": "@USER"})),
		calls("missing object", &labCall{method: decisionMethod}),
		calls("broken object", &labCall{method: decisionMethod, body: `{"scene_code":`}),
	}
	for _, reason := range benefit.IssueReasons() {
		if reason >= benefit.TemplateNotFound && reason != benefit.SceneNotFound && reason != benefit.ActivityNotFound &&
			reason != benefit.RightNotFound && reason != benefit.NarrowingNotAllowed && reason != benefit.SceneNotOpen {
			cases = append(cases, calls("line "+reason.String(), refusing(traced("k", nil), reason)))
		}
	}
	checkGolden(t, "decisionsend", cases)
}

func TestGoldenCertificateSend(t *testing.T) {
	missing := func(name string) goldenCase { return calls("without "+name, certificate(object{name: nil})) }
	in := func(session string) *labCall {
		c := certificate(nil)
		c.session = session
		return c
	}
	cases := []goldenCase{
		calls("success", certificate(nil), certificate(nil)),
		{name: "repeat", change: window, calls: []goldenCall{certificate(nil), later{certificate(nil), 9_999}, later{certificate(nil), 10_000}}},
		{name: "expired", change: func(d *draft) {
			d.templates["code"].RepeatMillis, d.templates["code"].Valid.ToDayEnd = 86_400_000, false
		}, calls: []goldenCall{certificate(nil), later{certificate(nil), 7_200_000}}},
		{name: "repeat after a change", change: window, calls: []goldenCall{
			certificate(nil), operating{certificate(nil), 1_000, &benefit.Extend{End: benefit.InstantOf(labNoon.Add(48 * time.Hour))}},
			operating{certificate(nil), 2_000, &benefit.Redeem{}},
		}},
		{name: "repeat after a void", change: window, calls: []goldenCall{
			certificate(nil), operating{certificate(nil), 1_000, &benefit.Void{}}, later{certificate(nil), 2_000},
		}},
		{name: "repeat after an expire", change: window, calls: []goldenCall{
			certificate(nil), operating{certificate(nil), 1_500, benefit.Expire{}},
		}},
		calls("CHANNEL_NOT_ALLOWED", certificate(object{"channel": 9})),
		calls("another merchant's template", in("others")),
		{name: "SYSTEM_BUSY", broken: engine.ErrBusy, calls: []goldenCall{certificate(nil)}},
		{name: "UNKNOWN", broken: engine.ErrUnknown, calls: []goldenCall{certificate(nil)}},
		calls("no session", in("")),
		calls("unknown session", in("made up")),
		calls("expired session", in("over")),
		missing("channel"), missing("open_id"), missing("out_id"), missing("biz_code"),
		calls("an open_id of two lines", certificate(object{"open_id": "two\nlines"})),
		calls("a channel that is no number", certificate(object{"channel": "7.5"})),
		calls("integers with a fraction of zeros", certificate(object{"channel": json.Number("7.0"), "out_id": "123.00"})),
		calls("an out_id beyond 64 bits", certificate(object{"out_id": json.Number("9223372036854775808")})),
		calls("missing object", &labCall{method: sendMethod, session: "ours"}),
	}
	for _, reason := range benefit.IssueReasons() { // a disabled app is answered as if it had been disabled before
		cases = append(cases, calls(reason.String(), refusing(certificate(nil), reason)))
	}
	checkGolden(t, "certificate.send", cases)
}

// unreadable is a call of a store that cannot be read.
type unreadable struct{ *labCall }

func (c unreadable) ask(l *lab, f wire.Format) string {
	l.finder = brokenFinder{}
	return c.labCall.ask(l, f)
}

// tooMany is a call for a user who has received too much to be searched.
type tooMany struct{ *labCall }

func (c tooMany) ask(l *lab, f wire.Format) string {
	l.finder = &manyFinder{Finder: l.store, n: 1001}
	return c.labCall.ask(l, f)
}

func TestGoldenCertificateQuery(t *testing.T) {
	three := func(c *labCall) []goldenCall {
		return []goldenCall{certificate(nil), later{certificate(object{"biz_code": "24"}), 1000}, later{certificate(nil), 2000}, c}
	}
	var codes string // of the first two, which the seed of the lab draws
	l := newActivityLab(t, nil)
	for range 2 {
		codes = fmt.Sprintf("%s,%s", l.sent(certificate(nil)), codes)
	}
	in := query(nil)
	in.session = ""
	checkGolden(t, "certificate.query", []goldenCase{
		{name: "all", calls: three(query(nil))},
		{name: "a page", calls: three(query(object{"page_size": 1, "current_page": 2}))},
		{name: "a biz_code", calls: three(query(object{"biz_code": "24"}))},
		{name: "used", calls: []goldenCall{certificate(nil), operating{query(nil), 1_000, &benefit.Redeem{}}}},
		{name: "void", calls: []goldenCall{certificate(nil), operating{query(nil), 1_000, &benefit.Void{ReturnStock: true}}}},
		{name: "ended early", calls: []goldenCall{certificate(nil), operating{query(nil), 1_500, benefit.Expire{}}}},
		{name: "extended", calls: []goldenCall{
			certificate(nil), operating{query(nil), 1_000, &benefit.Extend{End: benefit.InstantOf(labNoon.Add(48 * time.Hour))}},
		}},
		{name: "by codes", calls: three(query(object{"codes": codes + "000000000000"}))},
		calls("none", query(nil)),
		calls("SYSTEM_BUSY", unreadable{query(nil)}),
		calls("QUERY_TOO_WIDE", certificate(nil), tooMany{query(object{"biz_code": "none"})}),
		calls("no session", in),
		calls("without open_id", query(object{"open_id": nil})),
		calls("page_size", query(object{"page_size": 101})),
		calls("current_page", query(object{"current_page": 0})),
		calls("a page_size beyond 64 bits", query(object{"page_size": json.Number("1e30")}), query(object{"page_size": json.Number("10000000000000000000")})),
		calls("a page too far", query(object{"current_page": 51})),
		calls("missing object", &labCall{method: queryMethod, session: "ours"}),
	})
}
