package benefit

import (
	"errors"

	"faquan/internal/money"
	"faquan/internal/table"
)

// Reverse gives back what a redemption took, to the voucher, whose end stays as it is. Of a CASH voucher that may be a
// part.
type Reverse struct {
	Redemption OperationID
	// Amount is what to give back to a CASH voucher, in fen. Without it it is all that is left of the redemption.
	Amount    money.Fen
	HasAmount bool
}

// Operation returns ReverseOperation.
func (*Reverse) Operation() OperationKind { return ReverseOperation }

func (r *Reverse) check() error {
	if r.Redemption.Voucher <= 0 || r.Redemption.Number <= 0 {
		return errors.New("a redemption must be named")
	}
	return nil
}

func (r *Reverse) texts() []string { return []string{optional(r.Amount, r.HasAmount)} }

func (r *Reverse) rows(b *Batch, _ *Voucher) { VoucherOperations.Want(&b.rows, r.Redemption) }

func (r *Reverse) apply(b *Batch, v *Voucher, t *Transition) (Reason, []table.Rows) {
	redemption, loaded := VoucherOperations.Get(&b.rows, r.Redemption)
	if !loaded {
		panic("benefit: the redemption " + r.Redemption.String() + " was not loaded")
	}
	left := redemption.Value - redemption.Reversed
	value := left
	if r.HasAmount {
		value = int64(r.Amount)
	}
	switch {
	case redemption.Kind != RedeemOperation: //guard:TestReverseRefusals
		return RedemptionNotFound, nil
	case r.HasAmount && v.Kind != Cash: //guard:TestReverseRefusals
		return AmountNotAllowed, nil
	case r.HasAmount && value <= 0: //guard:TestReverseRefusals value <= 0 -> value < 0
		return AmountOutOfRange, nil
	case value > left, left == 0: //guard:TestReverseRefusals value > left, left == 0 -> value > left
		return ReversalTooLarge, nil
	}
	redemption.Reversed += value
	v.Redeemed -= value
	if v.Status == Used { //guard:TestReverse$
		v.Status = Issued
	}
	t.Value, t.Redemption = value, redemption.Number
	return NotRefused, []table.Rows{VoucherOperations.Rows(redemption)}
}
