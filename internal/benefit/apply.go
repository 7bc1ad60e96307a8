package benefit

import (
	"slices"

	"faquan/internal/money"
)

// Apply decides a claim: it issues what every rule allows and says why the rest is refused. It changes nothing;
// the effect, nil when nothing changes, is for State.Absorb.
//
// A request with several sends is issued as far as it goes. One that can issue nothing leaves no trace: its key
// stays free, and a later retry may succeed.
func Apply(cat *Catalogue, c *Claim, st *State) (Outcome, *Effect) {
	if c.Conflict {
		return Outcome{Reason: KeyConflict}, nil
	}
	if c.Bound != nil && !(c.Bound.Continues && c.Request.Continues) {
		return outcomeOf(c.Bound, true), nil
	}
	a := applying{cat: cat, st: st, user: c.User, newUser: c.NewUser}
	result := a.issuance(c)
	issued := false
	for k := range result.Lines {
		if line := &result.Lines[k]; c.Bound == nil || line.open() {
			issued = a.line(line) || issued
		}
	}
	if !issued {
		return refused(c, result), nil
	}
	e := &Effect{Issuance: result, claim: c.key, taken: a.taken, quotas: a.quotas}
	if c.NewUser {
		e.NewUser = c.User
	}
	return outcomeOf(result, false), e
}

// refused is the outcome of an attempt that issued nothing: what stood under the key, with the reasons of now.
func refused(c *Claim, attempt *Issuance) Outcome {
	o := outcomeOf(attempt, c.Bound != nil)
	o.Issuance = c.Bound
	return o
}

// applying is one request on its way through Apply. What it has taken so far is kept apart from the state.
type applying struct {
	cat     *Catalogue
	st      *State
	user    *User
	newUser bool
	taken   []taken
	quotas  []Quota
}

// issuance is the record that the attempt fills in: a new one, or a copy of the one that is continued.
func (a *applying) issuance(c *Claim) *Issuance {
	if c.Bound != nil {
		again := *c.Bound
		again.Lines = slices.Clone(c.Bound.Lines)
		return &again
	}
	r := c.Request
	i := &Issuance{
		ID: c.id, Scope: r.Scope, Key: r.Key, App: r.App, Meaning: r.Meaning, Recipient: r.Recipient,
		Catalogue: a.cat.Version, Continues: r.Continues, Lines: c.lines, Note: r.Note,
	}
	if a.user != nil {
		i.User = a.user.ID
		if r.Recipient.Type != AlipayID {
			i.Alipay = a.user.Alipay
		}
	}
	return i
}

// line issues the sends of a line until one is refused; every later one would be refused for the same reason.
func (a *applying) line(l *IssuedLine) bool {
	t := a.cat.Templates[l.Template]
	if len(l.Amounts) == 0 {
		t = nil // the template came after the line was frozen, which therefore has nothing to give
	}
	l.Reason = NotRefused
	seen := Counters{}
	if t != nil && a.user != nil {
		seen = a.counters(t)
	}
	before := l.Issued
	for l.Issued < l.Sends {
		from := l.Issued * l.Quantity
		var worth money.Fen
		if t != nil {
			for _, x := range l.Amounts[from : from+l.Quantity] {
				worth += x
			}
		}
		if l.Reason = a.refusal(t, l, worth); l.Reason != NotRefused {
			break
		}
		a.take(t, int64(l.Quantity), int64(worth))
		l.Issued++
	}
	if l.Issued == before {
		return false
	}
	l.At, l.Catalogue = a.st.Now, a.cat.Version
	l.Valid, l.Kind, l.Face, l.Seen = t.Valid.Of(a.st.Now), t.Kind, t.Face, seen
	return true
}

// refusal checks one send of the line, worth so many fen together, against every rule. The order of the checks
// is the order in which refusals win.
func (a *applying) refusal(t *Template, l *IssuedLine, worth money.Fen) Reason {
	if t == nil {
		return TemplateNotFound
	}
	if a.user == nil {
		return UserNotFound
	}
	if reason := a.closed(t, l); reason != NotRefused {
		return reason
	}
	n := int64(l.Quantity)
	seen := a.counters(t)
	wrong := wrongAmount(t, l.Line)
	if wrong != NotRefused && t.TakesAmount() {
		// An amount that cannot be given is not held against the budget; the least that could be given is.
		worth = t.Amount.Min * money.Fen(n)
	}
	switch {
	case a.user.Frozen:
		return UserFrozen
	case over(t.Limits.PerUser, seen.User, n):
		return UserLimit
	case t.Limits.PerPerson > 0 && over(t.Limits.PerPerson, a.personTotal(t), n):
		return PersonLimit
	case over(t.Limits.PerUserPerDay, seen.UserDay, n):
		return UserDayLimit
	case t.Stock.Count.Room(seen.Count) < n:
		return StockEmpty
	case t.Stock.Amount.Room(seen.Amount) < int64(worth):
		return BudgetEmpty
	case t.Stock.CountPerDay.Room(seen.DayCount) < n:
		return DayStockEmpty
	case t.Stock.AmountPerDay.Room(seen.DayAmount) < int64(worth):
		return DayBudgetEmpty
	}
	return wrong
}

// closed checks the states and windows of the template and the activity.
func (a *applying) closed(t *Template, l *IssuedLine) Reason {
	reason := t.closed(a.st.Now)
	if l.Activity != 0 && (reason == NotRefused || reason > ActivityNotOpen) {
		if act := a.cat.Activities[l.Activity]; act == nil || !act.OpenAt(a.st.Now) {
			return ActivityNotOpen
		}
	}
	return reason
}

// over says that n more would break a limit. A limit of 0 is none.
func over(limit, have, n int64) bool { return limit > 0 && have+n > limit }

// wrongAmount checks the amount that came with the request, or did not.
func wrongAmount(t *Template, l Line) Reason {
	switch {
	case l.HasAmount && !t.TakesAmount():
		return AmountNotAllowed
	case !l.HasAmount && t.TakesAmount():
		return AmountMissing
	case l.HasAmount && (l.Amount < t.Amount.Min || l.Amount > t.Amount.Max):
		return AmountOutOfRange
	}
	return NotRefused
}

// counters are what the state says plus what this request has taken already.
func (a *applying) counters(t *Template) Counters {
	c := a.st.template(t.ID)
	seen := Counters{Count: c.count.Count, Amount: c.count.Amount, DayCount: c.day.Count, DayAmount: c.day.Amount}
	for _, x := range a.taken {
		if x.template == t.ID {
			seen.Count += x.vouchers
			seen.DayCount += x.vouchers
			seen.Amount += x.amount
			seen.DayAmount += x.amount
		}
	}
	q := a.quota(QuotaKey{a.user.ID, t.ID})
	seen.User, seen.UserDay = q.Total, q.on(a.st.Now.Day())
	return seen
}

// quota is what a user has, counting what this request gave already.
func (a *applying) quota(k QuotaKey) Quota {
	for _, q := range a.quotas {
		if q.QuotaKey == k {
			return q
		}
	}
	if a.newUser {
		return Quota{QuotaKey: k}
	}
	return a.st.quota(k)
}

// personTotal is what the users of the recipient's person have together.
func (a *applying) personTotal(t *Template) int64 {
	var sum int64
	for _, member := range a.st.sharing(a.user, t) {
		sum += a.quota(QuotaKey{member, t.ID}).Total
	}
	return sum
}

// take books n vouchers worth so many fen.
func (a *applying) take(t *Template, n, worth int64) {
	if k := slices.IndexFunc(a.taken, func(x taken) bool { return x.template == t.ID }); k >= 0 {
		a.taken[k].vouchers += n
		a.taken[k].amount += worth
	} else {
		a.taken = append(a.taken, taken{t.ID, n, worth})
	}
	q := a.quota(QuotaKey{a.user.ID, t.ID})
	today := a.st.Now.Day()
	q.DayTotal = q.on(today) + n
	q.Day, q.Total = today, q.Total+n
	if k := slices.IndexFunc(a.quotas, func(x Quota) bool { return x.QuotaKey == q.QuotaKey }); k >= 0 {
		a.quotas[k] = q
	} else {
		a.quotas = append(a.quotas, q)
	}
}
