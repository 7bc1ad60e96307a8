package audit

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
)

// lineRef is one line of an issuance.
type lineRef struct {
	i *benefit.Issuance
	k int
	*benefit.IssuedLine
}

func (l lineRef) String() string {
	return fmt.Sprintf("issuance %d, line %d, template %d", l.i.ID, l.k, l.Template)
}

// linesOf iterates over the lines of an issuance.
func linesOf(i *benefit.Issuance) iter.Seq[lineRef] {
	return func(yield func(lineRef) bool) {
		for k := range i.Lines {
			if !yield(lineRef{i, k, &i.Lines[k]}) {
				return
			}
		}
	}
}

// issuedAmounts returns what the vouchers that the line issued are worth. A line that claims to have issued more than it
// holds counts for what it holds.
func (l lineRef) issuedAmounts() []money.Fen {
	return l.Amounts[:max(min(l.Issued*l.Quantity, len(l.Amounts)), 0)]
}

// vouchers returns how many the line issued, and what they are worth together.
func (l lineRef) vouchers() (n, amount int64) {
	n = int64(l.Issued) * int64(l.Quantity)
	for _, a := range l.issuedAmounts() {
		amount += int64(a)
	}
	return n, amount
}

// wrong reports a voucher that is not as it should be.
func (c *recount) wrong(where, what string, want, got any) {
	c.find(Finding{Vouchers, where + ": " + what, fmt.Sprint(want), fmt.Sprint(got)})
}

// issuanceName names an issuance in a finding.
func issuanceName(i *benefit.Issuance) string { return fmt.Sprintf("issuance %d", i.ID) }

// shape checks an issuance as a whole: an id range of its own that its lines fill, and something issued.
func (c *recount) shape(i *benefit.Issuance) {
	if i.ID < c.next {
		c.wrong(issuanceName(i), "its ids", fmt.Sprintf("%d or more, as the issuance before ends there", c.next), i.ID)
	}
	next, issued, size, inActivity := i.ID, 0, 0, false
	for l := range linesOf(i) {
		if l.First != next {
			c.wrong(l.String(), "its first voucher", next, l.First)
		}
		next += id.ID(max(l.Sends*l.Quantity, 0))
		issued += l.Issued
		size += l.Sends * l.Quantity
		inActivity = inActivity || l.Activity != 0
	}
	if size > benefit.MaxRequestVouchers {
		c.wrong(issuanceName(i), "vouchers that it may issue", fmt.Sprint("at most ", benefit.MaxRequestVouchers), size)
	}
	if i.BoxDone && !inActivity {
		c.find(Finding{Boxes, issuanceName(i) + ": a treasure box is done", "false, as there is no activity", "true"})
	}
	c.next = max(c.next, next, i.ID+1)
	if issued == 0 {
		c.wrong(issuanceName(i), "vouchers", "at least one", 0)
	}
	if !benefit.ValidKey(i.Key) || i.Scope == "" {
		c.wrong(issuanceName(i), "its key", "1 to 64 characters, in a scope", "another")
	}
}

// decision checks that an issuance keeps the basis of a choice if and only if a scene chose its lines. The choice is not
// made again: the explanation of the issuance does that, from the basis.
func (c *recount) decision(i *benefit.Issuance) {
	wrong := func(what, want, got string) {
		c.find(Finding{Decisions, issuanceName(i) + ": " + what, want, got})
	}
	if i.Params.SceneCode == "" {
		if i.Basis != nil || len(i.Errors) > 0 { //guard:TestStage$
			wrong("the basis of its choice", "none, as the request named the lines", "one, or names that were missing")
		}
		return
	}
	c.report.Checked.Decisions++
	if slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.Activity == 0 }) { //guard:TestStage$
		wrong("its lines", "each of an activity", "one of none")
	}
	if i.Basis == nil {
		wrong("the basis of its choice", "kept", "none")
	} else if first := i.At(); i.Basis.Now <= 0 || i.Basis.Now > first {
		wrong("the instant of its choice", fmt.Sprintf("at %d or before", int64(first)), fmt.Sprint(int64(i.Basis.Now)))
	}
}

// lineShape checks what holds for every line, whatever its template.
func (c *recount) lineShape(l lineRef) {
	if l.Sends < 1 || l.Quantity < 1 || l.Issued < 0 || l.Issued > l.Sends {
		c.wrong(l.String(), "sends issued", fmt.Sprintf("0 to %d of %d vouchers", l.Sends, l.Quantity), l.Issued)
	}
	if n := l.Sends * l.Quantity; len(l.Amounts) != n && (l.Issued > 0 || len(l.Amounts) > 0) {
		c.wrong(l.String(), "amounts", n, len(l.Amounts))
	}
	if complete := l.Issued == l.Sends; complete != (l.Reason == benefit.NotRefused) {
		c.wrong(l.String(), "its reason", "one if and only if a send was refused", fmt.Sprintf("%v with %d of %d sends issued", l.Reason, l.Issued, l.Sends))
	}
	if (l.Issued > 0) != (l.At > 0) {
		c.wrong(l.String(), "the instant of its issue", "one if and only if something was issued", l.At)
	}
}

// issued takes a line that issued something: into the totals, and before the rules.
func (c *recount) issued(l lineRef) {
	n, amount := l.vouchers()
	c.report.Checked.Vouchers += n
	c.addLineEvents(l, n, amount)
	c.balance(l.Template).take(l, c.o.Now, n, amount)
	c.sum(sumKey{l.Template, inTotal}).add(c.seeds, state{l.Seen.Count, l.Seen.Amount}, n, amount)
	c.sum(sumKey{l.Template, int64(l.At.Day())}).add(c.seeds, state{l.Seen.DayCount, l.Seen.DayAmount}, n, amount)
	if l.Catalogue < l.i.Catalogue || l.Catalogue > c.rules.now.Version {
		c.wrong(l.String(), "its catalogue version", fmt.Sprintf("%d to %d", l.i.Catalogue, c.rules.now.Version), l.Catalogue)
		return
	}
	t, sure := c.rules.at(l.Template, l.Catalogue)
	if t == nil {
		c.wrong(l.String(), "its template", "one in the catalogue", "none")
		return
	}
	j := lineJudge{c, l, t, sure}
	if l.Kind != t.Kind || l.Face != t.Face { // fixed for good once something was issued
		c.wrong(l.String(), "kind and face", fmt.Sprint(t.Kind, t.Face), fmt.Sprint(l.Kind, l.Face))
	}
	if want := validity(t.Valid, l.At); l.Valid != want {
		j.violated(Vouchers, "validity", fmt.Sprint(want.Start, " to ", want.End), fmt.Sprint(l.Valid.Start, " to ", l.Valid.End))
	}
	j.amounts()
	j.caps(n, amount)
}

// lineJudge checks a line against the rules of its template.
type lineJudge struct {
	c *recount
	lineRef
	t    *benefit.Template
	sure bool // the rules are those of the line's version
}

// violated reports a broken rule: a finding if that was the rule then, else a doubt.
func (j lineJudge) violated(invariant Invariant, rule string, want, got any) {
	f := Finding{invariant, j.String() + ": " + rule, fmt.Sprint(want), fmt.Sprint(got)}
	j.c.judge(j.sure, doubtKey{template: j.Template, rule: rule}, f)
}

// amounts checks what the vouchers are worth.
func (j lineJudge) amounts() {
	lowest, highest := money.Fen(0), money.Fen(0)
	switch j.Kind {
	case benefit.Reduction:
		lowest, highest = j.Face.Reduction, j.Face.Reduction
	case benefit.Cash:
		// What is drawn, or fixed, was frozen with the key; what comes with the request is checked when issuing.
		rule := j.t.Amount
		if rule.From != benefit.FromRequest {
			if bound, sure := j.c.rules.at(j.Template, j.i.Catalogue); bound != nil {
				rule, j.sure = bound.Amount, sure
			}
		}
		lowest, highest = rule.Min, rule.Max
		if rule.From == benefit.FromRequest && lowest <= j.Amount && j.Amount <= highest {
			lowest, highest = j.Amount, j.Amount
		}
	default:
	}
	if j.HasAmount != j.t.TakesAmount() {
		j.violated(Vouchers, "an amount in the request", j.t.TakesAmount(), j.HasAmount)
	}
	for k, a := range j.issuedAmounts() {
		if a < lowest || a > highest {
			j.violated(Vouchers, fmt.Sprintf("the amount of voucher %d in fen", j.First+id.ID(k)),
				fmt.Sprintf("%d to %d", lowest, highest), int64(a))
		}
	}
}

// codes checks the certificate codes of a line: what they look like and how many there are. Whether each is the only
// one of its kind is seen with the keys. Codes are drawn when the key is bound, so the length is that of the version of
// then; those for vouchers that were refused stay reserved.
func (c *recount) codes(l lineRef) {
	c.report.Checked.Codes += int64(len(l.Codes))
	t, sure := c.rules.at(l.Template, l.i.Catalogue)
	if t == nil {
		if len(l.Codes) > 0 {
			c.find(Finding{Codes, l.String(), "no certificate codes, as there is no such template", fmt.Sprint(len(l.Codes))})
		}
		return
	}
	j := lineJudge{c, l, t, sure}
	min, limit := l.Issued*l.Quantity, l.Sends*l.Quantity
	if t.Kind != benefit.Certificate {
		min, limit = 0, 0
	}
	if len(l.Codes) < min || len(l.Codes) > limit {
		j.violated(Codes, "certificate codes", fmt.Sprintf("%d to %d", min, limit), len(l.Codes))
		return
	}
	for k, code := range l.Codes {
		if len(code) != t.Code.Digits || strings.Trim(code, "0123456789") != "" {
			j.violated(Codes, fmt.Sprintf("certificate code %d", k+1), fmt.Sprintf("%d digits", t.Code.Digits), "something else")
		}
	}
}

// The rules that bound how much is issued.
const (
	ruleCount       = "stock"
	ruleAmount      = "budget"
	ruleDayCount    = "stock of the day"
	ruleDayAmount   = "budget of the day"
	rulePerUser     = "limit per user"
	rulePerUserADay = "limit per user and day"
	rulePerPerson   = "limit per person"
)

// caps checks the line against stock, budgets and limits, by the counters that it keeps. Whether those are true
// is seen when all lines are there.
func (j lineJudge) caps(n, amount int64) {
	seen, s, limits := j.Seen, j.t.Stock, j.t.Limits // a limit of 0 is none
	if j.sure {                                      // if not: these two cannot be lowered below what is issued, and the totals are checked in the end
		j.bounded(Totals, ruleCount, s.Count, seen.Count, n)
		j.bounded(Totals, ruleAmount, s.Amount, seen.Amount, amount)
	}
	j.bounded(Totals, ruleDayCount, s.CountPerDay, seen.DayCount, n)
	j.bounded(Totals, ruleDayAmount, s.AmountPerDay, seen.DayAmount, amount)
	j.bounded(Limits, rulePerUser, cmp.Or(benefit.Cap(limits.PerUser), benefit.Unlimited), seen.User, n)
	j.bounded(Limits, rulePerUserADay, cmp.Or(benefit.Cap(limits.PerUserPerDay), benefit.Unlimited), seen.UserDay, n)
}

// bounded checks that n more than have stay within the most. Nothing is taken from a cap that takes nothing: a
// voucher worth nothing may come when the budget is gone.
func (j lineJudge) bounded(invariant Invariant, rule string, limit benefit.Cap, have, n int64) {
	if limit == benefit.Unlimited || n == 0 {
		return
	}
	if have > math.MaxInt64-n || have+n > int64(limit) {
		if invariant == Totals {
			j.c.over[j.Template] = true
		}
		j.violated(invariant, rule, fmt.Sprint("at most ", int64(limit)), fmt.Sprintf("%d, of which %d before", have+n, have))
	}
}

// validity returns the window of a voucher that is issued at an instant.
func validity(v benefit.Validity, at benefit.Instant) benefit.Window {
	if v.Absolute.Start != 0 || v.Absolute.End != 0 {
		return v.Absolute
	}
	start := at.Time().Truncate(time.Second).Add(time.Duration(v.AfterMillis) * time.Millisecond)
	end := start.Add(time.Duration(v.ForMillis) * time.Millisecond)
	if v.ToDayEnd {
		end = time.Date(end.Year(), end.Month(), end.Day(), 23, 59, 59, 0, end.Location())
	}
	return benefit.Window{
		Start: benefit.InstantOf(start.Truncate(time.Second)), End: benefit.InstantOf(end.Truncate(time.Second)),
	}
}
