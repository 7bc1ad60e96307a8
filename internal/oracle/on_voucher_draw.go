package oracle

import (
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
)

// hour is in milliseconds.
const hour benefit.Instant = 3_600_000

// onVouchers are the generators of the commands on vouchers.
func onVouchers() []*Generator {
	found := []benefit.Reason{benefit.VoucherNotFound, benefit.VoucherVoided, benefit.VoucherUsed}
	redeem := onVoucher(benefit.RedeemOperation, drawRedeem, append(found,
		benefit.VoucherExpired, benefit.VoucherNotStarted, benefit.UserFrozen, benefit.AmountNotAllowed, benefit.AmountMissing,
		benefit.AmountOutOfRange, benefit.ThresholdNotMet, benefit.BalanceNotEnough)...)
	redeem.CheckRows = (*Oracle).checkVouchers // the rows of all five
	return []*Generator{
		redeem,
		onVoucher(benefit.ReverseOperation, drawReverse,
			benefit.RedemptionNotFound, benefit.AmountNotAllowed, benefit.AmountOutOfRange, benefit.ReversalTooLarge),
		onVoucher(benefit.VoidOperation, drawVoid, found...),
		onVoucher(benefit.ExtendOperation, drawExtend, append(found, benefit.EndNotLater, benefit.EndTooFar)...),
		onVoucher(benefit.ExpireOperation, drawExpire, append(found, benefit.VoucherExpired)...),
	}
}

// onVoucher returns the generator of one of the commands. draw draws what it does to a voucher, which has the id alone when
// it was not issued.
func onVoucher(kind benefit.OperationKind, draw func(pick func(n int) int, o *Oracle, v benefit.Voucher) benefit.Action, reasons ...benefit.Reason) *Generator {
	name := kind.String()
	results := []string{name, name + " replayed", name + " " + benefit.KeyConflict.String()}
	for _, r := range reasons {
		results = append(results, name+" "+r.String())
	}
	return &Generator{Name: name, Results: results, Draw: func(pick func(n int) int, o *Oracle, key string) Call {
		c := &OnVoucher{benefit.OnVoucher{Key: key, App: one[benefit.AppID](pick, 1, 1, 1, 0, 2)}}
		voucher, i := o.drawVoucher(pick, kind != benefit.VoidOperation)
		v, issued := o.Voucher(voucher)
		v.ID = voucher
		c.Action = draw(pick, o, v)
		switch r, reverses := c.Action.(*benefit.Reverse); {
		case reverses:
			v, issued = o.Voucher(r.Redemption.Voucher)
		case pick(2) == 0:
			c.Code = codeOf(i, voucher)
		}
		if c.Code == "" && c.kind() != benefit.ReverseOperation {
			c.Voucher = voucher
		}
		if issued {
			o.drawWhose(pick, c, &v)
		}
		return c
	}}
}

func one[T any](pick func(n int) int, choices ...T) T { return choices[pick(len(choices))] }

// drawVoucher draws a voucher, half of the time a late one; and most often again when that is not live and it had better be.
func (o *Oracle) drawVoucher(pick func(n int) int, live bool) (voucher id.ID, i *benefit.Issuance) {
	for {
		if voucher, i = o.DrawVoucher(pick); i != nil && pick(2) == 0 {
			i = o.late(pick(min(len(o.issuances), 8)))
			vouchers := i.Vouchers()
			voucher = vouchers[pick(len(vouchers))].ID
		}
		if v, issued := o.Voucher(voucher); !live || issued && v.Status == benefit.Issued || pick(3) == 0 {
			return voucher, i
		}
	}
}

// late returns the issuance with the n-th largest id.
func (o *Oracle) late(n int) *benefit.Issuance {
	all := o.inOrder()
	return all[len(all)-1-n]
}

// codeOf returns the code of a voucher; empty when it has none, or when it may get one later: a code that was free when a
// batch had read it would not be looked at again. Codes that are reserved for vouchers that are never issued are no
// vouchers'.
func codeOf(i *benefit.Issuance, voucher id.ID) string {
	if i == nil {
		return "99999" // no template has codes of five digits
	}
	for k := range i.Lines {
		l := &i.Lines[k]
		if n := int(voucher - l.First); n >= 0 && n < len(l.Codes) && (!i.Continues || !open(l)) {
			return l.Codes[n]
		}
	}
	return ""
}

// drawWhose has the call name the voucher's merchant or a holder, most often the right one.
func (o *Oracle) drawWhose(pick func(n int) int, c *OnVoucher, v *benefit.Voucher) {
	switch pick(10) {
	case 0, 1:
		c.Merchant = o.Catalogue.Templates[v.Template].Merchant
	case 2:
		c.Merchant = benefit.MerchantID(1 + pick(2))
	case 3, 4:
		all := o.Users[v.User].Identifiers
		c.Holder = all[pick(len(all))]
	case 5:
		c.Holder = o.late(pick(len(o.issuances))).Recipient
	}
}

func drawRedeem(pick func(n int) int, _ *Oracle, v benefit.Voucher) benefit.Action {
	r := &benefit.Redeem{Order: one(pick, "", "", fmt.Sprint("order", pick(4))), Shop: one(pick, "", "", "shop")}
	if pick(8) > 0 {
		r.HasOrderAmount, r.OrderAmount = true, one[money.Fen](pick, 0, 1, 2, 4, 5, 6, 9, 10, 11, 50, 50, 50, 200)
	}
	if v.Kind == benefit.Cash && pick(2) == 0 || pick(12) == 0 {
		r.HasAmount, r.Amount = true, one[money.Fen](pick, 1, 1, 1, 2, 3, 10, 0)
	}
	return r
}

func drawReverse(pick func(n int) int, o *Oracle, v benefit.Voucher) benefit.Action {
	r := &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v.ID, Number: int64(1 + pick(3))}}
	var all []benefit.OperationID
	for _, t := range o.transitions {
		if t.Kind == benefit.RedeemOperation {
			all = append(all, t.OperationID)
		}
	}
	if len(all) > 0 && pick(8) > 0 {
		r.Redemption = all[len(all)-1-pick(min(len(all), 4))]
	}
	of, _ := o.Voucher(r.Redemption.Voucher)
	if of.Kind == benefit.Cash && pick(2) == 0 || pick(8) == 0 {
		r.HasAmount, r.Amount = true, one[money.Fen](pick, 1, 1, 1, 2, 2, 10, 0)
	}
	return r
}

func drawVoid(pick func(n int) int, _ *Oracle, _ benefit.Voucher) benefit.Action {
	return &benefit.Void{ReturnStock: pick(4) > 0, Memo: one(pick, "", "sold by mistake")}
}

// drawExtend most often moves the end by little, so that it passes.
func drawExtend(pick func(n int) int, _ *Oracle, v benefit.Voucher) benefit.Action {
	end := endOf(&v)
	if end == 0 {
		end = v.IssuedAt
	}
	return &benefit.Extend{End: end + one(pick, 0, -1, 1, 1000, hour, 3*hour, 10*hour, 24*hour, 11*366*24*hour)}
}

func drawExpire(func(n int) int, *Oracle, benefit.Voucher) benefit.Action { return benefit.Expire{} }
