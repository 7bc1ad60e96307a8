package oracle

import (
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// amount counts vouchers and fen.
type amount struct{ vouchers, fen int64 }

func (a *amount) add(vouchers, fen int64) { a.vouchers, a.fen = a.vouchers+vouchers, a.fen+fen }

// balances are what has become of the vouchers of a template.
type balances struct {
	issued   amount
	left     amount // live, or expired; of a CASH voucher what is left of it
	redeemed amount // used; of a CASH voucher what is redeemed
	kept     amount // void, and counted
	returned amount // void, and not counted
	counted  amount
	days     map[benefit.Day]*amount // issued on each, less what was returned and what is counted: always 0
}

// CheckConservation checks whether nothing is lost and nothing is made, in vouchers and in fen, by the rows of a store alone:
// of each template issued = left + redeemed + kept + returned, and counted = issued - returned, in total and per day of issue.
// What is redeemed and void is what the operations say, what is left of a voucher what its state says.
func CheckConservation(issuances []*benefit.Issuance, rows map[string][]any) error {
	all := map[benefit.TemplateID]*balances{}
	of := func(t benefit.TemplateID) *balances {
		if all[t] == nil {
			all[t] = &balances{days: map[benefit.Day]*amount{}}
		}
		return all[t]
	}
	day := func(t benefit.TemplateID, d benefit.Day) *amount {
		if b := of(t); b.days[d] == nil {
			b.days[d] = &amount{}
		}
		return of(t).days[d]
	}
	states := map[id.ID]benefit.VoucherState{}
	for _, row := range rows[benefit.VoucherStates.Name] {
		s := row.(benefit.VoucherState)
		states[s.Voucher] = s
	}
	redeemed, voids := map[id.ID]int64{}, map[id.ID]*amount{} // where to count the voucher
	for _, row := range rows[benefit.Operations.Name] {
		op := row.(benefit.Operation)
		if op.Kind < benefit.RedeemOperation || op.Kind > benefit.VoidOperation {
			continue
		}
		t, err := benefit.DecodeTransition(&op)
		switch {
		case err != nil:
			return err
		case t.Kind == benefit.RedeemOperation:
			redeemed[t.Voucher] += t.Value
		case t.Kind == benefit.ReverseOperation:
			redeemed[t.Voucher] -= t.Value
		case voids[t.Voucher] != nil:
			return fmt.Errorf("voucher %d was voided twice", t.Voucher)
		case t.ReturnStock:
			voids[t.Voucher] = &of(t.Template).returned
		default:
			voids[t.Voucher] = &of(t.Template).kept
		}
	}
	for _, i := range issuances {
		for _, v := range i.Vouchers() {
			b, s := of(v.Template), states[v.ID]
			delete(states, v.ID)
			whole, fen := int64(1), int64(v.Amount)
			inFen := func(n int64) int64 { return n * fen } // of a part of its value
			if v.Kind == benefit.Cash {
				whole, inFen = fen, func(n int64) int64 { return n }
			}
			b.issued.add(1, fen)
			day(v.Template, v.IssuedAt.Day()).add(1, fen)
			used, void := redeemed[v.ID] == whole, voids[v.ID]
			b.redeemed.add(0, inFen(redeemed[v.ID]))
			switch s.Status {
			case 0, benefit.Issued:
				if void == nil && !used {
					b.left.add(1, fen-inFen(s.Redeemed))
				}
			case benefit.Used:
				if void == nil && used && s.Redeemed == whole {
					b.redeemed.add(1, 0)
				}
			case benefit.Voided:
				if void != nil && s.Redeemed == 0 {
					void.add(1, fen)
				}
				if void == &b.returned {
					day(v.Template, v.IssuedAt.Day()).add(-1, -fen)
				}
			}
		}
	}
	for v, s := range states {
		return fmt.Errorf("voucher %d was not issued, and its state is %+v", v, s)
	}
	for _, row := range rows[benefit.TemplateCounts.Name] {
		c := row.(benefit.TemplateCount)
		of(c.Template).counted.add(c.Count, c.Amount)
	}
	for _, row := range rows[benefit.TemplateDays.Name] {
		c := row.(benefit.TemplateDay)
		day(c.Template, c.Day).add(-c.Count, -c.Amount)
	}
	for _, t := range slices.Sorted(maps.Keys(all)) {
		if err := all[t].check(); err != nil {
			return fmt.Errorf("template %d: %w", t, err)
		}
	}
	return nil
}

func (b *balances) check() error {
	sum := b.left
	for _, more := range []amount{b.redeemed, b.kept, b.returned} {
		sum.add(more.vouchers, more.fen)
	}
	if sum != b.issued {
		return fmt.Errorf("issued %v, of which left %v, redeemed %v, void %v, void and returned %v", b.issued, b.left, b.redeemed, b.kept, b.returned)
	}
	sum = b.counted
	if sum.add(b.returned.vouchers, b.returned.fen); sum != b.issued {
		return fmt.Errorf("issued %v and returned %v, and counted are %v", b.issued, b.returned, b.counted)
	}
	for d, left := range b.days {
		if *left != (amount{}) {
			return fmt.Errorf("the counters of %v miss %v", d, *left)
		}
	}
	return nil
}
