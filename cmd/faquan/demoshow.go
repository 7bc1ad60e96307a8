package main

import (
	"context"
	"fmt"
	"sync"

	"faquan/internal/audit"
)

// act is one call of the demo, with its expected result.
type act struct {
	title string
	send  voucherSend
	want  string // the sub_code of the answer; empty: a voucher
	same  bool   // the voucher of the act before
}

// acts are the calls of the demo. The result of each is checked, so that the demo is a test of itself.
var acts = []act{
	{
		title: "A first call issues a voucher.",
		send:  voucherSend{TemplateID: "DEMO-TEN-OFF", UserID: "2088000000000001", OutBizNo: "order-1", Memo: "生日快乐"},
	},
	{
		title: "The same call again, as after a lost answer: the same voucher, not another one.",
		send:  voucherSend{TemplateID: "DEMO-TEN-OFF", UserID: "2088000000000001", OutBizNo: "order-1", Memo: "生日快乐"},
		same:  true,
	},
	{
		title: "The same number for another user: refused, and no voucher is shown.",
		send:  voucherSend{TemplateID: "DEMO-TEN-OFF", UserID: "2088000000000002", OutBizNo: "order-1"},
		want:  "OUT_BIZ_NO_CONFLICT",
	},
	{
		title: "A cash red packet, whose amount comes with the request.",
		send:  voucherSend{TemplateID: "DEMO-RED-PACKET", UserID: "2088000000000001", OutBizNo: "order-2", Amount: "9.99"},
	},
	{
		title: "The only one in stock.",
		send:  voucherSend{TemplateID: "DEMO-LAST-SEAT", UserID: "2088000000000001", OutBizNo: "order-3"},
	},
	{
		title: "Sold out.",
		send:  voucherSend{TemplateID: "DEMO-LAST-SEAT", UserID: "2088000000000002", OutBizNo: "order-4"},
		want:  "STOCK_NOT_ENOUGH",
	},
	{
		title: "One for each user: the first.",
		send:  voucherSend{TemplateID: "DEMO-ONE-EACH", UserID: "2088000000000003", OutBizNo: "order-5"},
	},
	{
		title: "Over the limit.",
		send:  voucherSend{TemplateID: "DEMO-ONE-EACH", UserID: "2088000000000003", OutBizNo: "order-6"},
		want:  "USER_LIMIT_EXCEEDED",
	},
}

// show makes the calls, then the concurrent ones, and audits the store at the end.
func (d *demo) show(ctx context.Context) error {
	fmt.Fprintf(d.out, "A faquan of your own serves %s, with its data in %s.\nEach call is signed by the app; each answer of Alipay is signed by the gateway and verified.\n\n", d.server.url, d.dir)
	last := ""
	for i, a := range acts {
		fmt.Fprintf(d.out, "%d. %s\n", i+1, a.title)
		e, err := d.app.send(ctx, &a.send)
		if err != nil {
			return err
		}
		e.show(d.out, true)
		fmt.Fprintln(d.out)
		if err := a.check(e, last); err != nil {
			return err
		}
		last = e.voucherID()
	}
	if err := d.crowd(ctx, len(acts)+1); err != nil {
		return err
	}
	if err := d.showTOP(ctx, len(acts)+2); err != nil {
		return err
	}
	report, err := auditDir(ctx, d.dir, audit.EmbeddedOptions{Options: audit.Options{LookupEvery: 1}})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d. All of it counted again from the rows: %d vouchers under %d keys, %d findings.\n\n",
		len(acts)+2+len(topActs), report.Checked.Vouchers, report.Checked.Keys, len(report.Findings))
	if !report.OK() {
		return fmt.Errorf("the audit found %s", report.Findings[0])
	}
	return nil
}

func (a *act) check(e *exchange, last string) error {
	if e.answer.SubCode != a.want || (a.want == "") != e.answer.OK() {
		return fmt.Errorf("the demo expected %q and got %q", a.want, e.answer.SubCode)
	}
	if a.same && e.voucherID() != last {
		return fmt.Errorf("the retry got voucher %s after %s", e.voucherID(), last)
	}
	return nil
}

// crowd sends one call from eight callers concurrently.
func (d *demo) crowd(ctx context.Context, number int) error {
	const callers = 8
	fmt.Fprintf(d.out, "%d. The same call from eight callers at once: eight answers, one voucher.\n", number)
	v := voucherSend{TemplateID: "DEMO-TEN-OFF", UserID: "2088000000000004", OutBizNo: "order-7"}
	fmt.Fprintf(d.out, "→ %s, %d times\n  %s\n", sendMethod, callers, v.text())
	var all sync.WaitGroup
	answers, errs := make([]*exchange, callers), make([]error, callers)
	for i := range callers {
		all.Go(func() { answers[i], errs[i] = d.app.send(ctx, &v) })
	}
	all.Wait()
	for i, e := range answers {
		if errs[i] != nil {
			return errs[i]
		}
		fmt.Fprintf(d.out, "← %s %s\n", e.answer.Code, e.voucherID())
		if !e.answer.OK() || e.voucherID() != answers[0].voucherID() {
			return fmt.Errorf("the callers got different answers: %s and %s", answers[0].raw, e.raw)
		}
	}
	fmt.Fprintln(d.out)
	return nil
}
