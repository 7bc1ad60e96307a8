package oracle

import (
	"errors"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Issue is a call of the issue.
type Issue struct{ benefit.Issue }

// NewIssue returns a call that issues what the request asks for.
func NewIssue(r *benefit.Request) *Issue { return &Issue{benefit.Issue{Request: r}} }

// Command returns the command.
func (c *Issue) Command() benefit.Command { return &c.Issue }

// Key returns the key of the request.
func (c *Issue) Key() Key { return KeyOf(c.Request) }

// Again returns a call with the same request.
func (c *Issue) Again() Call { return NewIssue(c.Request) }

// Judge judges the outcome; see [Oracle.JudgeIssue].
func (c *Issue) Judge(o *Oracle, now benefit.Instant) error {
	return o.JudgeIssue(c.Request, c.Outcome, now)
}

// String returns the key, the recipient and the number of lines.
func (c *Issue) String() string {
	r := c.Request
	return fmt.Sprintf("%s %q for %s:%s lines=%d", r.Scope, r.Key, r.Recipient.Type, r.Recipient.Value, len(r.Lines))
}

// Result returns the outcome with its lines.
func (c *Issue) Result() string {
	o := &c.Outcome
	text := o.Reason.String()
	if o.Replayed {
		text += " replayed"
	}
	if o.Issuance != nil {
		text += fmt.Sprintf(" %d", o.Issuance.ID)
	}
	if o.BoxDone {
		text += " box done"
	}
	for _, e := range o.Errors {
		text += fmt.Sprintf(" (%s %d: %v)", e.ActCode, e.RightID, e.Reason)
	}
	for _, l := range o.Lines {
		text += fmt.Sprintf(" [%d of template %d, %d not: %v]", l.Issued, l.Template, l.Refused, l.Reason)
	}
	return text
}

// JudgeIssue judges the outcome of a request that was decided at now, after the outcomes before it in the batch, and books
// what was issued.
func (o *Oracle) JudgeIssue(r *benefit.Request, got benefit.Outcome, now benefit.Instant) error {
	if o.disabled(r.App) {
		return differ("the app is disabled", benefit.Outcome{Reason: benefit.AppDisabled}, got)
	}
	user, bound := o.recipient(r.Recipient), o.Bound(KeyOf(r), now)
	if bound != nil {
		if bound.Fingerprint != r.Fingerprint || bound.Recipient != r.Recipient && (user == nil || user.ID != bound.User) {
			return differ("the key is bound to another request", benefit.Outcome{Reason: benefit.KeyConflict}, got)
		}
		if !bound.Continues || !r.Continues {
			return differ("the key is bound", o.replayOf(bound), got)
		}
		if user != nil && user.ID != bound.User {
			user = nil // the identifier names another user by now, who does not get what was frozen for the first
		}
	}
	decided := got.Issuance
	if got.Attempt != nil {
		decided = got.Attempt
	}
	if decided == nil {
		return fmt.Errorf("%v, and no record of what was decided", got.Reason)
	}
	t := &trial{Oracle: o, request: r, now: now, user: user, bound: bound, sends: slices.Clip(o.booked)}
	c, err := t.choice(decided)
	if err != nil {
		return err
	}
	attempt, issued, err := t.attempt(c, decided)
	if err != nil {
		return err
	}
	want := outcomeOf(attempt, bound != nil && !issued)
	want.BoxDone = t.boxDone(attempt)
	if issued {
		attempt.BoxDone = want.BoxDone
	} else {
		want.Issuance, want.Attempt = t.closed(attempt), attempt
	}
	if err := differ("the outcome", want, got); err != nil {
		return err
	}
	if want.Issuance == bound {
		return nil
	}
	if t.fresh {
		o.Users[t.user.ID] = t.user
	}
	if c != nil {
		o.choices[got.Issuance.ID] = c
	}
	return o.Book(got.Issuance)
}

// judgeIssueReplay judges an outcome that was answered although the commit of its batch failed.
func (o *Oracle) judgeIssueReplay(r *benefit.Request, got benefit.Outcome, now benefit.Instant) error {
	bound := o.Bound(KeyOf(r), now)
	if bound == nil {
		return errors.New("an outcome, though its commit failed and nothing had been issued before")
	}
	want := o.replayOf(bound)
	if bound.Continues { // the rest of the answer is that of the attempt to continue it
		want = benefit.Outcome{Issuance: bound, Replayed: true}
		got = benefit.Outcome{Issuance: got.Issuance, Replayed: got.Replayed}
	}
	return differ("the key is bound", want, got)
}

// disabled reports whether an app is disabled.
func (o *Oracle) disabled(a benefit.AppID) bool {
	app, ok := o.Catalogue.Apps[a]
	return ok && app.Disabled
}

// trial is one attempt at a request.
type trial struct {
	*Oracle
	request *benefit.Request
	now     benefit.Instant
	user    *benefit.User     // nil when there is none who may receive
	fresh   bool              // issuing makes the user
	bound   *benefit.Issuance // what the attempt continues; nil for a new key
	sends   []send            // those booked, and those of this attempt
}

// choice makes the choice of a scene; nil where the request names its lines, or continues those of its key. It finds out
// whether the recipient is a new user.
func (t *trial) choice(decided *benefit.Issuance) (c *choice, err error) {
	if t.bound != nil {
		return nil, nil
	}
	lines := t.request.Lines
	if t.request.Params.SceneCode != "" {
		c = t.candidates()
		lines = c.allLines()
	}
	if t.user == nil && t.acceptsUnknown(lines) {
		t.fresh, t.user = true, &benefit.User{ID: decided.User, Identifiers: []benefit.Identifier{t.request.Recipient}, Unregistered: true}
		if t.request.Recipient.Type == benefit.AlipayID {
			t.user.Alipay = t.request.Recipient.Value
		}
		if t.user.ID == 0 || t.Users[t.user.ID] != nil {
			return nil, fmt.Errorf("the new user has the id %d of another", t.user.ID)
		}
	}
	if c == nil {
		return nil, nil
	}
	t.choose(c)
	if err := t.checkBasis(decided.Basis); err != nil {
		return nil, err
	}
	return c, t.explained(c, decided, t.Explain(t.Catalogue, decided))
}

// acceptsUnknown reports whether an unknown recipient of the lines becomes a user.
func (t *trial) acceptsUnknown(lines []benefit.Line) bool {
	ident := t.request.Recipient
	if _, ref := ident.Ref(); ref || ident.Type == benefit.Login || ident.Type == benefit.Nick || ident.Value == "" {
		return false
	}
	return !slices.ContainsFunc(lines, t.closedTo)
}

// closedTo reports whether the line's template is of a merchant who accepts registered users only.
func (o *Oracle) closedTo(l benefit.Line) bool {
	tp := o.Catalogue.Templates[l.Template]
	return tp != nil && !o.Catalogue.Merchants[tp.Merchant].Open
}

// attempt returns the record of the attempt as it must be, and whether it issues anything.
func (t *trial) attempt(c *choice, decided *benefit.Issuance) (i *benefit.Issuance, issued bool, err error) {
	if t.bound != nil {
		again := *t.bound
		again.Lines = slices.Clone(again.Lines)
		i = &again
	} else {
		i = t.newRecord(c, decided)
	}
	if len(decided.Lines) != len(i.Lines) {
		return nil, false, fmt.Errorf("%d lines were decided, there are %d", len(decided.Lines), len(i.Lines))
	}
	for k := range i.Lines {
		l := &i.Lines[k]
		if t.bound != nil && !open(l) {
			continue
		}
		if err := t.draw(l, &decided.Lines[k]); err != nil {
			return nil, false, fmt.Errorf("line %d: %w", k, err)
		}
		if err := t.line(l); err != nil {
			return nil, false, fmt.Errorf("line %d: %w", k, err)
		}
		issued = issued || l.Issued > 0
	}
	if !issued {
		i.Catalogue = t.Catalogue.Version
	}
	return i, issued, nil
}

// open reports whether a retry continues a frozen line.
func open(l *benefit.IssuedLine) bool { return l.Issued == 0 && !final(l.Reason) }

// final reports whether a frozen line that was refused for the reason is not tried again.
func final(r benefit.Reason) bool {
	return r == benefit.TemplateEnded || r == benefit.UserFrozen || r == benefit.UserLimit || r == benefit.PersonLimit
}

// newRecord returns the record of a new key before anything is issued.
func (t *trial) newRecord(c *choice, decided *benefit.Issuance) *benefit.Issuance {
	r := t.request
	i := &benefit.Issuance{
		ID: decided.ID, Scope: r.Scope, Key: r.Key, App: r.App, Fingerprint: r.Fingerprint, Recipient: r.Recipient,
		Catalogue: t.Catalogue.Version, Continues: r.Continues, BindMillis: r.BindMillis, Params: r.Params, Note: r.Note,
	}
	if t.user != nil {
		i.User = t.user.ID
		if r.Recipient.Type != benefit.AlipayID {
			i.Alipay = t.user.Alipay
		}
	}
	lines := r.Lines
	if c != nil {
		lines, i.Errors, i.Basis = c.chosenLines(), c.errors, decided.Basis
	}
	i.Lines = make([]benefit.IssuedLine, len(lines))
	next := i.ID
	for k, l := range lines {
		i.Lines[k] = benefit.IssuedLine{Line: l, First: next}
		next += id.ID(l.Sends * l.Quantity)
	}
	return i
}

// draw takes what the core drew for a line: the amounts and codes of a new one, and the codes that a frozen one lacked.
func (t *trial) draw(l, decided *benefit.IssuedLine) error {
	tp, n := t.Catalogue.Templates[l.Template], l.Sends*l.Quantity
	if t.bound == nil && tp != nil {
		l.Amounts = decided.Amounts
		if len(l.Amounts) != n {
			return fmt.Errorf("%d amounts for %d vouchers", len(l.Amounts), n)
		}
		for _, amount := range l.Amounts {
			if least, most := amounts(tp, l.Line); amount < least || amount > most {
				return fmt.Errorf("a voucher of %d fen, of a template that gives %d to %d", amount, least, most)
			}
		}
	}
	if tp == nil || tp.Kind != benefit.Certificate {
		return nil
	}
	had := len(l.Codes)
	if len(decided.Codes) < had || len(decided.Codes) > n {
		return fmt.Errorf("%d codes for %d vouchers, there were %d before", len(decided.Codes), n, had)
	}
	l.Codes = decided.Codes
	for _, code := range l.Codes[had:] {
		if len(code) != tp.Code.Digits {
			return fmt.Errorf("a code of %d digits, and not of %d", len(code), tp.Code.Digits)
		}
	}
	return nil
}

// line issues send after send, until a reason holds against one.
func (t *trial) line(l *benefit.IssuedLine) error {
	tp := t.Catalogue.Templates[l.Template]
	if len(l.Amounts) == 0 {
		tp = nil // the template came after the line was frozen
	}
	l.Reason, l.Seen = benefit.NotRefused, benefit.Counters{}
	if tp != nil && t.user != nil {
		l.Seen = t.counters(tp)
	}
	for ; l.Issued < l.Sends; l.Issued++ {
		drawn := int64(0)
		if tp != nil {
			drawn = worth(l, l.Issued)
		}
		least := drawn
		if tp != nil && t.bound == nil {
			least = leastWorth(tp, l.Line)
		}
		reasons := t.reasons(tp, l.Line, least)
		if t.guards(l.Activity) {
			reasons = append(reasons, benefit.Guarded)
		}
		if tp != nil && tp.Kind == benefit.Certificate && len(l.Codes) < (l.Issued+1)*l.Quantity {
			reasons = append(reasons, benefit.CodesEmpty)
		}
		if len(reasons) > 0 {
			l.Reason = slices.Min(reasons)
			break
		}
		if reasons := t.reasons(tp, l.Line, drawn); len(reasons) > 0 {
			return fmt.Errorf("amounts of %d fen were drawn against %v", drawn, reasons)
		}
		t.sends = t.give(t.sends, t.user.ID, t.request.Params.Card, l, l.Issued, t.now)
	}
	if l.Reason == benefit.CodesEmpty && t.bound == nil && !t.scarce(tp.Code.Digits) {
		return errors.New("no free code was found, and most are free")
	}
	if l.Issued > 0 {
		l.At, l.Catalogue, l.Valid, l.Kind, l.Face = t.now, t.Catalogue.Version, tp.Valid.Of(t.now), tp.Kind, tp.Face
	}
	return nil
}

// scarce reports whether free codes of a length may be hard to find.
func (o *Oracle) scarce(digits int) bool {
	taken, all := 0, 1
	for code := range o.Codes {
		if len(code) == digits {
			taken++
		}
	}
	for range digits {
		all *= 10
	}
	return digits <= o.ScarceDigits || taken > all/4
}

// closed returns what must stand under the key after an attempt that issued nothing: what stood there, with each line
// closed that the attempt refused for good.
func (t *trial) closed(attempt *benefit.Issuance) *benefit.Issuance {
	if t.bound == nil {
		return nil
	}
	after, changed := *t.bound, false
	after.Lines = slices.Clone(after.Lines)
	for k := range after.Lines {
		if l, tried := &after.Lines[k], &attempt.Lines[k]; open(l) && final(tried.Reason) {
			l.Reason, l.Seen, changed = tried.Reason, tried.Seen, true
		}
	}
	if !changed {
		return t.bound
	}
	return &after
}

// boxDone reports whether one of the lines belongs to a treasure box whose task the user has done today.
func (t *trial) boxDone(i *benefit.Issuance) bool {
	return t.user != nil && slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool {
		act := t.Catalogue.Activities[l.Activity]
		return act != nil && act.Box != nil &&
			participation(t.sends, benefit.ParticipationKey{User: t.user.ID, Activity: act.ID}, t.now.Day()).Done
	})
}

// replayOf returns the outcome of a replay of an issuance. In a repeat window it has the state of the voucher.
func (o *Oracle) replayOf(i *benefit.Issuance) benefit.Outcome {
	replay := outcomeOf(i, true)
	if i.BindMillis != 0 {
		replay.State = o.state(i.FirstVoucher())
	}
	return replay
}

// outcomeOf returns the outcome that an issuance records.
func outcomeOf(i *benefit.Issuance, replayed bool) benefit.Outcome {
	o := benefit.Outcome{
		Issuance: i, Replayed: replayed, Errors: i.Errors, BoxDone: i.BoxDone, Lines: make([]benefit.LineOutcome, len(i.Lines)),
	}
	for k, l := range i.Lines {
		o.Lines[k] = benefit.LineOutcome{Template: l.Template, Issued: l.Issued, Refused: l.Sends - l.Issued, Reason: l.Reason}
	}
	o.Reason = firstReason(o.Errors, o.Lines)
	return o
}

// firstReason returns the reason of the whole: none when anything was issued, else that of the first error or line.
func firstReason(errors []benefit.DecisionError, lines []benefit.LineOutcome) benefit.Reason {
	var all []benefit.Reason
	for _, e := range errors {
		all = append(all, e.Reason)
	}
	for _, l := range lines {
		if l.Issued > 0 {
			return benefit.NotRefused
		}
		all = append(all, l.Reason)
	}
	return append(all, benefit.NotRefused)[0]
}
