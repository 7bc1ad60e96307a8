package benefit_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	. "faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// What a voucher is worth, by kind.
func TestAmountByKind(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Template)
		line   Line
		want   money.Fen
		reason Reason
	}{
		{"fixed", cash(Fixed, 88, 88), Line{}, 88, NotRefused},
		{"from the request", cash(FromRequest, 1, 100), Line{HasAmount: true, Amount: 7}, 7, NotRefused},
		{"from the request, the least", cash(FromRequest, 1, 100), Line{HasAmount: true, Amount: 1}, 1, NotRefused},
		{"from the request, the most", cash(FromRequest, 1, 100), Line{HasAmount: true, Amount: 100}, 100, NotRefused},
		{"from the request, too little", cash(FromRequest, 1, 100), Line{HasAmount: true}, 0, AmountOutOfRange},
		{"from the request, too much", cash(FromRequest, 1, 100), Line{HasAmount: true, Amount: 101}, 0, AmountOutOfRange},
		{"from the request, missing", cash(FromRequest, 0, 100), Line{}, 0, AmountMissing},
		{"random, one amount", cash(Random, 5, 5), Line{}, 5, NotRefused},
		{"random, not allowed", cash(Random, 5, 5), Line{HasAmount: true, Amount: 5}, 0, AmountNotAllowed},
		{"reduction", func(t *Template) { t.Kind, t.Face = Reduction, Face{Reduction: 500, Threshold: 3000} }, Line{}, 500, NotRefused},
		{"discount", func(t *Template) { t.Kind, t.Face = Discount, Face{Percent: 8500, Ceiling: 900} }, Line{}, 0, NotRefused},
		{"fixed price", func(t *Template) { t.Kind, t.Face = FixedPrice, Face{Price: 100} }, Line{}, 0, NotRefused},
		{"exchange", func(t *Template) { t.Kind, t.Face = Exchange, Face{} }, Line{}, 0, NotRefused},
		{"exchange, not allowed", func(t *Template) { t.Kind, t.Face = Exchange, Face{} }, Line{HasAmount: true}, 0, AmountNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl := template(1, c.change)
			d := newDesk(t, tmpl)
			c.line.Template, c.line.Sends, c.line.Quantity = 1, 1, 1
			o := d.wants(c.reason, request("k", "a", 1, lines(c.line)))
			if c.reason != NotRefused {
				return
			}
			v := o.Issuance.Vouchers()[0]
			if v.Amount != c.want || v.Kind != tmpl.Kind || v.Face != tmpl.Face {
				t.Errorf("the voucher is worth %d, %+v", v.Amount, v)
			}
			if got := storetest.RowsOf(d.contents(), TemplateCounts)[0].Amount; got != int64(c.want) {
				t.Errorf("the budget is charged %d", got)
			}
		})
	}
}

// A random amount is drawn between the least and the most, or what is left; it is refused only below the least,
// so that a budget is given away to within less than the least voucher.
func TestRandomAmounts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lowest := rapid.Int64Range(0, 20).Draw(rt, "least")
		highest := lowest + rapid.Int64Range(0, 100).Draw(rt, "spread")
		budget := Cap(rapid.Int64Range(0, 400).Draw(rt, "budget"))
		perDay := Cap(rapid.SampledFrom([]int64{-1, 150, 400}).Draw(rt, "per day"))
		d := newDesk(t, template(1, cash(Random, lowest, highest), func(t *Template) {
			t.Stock.Amount, t.Stock.AmountPerDay, t.Stock.Count = budget, perDay, 60
		}))
		left := func() int64 {
			given := int64(0)
			if c := storetest.RowsOf(d.contents(), TemplateCounts); len(c) > 0 {
				given = c[0].Amount
			}
			return min(budget.Room(given), perDay.Room(given))
		}
		for n := range 80 {
			quantity := rapid.IntRange(1, 3).Draw(rt, "quantity")
			all := []Line{{Template: 1, Sends: 1, Quantity: quantity}}
			if rapid.Bool().Draw(rt, "two lines") {
				all = append(all, Line{Template: 1, Sends: 1, Quantity: 1})
			}
			before := left()
			o := d.ask(request(fmt.Sprint(n), "a", 1, lines(all...)))
			if o.Issuance != nil {
				for _, v := range o.Issuance.Vouchers() {
					if int64(v.Amount) < lowest || int64(v.Amount) > highest || int64(v.Amount) > before {
						rt.Fatalf("drew %d of [%d, %d] with %d left", v.Amount, lowest, highest, before)
					}
				}
			}
			for k, l := range o.Lines {
				if l.Reason == StockEmpty {
					return
				}
				if k == 0 && (l.Issued == 1) != (before >= lowest*int64(quantity)) {
					rt.Fatalf("%d of at least %d with %d left: issued %d", quantity, lowest, before, l.Issued)
				}
				if k == 1 && l.Issued == 0 && left() >= lowest {
					rt.Fatalf("the second line is refused with %d left, and the least is %d", left(), lowest)
				}
			}
		}
	})
}

// Every amount of the range is drawn, both ends included.
func TestRandomAmountsCoverTheRange(t *testing.T) {
	d := newDesk(t, template(1, cash(Random, 3, 6)))
	seen := map[money.Fen]int{}
	for n := range 200 {
		seen[d.ask(request(fmt.Sprint(n), "a", 1)).Issuance.Vouchers()[0].Amount]++
	}
	if len(seen) != 4 {
		t.Errorf("drew %v", seen)
	}
	for amount, n := range seen {
		if n < 20 {
			t.Errorf("drew %d only %d times of 200", amount, n)
		}
	}
}

func TestLastFenCanBeGiven(t *testing.T) {
	d := newDesk(t, template(1, cash(Random, 1, 100), func(t *Template) { t.Stock.Amount = 1234 }))
	n := 0
	for ; d.ask(request(fmt.Sprint(n), "a", 1)).Reason == NotRefused; n++ {
	}
	if got := storetest.RowsOf(d.contents(), TemplateCounts)[0].Amount; got != 1234 || n < 13 {
		t.Errorf("gave away %d fen in %d vouchers", got, n)
	}
	d.wants(BudgetEmpty, request("more", "a", 1))
}
