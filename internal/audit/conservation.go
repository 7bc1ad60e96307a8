package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
)

// Balance is what has become of all that was issued of a template. Issued is the sum of the others.
type Balance struct {
	Template benefit.TemplateID `json:"template"`
	Name     string             `json:"name,omitzero"` // empty when it is not in the catalogue
	Issued   Tally              `json:"issued"`
	Sending  Tally              `json:"sending"` // a downstream has them
	Live     Tally              `json:"live"`    // neither redeemed as a whole nor expired
	Used     Tally              `json:"used"`
	Expired  Tally              `json:"expired"`
	Voided   Tally              `json:"voided"`   // the stock keeps counting them
	Returned Tally              `json:"returned"` // voided, and given back to the stock
}

// Tally is a number of vouchers, and what they are worth together.
type Tally struct {
	Vouchers int64 `json:"vouchers"`
	Fen      int64 `json:"fen"`
}

func (t Tally) String() string { return fmt.Sprintf("%d vouchers, %d fen", t.Vouchers, t.Fen) }

func (t *Tally) add(n, fen int64) {
	t.Vouchers += n
	t.Fen += fen
}

// balance returns the balance of a template.
func (c *recount) balance(t benefit.TemplateID) *Balance {
	b := c.balances[t]
	if b == nil {
		b = &Balance{Template: t}
		c.balances[t] = b
	}
	return b
}

// take takes the vouchers of a line as they were issued.
func (b *Balance) take(l lineRef, now benefit.Instant, n, fen int64) {
	v := walk{lineRef: l}
	b.Issued.add(n, fen)
	b.class(l.statusOf(), v.end(), now, false).add(n, fen)
}

// class returns the tally of the vouchers in a state.
func (b *Balance) class(status benefit.VoucherStatus, end, now benefit.Instant, returned bool) *Tally {
	switch status {
	case benefit.Issued:
		if end != 0 && now >= end {
			return &b.Expired
		}
		return &b.Live
	case benefit.Sending:
		return &b.Sending
	case benefit.Used:
		return &b.Used
	case benefit.Voided:
		if returned { //guard:TestHealthyLives$
			return &b.Returned
		}
		return &b.Voided
	}
	return new(Tally) // one of no state that there is counts nowhere
}

// move moves a voucher from where its line has put it to where its state row has it.
func (b *Balance) move(v *walk, x *life) {
	if !x.hasState {
		return
	}
	now := v.c.o.Now
	issued := walk{lineRef: v.lineRef}
	end := cmp.Or(x.state.End, issued.end())
	b.class(v.statusOf(), issued.end(), now, false).add(-1, -v.amount)
	b.class(x.state.Status, end, now, slices.ContainsFunc(x.operations, func(o operation) bool { return o.seen != nil })).add(1, v.amount)
}

// showBalances puts the balances into the report.
func (c *recount) showBalances() {
	for _, t := range slices.Sorted(maps.Keys(c.balances)) {
		b := c.balances[t]
		if now := c.rules.now.Templates[t]; now != nil {
			b.Name = now.Name
		}
		if b.Issued.Vouchers > 0 {
			c.report.Balances = append(c.report.Balances, *b)
		}
	}
}

// settleBalance checks that a template's counters are what was issued less what was returned, by the states of its vouchers.
func (c *recount) settleBalance(b *Balance, counters sum) {
	held := Tally{counters.count, counters.amount}
	var states Tally
	for _, t := range []Tally{b.Sending, b.Live, b.Used, b.Expired, b.Voided} {
		states.add(t.Vouchers, t.Fen)
	}
	if states != held { //guard:TestLives$
		c.find(Finding{
			Conservation, fmt.Sprint("template ", b.Template),
			fmt.Sprintf("%v, by the states of its vouchers (%v issued, %v voided and returned)", states, b.Issued, b.Returned),
			held.String() + ", by its counters",
		})
	}
}
