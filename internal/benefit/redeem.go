package benefit

import (
	"cmp"
	"math/bits"
	"strconv"

	"faquan/internal/money"
	"faquan/internal/table"
)

// Redeem redeems a voucher that is issued, started and not expired, and whose user is not frozen. What it takes of the
// voucher, and by how much the order is reduced, depends on the kind; see discount. A CASH voucher may be redeemed in
// parts, all others as a whole.
type Redeem struct {
	Order string // of the merchant; empty: none. At most MaxOrder characters
	Shop  string // at most MaxOrder characters
	// OrderAmount is required for REDUCTION, DISCOUNT and FIXED_PRICE, in fen.
	OrderAmount    money.Fen
	HasOrderAmount bool
	// Amount is what to take of a CASH voucher, in fen. Without it it is as much as the order or the balance allows.
	Amount    money.Fen
	HasAmount bool
}

// Operation returns RedeemOperation.
func (*Redeem) Operation() OperationKind { return RedeemOperation }

func (r *Redeem) check() error {
	return cmp.Or(checkLength("order", r.Order, MaxOrder), checkLength("shop", r.Shop, MaxOrder))
}

func (r *Redeem) texts() []string {
	return []string{r.Order, r.Shop, optional(r.OrderAmount, r.HasOrderAmount), optional(r.Amount, r.HasAmount)}
}

// optional returns a text for an amount that may be absent.
func optional(amount money.Fen, given bool) string {
	if !given {
		return ""
	}
	return strconv.FormatInt(int64(amount), 10)
}

func (*Redeem) rows(*Batch, *Voucher) {}

func (r *Redeem) apply(b *Batch, v *Voucher, t *Transition) (Reason, []table.Rows) {
	if reason := v.ended(); reason != NotRefused { //guard:TestVoucherReasonsInOrder
		return reason, nil
	}
	switch u := b.user(v.User); {
	case v.StatusAt(b.Now) == Expired: //guard:TestVoucherEnd
		return VoucherExpired, nil
	case v.Valid.StartsAfter(b.Now): //guard:TestRedeemRefusals
		return VoucherNotStarted, nil
	case u == nil:
		return UserNotFound, nil
	case u.Frozen: //guard:TestVoucherReasonsInOrder
		return UserFrozen, nil
	}
	value, discount, reason := r.discount(v)
	if reason != NotRefused {
		return reason, nil
	}
	v.Redeemed += value
	if v.Balance() == 0 { //guard:TestRedeemCash
		v.Status = Used
	}
	t.Value, t.Discount, t.Order, t.Shop = value, discount, r.Order, r.Shop
	if r.HasOrderAmount {
		t.OrderAmount = r.OrderAmount
	}
	if r.Order == "" {
		return NotRefused, nil
	}
	var merchant MerchantID
	if of := b.Catalogue.Templates[v.Template]; of != nil {
		merchant = of.Merchant
	}
	row := OrderRedemption{OrderKey{OrderDigest(merchant, r.Order), t.OperationID}, b.Now}
	return NotRefused, []table.Rows{OrderRedemptions.Rows(row)}
}

// discount returns what is taken of the voucher's value, and by how much the order is reduced.
func (r *Redeem) discount(v *Voucher) (value int64, discount money.Fen, reason Reason) {
	needsOrder := v.Kind == Reduction || v.Kind == Discount || v.Kind == FixedPrice
	switch {
	case r.HasAmount && v.Kind != Cash: //guard:TestRedeemRefusals
		return 0, 0, AmountNotAllowed
	case !r.HasOrderAmount && needsOrder: //guard:TestRedeemRefusals
		return 0, 0, AmountMissing
	case r.HasOrderAmount && r.OrderAmount <= 0: //guard:TestRedeemRefusals r.OrderAmount <= 0 -> r.OrderAmount < 0
		return 0, 0, AmountOutOfRange
	}
	switch v.Kind {
	case Cash:
		return r.cash(v)
	case Reduction, Discount:
		if r.OrderAmount < v.Face.Threshold { //guard:TestDiscounts r.OrderAmount < v.Face.Threshold -> r.OrderAmount <= v.Face.Threshold
			return 0, 0, ThresholdNotMet
		}
		if v.Kind == Reduction {
			return 1, min(v.Face.Reduction, r.OrderAmount), NotRefused
		}
		return 1, percentOff(r.OrderAmount, v.Face), NotRefused
	case FixedPrice:
		if r.OrderAmount <= v.Face.Price { //guard:TestDiscounts r.OrderAmount <= v.Face.Price -> r.OrderAmount < v.Face.Price
			return 0, 0, ThresholdNotMet
		}
		return 1, r.OrderAmount - v.Face.Price, NotRefused
	}
	return 1, 0, NotRefused
}

// cash returns the amount that is taken of a CASH voucher.
func (r *Redeem) cash(v *Voucher) (value int64, discount money.Fen, reason Reason) {
	balance := money.Fen(v.Balance())
	amount := balance
	switch {
	case r.HasAmount:
		amount = r.Amount
	case r.HasOrderAmount:
		amount = min(balance, r.OrderAmount)
	}
	switch {
	case amount <= 0, r.HasOrderAmount && amount > r.OrderAmount: //guard:TestRedeemCash amount <= 0, r.HasOrderAmount && amount > r.OrderAmount -> amount <= 0
		return 0, 0, AmountOutOfRange
	case amount > balance: //guard:TestRedeemCash
		return 0, 0, BalanceNotEnough
	}
	return int64(amount), amount, NotRefused
}

// percentOff returns what a DISCOUNT takes off an order, rounded down, at most the ceiling.
func percentOff(order money.Fen, face Face) money.Fen {
	high, low := bits.Mul64(uint64(order), uint64(10_000-face.Percent))
	off, _ := bits.Div64(high, low, 10_000) // it is not more than the order, so nothing overflows
	if face.Ceiling != 0 {
		return min(money.Fen(off), face.Ceiling) //guard:TestDiscounts min(money.Fen(off), face.Ceiling) -> money.Fen(off)
	}
	return money.Fen(off)
}
