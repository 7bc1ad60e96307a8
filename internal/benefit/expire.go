package benefit

import "faquan/internal/table"

// Expire ends the validity of a voucher now.
type Expire struct{}

// Operation returns ExpireOperation.
func (Expire) Operation() OperationKind { return ExpireOperation }

func (Expire) check() error { return nil }

func (Expire) texts() []string { return nil }

// rows asks for what tells that the voucher was once extended to just now.
func (Expire) rows(b *Batch, v *Voucher) { ExpiryDues.Want(&b.rows, DueKey(v.Template, b.Now, v.ID)) }

func (Expire) apply(b *Batch, v *Voucher, _ *Transition) (Reason, []table.Rows) {
	if reason := v.ended(); reason != NotRefused { //guard:TestVoidRefusals
		return reason, nil
	}
	if v.StatusAt(b.Now) == Expired { //guard:TestExpireRefusals
		return VoucherExpired, nil
	}
	v.OwnEnd = b.Now
	if due, _ := ExpiryDues.Get(&b.rows, DueKey(v.Template, b.Now, v.ID)); due.At != 0 { // else the end would have a second event
		due.At = b.Now
		return NotRefused, []table.Rows{ExpiryDues.Rows(due)}
	}
	return NotRefused, nil
}
