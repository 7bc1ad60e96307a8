package top

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top/wire"
)

// certificateSend is tmall.nrt.certificate.send: one certificate of a template for one open_id.
//
// No idempotency key travels on this wire. Where a template has a repeat window the call itself is the key, as long as
// the window lasts; otherwise each call issues. So an unknown outcome never has a code that a retrying client would
// send again on.
var certificateSend = &method{
	name:    "tmall.nrt.certificate.send",
	session: true,
	object:  "nrt_certificate_send_d_t_o",
	run: func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
		o, bad := readCertificate(c.object())
		if bad != nil {
			return nil, bad
		}
		t := c.apps.Catalogue.TemplateByOutID(o.outID)
		//guard:TestCertificateRefusals !c.mayIssue(t) -> t == nil
		//guard:TestCertificateRefusals without t.Kind != benefit.Certificate
		if !c.mayIssue(t) || t.Kind != benefit.Certificate {
			c.record.Refuse(benefit.TemplateNotFound)
			return c.refuseCertificate(certificateCode(benefit.TemplateNotFound))
		}
		c.record.Template = t.Name
		r := o.request(t, c.app.ID)
		outcome, err := h.issue(ctx, c, r)
		if err != nil {
			return c.undecided(err)
		}
		if bad := c.wrongRecipient(r, t, "open_id", outcome.Reason); bad != nil {
			return nil, bad
		}
		switch {
		case outcome.Reason == benefit.TemplateNotFound && !o.allowed(t):
			c.unasked()
			return c.refuseCertificate(channelNotAllowed)
		case outcome.Reason != benefit.NotRefused:
			return c.refuseCertificate(certificateCode(outcome.Reason))
		}
		//guard:TestLifeOfACertificate outcome.Issuance.Vouchers()[0].With(outcome.State) -> outcome.Issuance.Vouchers()[0]
		v := outcome.Issuance.Vouchers()[0].With(outcome.State)
		return c.answerCertificate(o, &v, h.o.Clock())
	},
	undecided: certificateUndecided,
}

// certificateUndecided answers a call without an outcome.
func certificateUndecided(c *call, unknown bool) (*wire.Answer, *wire.Error) {
	if unknown { //guard:TestCertificatesWithoutAnOutcome
		return c.refuseCertificate(certificateIsUnknown)
	}
	return c.refuseCertificate(certificateBusy)
}

// certificateOrder is nrt_certificate_send_d_t_o.
type certificateOrder struct {
	channel, outID  int64
	openID, bizCode string
}

// readCertificate reads the parameters by the rules of the page. The object is optional there; nothing can be issued
// without it.
func readCertificate(dto *wire.Args) (o certificateOrder, bad *wire.Error) {
	o.channel = dto.RequiredInt("channel")
	o.openID = dto.RequiredText("open_id", benefit.MaxIdentifier)
	o.outID = dto.RequiredInt("out_id")
	o.bizCode = dto.RequiredText("biz_code", maxBizCode)
	return o, dto.Err()
}

// allowed reports whether the template may be issued on the channel.
func (o *certificateOrder) allowed(t *benefit.Template) bool {
	return slices.Contains(t.Channels, o.channel)
}

// request returns what the core is asked. On a channel that is not allowed no template is asked for: a certificate
// whose window still runs is given again, since the channel was allowed when it was issued, and nothing new is issued.
func (o *certificateOrder) request(t *benefit.Template, app benefit.AppID) *benefit.Request {
	line := benefit.Line{Template: t.ID, Sends: 1, Quantity: 1}
	if !o.allowed(t) { //guard:TestCertificateRefusals
		line.Template = 0
	}
	fingerprint := benefit.FingerprintOf(nil, strconv.FormatInt(o.outID, 10), strconv.FormatInt(o.channel, 10), o.bizCode)
	return &benefit.Request{
		Scope: scope.Certificate(app), Key: o.key(t, app), App: app, Recipient: openID(o.openID, app),
		//guard:TestRepeatWindow$ without BindMillis: t.RepeatMillis
		Fingerprint: fingerprint, Lines: []benefit.Line{line}, BindMillis: t.RepeatMillis,
		Params: benefit.Params{BizCode: o.bizCode, Channel: o.channel},
	}
}

func openID(value string, app benefit.AppID) benefit.Identifier {
	return benefit.Identifier{Type: benefit.OpenID, Value: value, App: app}
}

// key returns the idempotency key that the wire lacks. Without a repeat window no two calls have the same one; with a
// window calls that the policy takes for one do. The letters in front keep the two apart.
func (o *certificateOrder) key(t *benefit.Template, app benefit.AppID) string {
	if t.RepeatMillis == 0 {
		var room [16]byte
		//guard:TestEveryCallIssues
		_, _ = rand.Read(room[:]) // it never fails
		return "n" + hex.EncodeToString(room[:])
	}
	return "w" + benefit.FingerprintOf(nil, strconv.FormatInt(int64(t.ID), 10), strconv.FormatInt(int64(app), 10),
		o.openID, o.bizCode, strconv.FormatInt(o.channel, 10)).String() //guard:TestSamenessInTheWindow without o.bizCode
}

// answerCertificate writes the success: the certificate as it is now, which is not as it was issued when its window returns
// it again.
func (c *call) answerCertificate(o certificateOrder, v *benefit.Voucher, now time.Time) (*wire.Answer, *wire.Error) {
	return c.certificateResult(certificateOK, certificateTexts[certificateOK], func(a *wire.Answer) {
		a.Text("status", strconv.FormatInt(certificateStatus(v, now), 10))
		a.Time("modified_time", v.LastChange().Time())
		a.Time("create_time", v.IssuedAt.Time())
		timeIfAny(a, "start_time", v.Valid.Start)
		timeIfAny(a, "end_time", v.LastSecond())
		a.Text("certificate_code", v.Code)
		a.Int("out_id", o.outID)
		a.Int("channel", o.channel)
		a.Text("open_id", o.openID)
	})
}

// refuseCertificate answers certificate.send without a certificate.
func (c *call) refuseCertificate(code string) (*wire.Answer, *wire.Error) {
	return c.certificateResult(code, certificateTexts[code], nil)
}

// certificateResult writes an answer of certificate.send or .query. write adds the members of its model; nil: it has none.
func (c *call) certificateResult(code, text string, write func(a *wire.Answer)) (*wire.Answer, *wire.Error) {
	if code != certificateOK {
		c.record.SubCode = code
	}
	a := c.success()
	a.Object("result", func() {
		if write != nil {
			a.Object("model", func() { write(a) })
		}
		a.Text("message", text)
		a.Text("code", code)
	})
	return a, nil
}

// timeIfAny adds an instant unless it is zero.
func timeIfAny(a *wire.Answer, name string, at benefit.Instant) {
	if at != 0 {
		a.Time(name, at.Time())
	}
}

// The values of the member status.
const (
	certificateUsable  = 0
	certificateUsed    = 1
	certificateExpired = 2
	certificateVoid    = 3
)

// certificateStatus returns the status of a certificate at now. One that a downstream has not fulfilled yet is shown as
// usable, as the wire has no value for it; one that it has refused is void.
func certificateStatus(v *benefit.Voucher, now time.Time) int64 {
	//guard:TestExpiredEarly max(benefit.InstantOf(now), v.LastChange()) -> benefit.InstantOf(now)
	switch v.StatusAt(max(benefit.InstantOf(now), v.LastChange())) { // the clock that ended it may be ahead of ours
	case benefit.Used:
		return certificateUsed
	case benefit.Expired:
		return certificateExpired
	case benefit.Voided, benefit.Failed:
		return certificateVoid
	}
	return certificateUsable
}
