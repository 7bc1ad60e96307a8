package benefit

import (
	"slices"

	"faquan/internal/money"
)

// Apply decides a claim: it issues what every rule allows and gives the reason why the rest is refused. It changes
// nothing; the effect, nil when nothing changes, is for State.Absorb.
//
// A request with several sends is issued as far as it goes. One that can issue nothing leaves no trace: its key
// stays free, and a later retry may succeed. The exception is a retry that finds a frozen line to be refused for good:
// see closeRefused.
func Apply(cat *Catalogue, c *Claim, st *State) (Outcome, *Effect) {
	if cat.disabled(c.Request.App) { //guard:TestEachReasonAlone
		return Outcome{Reason: AppDisabled}, nil
	}
	if c.Conflict {
		return Outcome{Reason: KeyConflict}, nil
	}
	if c.Bound != nil && !(c.Bound.Continues && c.Request.Continues) { //guard:TestRetryThatDoesNotContinue
		return outcomeOf(c.Bound, true), nil
	}
	a := applier{
		attempt: attempt{cat: cat, st: st, request: c.Request, user: c.User, newUser: c.NewUser},
		bound:   c.Bound != nil, guarded: c.Request.Guarded,
	}
	result := a.issuance(c)
	var lines []int
	for k := range result.Lines {
		if line := &result.Lines[k]; (c.Bound == nil || line.open()) && a.issueLine(line) {
			lines = append(lines, k)
		}
	}
	done := a.boxDone(result)
	if len(lines) == 0 { //guard:TestRefusedKeyStaysFree
		o, e := refused(c, result)
		o.BoxDone = done
		result.Catalogue = cat.Version // by which it was refused, which need not be the one that bound its key
		return o, e
	}
	result.BoxDone = done //guard:TestBoxOfDifferentCards
	e := &Effect{
		Issuance: result, issuedLines: lines, claim: c.key, usages: a.usages, quotas: a.quotas, participations: a.participations,
		Templates: a.soldOut(),
	}
	if c.NewUser {
		e.NewUser = c.User
	}
	if c.Bound != nil { //guard:internal/expiry.TestEnds
		e.Rows = RowsOf(ExpiryDues.Rows(result.retryDues(lines, st.Now)...))
	}
	return outcomeOf(result, false), e
}

// refused returns the outcome of an attempt that issued nothing: what stood under the key, with the reasons of now.
func refused(c *Claim, attempt *Issuance) (o Outcome, e *Effect) {
	stands := c.Bound
	o = outcomeOf(attempt, stands != nil)
	if stands != nil { //guard:TestFinalReasonIsStored
		if closed := stands.closeRefused(attempt); closed != nil {
			stands, e = closed, &Effect{Issuance: closed, claim: c.key}
		}
	}
	o.Issuance, o.Attempt = stands, attempt
	return o, e
}

// closeRefused returns a copy of the issuance in which the lines that the attempt refused for good are closed, or nil if
// there are none. A caller may be told that a line is final only once this is stored: otherwise a later attempt could
// issue the line after all.
func (i *Issuance) closeRefused(attempt *Issuance) *Issuance {
	var closed *Issuance
	for k := range attempt.Lines {
		l := &attempt.Lines[k]
		if !i.Lines[k].open() || l.open() {
			continue
		}
		if closed == nil {
			c := *i
			c.Lines = slices.Clone(i.Lines)
			closed = &c
		}
		closed.Lines[k].Reason, closed.Lines[k].Seen = l.Reason, l.Seen
	}
	return closed
}

// applier applies one request. What the request has used so far is kept apart from the state.
type applier struct {
	attempt
	bound          bool // the key was bound before
	guarded        bool // the one-second guard of the activities is looked at
	usages         []TemplateCount
	quotas         []Quota
	participations []Participation
}

// issuance returns the record that the attempt fills in: a new one, or a copy of the one that is continued.
func (a *applier) issuance(c *Claim) *Issuance {
	if c.Bound != nil {
		again := *c.Bound
		again.Lines = slices.Clone(c.Bound.Lines)
		for k := range again.Lines {
			a.addMissingCodes(&again.Lines[k])
		}
		return &again
	}
	r := c.Request
	i := &Issuance{
		ID: c.id, Scope: r.Scope, Key: r.Key, App: r.App, Fingerprint: r.Fingerprint, Recipient: r.Recipient,
		Catalogue: a.cat.Version, Continues: r.Continues, BindMillis: r.BindMillis, Lines: c.lines,
		Params: r.Params, Note: r.Note, Errors: c.errors, Basis: c.basis,
	}
	if a.user != nil {
		i.User = a.user.ID
		if r.Recipient.Type != AlipayID {
			i.Alipay = a.user.Alipay
		}
	}
	return i
}

// addMissingCodes adds the codes drawn for this attempt to a line that was frozen with too few.
func (a *applier) addMissingCodes(l *IssuedLine) {
	t := a.cat.Templates[l.Template]
	if missing := l.Vouchers() - len(l.Codes); t != nil && missing > 0 && l.open() {
		l.Codes = append(slices.Clone(l.Codes), a.st.takeCodes(a.request, t, missing)...)
	}
}

// issueLine issues the sends of a line until one is refused; every later one would be refused for the same reason.
func (a *applier) issueLine(l *IssuedLine) bool {
	t := a.cat.Templates[l.Template]
	if len(l.Amounts) == 0 {
		t = nil // the template came after the line was frozen, which therefore has nothing to give
	}
	l.Reason = NotRefused
	if l.Seen = (Counters{}); t != nil && a.user != nil {
		l.Seen = a.counters(t)
	}
	for l.Issued < l.Sends { // none is yet: see open
		from := l.Issued * l.Quantity
		var worth money.Fen
		if t != nil {
			for _, x := range l.Amounts[from : from+l.Quantity] {
				worth += x
			}
		}
		l.Reason = a.refusal(t, &l.Line, worth)
		//guard:TestOrderOfRefusals without l.Reason > CodesEmpty
		//guard:TestCodesRunOut
		if short := t != nil && t.Kind == Certificate && len(l.Codes) < from+l.Quantity; short && (l.Reason == NotRefused || l.Reason > CodesEmpty) {
			l.Reason = CodesEmpty
		}
		if l.Reason != NotRefused {
			break
		}
		a.take(t, l, int64(worth))
		l.Issued++
	}
	if l.Issued == 0 {
		return false
	}
	l.At, l.Catalogue = a.st.Now, a.cat.Version
	l.Valid, l.Kind, l.Face = t.Valid.Of(a.st.Now), t.Kind, t.Face
	return true
}

// probe returns the result of issuing one send of the line alone, at its minimum worth.
func (a *applier) probe(l *Line) (Reason, Counters) {
	t := a.cat.Templates[l.Template]
	if t == nil {
		return TemplateNotFound, Counters{}
	}
	seen := a.counters(t)
	switch {
	case !a.cat.takesType(a.request.Recipient, t):
		return UserTypeNotAllowed, seen
	case !a.accepts(t): //guard:TestUnregisteredUserOfAScene
		return UserNotFound, seen
	}
	return a.templateRefusal(t, l, amount(t, *l, 0, nil)*money.Fen(l.Quantity), seen), seen
}

// refusal checks one send of the line against every rule; worth is the amount of its vouchers together. The order of
// the checks is the order in which refusals win.
func (a *applier) refusal(t *Template, l *Line, worth money.Fen) Reason {
	//guard:TestInvalidRecipientContinues without !a.bound
	if !a.bound { // a bound key keeps a recipient that was valid when it was bound
		if reason := a.cat.invalidRecipient(a.request, t); reason != NotRefused {
			return reason
		}
	}
	if t == nil {
		return TemplateNotFound
	}
	if a.user == nil || !a.accepts(t) { //guard:TestIssuingRegistersNobody without !a.accepts(t)
		return UserNotFound
	}
	if !a.owned(t) { //guard:TestFrozenLineOfAnotherMerchant
		return OtherMerchant
	}
	return a.templateRefusal(t, l, worth, a.counters(t))
}

// templateRefusal checks the states and windows, and then the counters against the limits, the stock and the budgets.
func (a *applier) templateRefusal(t *Template, l *Line, worth money.Fen, seen Counters) Reason {
	if reason := a.statusRefusal(t, l); reason != NotRefused {
		return reason
	}
	n := int64(l.Quantity)
	wrong := wrongAmount(t, l)
	if wrong != NotRefused && t.TakesAmount() {
		// An invalid amount is not compared with the budget; the minimum valid amount is.
		worth = t.Amount.Min * money.Fen(n)
	}
	switch {
	case a.guardRefuses(l):
		return Guarded
	case a.user.Frozen: //guard:TestEachReasonAlone
		return UserFrozen
	case exceeds(t.Limits.PerUser, seen.User, n): //guard:TestEachReasonAlone
		return UserLimit
	//guard:internal/sim.TestSim$ -sim.seeds=30
	case exceeds(t.Limits.PerPerson, seen.Person, n): //guard:TestEachReasonAlone
		return PersonLimit
	case exceeds(t.Limits.PerUserPerDay, seen.UserDay, n): //guard:TestEachReasonAlone
		return UserDayLimit
	case t.Stock.Count.Room(seen.Count) < n: //guard:TestEachReasonAlone
		return StockEmpty
	case t.Stock.Amount.Room(seen.Amount) < int64(worth): //guard:TestEachReasonAlone
		return BudgetEmpty
	case t.Stock.CountPerDay.Room(seen.DayCount) < n: //guard:TestEachReasonAlone
		return DayStockEmpty
	case t.Stock.AmountPerDay.Room(seen.DayAmount) < int64(worth): //guard:TestEachReasonAlone
		return DayBudgetEmpty
	}
	return wrong
}

// accepts reports whether the template's owner accepts the user as a recipient: to an owner who asks for registered
// users, a user that issuing created is unknown, or any open merchant would register recipients for all others.
func (a *applier) accepts(t *Template) bool { return !a.user.Unregistered || a.cat.open(t) }

// owned reports whether the request's app may issue the template that a scene gave. Lines that were frozen with a key
// may be of another merchant from before that was refused: see Catalogue.foreign.
func (a *applier) owned(t *Template) bool {
	if a.request.Params.SceneCode == "" {
		return true // the gateway looked at it
	}
	app := a.cat.Apps[a.request.App]
	return app != nil && app.MayIssue(t, app.Merchant)
}

// statusRefusal checks the states and windows of the template and the activity.
func (a *applier) statusRefusal(t *Template, l *Line) Reason {
	reason := t.statusRefusal(a.st.Now)
	if l.Activity != 0 && (reason == NotRefused || reason > ActivityNotOpen) {
		if act := a.cat.Activities[l.Activity]; act == nil || !act.OpenAt(a.st.Now) {
			return ActivityNotOpen
		}
	}
	return reason
}

// exceeds reports whether n more would exceed a limit. A limit of 0 means unlimited.
func exceeds(limit, have, n int64) bool { return limit > 0 && have+n > limit } //guard:TestCapsAndLimitsAreExact have+n > limit -> have+n >= limit

// wrongAmount checks the amount in the request, or its absence.
func wrongAmount(t *Template, l *Line) Reason {
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

// counters returns the state's counters plus what this request has already used.
func (a *applier) counters(t *Template) Counters {
	count, day := a.st.template(t.ID)
	seen := Counters{Count: count.Count, Amount: count.Amount, DayCount: day.Count, DayAmount: day.Amount}
	used := a.used(t.ID)
	seen.Count += used.Count //guard:TestLinesShareTheCaps
	seen.DayCount += used.Count
	seen.Amount += used.Amount
	seen.DayAmount += used.Amount
	q := a.quota(QuotaKey{a.user.ID, t.ID})
	seen.User, seen.UserDay = q.Total, q.onDay(a.st.Now.Day())
	if t.Limits.PerPerson > 0 {
		seen.Person = a.personTotal(t)
	}
	return seen
}

// soldOut returns an event of each template of which this request takes the last.
func (a *applier) soldOut() (all []TemplateEvent) {
	for _, used := range a.usages {
		before, _ := a.st.template(used.Template)
		after := TemplateCount{Template: used.Template, Count: before.Count + used.Count, Amount: before.Amount + used.Amount}
		all = append(all, stockEvents(a.cat, before, after)...)
	}
	return all
}

// used returns what this request has already issued of a template.
func (a *applier) used(t TemplateID) TemplateCount {
	for _, used := range a.usages {
		if used.Template == t {
			return used
		}
	}
	return TemplateCount{Template: t}
}

// quota returns the quota of a user, including what this request has already issued.
func (a *applier) quota(k QuotaKey) Quota {
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

// personTotal returns the total of all users of the recipient's person.
func (a *applier) personTotal(t *Template) int64 {
	var sum int64
	for _, member := range a.st.samePerson(a.user, t) { //guard:TestPersonLimitOverLinkedUsers a.st.samePerson(a.user, t) -> []UserID{a.user.ID}
		sum += a.quota(QuotaKey{member, t.ID}).Total
	}
	return sum
}

// take records one send of the line; worth is the amount of its vouchers together, in fen.
func (a *applier) take(t *Template, l *IssuedLine, worth int64) {
	n := int64(l.Quantity)
	used := a.used(t.ID)
	used.Count += n
	used.Amount += worth
	a.usages = put(a.usages, used, func(x TemplateCount) bool { return x.Template == t.ID })
	q := a.quota(QuotaKey{a.user.ID, t.ID})
	today := a.st.Now.Day()
	q.DayTotal = q.onDay(today) + n
	q.Day, q.Total = today, q.Total+n
	a.quotas = put(a.quotas, q, func(x Quota) bool { return x.QuotaKey == q.QuotaKey })
	if l.Activity != 0 {
		p := a.participation(ParticipationKey{a.user.ID, l.Activity})
		p.record(a.cat.Activities[l.Activity].Box, a.request.Params.Card, n, a.st.Now)
		a.participations = put(a.participations, p, func(x Participation) bool { return x.ParticipationKey == p.ParticipationKey })
	}
}

// put replaces the first element that is the same by one, or else appends one.
func put[T any](all []T, one T, same func(T) bool) []T {
	if k := slices.IndexFunc(all, same); k >= 0 {
		all[k] = one
		return all
	}
	return append(all, one)
}

// guardRefuses reports whether the one-second guard of the line's activity refuses the request. What this request
// itself has issued does not count.
func (a *applier) guardRefuses(l *Line) bool {
	if !a.guarded || l.Activity == 0 || a.newUser { //guard:TestGuardHoldsBackNothingElse without !a.guarded
		return false
	}
	act := a.cat.Activities[l.Activity]
	//guard:TestGuardAndLinesOfOneRequest|TestGuardInABatch a.st.participation -> a.participation
	p := a.st.participation(ParticipationKey{a.user.ID, l.Activity})
	//guard:TestGuardHoldsForASecond p.guards(a.st.Now) -> false
	return act != nil && !act.NoGuard && p.guards(a.st.Now) //guard:TestGuardHoldsBackNothingElse without !act.NoGuard
}

// participation returns the user's participation in an activity today, including what this request has already issued.
func (a *applier) participation(k ParticipationKey) Participation {
	for _, p := range a.participations {
		if p.ParticipationKey == k {
			return p
		}
	}
	if a.newUser {
		return Participation{ParticipationKey: k}
	}
	return a.st.participation(k).today(a.st.Now)
}

// boxDone reports whether the user's task of a treasure box among the lines is done today.
func (a *applier) boxDone(i *Issuance) bool {
	if a.user == nil {
		return false
	}
	return slices.ContainsFunc(i.Lines, func(l IssuedLine) bool {
		act := a.cat.Activities[l.Activity]
		return act != nil && act.Box != nil && a.participation(ParticipationKey{a.user.ID, act.ID}).Done
	})
}
