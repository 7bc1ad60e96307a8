package oracle_test

import (
	"maps"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/oracle"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// wrongOnVoucher change an outcome of a command on a voucher in one way each.
var wrongOnVoucher = map[string]func(o *benefit.VoucherOutcome){
	"the reason":     func(o *benefit.VoucherOutcome) { o.Reason++ },
	"replayed":       func(o *benefit.VoucherOutcome) { o.Replayed = !o.Replayed },
	"the number":     func(o *benefit.VoucherOutcome) { o.Transition.Number++ },
	"the app":        func(o *benefit.VoucherOutcome) { o.Transition.App++ },
	"the value":      func(o *benefit.VoucherOutcome) { o.Transition.Value++ },
	"the discount":   func(o *benefit.VoucherOutcome) { o.Transition.Discount++ },
	"the order":      func(o *benefit.VoucherOutcome) { o.Transition.Order += "x" },
	"the redemption": func(o *benefit.VoucherOutcome) { o.Transition.Redemption++ },
	"the user's day": func(o *benefit.VoucherOutcome) { o.Transition.Seen.UserDay++ },
	"the end":        func(o *benefit.VoucherOutcome) { o.Transition.End++ },
	"the status":     func(o *benefit.VoucherOutcome) { o.Voucher.Status++ },
	"the balance":    func(o *benefit.VoucherOutcome) { o.Voucher.Redeemed++ },
	"the voucher":    func(o *benefit.VoucherOutcome) { o.Voucher.ID++ },
}

// wrongly is a call whose outcome is judged wrong in every way before it is judged.
type wrongly struct {
	*oracle.OnVoucher
	t     *testing.T
	found map[string]int
}

func (c wrongly) Judge(o *oracle.Oracle, now benefit.Instant) error {
	for name, change := range wrongOnVoucher {
		if c.found[name]++; c.found[name] > 200 { // a comparison that finds something takes its time
			continue
		}
		wrong := *c.OnVoucher
		if change(&wrong.Outcome); wrong.Judge(o, now) == nil {
			c.t.Fatalf("%s was changed, and the oracle finds nothing wrong: %v: %s", name, c, c.Result())
		}
	}
	return c.OnVoucher.Judge(o, now)
}

// The oracle finds every wrong outcome of a command on a voucher, and every wrong row.
func TestWrongOnVouchers(t *testing.T) {
	outcomes, rows := map[string]int{}, map[string]int{}
	for seed := range uint64(8) {
		w, st := storetest.NewWorld(storetest.Seeded(seed)), memory.New()
		c := storetest.NewCommitter(st, w.Catalogue(), seed)
		for step, s := 0, w.Setup(); step < 60; step, s = step+1, w.Next() {
			for k, call := range s.Calls {
				if on, ok := call.(*oracle.OnVoucher); ok {
					s.Calls[k] = wrongly{on, t, outcomes}
				}
			}
			if err := w.Do(t.Context(), s, c); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		wrongVoucherRows(t, w.Oracle, st, rows)
	}
	for name := range wrongRows {
		if rows[name] == 0 {
			t.Errorf("no history had a row to make %s", name)
		}
	}
}

// wrongRows change a row of a store in one way each; the second result tells whether vouchers or fen are lost or made by it.
// They report whether there was such a row.
var wrongRows = map[string]struct {
	loses  bool
	change func(rows map[string][]any) bool
}{
	"more redeemed":     {true, ofRow(benefit.VoucherStates.Name, func(s benefit.VoucherState) any { s.Redeemed++; return s })},
	"another status":    {true, ofRow(benefit.VoucherStates.Name, func(s benefit.VoucherState) any { s.Status += 2; return s })},
	"another end":       {false, ofRow(benefit.VoucherStates.Name, func(s benefit.VoucherState) any { s.End++; return s })},
	"another voucher":   {true, ofRow(benefit.VoucherStates.Name, func(s benefit.VoucherState) any { s.Voucher = 1; return s })},
	"more reversed":     {false, ofRow(benefit.VoucherOperations.Name, func(op benefit.VoucherOperation) any { op.Reversed++; return op })},
	"another instant":   {false, ofRow(benefit.OrderRedemptions.Name, func(op benefit.OrderRedemption) any { op.At++; return op })},
	"more counted":      {true, ofRow(benefit.TemplateCounts.Name, func(c benefit.TemplateCount) any { c.Count++; return c })},
	"fewer fen counted": {true, ofRow(benefit.TemplateDays.Name, func(d benefit.TemplateDay) any { d.Amount--; return d })},
	"more of a user":    {false, ofRow(benefit.Quotas.Name, func(q benefit.Quota) any { q.DayTotal++; return q })},
}

// ofRow changes the last row of a kind.
func ofRow[V any](kind string, change func(V) any) func(rows map[string][]any) bool {
	return func(rows map[string][]any) bool {
		all := slices.Clone(rows[kind])
		if len(all) == 0 {
			return false
		}
		last := len(all) - 1
		all[last] = change(all[last].(V))
		rows[kind] = all
		return true
	}
}

func wrongVoucherRows(t *testing.T, o *oracle.Oracle, st *memory.Store, found map[string]int) {
	t.Helper()
	c, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range wrongRows {
		rows := maps.Clone(c.Rows)
		if !wrong.change(rows) {
			continue
		}
		if found[name]++; o.CheckRows(c.Issuances, rows) == nil {
			t.Errorf("%s, and the oracle finds nothing wrong", name)
		}
		if lost := oracle.CheckConservation(c.Issuances, rows); (lost != nil) != wrong.loses {
			t.Errorf("%s: %v", name, lost)
		}
	}
}
