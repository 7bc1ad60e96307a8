package top

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top/wire"
)

// decisionSend is alibaba.alsc.upp.right.decisionsend: it chooses among the rights of a scene and issues them, as one
// request under request_id. A failure of the business is an answer with success false, never an error_response: a
// caller looks at can_retry.
var decisionSend = &method{
	name:   "alibaba.alsc.upp.right.decisionsend",
	object: "decision_send_top_req",
	run: func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
		r, bad := readDecision(c)
		if bad != nil {
			return nil, bad
		}
		if a, bad := h.refuseKey(ctx, c, r, "request_id"); a != nil || bad != nil {
			return a, bad
		}
		outcome, err := h.issue(ctx, c, r)
		if err != nil {
			return c.undecided(err)
		}
		if bad := c.wrongRecipient(r, nil, "user_id", outcome.Reason); bad != nil {
			return nil, bad
		}
		return c.answerDecision(decisionOf(h.o.Apps.Current().Catalogue, r, &outcome))
	},
	undecided: decisionUndecided,
}

// decisionUndecided answers a call without an outcome. The same request_id settles it.
func decisionUndecided(c *call, unknown bool) (*wire.Answer, *wire.Error) {
	code := decisionBusy
	if unknown {
		code = decisionIsUnknown
	}
	//guard:TestDecisionsWithoutAnOutcome canRetry: true -> canRetry: code == decisionBusy
	return c.answerDecision(&decision{status: statusFail, canRetry: true, code: code})
}

// Bounds of decision_send_top_req, in characters and elements. The platform's page names none.
const (
	maxSceneCode = 64
	maxActCode   = 64
	maxActCodes  = 100
	maxRights    = 100
	maxBizCode   = 64
)

// readDecision reads the parameters by the rules of the page.
func readDecision(c *call) (*benefit.Request, *wire.Error) {
	args := c.req.Args()
	dto := args.Object(c.method.object)
	scene := dto.RequiredText("scene_code", maxSceneCode)
	codes := dto.Texts("act_codes", maxActCodes, maxActCode)
	slices.Sort(codes)
	key := dto.RequiredText("request_id", benefit.MaxKey)
	bizCode := dto.RequiredText("biz_code", maxBizCode)
	rights := readActRights(dto)
	recipient := readRecipient(dto, c.app.ID)
	trace := cmp.Or(dto.Text("trace_id", math.MaxInt), args.Text("trace_id", math.MaxInt))
	c.record.Key, c.record.CallerTrace = key, keptTrace(trace)
	if bad := args.Err(); bad != nil {
		return nil, bad
	}
	asked := benefit.Params{BizCode: bizCode, SceneCode: scene, ActCodes: slices.Compact(codes), Rights: rights}
	return &benefit.Request{
		//guard:TestPartOfAllRights without Continues: true
		Scope: scope.Biz(c.app.ID, bizCode), Key: key, App: c.app.ID, Recipient: recipient, Continues: true,
		Fingerprint: asked.DecisionFingerprint(), Params: asked,
		Note: benefit.Note{TraceID: c.record.CallerTrace},
	}, nil
}

// errEmptyPair refuses an element of act_right_top_infos that names nothing.
var errEmptyPair = wire.Missing("act_code").With("参数act_right_top_infos的元素应有act_code或right_id")

// readActRights returns the pairs that the request names, sorted and each once. A pair may lack one of its members.
func readActRights(dto *wire.Args) []benefit.ActRight {
	var all []benefit.ActRight
	for _, o := range dto.Objects("act_right_top_infos", maxRights) {
		pair := benefit.ActRight{ActCode: o.Text("act_code", maxActCode)}
		var given bool
		switch pair.RightID, given = o.Int("right_id"); {
		case given && pair.RightID <= 0:
			o.Fail(wire.Invalid("right_id", "应为正整数"))
		case !given && pair.ActCode == "":
			o.Fail(errEmptyPair)
		}
		all = append(all, pair)
	}
	slices.SortFunc(all, func(a, b benefit.ActRight) int {
		return cmp.Or(cmp.Compare(a.ActCode, b.ActCode), cmp.Compare(a.RightID, b.RightID))
	})
	return slices.Compact(all)
}

// readRecipient reads who receives. The types are those that a catalogue may name. The rules for the value are the core's,
// which answers a bound key first.
func readRecipient(dto *wire.Args, app benefit.AppID) benefit.Identifier {
	ident := benefit.Identifier{
		Type:  dto.RequiredText("user_type", benefit.MaxIdentifierType),
		Value: dto.RequiredText("user_id", benefit.MaxIdentifier),
	}
	switch {
	case ident.Type != "" && !benefit.ValidIdentifierType(ident.Type):
		dto.Fail(wire.Invalid("user_type", "应为不含空格、冒号和斜杠的ASCII字符，且不以@开头"))
	case benefit.CanonicalType(ident.Type) != "": //guard:TestRecipientOfADecision
		dto.Fail(wire.Invalid("user_type", "区分大小写，应为"+benefit.CanonicalType(ident.Type)))
	case ident.Type == benefit.AlipayID && utf8.RuneCountInString(ident.Value) > benefit.MaxAlipayID:
		dto.Fail(wire.Invalid("user_id", "最多"+strconv.Itoa(benefit.MaxAlipayID)+"个字符"))
	case ident.Type == benefit.OpenID:
		ident.App = app //guard:TestRecipientOfADecision
	}
	return ident
}

// wrongRecipient returns the error of a request whose recipient is wrong as a parameter, for the parameter that has its
// value; nil for any other reason. Both are final for the caller: no client sends an isv error again by itself.
func (c *call) wrongRecipient(r *benefit.Request, t *benefit.Template, parameter string, reason benefit.Reason) *wire.Error {
	switch reason {
	case benefit.IdentifierInvalid:
		return wire.Invalid(parameter, gateway.IdentifierRule(c.apps.Catalogue, r, t))
	case benefit.UserTypeNotAllowed:
		if parameter == "user_id" {
			parameter = "user_type"
		}
		return wire.Invalid(parameter, "不是商家接受的用户类型"+c.acceptedTypes())
	}
	return nil
}

// acceptedTypes lists the user types of the app's merchant, for an error; nothing where it accepts any.
func (c *call) acceptedTypes() string {
	if m := c.apps.Catalogue.Merchants[c.app.Merchant]; m != nil && m.Open && len(m.UserTypes) > 0 {
		return "，应为" + strings.Join(m.UserTypes, "、") + "之一"
	}
	return ""
}

// answerDecision writes the answer in the order of the page.
func (c *call) answerDecision(d *decision) (*wire.Answer, *wire.Error) {
	if !d.success() {
		c.record.SubCode = d.code
	}
	a := c.success()
	a.Object("result", func() {
		a.Bool("can_retry", d.canRetry)
		a.Text("result_code", d.code)
		a.Text("result_msg", decisionTexts[d.code])
		a.Object("result_obj", func() { d.write(a) })
		a.Bool("success", d.success())
		a.Text("trace_id", cmp.Or(c.record.CallerTrace, c.record.TraceID))
	})
	return a, nil
}
