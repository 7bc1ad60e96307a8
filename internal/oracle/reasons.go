package oracle

import (
	"regexp"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// reasons returns all reasons that hold against one send of a line that is worth so many fen; the smallest one is
// answered. The guard and missing codes are not among them: they do not count where a scene looks for what is eligible.
// tp is the line's template, or nil.
func (t *trial) reasons(tp *benefit.Template, l benefit.Line, worth int64) (all []benefit.Reason) {
	add := func(r benefit.Reason, holds bool) {
		if holds {
			all = append(all, r)
		}
	}
	if t.bound == nil { // a recipient that was valid when the key was bound remains so
		reason := t.wrongRecipient(tp)
		add(reason, reason != benefit.NotRefused)
	}
	add(benefit.UserNotFound, t.user == nil || t.user.Unregistered && t.closedTo(l))
	add(benefit.ActivityNotOpen, l.Activity != 0 && !t.open(l.Activity))
	if tp == nil {
		return append(all, benefit.TemplateNotFound)
	}
	add(benefit.OtherMerchant, t.request.Params.SceneCode != "" && !t.mayIssue(tp))
	add(benefit.TemplateDraft, tp.Status == benefit.Draft)
	add(benefit.TemplatePaused, tp.Status == benefit.Paused)
	add(benefit.TemplateNotOpen, t.now < tp.Publish.Start)
	add(benefit.TemplateEnded, tp.Status == benefit.Ended || ended(tp.Publish, t.now))

	takes := tp.Kind == benefit.Cash && tp.Amount.From == benefit.FromRequest
	outOfRange := l.Amount < tp.Amount.Min || l.Amount > tp.Amount.Max
	add(benefit.AmountNotAllowed, l.HasAmount && !takes)
	add(benefit.AmountMissing, !l.HasAmount && takes)
	add(benefit.AmountOutOfRange, l.HasAmount && takes && outOfRange)
	n := int64(l.Quantity)
	if takes && (!l.HasAmount || outOfRange) { // then the budget must have room for what is valid
		worth = int64(tp.Amount.Min) * n
	}
	if t.user == nil {
		return all
	}
	c := t.counters(tp)
	limited := func(limit, have int64) bool { return limit != 0 && have+n > limit }
	capped := func(c benefit.Cap, have, more int64) bool { return c != benefit.Unlimited && have+more > int64(c) }
	add(benefit.UserFrozen, t.user.Frozen)
	add(benefit.UserLimit, limited(tp.Limits.PerUser, c.User))
	add(benefit.PersonLimit, limited(tp.Limits.PerPerson, c.Person))
	add(benefit.UserDayLimit, limited(tp.Limits.PerUserPerDay, c.UserDay))
	add(benefit.StockEmpty, capped(tp.Stock.Count, c.Count, n))
	add(benefit.BudgetEmpty, capped(tp.Stock.Amount, c.Amount, worth))
	add(benefit.DayStockEmpty, capped(tp.Stock.CountPerDay, c.DayCount, n))
	add(benefit.DayBudgetEmpty, capped(tp.Stock.AmountPerDay, c.DayAmount, worth))
	return all
}

// The texts that no identifier may be, and the only ones that some may be.
var (
	wrongValue = regexp.MustCompile(`[\p{Cc}\x{FFFE}\x{FFFF}]|^\p{Z}|\p{Z}$|^(undefined|null|\[object Object\])$`)
	alipayID   = regexp.MustCompile(`^\d{1,16}$`)
	userID     = regexp.MustCompile(`^2088\d{12}$`)
)

// wrongRecipient returns why the recipient is wrong as a parameter of a request for the template, which may be nil.
func (t *trial) wrongRecipient(tp *benefit.Template) benefit.Reason {
	i := t.request.Recipient
	if wrongValue.MatchString(i.Value) || i.Type == benefit.AlipayID && !alipayID.MatchString(i.Value) {
		return benefit.IdentifierInvalid
	}
	if tp == nil {
		return benefit.NotRefused
	}
	owner := t.Catalogue.Merchants[tp.Merchant]
	if t.request.OnAlipay && i.Type == benefit.AlipayID && !owner.AnyUserID && !userID.MatchString(i.Value) {
		return benefit.IdentifierInvalid
	}
	// Of an open merchant the types that make users may be listed; an alias and a reference never make one.
	_, ref := i.Ref()
	if owner.Open && len(owner.UserTypes) > 0 && !ref && i.Type != benefit.Login && i.Type != benefit.Nick && !slices.Contains(owner.UserTypes, i.Type) {
		return benefit.UserTypeNotAllowed
	}
	return benefit.NotRefused
}

// open reports whether an activity issues at now.
func (t *trial) open(activity benefit.ActivityID) bool {
	act := t.Catalogue.Activities[activity]
	return act != nil && act.Status == benefit.Active && t.now >= act.Window.Start && !ended(act.Window, t.now)
}

// ended reports whether a window is over: its last second has passed.
func ended(w benefit.Window, now benefit.Instant) bool { return w.End != 0 && now/1000 > w.End/1000 }

// mayIssue reports whether the app's merchant owns the template, or the template is granted to the app.
func (t *trial) mayIssue(tp *benefit.Template) bool {
	return tp.Merchant == t.Catalogue.Apps[t.request.App].Merchant || slices.Contains(tp.GrantedTo, t.request.App)
}

// guards reports whether the one-second guard of an activity refuses the request. What the request itself has issued does
// not count.
func (t *trial) guards(activity benefit.ActivityID) bool {
	act := t.Catalogue.Activities[activity]
	return t.request.Guarded && t.user != nil && act != nil && !act.NoGuard && slices.ContainsFunc(t.booked, func(s send) bool {
		return s.user == t.user.ID && s.activity == activity && t.now-s.at < 1000
	})
}

// counters counts what was issued of a template, with what this attempt has issued.
func (t *trial) counters(tp *benefit.Template) (c benefit.Counters) {
	today := t.now.Day()
	for _, s := range t.sends {
		if s.template != tp.ID {
			continue
		}
		c.Count += s.vouchers
		c.Amount += s.fen
		if s.day == today {
			c.DayCount += s.vouchers
			c.DayAmount += s.fen
		}
		if s.user == t.user.ID {
			c.User += s.vouchers
			if s.day == today {
				c.UserDay += s.vouchers
			}
		}
		if tp.Limits.PerPerson != 0 && t.samePerson(s.user) {
			c.Person += s.vouchers
		}
	}
	return c
}

// samePerson reports whether another user is the same natural person as the recipient.
func (t *trial) samePerson(other benefit.UserID) bool {
	u := t.Users[other]
	return other == t.user.ID || u != nil && u.Person != "" && u.Person == t.user.Person
}

// amounts returns the least and the most that a voucher of a line can be worth.
func amounts(tp *benefit.Template, l benefit.Line) (least, most money.Fen) {
	switch {
	case tp.Kind == benefit.Reduction:
		return tp.Face.Reduction, tp.Face.Reduction
	case tp.Kind != benefit.Cash:
		return 0, 0
	case tp.Amount.From == benefit.FromRequest:
		return l.Amount, l.Amount
	}
	return tp.Amount.Min, tp.Amount.Max
}

// leastWorth returns the least that a send of a line can be worth.
func leastWorth(tp *benefit.Template, l benefit.Line) int64 {
	least, _ := amounts(tp, l)
	return int64(least) * int64(l.Quantity)
}
