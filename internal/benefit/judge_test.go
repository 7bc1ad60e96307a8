package benefit_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// judge decides again what the core decided, in another way: it keeps no counters but a list of every voucher
// ever given, and asks of each reason by itself whether it holds. The core is right when what it issued was held
// back by nothing, and what it refused by the smallest reason that holds.
type judge struct {
	cat     *Catalogue
	users   map[UserID]*User
	given   []indexNonZero
	sent    []sent
	codes   map[string]bool // that were given out or are kept for a line
	records map[string]*record
}

func newJudge() *judge {
	return &judge{users: map[UserID]*User{}, codes: map[string]bool{}, records: map[string]*record{}}
}

// indexNonZero is one voucher.
type indexNonZero struct {
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
	continues bool // Continues was said at first
	boxDone   bool
	errors    []DecisionError
	until     Instant // when the key is free again; 0: never
}

// verdict judges one outcome, in the order in which the requests of a batch were decided.
func (j *judge) verdict(r *Request, o Outcome, now Instant) error {
	key := string(r.Scope) + "\x00" + r.Key
	old := j.records[key]
	if old != nil && old.until != 0 && now >= old.until {
		old = nil
	}
	user := j.named(r.Recipient)
	if old != nil && (old.meaning != r.Fingerprint || old.recipient != r.Recipient && (user == nil || user.ID != old.user)) {
		if o.Reason != KeyConflict || o.Issuance != nil || len(o.Lines) != 0 {
			return fmt.Errorf("the key means something else, and the outcome is %s", o.Reason)
		}
		return nil
	}
	if o.Reason == KeyConflict {
		return fmt.Errorf("a conflict with nothing")
	}
	t := &tryout{judge: j, now: now, request: r, user: user, given: j.given, guarded: r.Guarded}
	known := user != nil
	switch {
	case old != nil:
		t.frozen = old.lines
		if user != nil && user.ID != old.user {
			t.user = nil
		}
	case user == nil && j.mayBeNew(r):
		t.user = &User{ID: -1, Unregistered: true}
		if o.Issuance != nil {
			t.user = &User{ID: o.Issuance.User, Identifiers: []Identifier{r.Recipient}, Unregistered: true}
		}
	}
	d := decision{lines: r.Lines}
	switch {
	case old != nil:
		d.lines, d.errors = nil, old.errors
		for _, l := range old.lines {
			d.lines = append(d.lines, l.Line)
		}
	case r.Params.SceneCode != "":
		d = j.decide(t, r, known)
	}
	if storetest.Diff(d.errors, o.Errors) != "" {
		return fmt.Errorf("told the errors %v, want %v", o.Errors, d.errors)
	}
	if attempt := attemptOf(o); old == nil && attempt != nil {
		if err := checkExplanation(j.cat, attempt, d.eligible); err != nil {
			return err
		}
	}
	return j.lines(t, key, r, o, old, d)
}

// attemptOf returns what was decided now: issued or refused.
func attemptOf(o Outcome) *Issuance {
	if o.Attempt != nil {
		return o.Attempt
	}
	return o.Issuance
}

// lines judges each line, and keeps what was given.
func (j *judge) lines(t *tryout, key string, r *Request, o Outcome, old *record, d decision) error {
	params := d.lines
	if len(o.Lines) != len(params) {
		return fmt.Errorf("%d lines, asked for %d", len(o.Lines), len(params))
	}
	anyNew := false
	t.decided = attemptOf(o)
	for k, l := range params {
		was := LineOutcome{}
		if old != nil {
			f := old.lines[k]
			was = LineOutcome{Template: l.Template, Issued: f.Issued, Refused: l.Sends - f.Issued, Reason: f.Reason}
			if !r.Continues || !old.continues || f.Issued > 0 || slices.Contains([]Reason{TemplateEnded, UserFrozen, UserLimit, PersonLimit}, f.Reason) {
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
	if want := firstReason(d.errors, o.Lines); o.Reason != want {
		return fmt.Errorf("the reason is %s, want %s", o.Reason, want)
	}
	switch {
	case old != nil && !(r.Continues && old.continues):
		if o.BoxDone != old.boxDone {
			return fmt.Errorf("a replay tells of a done task: %v", o.BoxDone)
		}
		return nil
	case old != nil && !anyNew:
		if err := old.close(o); err != nil {
			return err
		}
	case anyNew:
		j.keep(t, key, r, o, old)
		for _, l := range o.Issuance.Lines {
			if old != nil {
				break
			}
			if err := j.checkCodes(l); err != nil {
				return err
			}
		}
	}
	if done := j.boxDone(t.user, params, t.now); o.BoxDone != done {
		return fmt.Errorf("told that a task is done: %v, and it is: %v", o.BoxDone, done)
	}
	return nil
}

// close notes which lines an attempt that issued nothing refused for good: they must be so in the record, and nothing
// else of it may have changed.
func (old *record) close(o Outcome) error {
	want := slices.Clone(old.lines)
	for k := range want {
		trace := o.Lines[k].Reason
		if want[k].Issued == 0 && slices.Contains([]Reason{TemplateEnded, UserFrozen, UserLimit, PersonLimit}, trace) {
			want[k].Reason, want[k].Seen = trace, o.Issuance.Lines[k].Seen
		}
	}
	if diff := storetest.Diff(want, o.Issuance.Lines); diff != "" {
		return fmt.Errorf("nothing was issued, and the record says (-want +got):\n%s", diff)
	}
	old.lines = want
	return nil
}

// keep notes what was issued.
func (j *judge) keep(t *tryout, key string, r *Request, o Outcome, old *record) {
	j.given = t.given
	j.users[t.user.ID] = t.user
	first := t.now
	if old != nil {
		first = 0 // such keys are bound for ever
	}
	for k, l := range o.Issuance.Lines {
		if old == nil || old.lines[k].Issued == 0 {
			for range l.Issued {
				j.send(t.user.ID, l.Line, o.Issuance.Params.Card, t.now)
			}
		}
	}
	kept := &record{
		meaning: r.Fingerprint, recipient: o.Issuance.Recipient, user: t.user.ID, lines: o.Issuance.Lines, boxDone: o.BoxDone, errors: o.Errors,
	}
	kept.continues = r.Continues
	if old != nil {
		kept.continues = old.continues
	}
	if r.BindMillis > 0 {
		kept.until = first + Instant(r.BindMillis)
	}
	j.records[key] = kept
}

// firstReason returns the reason of an outcome with these errors and lines.
func firstReason(errors []DecisionError, lines []LineOutcome) Reason {
	var all []Reason
	for _, e := range errors {
		all = append(all, e.Reason)
	}
	for _, l := range lines {
		if all = append(all, l.Reason); l.Issued > 0 {
			return NotRefused
		}
	}
	return append(all, NotRefused)[0]
}

// named returns the user that an identifier names.
func (j *judge) named(ident Identifier) *User {
	if ident.Type == "@USER" {
		for _, u := range j.users {
			if fmt.Sprint(int64(u.ID)) == ident.Value {
				return u
			}
		}
		return nil
	}
	for _, u := range j.users {
		if slices.Contains(u.Identifiers, ident) {
			return u
		}
	}
	return nil
}

// wrongRecipient returns why the recipient is wrong as a parameter, and whether it is.
func wrongRecipient(r *Request, t *Template) (Reason, bool) {
	i := r.Recipient
	switch {
	case strings.Contains(i.Value, "\n"):
		return IdentifierInvalid, true
	case t == nil:
	case r.OnAlipay && i.Type == AlipayID && t.Merchant == storetest.RegisteredMerchant && !userID.MatchString(i.Value):
		return IdentifierInvalid, true
	case i.Type == "INVENTED" && t.Merchant == storetest.OpenMerchant:
		return UserTypeNotAllowed, true
	}
	return NotRefused, false
}

var userID = regexp.MustCompile(`^2088\d{12}$`)

// mayBeNew reports whether an unknown recipient is taken.
func (j *judge) mayBeNew(r *Request) bool {
	if slices.Contains([]string{Login, Nick, "@USER"}, r.Recipient.Type) {
		return false
	}
	lines := slices.Clone(r.Lines)
	if r.Params.SceneCode != "" {
		_, all, _ := j.options(r)
		for _, o := range all {
			lines = append(lines, o.lines...)
		}
	}
	for _, l := range lines {
		if t := j.cat.Templates[l.Template]; t != nil && t.Merchant == storetest.RegisteredMerchant {
			return false
		}
	}
	return true
}

// tryout is one request on its way: what it was given so far is on its list.
type tryout struct {
	judge   *judge
	now     Instant
	request *Request
	user    *User
	given   []indexNonZero
	frozen  []IssuedLine // of a request that continues

	guarded bool      // the lines are under the guard of their activities
	decided *Issuance // what the core made of it
}

// line judges send after send.
func (t *tryout) line(k int, l Line, o Outcome) error {
	trace := o.Lines[k]
	if trace.Template != l.Template || trace.Issued+trace.Refused != l.Sends || (trace.Refused > 0) != (trace.Reason != NotRefused) {
		return fmt.Errorf("asked %+v, told %+v", l, trace)
	}
	seen := t.counters(l)
	for n := range trace.Issued {
		line := o.Issuance.Lines[k]
		if line.At != t.now || line.Catalogue != t.judge.cat.Version || line.Seen != seen {
			return fmt.Errorf("issued at %s, version %d, and seen %+v; the counters were %+v", line.At, line.Catalogue, line.Seen, seen)
		}
		amounts := line.Amounts[n*l.Quantity : (n+1)*l.Quantity]
		worth := int64(0)
		for _, a := range amounts {
			worth += int64(a)
		}
		if holds := t.reasons(l, worth); len(holds) > 0 || t.tooSoon(l) {
			return fmt.Errorf("send %d was issued against %v", n, holds)
		}
		for _, a := range amounts {
			t.given = append(t.given, indexNonZero{t.user.ID, l.Template, t.now.Day().String(), int64(a)})
		}
	}
	if trace.Refused == 0 {
		return nil
	}
	holds := t.reasons(l, t.least(k, l))
	if t.tooSoon(l) {
		holds = append(holds, Guarded)
	}
	if t.codesEmpty(k, l, trace) {
		holds = append(holds, CodesEmpty)
	}
	if len(holds) == 0 {
		return fmt.Errorf("refused for %s, and nothing holds it back", trace.Reason)
	}
	if smallest := slices.Min(holds); smallest != trace.Reason {
		return fmt.Errorf("refused for %s, and %v hold", trace.Reason, holds)
	}
	return nil
}

// guardRefuses reports whether the guard of the line's activity holds the request back. What the request itself got does
// not.
func (t *tryout) tooSoon(l Line) bool {
	if !t.guarded || l.Activity == 0 || t.user == nil || t.judge.cat.Activities[l.Activity].NoGuard {
		return false
	}
	return slices.ContainsFunc(t.judge.sent, func(s sent) bool {
		return s.user == t.user.ID && s.activity == l.Activity && t.now-s.at < 1000
	})
}

// codesEmpty reports whether the line has no code for the next send, and that so many are taken that this may be.
func (t *tryout) codesEmpty(k int, l Line, trace LineOutcome) bool {
	tmpl := t.judge.cat.Templates[l.Template]
	if tmpl == nil || tmpl.Kind != Certificate || t.decided == nil {
		return false
	}
	taken := 0
	for code := range t.judge.codes {
		if len(code) == tmpl.Code.Digits {
			taken++
		}
	}
	// The others of the batch may have drawn all ten codes of one digit, but never the hundred of two.
	return len(t.decided.Lines[k].Codes) < (trace.Issued+1)*l.Quantity && (tmpl.Code.Digits == 1 || taken > 25)
}

// least returns the least that a send of the line is worth.
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

// reasons returns all that hold against one send of the line.
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
	if t.frozen == nil {
		add(wrongRecipient(t.request, tmpl))
	}
	if tmpl == nil {
		return append(all, TemplateNotFound)
	}
	add(UserNotFound, t.user != nil && t.user.Unregistered && tmpl.Merchant == storetest.RegisteredMerchant)
	add(OtherMerchant, t.request.Params.SceneCode != "" && !t.judge.mayGive(t.request, tmpl))
	add(TemplateDraft, tmpl.Status == Draft)
	add(TemplatePaused, tmpl.Status == Paused)
	add(TemplateNotOpen, tmpl.Publish.Start > t.now)
	add(TemplateEnded, tmpl.Status == Ended || tmpl.Publish.End != 0 && tmpl.Publish.End.String() < t.now.String())
	all = append(all, t.amountReasons(tmpl, l)...)
	n, today := int64(l.Quantity), t.now.Day().String()
	mine := func(g indexNonZero) bool { return g.template == l.Template }
	capped := func(c Cap, have, more int64) bool { return c >= 0 && have+more > int64(c) }
	add(StockEmpty, capped(tmpl.Stock.Count, t.count(mine), n))
	add(BudgetEmpty, capped(tmpl.Stock.Amount, t.sum(mine), worth))
	ofToday := func(g indexNonZero) bool { return mine(g) && g.day == today }
	add(DayStockEmpty, capped(tmpl.Stock.CountPerDay, t.count(ofToday), n))
	add(DayBudgetEmpty, capped(tmpl.Stock.AmountPerDay, t.sum(ofToday), worth))
	if t.user == nil {
		return all
	}
	limited := func(limit int64, whose func(g indexNonZero) bool) bool { return limit != 0 && t.count(whose)+n > limit }
	add(UserFrozen, t.user.Frozen)
	add(UserLimit, limited(tmpl.Limits.PerUser, func(g indexNonZero) bool { return mine(g) && g.user == t.user.ID }))
	add(UserDayLimit, limited(tmpl.Limits.PerUserPerDay, func(g indexNonZero) bool { return ofToday(g) && g.user == t.user.ID }))
	add(PersonLimit, limited(tmpl.Limits.PerPerson, func(g indexNonZero) bool { return mine(g) && t.samePerson(g.user) }))
	return all
}

// counters returns what an explanation of the decision must show.
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

func (t *tryout) count(which func(indexNonZero) bool) (n int64) {
	for _, g := range t.given {
		if which(g) {
			n++
		}
	}
	return n
}

func (t *tryout) sum(which func(indexNonZero) bool) (fen int64) {
	for _, g := range t.given {
		if which(g) {
			fen += g.amount
		}
	}
	return fen
}
