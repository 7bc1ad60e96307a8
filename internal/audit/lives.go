package audit

import (
	"fmt"
	"math"
	"math/big"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// follow takes what has happened to the vouchers of an issuance, and to those before it, which are of no issuance; with nil, to
// all that are left.
func (c *recount) follow(s *lives, i *benefit.Issuance) error {
	last := id.ID(math.MaxInt64)
	if i != nil {
		last = lastVoucher(i)
	}
	for x, err := range s.upTo(last) {
		if err != nil {
			return err
		}
		l, n, issued := voucherIn(i, x.voucher)
		if issued {
			c.addReturns(l, x)
		}
		if !c.first {
			continue
		}
		c.countLife(x)
		if !issued { //guard:TestLives$
			promise := Redemptions
			if !x.changed() { //guard:TestExpired$
				promise = Events
			}
			c.find(Finding{promise, fmt.Sprintf("voucher %d, to which something has happened", x.voucher), "a voucher that was issued", "none"})
			continue
		}
		v := walk{c: c, lineRef: l, voucher: x.voucher, amount: l.amountOf(n), status: l.statusOf(), left: c.left[:0]}
		v.all(x)
		c.left = v.left
		c.balance(l.Template).move(&v, x)
		c.sumReturns(l, n, x)
	}
	return nil
}

// lastVoucher returns the greatest id that a voucher of the issuance may have.
func lastVoucher(i *benefit.Issuance) id.ID {
	last := i.ID
	for l := range linesOf(i) {
		last = max(last, l.First+id.ID(max(l.Sends*l.Quantity, len(l.Amounts), 1))-1)
	}
	return last
}

// voucherIn finds an issued voucher: its line, and its number in that, from 0 on.
func voucherIn(i *benefit.Issuance, v id.ID) (l lineRef, n int, issued bool) {
	if i == nil {
		return l, 0, false
	}
	for l := range linesOf(i) {
		if n := v - l.First; n >= 0 && n < id.ID(l.Issued*l.Quantity) {
			return l, int(n), true
		}
	}
	return l, 0, false
}

// amountOf returns what a voucher of the line is worth, in fen.
func (l lineRef) amountOf(n int) int64 {
	if n < len(l.Amounts) {
		return int64(l.Amounts[n])
	}
	return 0
}

// statusOf returns the status with which the vouchers of the line began.
func (l lineRef) statusOf() benefit.VoucherStatus {
	if l.Sending {
		return benefit.Sending
	}
	return benefit.Issued
}

// countLife counts the rows of a voucher, and checks that each of its operations stands under its key.
func (c *recount) countLife(x *life) {
	c.report.Checked.Operations += int64(len(x.operations))
	if x.hasState {
		c.report.Checked.VoucherStates++
	}
	for k := range x.operations {
		o := &x.operations[k]
		if o.flags&wrongClaim != 0 {
			c.find(Finding{OneOutcome, o.String() + ": its key", fmt.Sprintf("one of 1 to 64 characters, in a scope for %v, by which it is found", o.kind), "another"})
		}
		c.addOperationEvent(o)
		if o.flags&hasOrder != 0 {
			c.orders.add(c.seeds, o.orderRedemption())
		}
	}
}

// walk follows the operations on a voucher from its issue, and holds what they make of it.
type walk struct {
	c *recount
	lineRef
	voucher id.ID
	amount  int64
	left    []int64 // of each operation: what of a redemption is not reversed

	status   benefit.VoucherStatus
	redeemed int64
	ownEnd   benefit.Instant // where it is not that of the issue; else 0
	changed  benefit.Instant // by the last operation; 0: by none
	// endedByCommand reports whether ownEnd is that of an expire command.
	endedByCommand bool
	events         int // of those that the end has passed, how many were checked
}

// wrong is what a voucher's rows should have and what they have; its what is empty when all is well.
type wrong struct{ what, want, got string }

// all checks all rows of the voucher, up to the first that is wrong: what follows would repeat it.
func (v *walk) all(x *life) {
	found := v.operations(x)
	if found.what == "" {
		found = v.entries(x)
	}
	if found.what == "" {
		found = v.state(x)
	}
	if found.what != "" {
		v.c.find(Finding{Redemptions, fmt.Sprintf("voucher %d, %s", v.voucher, found.what), found.want, found.got})
	}
}

func (v *walk) operations(x *life) wrong {
	for k := range x.operations {
		o := &x.operations[k]
		v.checkExpired(x, k, o)
		name := fmt.Sprintf("operation %d", k+1)
		if o.flags&unreadable != 0 { //guard:TestLives$
			return wrong{name, "a result that can be read", "none"}
		}
		if int(o.number) != k+1 { //guard:TestLives$
			return wrong{name, "operations that are numbered without a gap", fmt.Sprint("number ", o.number)}
		}
		name = fmt.Sprintf("%s, %v", name, o.kind)
		if what, want, got := v.step(o); want != "" {
			return wrong{name + ": " + what, want, got}
		}
		if t := v.c.templates.values[o.template]; t != v.Template { //guard:TestLives$
			return wrong{name + ": its template", fmt.Sprint(v.Template), fmt.Sprint(t)}
		}
		if o.status != v.status || o.redeemed != v.redeemed || o.end != v.end() { //guard:TestLives$
			return wrong{name + ": the voucher after it", showState(v.status, v.redeemed, v.end()), showState(o.status, o.redeemed, o.end)}
		}
		v.changed = o.at
	}
	v.checkExpired(x, math.MaxInt, nil)
	return wrong{}
}

func showState(status benefit.VoucherStatus, redeemed int64, end benefit.Instant) string {
	return fmt.Sprintf("%v, %d redeemed, end %d", status, redeemed, int64(end))
}

// end returns the first instant at which the voucher is expired; 0: never. What was issued ends with the second that the wire
// shows.
func (v *walk) end() benefit.Instant {
	if v.ownEnd != 0 || v.Valid.End == 0 {
		return v.ownEnd
	}
	return v.Valid.End - v.Valid.End%1000 + 1000
}

// value returns what can be redeemed in all.
func (v *walk) value() int64 {
	if v.Kind == benefit.Cash {
		return v.amount
	}
	return 1
}

// step checks that the operation was possible, and carries it out; want is empty when it was.
func (v *walk) step(o *operation) (what, want, got string) {
	v.left = append(v.left, 0)
	if earliest := max(v.At, v.changed); o.at < earliest { //guard:TestLives$
		return "its instant", fmt.Sprintf("%d or later", int64(earliest)), fmt.Sprint(int64(o.at))
	}
	if o.kind == benefit.ReverseOperation {
		return v.reverse(o)
	}
	if v.status != benefit.Issued { //guard:TestLives$
		return "the voucher before it", benefit.Issued.String(), v.status.String()
	}
	switch end := v.end(); o.kind {
	case benefit.RedeemOperation:
		if o.at < v.Valid.Start || end != 0 && o.at >= end { //guard:TestLives$
			return "its instant", fmt.Sprintf("from %d to before %d", int64(v.Valid.Start), int64(end)), fmt.Sprint(int64(o.at))
		}
		return v.redeem(o)
	case benefit.VoidOperation:
		if v.redeemed != 0 { //guard:TestLives$
			return "redeemed before it", "0", fmt.Sprint(v.redeemed)
		}
		v.status = benefit.Voided
	case benefit.ExtendOperation:
		const years = 10
		latest := benefit.InstantOf(o.at.Time().AddDate(years, 0, 0))
		//guard:TestLives$
		if earliest := max(end, v.Valid.Start, o.at) + 1; end == 0 || o.end < earliest || o.end > latest {
			return "the new end", fmt.Sprintf("%d to %d, of a voucher that had one", int64(earliest), int64(latest)), fmt.Sprint(int64(o.end))
		}
		v.ownEnd, v.endedByCommand = o.end, false //guard:TestHealthyExpiry$ o.end, false -> o.end, v.endedByCommand
	case benefit.ExpireOperation:
		if end != 0 && o.at >= end { //guard:TestLives$
			return "its instant", fmt.Sprintf("before %d", int64(end)), fmt.Sprint(int64(o.at))
		}
		v.ownEnd, v.endedByCommand = o.at, true
	default:
		return "its kind", "a command for vouchers", o.kind.String()
	}
	if o.value != 0 { //guard:TestLives$
		return "its value", "0", fmt.Sprint(o.value)
	}
	return "", "", ""
}

// redeem checks a redemption: what it takes is there, and the discount is what the face gives for the order.
func (v *walk) redeem(o *operation) (what, want, got string) {
	if balance := v.value() - v.redeemed; o.value < 1 || o.value > balance || v.Kind != benefit.Cash && o.value != balance { //guard:TestLives$
		return "its value", fmt.Sprintf("1 to %d, which is left", balance), fmt.Sprint(o.value)
	}
	if discount, possible := v.discount(o); !possible { //guard:TestLives$
		return "the amount of its order in fen", "one for which the face gives a discount", fmt.Sprint(o.orderAmount)
	} else if discount != o.discount { //guard:TestLives$
		return "its discount in fen", fmt.Sprint(discount), fmt.Sprint(o.discount)
	}
	v.redeemed += o.value
	v.left[len(v.left)-1] = o.value
	if v.redeemed == v.value() {
		v.status = benefit.Used
	}
	return "", "", ""
}

// discount returns by how much the face reduces the order of a redemption, and whether it does so at all. An order amount of 0
// means that none was given.
func (v *walk) discount(o *operation) (fen int64, possible bool) {
	order, face := o.orderAmount, v.Face
	switch v.Kind {
	case benefit.Cash:
		return o.value, order == 0 || order >= o.value
	case benefit.Reduction:
		return min(int64(face.Reduction), order), order > 0 && order >= int64(face.Threshold)
	case benefit.Discount:
		off := new(big.Int).Mul(big.NewInt(order), big.NewInt(10_000-face.Percent))
		fen = off.Quo(off, big.NewInt(10_000)).Int64()
		if face.Ceiling > 0 && fen > int64(face.Ceiling) {
			fen = int64(face.Ceiling)
		}
		return fen, order > 0 && order >= int64(face.Threshold)
	case benefit.FixedPrice:
		return order - int64(face.Price), order > int64(face.Price) && order > 0
	}
	return 0, order >= 0
}

// reverse checks a reversal: it gives back what an earlier redemption took and no other reversal has given back.
func (v *walk) reverse(o *operation) (what, want, got string) {
	k := int(o.redemption) - 1
	if k < 0 || k >= len(v.left)-1 || v.left[k] < 1 || o.value < 1 || o.value > v.left[k] || v.Kind != benefit.Cash && o.value != v.left[k] { //guard:TestLives$
		var left int64
		if k >= 0 && k < len(v.left) {
			left = v.left[k]
		}
		return fmt.Sprintf("what it gives back of redemption %d", o.redemption), fmt.Sprintf("1 to %d, which is left of it", left), fmt.Sprint(o.value)
	}
	v.left[k] -= o.value
	v.redeemed -= o.value
	if v.status == benefit.Used {
		v.status = benefit.Issued
	}
	return "", "", ""
}

// entries compares the list of the voucher's operations with them.
func (v *walk) entries(x *life) wrong {
	name := func(k int) string { return fmt.Sprintf("operation %d in its list", k+1) }
	for k := range x.entries {
		if x.entries[k].Number != int64(k+1) { //guard:TestLives$
			return wrong{name(k), "an entry", fmt.Sprint("one of number ", x.entries[k].Number)}
		}
	}
	switch all, listed := len(x.operations), len(x.entries); {
	case listed < all: //guard:TestLives$
		return wrong{name(listed), "an entry", "none"}
	case listed > all: //guard:TestLives$
		return wrong{name(all), "none, as there is no such operation", "an entry"}
	}
	for k, got := range x.entries {
		o := &x.operations[k]
		want := benefit.VoucherOperation{OperationID: got.OperationID, Kind: o.kind, Claim: o.claim, Value: o.value}
		if o.kind == benefit.RedeemOperation {
			want.Reversed = o.value - v.left[k]
		}
		if want != got { //guard:TestLives$
			return wrong{name(k), showEntry(want, true), showEntry(got, got.Claim == want.Claim)}
		}
	}
	return wrong{}
}

func showEntry(e benefit.VoucherOperation, itself bool) string {
	leads := "itself"
	if !itself {
		leads = "another operation"
	}
	return fmt.Sprintf("%v, value %d, %d reversed, leading to %s", e.Kind, e.Value, e.Reversed, leads)
}

// state compares the voucher's state with what its operations make of it.
func (v *walk) state(x *life) wrong {
	want := benefit.VoucherState{
		Voucher: v.voucher, Status: v.status, Operations: int64(len(x.operations)), Redeemed: v.redeemed, End: v.ownEnd, At: v.changed,
	}
	switch {
	case len(x.operations) == 0 && !x.hasState: // only its end has passed
		return wrong{}
	case len(x.operations) == 0: //guard:TestLives$
		return wrong{"its state", "none, as there are no operations", showRow(x.state)}
	case !x.hasState: //guard:TestLives$
		return wrong{"its state", showRow(want), "none"}
	case want != x.state: //guard:TestLives$
		return wrong{"its state", showRow(want), showRow(x.state)}
	}
	return wrong{}
}

func showRow(s benefit.VoucherState) string {
	return fmt.Sprintf("%v, %d operations, %d redeemed, end %d, the last at %d", s.Status, s.Operations, s.Redeemed, int64(s.End), int64(s.At))
}
