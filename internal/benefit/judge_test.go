package benefit_test

import (
	"fmt"
	"slices"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// judge decides again what the core decided, in another way: it keeps no counters but a list of every voucher
// ever given, and asks of each reason by itself whether it holds. The core is right when what it issued was held
// back by nothing, and what it refused by the smallest reason that holds.
type judge struct {
	cat     *Catalogue
	users   map[UserID]*User
	given   []given
	records map[string]*record
}

// given is one voucher.
type given struct {
	user     UserID
	template TemplateID
	day      string
	amount   int64
}

// record is what the judge knows of a key.
type record struct {
	meaning   Digest
	recipient Identifier
	user      UserID
	lines     []IssuedLine
}

// verdict judges one outcome, in the order in which the requests of a batch were decided.
func (j *judge) verdict(r *Request, o Outcome, now Instant) error {
	key := string(r.Scope) + "\x00" + r.Key
	old := j.records[key]
	user := j.named(r.Recipient)
	if old != nil && (old.meaning != r.Meaning || old.recipient != r.Recipient && (user == nil || user.ID != old.user)) {
		if o.Reason != KeyConflict || o.Issuance != nil || len(o.Lines) != 0 {
			return fmt.Errorf("the key means something else, and the outcome is %s", o.Reason)
		}
		return nil
	}
	if o.Reason == KeyConflict {
		return fmt.Errorf("a conflict with nothing")
	}
	t := &tryout{judge: j, now: now, user: user, given: j.given}
	switch {
	case old != nil:
		t.frozen = old.lines
		if user != nil && user.ID != old.user {
			t.user = nil
		}
	case user == nil && j.mayBeNew(r):
		t.user = &User{ID: -1}
		if o.Issuance != nil {
			t.user = &User{ID: o.Issuance.User, Identifiers: []Identifier{r.Recipient}}
		}
	}
	return j.lines(t, key, r, o, old)
}

// lines judges each line, and keeps what was given.
func (j *judge) lines(t *tryout, key string, r *Request, o Outcome, old *record) error {
	asked := make([]Line, len(r.Lines))
	copy(asked, r.Lines)
	if old != nil {
		asked = asked[:0]
		for _, l := range old.lines {
			asked = append(asked, l.Line)
		}
	}
	if len(o.Lines) != len(asked) {
		return fmt.Errorf("%d lines, asked for %d", len(o.Lines), len(asked))
	}
	anyNew := false
	for k, l := range asked {
		was := LineOutcome{}
		if old != nil {
			f := old.lines[k]
			was = LineOutcome{Template: l.Template, Issued: f.Issued, Refused: l.Sends - f.Issued, Reason: f.Reason}
			if !r.Continues || f.Issued > 0 || slices.Contains([]Reason{TemplateEnded, UserFrozen, UserLimit, PersonLimit}, f.Reason) {
				if o.Lines[k] != was {
					return fmt.Errorf("line %d was %+v and is done, but is told as %+v", k, was, o.Lines[k])
				}
				continue
			}
		}
		if err := t.line(k, l, o); err != nil {
			return fmt.Errorf("line %d: %w", k, err)
		}
		anyNew = anyNew || o.Lines[k].Issued > 0
	}
	if o.Replayed != (old != nil && !anyNew) {
		return fmt.Errorf("replayed: %v", o.Replayed)
	}
	if !anyNew {
		return nil
	}
	j.given = t.given
	j.users[t.user.ID] = t.user
	j.records[key] = &record{r.Meaning, o.Issuance.Recipient, t.user.ID, o.Issuance.Lines}
	return nil
}

// named is the user that an identifier names.
func (j *judge) named(ident Identifier) *User {
	for _, u := range j.users {
		if slices.Contains(u.Identifiers, ident) {
			return u
		}
	}
	return nil
}

// mayBeNew says that an unknown recipient is taken.
func (j *judge) mayBeNew(r *Request) bool {
	if r.Recipient.Type == Login || r.Recipient.Type == Nick {
		return false
	}
	for _, l := range r.Lines {
		if t := j.cat.Templates[l.Template]; t != nil && t.Merchant == storetest.RegisteredMerchant {
			return false
		}
	}
	return true
}

// tryout is one request on its way: what it was given so far is on its list.
type tryout struct {
	judge  *judge
	now    Instant
	user   *User
	given  []given
	frozen []IssuedLine // of a request that continues
}

// line judges send after send.
func (t *tryout) line(k int, l Line, o Outcome) error {
	told := o.Lines[k]
	if told.Template != l.Template || told.Issued+told.Refused != l.Sends || (told.Refused > 0) != (told.Reason != NotRefused) {
		return fmt.Errorf("asked %+v, told %+v", l, told)
	}
	seen := t.counters(l)
	for n := range told.Issued {
		line := o.Issuance.Lines[k]
		if line.At != t.now || line.Catalogue != t.judge.cat.Version || line.Seen != seen {
			return fmt.Errorf("issued at %s, version %d, and seen %+v; the counters were %+v", line.At, line.Catalogue, line.Seen, seen)
		}
		amounts := line.Amounts[n*l.Quantity : (n+1)*l.Quantity]
		worth := int64(0)
		for _, a := range amounts {
			worth += int64(a)
		}
		if holds := t.reasons(l, worth); len(holds) > 0 {
			return fmt.Errorf("send %d was issued against %v", n, holds)
		}
		for _, a := range amounts {
			t.given = append(t.given, given{t.user.ID, l.Template, t.now.Day().String(), int64(a)})
		}
	}
	if told.Refused == 0 {
		return nil
	}
	holds := t.reasons(l, t.least(k, l))
	if len(holds) == 0 {
		return fmt.Errorf("refused for %s, and nothing holds it back", told.Reason)
	}
	if smallest := slices.Min(holds); smallest != told.Reason {
		return fmt.Errorf("refused for %s, and %v hold", told.Reason, holds)
	}
	return nil
}

// least is the least that a send of the line is worth.
func (t *tryout) least(k int, l Line) (worth int64) {
	tmpl := t.judge.cat.Templates[l.Template]
	switch {
	case tmpl == nil:
	case t.frozen != nil && (len(t.amountReasons(tmpl, l)) == 0 || tmpl.Amount.From != FromRequest):
		for _, a := range t.frozen[k].Amounts[:l.Quantity] {
			worth += int64(a)
		}
	case tmpl.Kind == Reduction:
		worth = int64(tmpl.Face.Reduction) * int64(l.Quantity)
	case tmpl.Kind == Cash && tmpl.Amount.From == FromRequest && len(t.amountReasons(tmpl, l)) == 0:
		worth = int64(l.Amount) * int64(l.Quantity)
	case tmpl.Kind == Cash:
		worth = int64(tmpl.Amount.Min) * int64(l.Quantity)
	}
	return worth
}

// reasons are all that hold against one send of the line.
func (t *tryout) reasons(l Line, worth int64) (all []Reason) {
	add := func(r Reason, holds bool) {
		if holds {
			all = append(all, r)
		}
	}
	add(UserNotFound, t.user == nil)
	if l.Activity != 0 {
		a := t.judge.cat.Activities[l.Activity]
		add(ActivityNotOpen, a.Status != Active || t.now < a.Window.Start)
	}
	tmpl := t.judge.cat.Templates[l.Template]
	if tmpl == nil {
		return append(all, TemplateNotFound)
	}
	add(TemplateDraft, tmpl.Status == Draft)
	add(TemplatePaused, tmpl.Status == Paused)
	add(TemplateNotOpen, tmpl.Publish.Start > t.now)
	add(TemplateEnded, tmpl.Status == Ended || tmpl.Publish.End != 0 && tmpl.Publish.End.String() < t.now.String())
	all = append(all, t.amountReasons(tmpl, l)...)
	n, today := int64(l.Quantity), t.now.Day().String()
	mine := func(g given) bool { return g.template == l.Template }
	capped := func(c Cap, have, more int64) bool { return c >= 0 && have+more > int64(c) }
	add(StockEmpty, capped(tmpl.Stock.Count, t.count(mine), n))
	add(BudgetEmpty, capped(tmpl.Stock.Amount, t.sum(mine), worth))
	ofToday := func(g given) bool { return mine(g) && g.day == today }
	add(DayStockEmpty, capped(tmpl.Stock.CountPerDay, t.count(ofToday), n))
	add(DayBudgetEmpty, capped(tmpl.Stock.AmountPerDay, t.sum(ofToday), worth))
	if t.user == nil {
		return all
	}
	limited := func(limit int64, whose func(g given) bool) bool { return limit != 0 && t.count(whose)+n > limit }
	add(UserFrozen, t.user.Frozen)
	add(UserLimit, limited(tmpl.Limits.PerUser, func(g given) bool { return mine(g) && g.user == t.user.ID }))
	add(UserDayLimit, limited(tmpl.Limits.PerUserPerDay, func(g given) bool { return ofToday(g) && g.user == t.user.ID }))
	add(PersonLimit, limited(tmpl.Limits.PerPerson, func(g given) bool { return mine(g) && t.samePerson(g.user) }))
	return all
}

// counters are what an explanation of the decision must show.
func (t *tryout) counters(l Line) (c Counters) {
	for _, g := range t.given {
		if g.template != l.Template {
			continue
		}
		today, own := g.day == t.now.Day().String(), t.user != nil && g.user == t.user.ID
		for counter, counts := range map[*int64]bool{&c.Count: true, &c.DayCount: today, &c.User: own, &c.UserDay: own && today} {
			if counts {
				*counter++
			}
		}
		c.Amount += g.amount
		if today {
			c.DayAmount += g.amount
		}
		if tmpl := t.judge.cat.Templates[l.Template]; tmpl.Limits.PerPerson > 0 && t.user != nil && t.samePerson(g.user) {
			c.Person++
		}
	}
	return c
}

func (t *tryout) amountReasons(tmpl *Template, l Line) []Reason {
	takes := tmpl.Kind == Cash && tmpl.Amount.From == FromRequest
	switch {
	case takes && !l.HasAmount:
		return []Reason{AmountMissing}
	case !takes && l.HasAmount:
		return []Reason{AmountNotAllowed}
	case takes && (l.Amount > tmpl.Amount.Max || l.Amount < tmpl.Amount.Min):
		return []Reason{AmountOutOfRange}
	}
	return nil
}

func (t *tryout) samePerson(other UserID) bool {
	if other == t.user.ID {
		return true
	}
	return t.user.Person != "" && t.judge.users[other].Person == t.user.Person
}

func (t *tryout) count(which func(given) bool) (n int64) {
	for _, g := range t.given {
		if which(g) {
			n++
		}
	}
	return n
}

func (t *tryout) sum(which func(given) bool) (fen int64) {
	for _, g := range t.given {
		if which(g) {
			fen += g.amount
		}
	}
	return fen
}
