package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// ledger is what the callers know together: which voucher was issued to whom under which key. All counts are
// made from that. It judges answers by the rules as they are written in the specification.
type ledger struct {
	cat     *benefit.Catalogue
	issued  map[claim]*benefit.Issuance
	holders map[id.ID]claim // of vouchers
	total   map[benefit.TemplateID]tally
	day     map[dayKey]tally
	user    map[benefit.QuotaKey]int64
	userDay map[userDay]int64
	users   map[benefit.UserID]*benefit.User
}

type claim struct {
	scope benefit.Scope
	key   string
}

// tally is how many vouchers, and how many fen.
type tally struct{ count, amount int64 }

func (t tally) plus(o tally) tally { return tally{t.count + o.count, t.amount + o.amount} }

type dayKey struct {
	template benefit.TemplateID
	day      benefit.Day
}

type userDay struct {
	benefit.QuotaKey
	day benefit.Day
}

func newLedger() *ledger {
	return &ledger{
		issued: map[claim]*benefit.Issuance{}, holders: map[id.ID]claim{}, total: map[benefit.TemplateID]tally{},
		day: map[dayKey]tally{}, user: map[benefit.QuotaKey]int64{}, userDay: map[userDay]int64{},
		users: map[benefit.UserID]*benefit.User{},
	}
}

func (l *ledger) setUsers(users []*benefit.User) {
	for _, u := range users {
		l.users[u.ID] = u
	}
}

// recipient is whom an identifier names now; nil when nobody.
func (l *ledger) recipient(ident benefit.Identifier) *benefit.User {
	for _, u := range l.users {
		if slices.Contains(u.Identifiers, ident) {
			return u
		}
	}
	return nil
}

// add books an issuance, or what a continued one has got more.
func (l *ledger) add(i *benefit.Issuance) error {
	k := claim{i.Scope, i.Key}
	before := l.issued[k]
	if before != nil && before.ID != i.ID {
		return fmt.Errorf("%s %q has a second issuance: %d and %d", i.Scope, i.Key, before.ID, i.ID)
	}
	for n, line := range i.Lines {
		if before != nil && before.Lines[n].Issued > 0 {
			if diff := diff(before.Lines[n], line); diff != "" {
				return fmt.Errorf("an issued line changed afterwards:\n%s", diff)
			}
			continue
		}
		if err := l.addLine(k, i.User, &line); err != nil {
			return err
		}
	}
	l.issued[k] = i
	return nil
}

func (l *ledger) addLine(k claim, user benefit.UserID, line *benefit.IssuedLine) error {
	sum := tally{}
	for n := range line.Issued * line.Quantity {
		voucher := line.First + id.ID(n)
		if other, taken := l.holders[voucher]; taken {
			return fmt.Errorf("voucher %d was issued to %v and to %v", voucher, other, k)
		}
		l.holders[voucher] = k
		sum = sum.plus(tally{1, int64(line.Amounts[n])})
	}
	if sum.count == 0 {
		return nil
	}
	today, quota := dayKey{line.Template, line.At.Day()}, benefit.QuotaKey{User: user, Template: line.Template}
	l.total[line.Template] = l.total[line.Template].plus(sum)
	l.day[today] = l.day[today].plus(sum)
	l.user[quota] += sum.count
	l.userDay[userDay{quota, today.day}] += sum.count
	return nil
}

// withinCaps checks every total against the caps in force, which only grow.
func (l *ledger) withinCaps() error {
	over := func(limit benefit.Cap, have int64) bool { return limit != benefit.Unlimited && have > int64(limit) }
	for t, sum := range l.total {
		if s := l.cat.Templates[t].Stock; over(s.Count, sum.count) || over(s.Amount, sum.amount) {
			return fmt.Errorf("template %d has issued %+v of %+v", t, sum, s)
		}
	}
	for d, sum := range l.day {
		if s := l.cat.Templates[d.template].Stock; over(s.CountPerDay, sum.count) || over(s.AmountPerDay, sum.amount) {
			return fmt.Errorf("template %d has issued %+v of %+v on %v", d.template, sum, s, d.day)
		}
	}
	return nil
}

// judgeReplay judges an answer from a batch whose commit failed: it can only be what was there before.
func (l *ledger) judgeReplay(r *benefit.Request, o benefit.Outcome) error {
	bound := l.issued[claim{r.Scope, r.Key}]
	if bound == nil {
		return errors.New("an outcome, though its commit failed and nothing had been issued before")
	}
	return wantReplay(bound, o)
}

// judge judges an answer from a batch that was committed at now, after the answers before it in the batch, and
// books what it issued.
func (l *ledger) judge(r *benefit.Request, o benefit.Outcome, now benefit.Instant) error {
	user, bound := l.recipient(r.Recipient), l.issued[claim{r.Scope, r.Key}]
	if bound != nil && (bound.Meaning != r.Meaning || bound.Recipient != r.Recipient && (user == nil || user.ID != bound.User)) {
		if o.Reason != benefit.KeyConflict || o.Issuance != nil || len(o.Lines) > 0 {
			return errors.New("the key is bound to another meaning")
		}
		return nil
	}
	if bound != nil && !bound.Continues {
		return wantReplay(bound, o)
	}
	if bound != nil && user != nil && user.ID != bound.User {
		user = nil // it is another's by now
	}
	t := &trial{ledger: l, now: now, user: user, taken: map[benefit.TemplateID]tally{}}
	if user == nil && bound == nil && l.takesUnknown(r) {
		t.user = &benefit.User{Identifiers: []benefit.Identifier{r.Recipient}}
		if o.Issuance != nil {
			t.user.ID = o.Issuance.User
		}
	}
	if err := t.attempt(r, bound, o); err != nil {
		return err
	}
	if t.issued == 0 {
		return l.wantNothing(bound, o)
	}
	if user == nil {
		l.learnUser(t.user)
	}
	if user := l.users[o.Issuance.User]; user == nil || user.ID != t.user.ID {
		return fmt.Errorf("issued to user %d, not to %d", o.Issuance.User, t.user.ID)
	}
	return l.add(o.Issuance)
}

// learnUser books the user that a recipient became by being issued to.
func (l *ledger) learnUser(u *benefit.User) {
	if u.Identifiers[0].Type == benefit.AlipayID {
		u.Alipay = u.Identifiers[0].Value
	}
	l.users[u.ID] = u
}

func (l *ledger) wantNothing(bound *benefit.Issuance, o benefit.Outcome) error {
	if diff := diff(bound, o.Issuance); diff != "" {
		return fmt.Errorf("nothing new was issued, but what stands under the key changed:\n%s", diff)
	}
	return nil
}

// wantReplay checks that an answer is the first one again.
func wantReplay(bound *benefit.Issuance, o benefit.Outcome) error {
	if diff := diff(bound, o.Issuance); diff != "" || !o.Replayed {
		return fmt.Errorf("not the first outcome again (replayed=%v):\n%s", o.Replayed, diff)
	}
	for k, line := range o.Lines {
		if first := bound.Lines[k]; line.Issued != first.Issued || line.Reason != first.Reason && !bound.Continues {
			return fmt.Errorf("line %d is told otherwise than the first time", k)
		}
	}
	return nil
}

// takesUnknown says that an unknown recipient becomes a user.
func (l *ledger) takesUnknown(r *benefit.Request) bool {
	for _, line := range r.Lines {
		if t := l.cat.Templates[line.Template]; t != nil && !l.cat.Merchants[t.Merchant].Open {
			return false
		}
	}
	return r.Recipient.Type != benefit.Login && r.Recipient.Type != benefit.Nick
}

// trial is one attempt to issue, send after send.
type trial struct {
	*ledger
	now    benefit.Instant
	user   *benefit.User
	taken  map[benefit.TemplateID]tally // by the sends so far
	issued int
}

func (t *trial) attempt(r *benefit.Request, bound *benefit.Issuance, o benefit.Outcome) error {
	if len(o.Lines) != len(r.Lines) {
		return fmt.Errorf("%d lines are told of, %d were asked", len(o.Lines), len(r.Lines))
	}
	for k, asked := range r.Lines {
		told, frozen := o.Lines[k], (*benefit.IssuedLine)(nil)
		if o.Issuance != nil {
			frozen = &o.Issuance.Lines[k]
		}
		if bound != nil {
			before := bound.Lines[k]
			if before.Issued > 0 || final(before.Reason) {
				if told.Issued != before.Issued || told.Reason != before.Reason {
					return fmt.Errorf("line %d was settled, and is told otherwise now", k)
				}
				continue
			}
		}
		if err := t.line(asked, told, frozen, bound == nil); err != nil {
			return fmt.Errorf("line %d: %w", k, err)
		}
	}
	return nil
}

// final are the reasons for which a frozen line is not tried again.
func final(r benefit.Reason) bool {
	return slices.Contains([]benefit.Reason{benefit.TemplateEnded, benefit.UserFrozen, benefit.UserLimit, benefit.PersonLimit}, r)
}

// line checks that each send that was issued could be, and that the next one could not.
func (t *trial) line(asked benefit.Line, told benefit.LineOutcome, frozen *benefit.IssuedLine, fresh bool) error {
	for n := range told.Issued {
		worth := int64(0)
		for _, amount := range frozen.Amounts[n*asked.Quantity : (n+1)*asked.Quantity] {
			if !t.fits(asked, int64(amount)) {
				return fmt.Errorf("a voucher of %d fen, which the template does not give", amount)
			}
			worth += int64(amount)
		}
		if reason := t.reason(asked, worth); reason != benefit.NotRefused {
			return fmt.Errorf("send %d was issued in spite of %v", n+1, reason)
		}
		t.taken[asked.Template] = t.taken[asked.Template].plus(tally{int64(asked.Quantity), worth})
		t.issued++
	}
	if told.Issued+told.Refused != asked.Sends {
		return fmt.Errorf("%d and %d sends are told of, %d were asked", told.Issued, told.Refused, asked.Sends)
	}
	if told.Refused == 0 {
		return nil
	}
	want := benefit.TemplateNotFound // a template that came after the line was frozen gives it nothing
	if fresh || frozen == nil || len(frozen.Amounts) > 0 {
		want = t.reason(asked, t.least(asked, told.Issued, frozen, fresh))
	}
	if told.Reason != want {
		return fmt.Errorf("refused for %v, it should be %v", told.Reason, want)
	}
	return nil
}

// fits says that a voucher of the template can be worth so many fen.
func (t *trial) fits(asked benefit.Line, amount int64) bool {
	tp := t.cat.Templates[asked.Template]
	switch {
	case tp.Kind == benefit.Reduction:
		return amount == int64(tp.Face.Reduction)
	case tp.Kind != benefit.Cash:
		return amount == 0
	case tp.Amount.From == benefit.FromRequest:
		return amount == int64(asked.Amount)
	}
	return amount >= int64(tp.Amount.Min) && amount <= int64(tp.Amount.Max)
}

// least is the least that the next send of a line could have been worth: as frozen under the key, or as the
// template has it.
func (t *trial) least(asked benefit.Line, issued int, frozen *benefit.IssuedLine, fresh bool) int64 {
	tp, n := t.cat.Templates[asked.Template], int64(asked.Quantity)
	if tp == nil {
		return 0
	}
	if !fresh && frozen != nil {
		sum := int64(0)
		for _, amount := range frozen.Amounts[issued*asked.Quantity : (issued+1)*asked.Quantity] {
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
		return n * int64(asked.Amount)
	}
	return n * int64(tp.Amount.Min)
}

// reason is the first of all reasons that holds against one more send worth so many fen.
func (t *trial) reason(asked benefit.Line, worth int64) benefit.Reason {
	tp := t.cat.Templates[asked.Template]
	switch {
	case tp == nil:
		return benefit.TemplateNotFound
	case t.user == nil:
		return benefit.UserNotFound
	}
	takes := tp.Kind == benefit.Cash && tp.Amount.From == benefit.FromRequest
	outOfRange := asked.Amount < tp.Amount.Min || asked.Amount > tp.Amount.Max
	if takes && (!asked.HasAmount || outOfRange) {
		worth = int64(tp.Amount.Min) * int64(asked.Quantity)
	}
	act := t.cat.Activities[asked.Activity]
	holds := map[benefit.Reason]bool{
		benefit.TemplateDraft:    tp.Status == benefit.Draft,
		benefit.TemplatePaused:   tp.Status == benefit.Paused,
		benefit.TemplateEnded:    tp.Status == benefit.Ended || ended(tp.Publish, t.now),
		benefit.TemplateNotOpen:  t.now < tp.Publish.Start,
		benefit.ActivityNotOpen:  asked.Activity != 0 && (act == nil || act.Status != benefit.Active || t.now < act.Window.Start || ended(act.Window, t.now)),
		benefit.UserFrozen:       t.user.Frozen,
		benefit.AmountNotAllowed: asked.HasAmount && !takes,
		benefit.AmountMissing:    !asked.HasAmount && takes,
		benefit.AmountOutOfRange: asked.HasAmount && takes && outOfRange,
	}
	maps.Copy(holds, t.counted(tp, int64(asked.Quantity), worth))
	for _, r := range benefit.Reasons() {
		if holds[r] {
			return r
		}
	}
	return benefit.NotRefused
}

// ended says that a window is over: its last second has passed.
func ended(w benefit.Window, now benefit.Instant) bool { return w.End != 0 && now/1000 > w.End/1000 }

// counted are the reasons that counting gives.
func (t *trial) counted(tp *benefit.Template, n, worth int64) map[benefit.Reason]bool {
	taken := t.taken[tp.ID]
	total, today := t.total[tp.ID].plus(taken), t.day[dayKey{tp.ID, t.now.Day()}].plus(taken)
	have := t.ledger.user[benefit.QuotaKey{User: t.user.ID, Template: tp.ID}] + taken.count
	haveToday := t.userDay[userDay{benefit.QuotaKey{User: t.user.ID, Template: tp.ID}, t.now.Day()}] + taken.count
	person := have
	for _, other := range t.users {
		if other.ID != t.user.ID && t.user.Person != "" && other.Person == t.user.Person {
			person += t.has(other, tp)
		}
	}
	limited := func(limit, have int64) bool { return limit > 0 && have+n > limit }
	capped := func(c benefit.Cap, have, more int64) bool { return c != benefit.Unlimited && have+more > int64(c) }
	return map[benefit.Reason]bool{
		benefit.UserLimit: limited(tp.Limits.PerUser, have), benefit.PersonLimit: limited(tp.Limits.PerPerson, person),
		benefit.UserDayLimit:  limited(tp.Limits.PerUserPerDay, haveToday),
		benefit.StockEmpty:    capped(tp.Stock.Count, total.count, n),
		benefit.BudgetEmpty:   capped(tp.Stock.Amount, total.amount, worth),
		benefit.DayStockEmpty: capped(tp.Stock.CountPerDay, today.count, n), benefit.DayBudgetEmpty: capped(tp.Stock.AmountPerDay, today.amount, worth),
	}
}

// has is how many vouchers of the template another user has.
func (t *trial) has(u *benefit.User, tp *benefit.Template) int64 {
	return t.ledger.user[benefit.QuotaKey{User: u.ID, Template: tp.ID}]
}
