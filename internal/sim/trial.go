package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
)

// trial is one attempt to issue, send after send.
type trial struct {
	*ledger
	now     benefit.Instant
	request *benefit.Request
	user    *benefit.User
	fresh   bool                         // the user is new
	guarded bool                         // the one-second guard holds
	taken   map[benefit.TemplateID]tally // by the sends so far
	issued  int
}

func (t *trial) attempt(lines []benefit.Line, bound *benefit.Issuance, o benefit.Outcome) error {
	if len(o.Lines) != len(lines) {
		return fmt.Errorf("%d lines are told of, there should be %d", len(o.Lines), len(lines))
	}
	record := o.Attempt
	if record == nil {
		record = o.Issuance
	}
	for k, sub := range lines {
		result, frozen := o.Lines[k], (*benefit.IssuedLine)(nil)
		if record != nil {
			frozen = &record.Lines[k]
		}
		if frozen != nil && frozen.Line != sub || result.Template != sub.Template {
			return fmt.Errorf("line %d is not what was asked, chosen or frozen: %+v, %+v", k, frozen, sub)
		}
		if bound != nil {
			before := bound.Lines[k]
			if before.Issued > 0 || final(before.Reason) {
				if result.Issued != before.Issued || result.Reason != before.Reason {
					return fmt.Errorf("line %d was settled, and is told otherwise now", k)
				}
				continue
			}
		}
		if err := t.line(sub, result, frozen, bound == nil); err != nil {
			return fmt.Errorf("line %d: %w", k, err)
		}
		t.ledger.coverage.line(result)
	}
	return nil
}

// final are the reasons for which a frozen line is not tried again.
func final(r benefit.Reason) bool {
	return slices.Contains([]benefit.Reason{benefit.TemplateEnded, benefit.UserFrozen, benefit.UserLimit, benefit.PersonLimit}, r)
}

// line checks that each send that was issued could be, and that the next one could not.
func (t *trial) line(sub benefit.Line, result benefit.LineOutcome, frozen *benefit.IssuedLine, fresh bool) error {
	if result.Issued+result.Refused != sub.Sends {
		return fmt.Errorf("%d and %d sends are told of, %d were asked", result.Issued, result.Refused, sub.Sends)
	}
	if err := t.stamped(sub, result, frozen); err != nil {
		return err
	}
	for n := range result.Issued {
		worth := int64(0)
		for _, amount := range frozen.Amounts[n*sub.Quantity : (n+1)*sub.Quantity] {
			if !t.fits(sub, int64(amount)) {
				return fmt.Errorf("a voucher of %d fen, which the template does not give", amount)
			}
			worth += int64(amount)
		}
		if reason := t.reason(sub, worth); reason != benefit.NotRefused {
			return fmt.Errorf("send %d was issued in spite of %v", n+1, reason)
		}
		t.taken[sub.Template] = t.taken[sub.Template].plus(tally{int64(sub.Quantity), worth})
		t.issued++
	}
	if result.Refused == 0 {
		return nil
	}
	want := benefit.TemplateNotFound // a template that came after the line was frozen gives it nothing
	if fresh || frozen == nil || len(frozen.Amounts) > 0 {
		want = t.reason(sub, t.minWorth(sub, result.Issued, frozen, fresh))
	}
	if t.codeless(sub, result.Issued, frozen) && (want == benefit.NotRefused || want > benefit.CodesEmpty) {
		want = benefit.CodesEmpty
	}
	if result.Reason != want {
		return fmt.Errorf("refused for %v, it should be %v", result.Reason, want)
	}
	if want == benefit.CodesEmpty && fresh && !t.scarce(sub) {
		return errors.New("no free code was found, and most are free")
	}
	return nil
}

// stamped checks what an issued line says of itself: when, by which catalogue, after what, with which codes.
func (t *trial) stamped(sub benefit.Line, result benefit.LineOutcome, frozen *benefit.IssuedLine) error {
	if result.Issued == 0 {
		return nil
	}
	tp := t.cat.Templates[sub.Template]
	if tp == nil || t.user == nil {
		return errors.New("issued without a template, or to nobody")
	}
	if frozen.At != t.now || frozen.Catalogue != t.cat.Version || frozen.Kind != tp.Kind || frozen.Face != tp.Face {
		return fmt.Errorf("issued at %v by version %d: %+v", t.now, t.cat.Version, frozen)
	}
	if want := t.seen(tp); frozen.Seen != want {
		return fmt.Errorf("the counters seen are %+v, they should be %+v", frozen.Seen, want)
	}
	digits := 0
	if tp.Kind == benefit.Certificate {
		digits = tp.Code.Digits
	}
	if digits == 0 && len(frozen.Codes) > 0 || t.codeless(sub, result.Issued-1, frozen) {
		return fmt.Errorf("%d sends with %d codes", result.Issued, len(frozen.Codes))
	}
	for _, code := range frozen.Codes {
		if len(code) != digits {
			return fmt.Errorf("a code of %d digits", len(code))
		}
	}
	return nil
}

// codeless reports whether the line has no codes for one more send.
func (t *trial) codeless(sub benefit.Line, issued int, frozen *benefit.IssuedLine) bool {
	tp := t.cat.Templates[sub.Template]
	return tp != nil && tp.Kind == benefit.Certificate && frozen != nil && len(frozen.Codes) < (issued+1)*sub.Quantity
}

// scarce reports whether free codes may be hard to find: the others of a batch take part of those that there are.
func (t *trial) scarce(sub benefit.Line) bool {
	digits := t.cat.Templates[sub.Template].Code.Digits
	taken := 0
	for code := range t.codes {
		if len(code) == digits {
			taken++
		}
	}
	return digits < 3 || taken > 500
}

// fits reports whether a voucher of the template can be worth so many fen.
func (t *trial) fits(sub benefit.Line, amount int64) bool {
	tp := t.cat.Templates[sub.Template]
	switch {
	case tp.Kind == benefit.Reduction:
		return amount == int64(tp.Face.Reduction)
	case tp.Kind != benefit.Cash:
		return amount == 0
	case tp.Amount.From == benefit.FromRequest:
		return amount == int64(sub.Amount)
	}
	return amount >= int64(tp.Amount.Min) && amount <= int64(tp.Amount.Max)
}

// minWorth returns the least that the next send of a line could have been worth: as frozen under the key, or as the
// template has it.
func (t *trial) minWorth(sub benefit.Line, issued int, frozen *benefit.IssuedLine, fresh bool) int64 {
	tp, n := t.cat.Templates[sub.Template], int64(sub.Quantity)
	if tp == nil {
		return 0
	}
	if !fresh && frozen != nil {
		sum := int64(0)
		for _, amount := range frozen.Amounts[issued*sub.Quantity : (issued+1)*sub.Quantity] {
			sum += int64(amount)
		}
		return sum
	}
	switch {
	case tp.Kind == benefit.Reduction:
		return n * int64(tp.Face.Reduction)
	case tp.Kind != benefit.Cash:
		return 0
	case tp.Amount.From == benefit.FromRequest:
		return n * int64(sub.Amount)
	}
	return n * int64(tp.Amount.Min)
}

// reason returns the first of all reasons that holds against one more send worth so many fen.
func (t *trial) reason(sub benefit.Line, worth int64) benefit.Reason {
	tp := t.cat.Templates[sub.Template]
	switch {
	case tp == nil:
		return benefit.TemplateNotFound
	case t.user == nil, t.user.Unregistered && !t.cat.Merchants[tp.Merchant].Open:
		return benefit.UserNotFound
	case t.request.Params.SceneCode != "" && !t.mayGive(t.request, sub):
		return benefit.OtherMerchant
	}
	takes := tp.Kind == benefit.Cash && tp.Amount.From == benefit.FromRequest
	outOfRange := sub.Amount < tp.Amount.Min || sub.Amount > tp.Amount.Max
	if takes && (!sub.HasAmount || outOfRange) {
		worth = int64(tp.Amount.Min) * int64(sub.Quantity)
	}
	act := t.cat.Activities[sub.Activity]
	holds := map[benefit.Reason]bool{
		benefit.TemplateDraft:    tp.Status == benefit.Draft,
		benefit.TemplatePaused:   tp.Status == benefit.Paused,
		benefit.TemplateEnded:    tp.Status == benefit.Ended || ended(tp.Publish, t.now),
		benefit.TemplateNotOpen:  t.now < tp.Publish.Start,
		benefit.ActivityNotOpen:  sub.Activity != 0 && (act == nil || act.Status != benefit.Active || t.now < act.Window.Start || ended(act.Window, t.now)),
		benefit.Guarded:          t.guarded && t.ledger.guarded(t.user.ID, act, t.now),
		benefit.UserFrozen:       t.user.Frozen,
		benefit.AmountNotAllowed: sub.HasAmount && !takes,
		benefit.AmountMissing:    !sub.HasAmount && takes,
		benefit.AmountOutOfRange: sub.HasAmount && takes && outOfRange,
	}
	maps.Copy(holds, t.counted(tp, int64(sub.Quantity), worth))
	for _, r := range benefit.Reasons() {
		if holds[r] {
			return r
		}
	}
	return benefit.NotRefused
}

// ended reports whether a window is over: its last second has passed.
func ended(w benefit.Window, now benefit.Instant) bool { return w.End != 0 && now/1000 > w.End/1000 }

// seen returns the counters of a template and the user, with what the trial has taken.
func (t *trial) seen(tp *benefit.Template) benefit.Counters {
	taken := t.taken[tp.ID]
	total, today := t.total[tp.ID].plus(taken), t.day[dayKey{tp.ID, t.now.Day()}].plus(taken)
	c := benefit.Counters{
		Count: total.count, Amount: total.amount, DayCount: today.count, DayAmount: today.amount,
		User:    t.ledger.user[benefit.QuotaKey{User: t.user.ID, Template: tp.ID}] + taken.count,
		UserDay: t.userDay[userDay{benefit.QuotaKey{User: t.user.ID, Template: tp.ID}, t.now.Day()}] + taken.count,
	}
	if tp.Limits.PerPerson == 0 {
		return c
	}
	c.Person = c.User
	for _, other := range t.users {
		if other.ID != t.user.ID && t.user.Person != "" && other.Person == t.user.Person {
			c.Person += t.ledger.user[benefit.QuotaKey{User: other.ID, Template: tp.ID}]
		}
	}
	return c
}

// counted returns the reasons that counting gives.
func (t *trial) counted(tp *benefit.Template, n, worth int64) map[benefit.Reason]bool {
	c := t.seen(tp)
	limited := func(limit, have int64) bool { return limit > 0 && have+n > limit }
	capped := func(c benefit.Cap, have, more int64) bool { return c != benefit.Unlimited && have+more > int64(c) }
	return map[benefit.Reason]bool{
		benefit.UserLimit: limited(tp.Limits.PerUser, c.User), benefit.PersonLimit: limited(tp.Limits.PerPerson, c.Person),
		benefit.UserDayLimit:  limited(tp.Limits.PerUserPerDay, c.UserDay),
		benefit.StockEmpty:    capped(tp.Stock.Count, c.Count, n),
		benefit.BudgetEmpty:   capped(tp.Stock.Amount, c.Amount, worth),
		benefit.DayStockEmpty: capped(tp.Stock.CountPerDay, c.DayCount, n), benefit.DayBudgetEmpty: capped(tp.Stock.AmountPerDay, c.DayAmount, worth),
	}
}
