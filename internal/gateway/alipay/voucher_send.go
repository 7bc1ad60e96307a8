package alipay

import (
	"context"
	"errors"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/scope"
	"faquan/internal/money"
)

// Lengths of the members of biz_content, in characters. All but maxExtend are those of the platform's page, which
// names no length for extend_info.
const (
	maxTemplateID = 28
	maxAmount     = 10
	maxMemo       = 128
	maxExtend     = 4096
)

// recipients are the members that identify the user, in the order of the page. The lengths are the page's, too, but that
// open_id has the length of every identifier.
var recipients = []struct {
	member string
	max    int // characters
	kind   string
}{
	{"user_id", benefit.MaxAlipayID, benefit.AlipayID},
	{"open_id", benefit.MaxIdentifier, benefit.OpenID},
	{"login_id", 128, benefit.Login},
	{"taobao_nick", 128, benefit.Nick},
}

// sendOrder is the biz_content of alipay.marketing.voucher.send.
type sendOrder struct {
	templateID string
	recipient  benefit.Identifier
	member     string // of the recipient
	openID     string // as sent, also beside another recipient
	key        string // out_biz_no
	line       benefit.Line
	note       benefit.Note
}

// voucherSend is alipay.marketing.voucher.send: one voucher of a template for one user.
func (h *Handler) voucherSend(ctx context.Context, c *call) (answer, *wire.Error) {
	order, bad := readSend(c.req.Get("biz_content"))
	c.record.Template, c.record.Key = order.templateID, order.key
	if bad != nil {
		return nil, bad
	}
	t := c.apps.Catalogue.TemplateByWireID(order.templateID)
	if t == nil || !c.app.MayIssue(t, c.acting) {
		c.record.Refuse(benefit.TemplateNotFound)
		return nil, refused(benefit.TemplateNotFound)
	}
	r := order.request(t, c.app.ID)
	c.record.Template, c.record.Request = t.Name, r
	outcome, err := h.o.Issuer.Issue(ctx, r)
	if err != nil {
		c.record.Err = err
		bad := undecided(err)
		if c.record.Outcome = gateway.Busy; bad == errUnknown { //guard:TestOutcomes
			c.record.Outcome = gateway.Unknown
		}
		return nil, bad
	}
	c.record.Decided(&outcome)
	switch outcome.Reason {
	case benefit.NotRefused:
	case benefit.AppDisabled: // since it was admitted
		return nil, wire.ErrInvalidAppState //guard:TestAppDisabledMeanwhile wire.ErrInvalidAppState -> refused(outcome.Reason)
	case benefit.AmountOutOfRange:
		return nil, outOfRange(t.Amount)
	case benefit.IdentifierInvalid:
		return nil, wire.Invalid(order.member, gateway.IdentifierRule(c.apps.Catalogue, r, t))
	case benefit.UserTypeNotAllowed:
		return nil, wire.Invalid(order.member, "不是商家接受的用户标识类型")
	default:
		return nil, refused(outcome.Reason)
	}
	c.record.Issued(outcome.Issuance.Lines[0].First, outcome.Replayed)
	userID := answerUserID(order, outcome.Issuance)
	return func(n *wire.Node) {
		n.Text("voucher_id", c.record.Voucher.Long())
		n.TextIfAny("user_id", userID)
		n.TextIfAny("open_id", order.openID)
	}, nil
}

// readSend reads biz_content by the rules of the page, as much of it as there is when something is wrong with it.
func readSend(text string) (*sendOrder, *wire.Error) {
	o := &sendOrder{}
	if text == "" {
		return o, wire.Invalid("biz_content", "不能为空")
	}
	biz, bad := wire.ParseBiz(text)
	if bad != nil {
		return o, bad
	}
	o.templateID = biz.RequiredText("template_id", maxTemplateID)
	o.readRecipient(biz)
	// What is kept with the issuance is copied: the text of a request lies in one piece, all of which would stay
	// in memory with any part of it.
	o.key = strings.Clone(biz.RequiredText("out_biz_no", benefit.MaxKey))
	o.readAmount(biz)
	o.note.Memo = strings.Clone(biz.Text("memo", maxMemo))
	o.note.Extend = strings.Clone(biz.Text("extend_info", maxExtend))
	return o, biz.Err()
}

// readRecipient takes the first identifier present. There is no fall-back to the next when no user is known by it: a
// caller who sends a wrong user_id must get an error.
func (o *sendOrder) readRecipient(biz *wire.Biz) {
	for _, r := range recipients {
		value := biz.Text(r.member, r.max)
		if r.kind == benefit.OpenID {
			o.openID = value
		}
		if o.recipient.Value == "" {
			o.recipient, o.member = benefit.Identifier{Type: r.kind, Value: strings.Clone(value)}, r.member
		}
	}
	if o.recipient.Value == "" {
		biz.Fail("user_id", "、open_id、login_id、taobao_nick不能同时为空")
	}
}

// readAmount reads the amount in yuan. Whether the template takes one is for the core to judge.
func (o *sendOrder) readAmount(biz *wire.Biz) {
	text := biz.Price("amount", maxAmount)
	if text == "" {
		return
	}
	var err error
	o.line.Amount, err = money.ParseYuan(text)
	o.line.HasAmount = true
	switch {
	case errors.Is(err, money.ErrPrecision):
		biz.Fail("amount", "最多两位小数")
	case err != nil:
		biz.Fail("amount", "不是合法的金额，单位为元，如9.99")
	case o.line.Amount == 0:
		biz.Fail("amount", "必须大于0")
	}
}

func (o *sendOrder) request(t *benefit.Template, app benefit.AppID) *benefit.Request {
	line := o.line
	line.Template, line.Sends, line.Quantity = t.ID, 1, 1
	r := &benefit.Request{
		//guard:TestIdentifiers without OnAlipay: true
		Scope: scope.Template(t.ID), Key: o.key, App: app, Recipient: o.recipient, OnAlipay: true, Note: o.note,
		Lines: []benefit.Line{line},
	}
	if r.Recipient.Type == benefit.OpenID {
		r.Recipient.App = app
	}
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	return r
}

// outOfRange returns what range the amount is out of.
func outOfRange(rule benefit.AmountRule) *wire.Error {
	e := refused(benefit.AmountOutOfRange)
	return e.With(e.SubMsg + "，应为" + rule.Min.Yuan() + "至" + rule.Max.Yuan() + "元")
}

// answerUserID returns the Alipay id that was sent; else the one that the key was bound with; else the user's first,
// which may be none.
func answerUserID(o *sendOrder, i *benefit.Issuance) string {
	switch {
	case o.recipient.Type == benefit.AlipayID:
		return o.recipient.Value
	case i.Recipient.Type == benefit.AlipayID:
		return i.Recipient.Value
	}
	return i.Alipay
}
