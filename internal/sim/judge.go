package sim

import (
	"errors"
	"fmt"
	"slices"

	"faquan/internal/benefit"
)

// judgeReplay judges an answer from a batch whose commit failed: it can only be what was there before.
func (l *ledger) judgeReplay(r *benefit.Request, o benefit.Outcome, now benefit.Instant) error {
	bound := l.standing(claim{r.Scope, r.Key}, now)
	if bound == nil {
		return errors.New("an outcome, though its commit failed and nothing had been issued before")
	}
	return wantReplay(bound, o)
}

// judge judges an answer from a batch that was committed at now, after the answers before it in the batch, and
// books what it issued.
func (l *ledger) judge(r *benefit.Request, o benefit.Outcome, now benefit.Instant) error {
	user, bound := l.recipient(r.Recipient), l.standing(claim{r.Scope, r.Key}, now)
	if bound != nil && (bound.Fingerprint != r.Fingerprint || bound.Recipient != r.Recipient && (user == nil || user.ID != bound.User)) {
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
	t := &trial{ledger: l, now: now, request: r, user: user, guarded: r.Guarded, taken: map[benefit.TemplateID]tally{}}
	c := l.wishes(r, bound)
	if user == nil && bound == nil && l.takesUnknown(r, c) {
		t.fresh, t.user = true, &benefit.User{Identifiers: []benefit.Identifier{r.Recipient}, Unregistered: true}
		if o.Issuance != nil {
			t.user.ID = o.Issuance.User
		}
	}
	if bound == nil && r.Params.SceneCode != "" {
		t.choose(r, c)
		if err := t.wantChoice(c, o); err != nil {
			return err
		}
	}
	lines := linesOf(r, bound, c)
	if err := t.attempt(lines, bound, o); err != nil {
		return err
	}
	if err := wantReason(bound, c, o); err != nil {
		return err
	}
	return t.book(r, bound, lines, o)
}

// wishes returns what a request's scene has for it; nothing for one without, or whose lines are frozen.
func (l *ledger) wishes(r *benefit.Request, bound *benefit.Issuance) *choice {
	if bound != nil {
		return &choice{errors: bound.Errors}
	}
	if r.Params.SceneCode == "" {
		return &choice{}
	}
	return l.candidates(r)
}

// linesOf returns the lines that an attempt is about.
func linesOf(r *benefit.Request, bound *benefit.Issuance, c *choice) (lines []benefit.Line) {
	switch {
	case bound != nil:
		for _, line := range bound.Lines {
			lines = append(lines, line.Line)
		}
	case r.Params.SceneCode != "":
		lines = c.lines()
	default:
		lines = r.Lines
	}
	return lines
}

// wantChoice checks how a choice that was just made is explained.
func (t *trial) wantChoice(c *choice, o benefit.Outcome) error {
	of := o.Issuance
	if of == nil {
		of = o.Attempt
	}
	if of == nil {
		return errors.New("a choice of which nothing is told")
	}
	return c.explained(benefit.Explain(t.cat, of, rules{}))
}

// wantReason checks the reason of the whole: the first of all, when nothing stands under the key.
func wantReason(bound *benefit.Issuance, c *choice, o benefit.Outcome) error {
	if diff := diff(c.errors, o.Errors); diff != "" && len(c.errors)+len(o.Errors) > 0 {
		return fmt.Errorf("what was named in vain (-should +is):\n%s", diff)
	}
	want := benefit.NotRefused
	if bound == nil && o.Issuance == nil {
		for k := len(o.Lines) - 1; k >= 0; k-- {
			want = o.Lines[k].Reason
		}
		if len(c.errors) > 0 {
			want = c.errors[0].Reason
		}
	}
	if o.Reason != want {
		return fmt.Errorf("the reason is %v, it should be %v", o.Reason, want)
	}
	return nil
}

// book takes what an attempt issued into the ledger.
func (t *trial) book(r *benefit.Request, bound *benefit.Issuance, lines []benefit.Line, o benefit.Outcome) error {
	l := t.ledger
	if t.issued == 0 {
		want := closedBy(bound, o)
		if diff := diff(want, o.Issuance); diff != "" {
			return fmt.Errorf("nothing new was issued, but what stands under the key is not as it should be (-should +is):\n%s", diff)
		}
		if want != bound {
			l.coverage.Closed++
			l.issued[claim{r.Scope, r.Key}] = o.Issuance
		}
		return t.wantBox(lines, o)
	}
	if t.fresh {
		l.learnUser(t.user)
	}
	i := o.Issuance
	if user := l.users[i.User]; user == nil || user.ID != t.user.ID {
		return fmt.Errorf("issued to user %d, not to %d", i.User, t.user.ID)
	}
	if i.Scope != r.Scope || i.Key != r.Key || i.BindMillis != r.BindMillis && bound == nil || i.Fingerprint != r.Fingerprint {
		return errors.New("issued under another key, or another meaning")
	}
	l.coverage.note(l.issued[claim{r.Scope, r.Key}], bound, i)
	if err := l.add(i); err != nil {
		return err
	}
	if i.BoxDone != o.BoxDone {
		return errors.New("the answer and the record differ about the box")
	}
	return t.wantBox(lines, o)
}

// closedBy returns what must stand under a key after an attempt that issued nothing: what stood there, with each line
// closed that the answer says is final.
func closedBy(bound *benefit.Issuance, o benefit.Outcome) *benefit.Issuance {
	closed := bound
	for k, result := range o.Lines {
		if bound == nil || o.Issuance == nil || bound.Lines[k].Issued > 0 || final(bound.Lines[k].Reason) || !final(result.Reason) {
			continue
		}
		if closed == bound {
			again := *bound
			again.Lines = slices.Clone(bound.Lines)
			closed = &again
		}
		closed.Lines[k].Reason, closed.Lines[k].Seen = result.Reason, o.Issuance.Lines[k].Seen
	}
	return closed
}

// wantBox checks what the answer reports about the treasure box.
func (t *trial) wantBox(lines []benefit.Line, o benefit.Outcome) error {
	if want := t.boxDone(t.user, lines, t.now); o.BoxDone != want {
		return fmt.Errorf("the task of the box is done: %v, it should be %v", o.BoxDone, want)
	}
	return nil
}

// learnUser books the user that a recipient became by being issued to.
func (l *ledger) learnUser(u *benefit.User) {
	if u.Identifiers[0].Type == benefit.AlipayID {
		u.Alipay = u.Identifiers[0].Value
	}
	l.users[u.ID] = u
}

// wantReplay checks that an answer is the first one again.
func wantReplay(bound *benefit.Issuance, o benefit.Outcome) error {
	if diff := diff(bound, o.Issuance); diff != "" || !o.Replayed {
		return fmt.Errorf("not the first outcome again (replayed=%v):\n%s", o.Replayed, diff)
	}
	if len(o.Lines) != len(bound.Lines) || o.BoxDone != bound.BoxDone && !bound.Continues || diff(bound.Errors, o.Errors) != "" {
		return errors.New("told otherwise than the first time")
	}
	for k, line := range o.Lines {
		if first := bound.Lines[k]; line.Issued != first.Issued || line.Reason != first.Reason && !bound.Continues {
			return fmt.Errorf("line %d is told otherwise than the first time", k)
		}
	}
	return nil
}

// takesUnknown reports whether an unknown recipient becomes a user.
func (l *ledger) takesUnknown(r *benefit.Request, c *choice) bool {
	lines := slices.Clone(r.Lines)
	for _, o := range c.candidates {
		lines = append(lines, o.lines...)
	}
	for _, line := range lines {
		if t := l.cat.Templates[line.Template]; t != nil && !l.cat.Merchants[t.Merchant].Open {
			return false
		}
	}
	_, ref := r.Recipient.Ref()
	return r.Recipient.Type != benefit.Login && r.Recipient.Type != benefit.Nick && !ref
}
