package benefit

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
)

// Issue is the command that issues what a request asks for.
type Issue struct {
	Request *Request
	Explain bool // has the decision traced

	// What follows is set by Apply.

	Outcome     Outcome
	Explanation *Explanation // nil unless Explain is set, or when nothing was decided
}

// String names the command for a log, without the key or the recipient.
func (c *Issue) String() string { return "issue in the scope " + string(c.Request.Scope) }

// Check rejects requests that no gateway may build.
func (c *Issue) Check() error {
	r := c.Request
	if err := checkKey(r.Scope, r.Key); err != nil {
		return err
	}
	if (len(r.Lines) == 0) == (r.Params.SceneCode == "") || r.Recipient.Type == "" {
		return fmt.Errorf("a recipient is needed, and lines or a scene")
	}
	if r.BindMillis < 0 || r.BindMillis > 0 && r.Continues {
		return fmt.Errorf("a key of %d ms cannot be bound, or continued", r.BindMillis)
	}
	total := 0
	for _, l := range r.Lines {
		if l.Sends < 1 || l.Quantity < 1 || l.Sends > MaxRequestVouchers || l.Quantity > MaxRequestVouchers {
			return fmt.Errorf("%d sends of %d vouchers", l.Sends, l.Quantity)
		}
		total += l.Vouchers()
	}
	if total > MaxRequestVouchers {
		return fmt.Errorf("%d vouchers in one request, at most %d", total, MaxRequestVouchers)
	}
	return nil
}

// Size returns how many vouchers the lines ask for.
func (c *Issue) Size() int { return vouchers(c.Request.Lines) }

// Touches writes the recipient, so that no two concurrent batches have requests of one.
func (c *Issue) Touches(h *maphash.Hash) { maphash.WriteComparable(h, c.Request.Recipient) }

// Names asks for the claim and the recipient, and for the claims of the certificate codes that are drawn for the request.
func (c *Issue) Names(b *Batch) {
	r := c.Request
	b.keys.Claims = append(b.keys.Claims, ClaimKey{ID: r.ClaimID(), Scope: r.Scope, Key: r.Key})
	b.keys.Recipients = append(b.keys.Recipients, r.Recipient)
	c.Redraw(b)
}

// Rows asks for the counters of the templates, the quotas and participations of the user, and of the other users of the
// same person where a template limits persons. For a request that continues the lines frozen under its key they are the
// counters of those lines, too. And where a drawn certificate code turned out to be taken, it draws others.
func (c *Issue) Rows(b *Batch) {
	r := c.Request
	a := b.attempt(r)
	a.user = b.recipient(r.Recipient)
	for k := range r.Lines {
		a.want(&r.Lines[k])
	}
	if r.Params.SceneCode != "" {
		d := chooser{attempt: a, candidateSet: a.candidateSet(), rules: b.Env.Rules}
		d.wantCandidates()
	}
	c.Redraw(b)
	bound := b.claim(r.ClaimID())
	if bound != nil && bound.BindMillis != 0 {
		VoucherStates.Want(&b.rows, bound.FirstVoucher())
	}
	if bound != nil && r.Continues {
		for k := range bound.Lines {
			a.want(&bound.Lines[k].Line)
		}
	}
}

// Redraw asks for the claims of further codes where those drawn so far are taken; for nothing when there are enough, or
// the request has had its share of draws.
func (c *Issue) Redraw(b *Batch) {
	a := b.attempt(c.Request)
	if drawn := a.drawCodes(b.Env); len(drawn) > 0 { //guard:TestCodesAreDrawnAgain|TestCodesRunOut len(drawn) > 0 -> len(b.claims) == 0
		b.keys.Claims = append(b.keys.Claims, drawn...)
	}
}

// Apply decides the request.
func (c *Issue) Apply(b *Batch) Decision {
	outcome, effect := Apply(b.Catalogue, Choose(b.Catalogue, b.State, c.Request, b.Env), b.State)
	//guard:internal/engine.TestUnknownCommit|TestNotCommitted b.Uncommitted(outcome.Issuance) -> false
	uncommitted := b.Uncommitted(outcome.Issuance)
	if i := outcome.Issuance; outcome.Replayed && i.BindMillis != 0 {
		voucher := i.FirstVoucher()
		if state, _ := VoucherStates.Get(&b.rows, voucher); state.Operations > 0 {
			outcome.State = state
		}
		//guard:internal/engine.TestStateOfAFailedCommit uncommitted || VoucherStates.Changed(&b.rows, voucher) -> uncommitted
		uncommitted = uncommitted || VoucherStates.Changed(&b.rows, voucher)
	}
	c.Outcome, c.Explanation = outcome, nil
	if c.Explain {
		c.explain(b)
	}
	return Decision{
		Effect:      effect,
		Uncommitted: uncommitted,
		Refused: outcome.Issuance == nil || c.Request.Continues && slices.ContainsFunc(outcome.Lines, func(l LineOutcome) bool {
			return l.Issued == 0
		}),
	}
}

// explain traces how the outcome came about: that of the refused attempt, or else of the issuance under the key.
func (c *Issue) explain(b *Batch) {
	of := cmp.Or(c.Outcome.Attempt, c.Outcome.Issuance)
	if of == nil {
		return
	}
	c.Explanation = Explain(b.Catalogue, of, b.Env.Rules)
	if c.Outcome.Attempt != nil { // what was issued has its own time
		c.Explanation.Now = b.Now
	}
}

// attempt is one attempt at a request: the request, the recipient, and what they are decided by.
type attempt struct {
	cat     *Catalogue
	st      *State
	request *Request
	user    *User // nil when the recipient is unknown, and cannot be created
	newUser bool  // the user's row is made by the commit that issues
}

// attempt returns an attempt at a request whose recipient is not looked up yet.
func (b *Batch) attempt(r *Request) attempt {
	return attempt{cat: b.Catalogue, st: b.State, request: r}
}

// lines iterates over the lines that the request names, or those of its candidates.
func (a *attempt) lines() iter.Seq[*Line] {
	return func(yield func(*Line) bool) {
		for k := range a.request.Lines {
			if !yield(&a.request.Lines[k]) {
				return
			}
		}
		if a.request.Params.SceneCode != "" {
			a.candidateSet().lines()(yield)
		}
	}
}

// candidateSet returns the candidates of the request's scene.
func (a *attempt) candidateSet() *candidateSet {
	b := a.st.candidateSets[a.request]
	if b == nil {
		b = candidatesOf(a.cat, a.request, true) //guard:TestSceneOfOtherMerchants true -> false
		a.st.candidateSets[a.request] = b
	}
	return b
}

// want asks for the rows that deciding a line reads. An unknown user has none.
func (a *attempt) want(l *Line) {
	t := a.cat.Templates[l.Template]
	a.wantTemplate(t)
	a.wantQuotas(t)
	a.wantParticipation(a.cat.Activities[l.Activity])
}

// wantCandidates asks for the rows that choosing among the candidates reads: of their rights, and of what their rules refer
// to.
func (d *chooser) wantCandidates() {
	for k := range d.candidates {
		c := &d.candidates[k]
		if d.user != nil && d.ruledOut(c) {
			continue
		}
		for l := range c.lines {
			d.want(&c.lines[l])
		}
		rule := c.activity.Rule
		if rule == "" { //guard:TestRuleOfAnotherTemplate rule == "" -> rule == "" || d.user == nil
			continue
		}
		templates, activities := d.rules.References(rule)
		for _, name := range templates {
			t := d.cat.TemplateByName(name)
			d.wantQuotas(t)
			d.wantTemplate(t) // also for an unknown user: the recipient is recorded with what the rule saw
		}
		for _, name := range activities {
			d.wantParticipation(d.cat.ActivityByName(name))
		}
	}
}

func (a *attempt) wantTemplate(t *Template) {
	if t == nil {
		return
	}
	a.st.Lock(Lock{TemplateLock, int64(t.ID)})
	TemplateCounts.Want(&a.st.rows, t.ID)
	TemplateDays.Want(&a.st.rows, TemplateDayKey{t.ID, a.st.Now.Day()})
}

// wantParticipation asks for the participation of the user, when known, in an activity, and locks the activity for the
// batch.
func (a *attempt) wantParticipation(act *Activity) {
	if act == nil {
		return
	}
	a.st.Lock(Lock{ActivityLock, int64(act.ID)})
	if a.user != nil {
		Participations.Want(&a.st.rows, ParticipationKey{a.user.ID, act.ID})
	}
}

// wantQuotas asks for the quotas that a decision about the user and t reads.
func (a *attempt) wantQuotas(t *Template) {
	if a.user == nil || t == nil {
		return
	}
	if t.Limits.PerPerson == 0 || a.user.Person == "" { // as nearly always
		Quotas.Want(&a.st.rows, QuotaKey{a.user.ID, t.ID})
		return
	}
	for _, member := range a.st.samePerson(a.user, t) {
		Quotas.Want(&a.st.rows, QuotaKey{member, t.ID})
	}
}
