package benefit

import (
	"strconv"

	"faquan/internal/table"
)

// maxYears is how far away from now the end of an extended voucher may be, in years.
const maxYears = 10

// Extend moves the end of a voucher to a later instant. An expired voucher is valid again.
type Extend struct {
	End Instant // the first instant at which it is expired
}

// Operation returns ExtendOperation.
func (*Extend) Operation() OperationKind { return ExtendOperation }

func (*Extend) check() error { return nil }

func (e *Extend) texts() []string { return []string{strconv.FormatInt(int64(e.End), 10)} }

func (e *Extend) rows(b *Batch, v *Voucher) {
	ExpiryDues.Want(&b.rows, DueKey(v.Template, e.End, v.ID))
}

func (e *Extend) apply(b *Batch, v *Voucher, _ *Transition) (Reason, []table.Rows) {
	if reason := v.ended(); reason != NotRefused { //guard:TestExtendRefusals
		return reason, nil
	}
	switch end := v.End(); {
	case end == 0 || e.End <= max(end, v.Valid.Start, b.Now): //guard:TestExtendRefusals e.End <= max(end, v.Valid.Start, b.Now) -> e.End < max(end, v.Valid.Start, b.Now)
		return EndNotLater, nil
	case e.End > InstantOf(b.Now.Time().AddDate(maxYears, 0, 0)): //guard:TestExtendRefusals e.End > -> e.End >=
		return EndTooFar, nil
	}
	v.OwnEnd = e.End
	due := ExpiryDue{DueKey(v.Template, e.End, v.ID), v.Template, b.Now} //guard:internal/expiry.TestEnds DueKey(v.Template -> DueKey(0
	return NotRefused, []table.Rows{ExpiryDues.Rows(due)}
}
