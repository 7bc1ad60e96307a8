package oracle

import (
	"cmp"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// transition is what an operation did to a voucher.
type transition struct {
	benefit.Transition
	claim benefit.ClaimID // of the operation
}

// transitionOf returns what an operation on a voucher did.
func (o *Oracle) transitionOf(op *benefit.Operation) benefit.Transition {
	for _, t := range o.transitions {
		if t.claim == op.Claim {
			return t.Transition
		}
	}
	panic(fmt.Sprintf("oracle: the operation %s %q was not booked", op.Scope, op.Key))
}

// Voucher returns a voucher as it was issued, with what was done to it since, and whether it was issued.
func (o *Oracle) Voucher(voucher id.ID) (v benefit.Voucher, issued bool) {
	i := o.IssuanceOf(voucher)
	if i == nil {
		return v, false
	}
	for _, v = range i.Vouchers() {
		if v.ID == voucher {
			break
		}
	}
	for k := range o.transitions {
		if t := &o.transitions[k].Transition; t.Voucher == voucher {
			v = after(v, t)
		}
	}
	return v, true
}

// state returns what has become of an issued voucher; zero when nothing has happened to it.
func (o *Oracle) state(voucher id.ID) benefit.VoucherState {
	v, _ := o.Voucher(voucher)
	if v.Operations == 0 {
		return benefit.VoucherState{}
	}
	return benefit.VoucherState{
		Voucher: v.ID, Status: v.Status, Operations: v.Operations, Redeemed: v.Redeemed, End: v.OwnEnd, At: v.ChangedAt,
	}
}

// after returns a voucher with what an operation has done to it.
func after(v benefit.Voucher, t *benefit.Transition) benefit.Voucher {
	v.Operations++
	v.ChangedAt = max(v.ChangedAt, t.At)
	switch t.Kind {
	case benefit.RedeemOperation:
		if v.Redeemed += t.Value; v.Redeemed == wholeValue(&v) {
			v.Status = benefit.Used
		}
	case benefit.ReverseOperation:
		v.Redeemed -= t.Value
		v.Status = benefit.Issued
	case benefit.VoidOperation:
		v.Status = benefit.Voided
	case benefit.ExtendOperation:
		v.OwnEnd = t.End
	case benefit.ExpireOperation:
		v.OwnEnd = t.At
	}
	return v
}

// wholeValue returns what can be redeemed of a voucher in all: its fen, or the voucher as a whole.
func wholeValue(v *benefit.Voucher) int64 {
	if v.Kind == benefit.Cash {
		return int64(v.Amount)
	}
	return 1
}

// endOf returns the first instant at which a voucher is expired, which is after the last second of its window; 0 when it
// never is.
func endOf(v *benefit.Voucher) benefit.Instant {
	if v.OwnEnd != 0 || v.Valid.End == 0 {
		return v.OwnEnd
	}
	return (v.Valid.End/1000 + 1) * 1000
}

// bookTransition takes what an operation did to its voucher. It fails when more was redeemed than the voucher is worth, or
// more reversed than redeemed.
func (o *Oracle) bookTransition(op *benefit.Operation) error {
	t, err := benefit.DecodeTransition(op)
	if err != nil {
		return err
	}
	v, issued := o.Voucher(op.ID)
	if !issued || t.Number != v.Operations+1 {
		return fmt.Errorf("operation %d on voucher %d, which was issued: %v, and had %d operations", t.Number, op.ID, issued, v.Operations)
	}
	if now := after(v, &t); now.Redeemed < 0 || now.Redeemed > wholeValue(&now) {
		return fmt.Errorf("voucher %d of %d has %d redeemed", v.ID, wholeValue(&now), now.Redeemed)
	}
	o.transitions = append(o.transitions, transition{t, op.Claim})
	o.Events = append(o.Events, eventOf(&t))
	if t.ReturnStock {
		o.booked = append(o.booked, send{
			user: v.User, template: v.Template, at: t.At, day: v.IssuedAt.Day(), vouchers: -1, fen: -int64(v.Amount),
		})
		o.bookStock(v.Template)
	}
	return nil
}

// seenByVoid returns the counters that the void of a voucher lowers: the user's of a day only when it is the last one on
// which the user received any.
func (o *Oracle) seenByVoid(v *benefit.Voucher) (c benefit.Counters) {
	issued, last := v.IssuedAt.Day(), benefit.Day(0)
	for _, s := range o.booked {
		if s.template != v.Template {
			continue
		}
		c.Count, c.Amount = c.Count+s.vouchers, c.Amount+s.fen
		if s.day == issued {
			c.DayCount, c.DayAmount = c.DayCount+s.vouchers, c.DayAmount+s.fen
		}
		if s.user != v.User {
			continue
		}
		c.User += s.vouchers
		if last = max(last, s.day); s.day == issued {
			c.UserDay += s.vouchers
		}
	}
	if last != issued {
		c.UserDay = 0
	}
	return c
}

// Restocked reports whether a line has issued something of a template of which more was issued in all than its cap, which is
// possible where vouchers were returned.
func (o *Oracle) Restocked(l benefit.IssuedLine) bool {
	all := int64(0)
	for _, s := range o.booked {
		if s.template == l.Template {
			all += max(s.vouchers, 0)
		}
	}
	most := o.caps[l.Template].Count
	return l.Issued > 0 && most != benefit.Unlimited && all > int64(most)
}

// checkVouchers compares the rows of vouchers with the operations.
func (o *Oracle) checkVouchers(rows map[string][]any) error {
	states, operations := map[id.ID]benefit.VoucherState{}, map[benefit.OperationID]benefit.VoucherOperation{}
	orders := map[benefit.OrderKey]benefit.OrderRedemption{}
	for k := range o.transitions {
		t := &o.transitions[k]
		if _, done := states[t.Voucher]; !done {
			states[t.Voucher] = o.state(t.Voucher)
		}
		operations[t.OperationID] = benefit.VoucherOperation{OperationID: t.OperationID, Kind: t.Kind, Claim: t.claim, Value: t.Value}
		if t.Kind == benefit.ReverseOperation {
			of := benefit.OperationID{Voucher: t.Voucher, Number: t.Redemption}
			redemption := operations[of]
			redemption.Reversed += t.Value
			operations[of] = redemption
		}
		if t.Order != "" {
			merchant := o.Catalogue.Templates[t.Template].Merchant
			order := benefit.OrderKey{Order: benefit.OrderDigest(merchant, t.Order), OperationID: t.OperationID}
			orders[order] = benefit.OrderRedemption{OrderKey: order, At: t.At}
		}
	}
	return cmp.Or(
		differRows("the states of vouchers", states, rows[benefit.VoucherStates.Name], func(x benefit.VoucherState) id.ID { return x.Voucher }),
		differRows("the operations of vouchers", operations, rows[benefit.VoucherOperations.Name], func(x benefit.VoucherOperation) benefit.OperationID {
			return x.OperationID
		}),
		differRows("the ends of vouchers out of the order of issues", o.dues(), rows[benefit.ExpiryDues.Name], func(x benefit.ExpiryDue) benefit.ExpiryDueKey {
			return x.ExpiryDueKey
		}),
		differRows("the redemptions for orders", orders, rows[benefit.OrderRedemptions.Name], func(x benefit.OrderRedemption) benefit.OrderKey { return x.OrderKey }),
	)
}
