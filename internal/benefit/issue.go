package benefit

import (
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
)

// Issue is the command that issues what a request asks for.
type Issue struct {
	Request *Request
	// Explain has the decision traced.
	Explain bool

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
func (c *Issue) Size() (n int) {
	for k := range c.Request.Lines {
		n += c.Request.Lines[k].Vouchers()
	}
	return n
}

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
	r, s := c.Request, b.State
	w := wants{s: s, cat: b.Catalogue}
	u := s.recipient(r.Recipient)
	for k := range r.Lines {
		w.line(u, &r.Lines[k])
	}
	if r.Params.SceneCode != "" {
		w.candidates(chooser{candidateSet: s.candidateSet(b.Catalogue, r), cat: b.Catalogue, st: s, request: r, user: u, rules: b.Env.Rules})
	}
	c.Redraw(b)
	if !r.Continues {
		return
	}
	if bound := s.claim(r.ClaimID()); bound != nil {
		for k := range bound.Lines {
			w.line(u, &bound.Lines[k].Line)
		}
	}
}

// Redraw asks for the claims of further codes where those drawn so far are taken; for nothing when there are enough, or
// the request has had its share of draws.
func (c *Issue) Redraw(b *Batch) {
	if drawn := b.draw(b.Catalogue, c.Request, b.Env); len(drawn) > 0 { //guard:TestCodesAreDrawnAgain|TestCodesRunOut len(drawn) > 0 -> len(b.claims) == 0
		b.keys.Claims = append(b.keys.Claims, drawn...)
	}
}

// Apply decides the request.
func (c *Issue) Apply(b *Batch) Decision {
	outcome, effect := Apply(b.Catalogue, Choose(b.Catalogue, b.State, c.Request, b.Env), b.State)
	c.Outcome, c.Explanation = outcome, nil
	if c.Explain {
		c.explain(b)
	}
	return Decision{
		Effect: effect,
		//guard:internal/engine.TestUnknownCommit|TestNotCommitted b.Uncommitted(outcome.Issuance) -> false
		Uncommitted: b.Uncommitted(outcome.Issuance),
		Refused: outcome.Issuance == nil || c.Request.Continues && slices.ContainsFunc(outcome.Lines, func(l LineOutcome) bool {
			return l.Issued == 0
		}),
	}
}

// explain traces how the outcome came about: that of the refused attempt, or else of the issuance under the key.
func (c *Issue) explain(b *Batch) {
	of := c.Outcome.Attempt
	if of == nil {
		of = c.Outcome.Issuance
	}
	if of == nil {
		return
	}
	c.Explanation = Explain(b.Catalogue, of, b.Env.Rules)
	if c.Outcome.Attempt != nil { // what was issued has its own time
		c.Explanation.Now = b.Now
	}
}

// lines calls its function for each line that a request names, or each line of its candidates.
func (s *State) lines(cat *Catalogue, r *Request) iter.Seq[*Line] {
	return func(yield func(*Line) bool) {
		for k := range r.Lines {
			if !yield(&r.Lines[k]) {
				return
			}
		}
		if r.Params.SceneCode == "" {
			return
		}
		for _, c := range s.candidateSet(cat, r).candidates {
			for k := range c.lines {
				if !yield(&c.lines[k]) {
					return
				}
			}
		}
	}
}

// candidateSet returns the candidates of a request's scene.
func (s *State) candidateSet(cat *Catalogue, r *Request) *candidateSet {
	b := s.candidateSets[r]
	if b == nil {
		b = candidatesOf(cat, r, true) //guard:TestSceneOfOtherMerchants true -> false
		s.candidateSets[r] = b
	}
	return b
}

// wants asks for the rows that a request needs.
type wants struct {
	s   *State
	cat *Catalogue
}

// line asks for the rows that deciding a line for u reads. An unknown user has none.
func (w *wants) line(u *User, l *Line) {
	t := w.cat.Templates[l.Template]
	w.template(t)
	w.quotas(u, t)
	w.participation(u, w.cat.Activities[l.Activity])
}

// candidates asks for the rows that choosing among them reads: of their rights, and of what their rules refer to.
func (w *wants) candidates(d chooser) {
	u, rules := d.user, d.rules
	for k := range d.candidates {
		c := &d.candidates[k]
		if u != nil && d.ruledOut(c) {
			continue
		}
		for l := range c.lines {
			w.line(u, &c.lines[l])
		}
		rule := c.activity.Rule
		if rule == "" { //guard:TestRuleOfAnotherTemplate rule == "" -> rule == "" || u == nil
			continue
		}
		templates, activities := rules.References(rule)
		for _, name := range templates {
			t := w.cat.TemplateByName(name)
			w.quotas(u, t)
			w.template(t) // also for an unknown user: the recipient is recorded with what the rule saw
		}
		for _, name := range activities {
			w.participation(u, w.cat.ActivityByName(name))
		}
	}
}

func (w *wants) template(t *Template) {
	if t == nil {
		return
	}
	w.s.Lock(Lock{TemplateLock, int64(t.ID)})
	TemplateCounts.Want(&w.s.rows, t.ID)
	TemplateDays.Want(&w.s.rows, TemplateDayKey{t.ID, w.s.Now.Day()})
}

// participation asks for the participation of u, when known, in an activity, and locks the activity for the batch.
func (w *wants) participation(u *User, act *Activity) {
	if act == nil {
		return
	}
	w.s.Lock(Lock{ActivityLock, int64(act.ID)})
	if u != nil {
		Participations.Want(&w.s.rows, ParticipationKey{u.ID, act.ID})
	}
}

// quotas asks for the quotas that a decision about u and t reads.
func (w *wants) quotas(u *User, t *Template) {
	if u == nil || t == nil {
		return
	}
	if t.Limits.PerPerson == 0 || u.Person == "" { // as nearly always
		Quotas.Want(&w.s.rows, QuotaKey{u.ID, t.ID})
		return
	}
	for _, member := range w.s.samePerson(u, t) {
		Quotas.Want(&w.s.rows, QuotaKey{member, t.ID})
	}
}
