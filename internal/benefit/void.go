package benefit

import (
	"fmt"
	"strconv"

	"faquan/internal/table"
)

// Void ends a voucher of which nothing is redeemed. With ReturnStock the template, the user and the user's person may have
// another one in its place. Participations, the one-second guard and treasure boxes never go back. A repeat window in
// which the voucher would be returned ends in either case.
type Void struct {
	ReturnStock bool
	Memo        string // why, for people; at most MaxMemo characters
}

// Operation returns VoidOperation.
func (*Void) Operation() OperationKind { return VoidOperation }

func (o *Void) check() error { return checkLength("memo", o.Memo, MaxMemo) }

func (o *Void) texts() []string { return []string{strconv.FormatBool(o.ReturnStock)} }

func (o *Void) rows(b *Batch, v *Voucher) {
	if o.ReturnStock {
		TemplateCounts.Want(&b.rows, v.Template)
		TemplateDays.Want(&b.rows, TemplateDayKey{v.Template, v.IssuedAt.Day()})
		Quotas.Want(&b.rows, QuotaKey{v.User, v.Template})
	}
}

func (o *Void) apply(b *Batch, v *Voucher, t *Transition) (Reason, []table.Rows) {
	if reason := v.ended(); reason != NotRefused { //guard:TestVoidRefusals
		return reason, nil
	}
	if v.Redeemed > 0 { //guard:TestVoidRefusals
		return VoucherUsed, nil
	}
	v.Status = Voided
	t.ReturnStock, t.Memo = o.ReturnStock, o.Memo
	if !o.ReturnStock {
		return NotRefused, nil
	}
	issued := v.IssuedAt.Day()
	count, one := TemplateCounts.Get(&b.rows, v.Template)
	day, two := TemplateDays.Get(&b.rows, TemplateDayKey{v.Template, issued})
	quota, three := Quotas.Get(&b.rows, QuotaKey{v.User, v.Template})
	if !one || !two || !three {
		panic(fmt.Sprintf("benefit: the counters of voucher %d were not loaded", v.ID))
	}
	if min(count.Count, day.Count, quota.Total) < 1 || min(count.Amount, day.Amount) < int64(v.Amount) { //guard:TestVoidOfAnUncountedVoucher
		panic(fmt.Sprintf("benefit: voucher %d is not in the counters", v.ID)) // one below 0 would let another be issued
	}
	t.Seen = Counters{
		Count: count.Count, Amount: count.Amount, DayCount: day.Count, DayAmount: day.Amount, User: quota.Total, UserDay: quota.onDay(issued),
	}
	count.Count, count.Amount = count.Count-1, count.Amount-int64(v.Amount)
	day.Count, day.Amount = day.Count-1, day.Amount-int64(v.Amount)
	quota.Total--
	if quota.Day == issued { //guard:TestVoidReturnsStock
		quota.DayTotal--
	}
	return NotRefused, []table.Rows{TemplateCounts.Rows(count), TemplateDays.Rows(day), Quotas.Rows(quota)}
}
