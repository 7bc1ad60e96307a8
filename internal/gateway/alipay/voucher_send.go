package alipay

import (
	"context"
	"errors"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
)

// Lengths of the members of biz_content, in characters. All but maxExtend are those of the platform's page, which
// names no length for extend_info; open_id has the length of every identifier.
const (
	maxTemplateID = 28
	maxUserID     = benefit.MaxAlipayID
	maxOpenID     = benefit.MaxIdentifier
	maxLoginID    = 128
	maxTaobaoNick = 128
	maxAmount     = 10
	maxMemo       = 128
	maxExtend     = 4096
)

// sendOrder is the biz_content of alipay.marketing.voucher.send.
type sendOrder struct {
	templateID string
	userID     string
	openID     string
	loginID    string
	taobaoNick string
	key        string // out_biz_no
	amount     money.Fen
	hasAmount  bool
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
	case benefit.AmountOutOfRange:
		return nil, outOfRange(t.Amount)
	case benefit.IdentifierInvalid:
		return nil, wrongRecipient(r, gateway.IdentifierRule(c.apps.Catalogue, r, t))
	case benefit.UserTypeNotAllowed:
		return nil, wrongRecipient(r, "不是商家接受的用户标识类型")
	default:
		return nil, refused(outcome.Reason)
	}
	c.record.Issued(outcome.Issuance.Lines[0].First, outcome.Replayed)
	return sendAnswer{
		voucher: c.record.Voucher, userID: answerUserID(order, outcome.Issuance), openID: order.openID,
	}, nil
}

// readSend reads biz_content by the rules of the page, as much of it as there is when something is wrong with it.
func readSend(text string) (*sendOrder, *wire.Error) {
	o := &sendOrder{}
	if text == "" {
		return o, wire.Business(invalidParameter, "参数biz_content不能为空")
	}
	biz, broken := wire.ParseBiz(text)
	if broken != nil {
		if broken.Field == "" {
			return o, wire.ErrIllegalJSON.With(broken.Error())
		}
		return o, wire.Business(invalidParameter, broken.Error())
	}
	*o = sendOrder{
		templateID: biz.RequiredText("template_id", maxTemplateID),
		userID:     biz.Text("user_id", maxUserID),
		openID:     biz.Text("open_id", maxOpenID),
		loginID:    biz.Text("login_id", maxLoginID),
		taobaoNick: biz.Text("taobao_nick", maxTaobaoNick),
	}
	if o.userID == "" && o.openID == "" && o.loginID == "" && o.taobaoNick == "" {
		biz.Fail("user_id", "、open_id、login_id、taobao_nick不能同时为空")
	}
	// What is kept with the issuance is copied: the text of a request lies in one piece, all of which would stay
	// in memory with any part of it.
	o.key = strings.Clone(biz.RequiredText("out_biz_no", benefit.MaxKey))
	o.readAmount(biz)
	o.note.Memo = strings.Clone(biz.Text("memo", maxMemo))
	o.note.Extend = strings.Clone(biz.Text("extend_info", maxExtend))
	if broken := biz.Err(); broken != nil {
		return o, wire.Business(invalidParameter, broken.Error())
	}
	return o, nil
}

// readAmount reads the amount in yuan. Whether the template takes one is for the core to say.
func (o *sendOrder) readAmount(biz *wire.Biz) {
	text := biz.Price("amount", maxAmount)
	if text == "" {
		return
	}
	var err error
	o.amount, err = money.ParseYuan(text)
	o.hasAmount = true
	switch {
	case errors.Is(err, money.ErrPrecision):
		biz.Fail("amount", "最多两位小数")
	case err != nil:
		biz.Fail("amount", "不是合法的金额，单位为元，如9.99")
	case o.amount == 0:
		biz.Fail("amount", "必须大于0")
	}
}

// recipient returns the first identifier present, in the order of the page. There is no fall-back to the next when no
// user is known by it: a caller who sends a wrong user_id must get an error.
func (o *sendOrder) recipient(app benefit.AppID) benefit.Identifier {
	ident := benefit.Identifier{}
	switch {
	case o.userID != "":
		ident.Type, ident.Value = benefit.AlipayID, o.userID
	case o.openID != "":
		ident.Type, ident.Value, ident.App = benefit.OpenID, o.openID, app
	case o.loginID != "":
		ident.Type, ident.Value = benefit.Login, o.loginID
	default:
		ident.Type, ident.Value = benefit.Nick, o.taobaoNick
	}
	ident.Value = strings.Clone(ident.Value)
	return ident
}

func (o *sendOrder) request(t *benefit.Template, app benefit.AppID) *benefit.Request {
	r := &benefit.Request{
		//guard:TestIdentifiers without OnAlipay: true
		Scope: scope.Template(t.ID), Key: o.key, App: app, Recipient: o.recipient(app), OnAlipay: true, Note: o.note,
		Lines: []benefit.Line{{Template: t.ID, Sends: 1, Quantity: 1, Amount: o.amount, HasAmount: o.hasAmount}},
	}
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	return r
}

// wrongRecipient returns the error of a request whose recipient breaks a rule. It names the member of biz_content.
func wrongRecipient(r *benefit.Request, rule string) *wire.Error {
	member := "taobao_nick"
	switch r.Recipient.Type {
	case benefit.AlipayID:
		member = "user_id"
	case benefit.OpenID:
		member = "open_id"
	case benefit.Login:
		member = "login_id"
	}
	return wire.Business(invalidParameter, "参数"+member+rule)
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
	case o.userID != "":
		return o.userID
	case i.Recipient.Type == benefit.AlipayID:
		return i.Recipient.Value
	}
	return i.Alipay
}

// sendAnswer is the success of alipay.marketing.voucher.send. A user without an Alipay id has no user_id.
type sendAnswer struct {
	voucher        id.ID
	userID, openID string
}

func (a sendAnswer) write(n *wire.Node) {
	n.Text("voucher_id", a.voucher.Long())
	if a.userID != "" {
		n.Text("user_id", a.userID)
	}
	if a.openID != "" {
		n.Text("open_id", a.openID)
	}
}
