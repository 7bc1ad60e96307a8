package benefit

import "faquan/internal/table"

// Expire ends the validity of a voucher now.
type Expire struct{}

// Operation returns ExpireOperation.
func (Expire) Operation() OperationKind { return ExpireOperation }

func (Expire) check() error { return nil }

func (Expire) texts() []string { return nil }

func (Expire) rows(*Batch, *Voucher) {}

func (Expire) apply(b *Batch, v *Voucher, _ *Transition) (Reason, []table.Rows) {
	if reason := v.ended(); reason != NotRefused { //guard:TestVoidRefusals
		return reason, nil
	}
	if v.StatusAt(b.Now) == Expired { //guard:TestExpireRefusals
		return VoucherExpired, nil
	}
	v.OwnEnd = b.Now
	return NotRefused, nil
}
