package benefit

import (
	"fmt"
	"iter"
	"slices"
)

// Keys names the rows that deciding a batch needs.
type Keys struct {
	Claims     []ClaimKey
	Recipients []Identifier
	Templates  []TemplateID // their counters, in total and of the day of State.Now
	Quotas     []QuotaKey

	Participations []ParticipationKey

	// Activities are those that the batch reads. They have no rows of their own: a store that several processes share
	// locks them for the batch, as it does with Templates.
	Activities []ActivityID
}

// Empty reports whether there is nothing to load.
func (k *Keys) Empty() bool {
	return len(k.Claims)+len(k.Recipients)+len(k.Templates)+len(k.Quotas)+len(k.Participations)+len(k.Activities) == 0
}

// ClaimKey is a key in its scope, with its look-up id.
type ClaimKey struct {
	ID    ClaimID
	Scope Scope
	Key   string
}

// QuotaKey names what one user has of one template.
type QuotaKey struct {
	User     UserID
	Template TemplateID
}

// Quota counts what one user has received of one template.
type Quota struct {
	QuotaKey
	Total    int64 // vouchers
	Day      Day   // the latest day on which the user received any
	DayTotal int64 // vouchers, on that day
}

// onDay returns how many the user received on the day.
func (q *Quota) onDay(d Day) int64 {
	if q.Day == d { //guard:TestDayCountersOfAnotherDayDoNotCount without q.Day == d
		return q.DayTotal
	}
	return 0
}

// TemplateCount counts what was issued of a template in total.
type TemplateCount struct {
	Template TemplateID
	Count    int64 // vouchers
	Amount   int64 // fen
}

// TemplateDay counts what was issued of a template on one day.
type TemplateDay struct {
	Template TemplateID
	Day      Day
	Count    int64 // vouchers
	Amount   int64 // fen
}

// Changes are the rows that a batch writes: new issuances and users, and counters with their new values.
// They are in a fixed order, so that the same history writes the same bytes.
type Changes struct {
	Now       Instant
	Issuances []*Issuance // new, or rewritten with more issued or with lines closed
	Users     []*User     // new or changed, with all their identifiers
	Quotas    []Quota
	Templates []TemplateCount
	Days      []TemplateDay

	Participations []Participation

	// What follows is written by a change of the catalogue, never by issuing.

	Catalogue int64 // the version that the entities make; 0 when the catalogue does not change
	Entities  []Entity
	Sessions  []*Session
}

// Empty reports whether there is nothing to write.
func (c *Changes) Empty() bool {
	return len(c.Issuances) == 0 && len(c.Users) == 0 && len(c.Sessions) == 0 && c.Catalogue == 0
}

// OnlyIssues reports whether the catalogue and what belongs to it do not change.
func (c *Changes) OnlyIssues() bool {
	return len(c.Sessions) == 0 && c.Catalogue == 0
}

// State is what a store loaded for a batch, changed by the requests of the batch that were decided already. It is not
// safe for concurrent use. Asking it for a row that was not loaded panics: a counter that is taken for 0 because it was
// not loaded would issue too much.
type State struct {
	Now           Instant // of the batch; set by the store when it begins
	claims        map[ClaimID]*Issuance
	links         map[Identifier]*User
	members       map[string][]UserID // of a person
	templates     map[TemplateID]*templateState
	activities    map[ActivityID]bool // listed in Keys.Activities
	rows          allRows
	newUsers      map[UserID]bool
	candidateSets map[*Request]*candidateSet
	codes         codes

	dirtyTemplates []*templateState
	changes        Changes
}

type templateState struct {
	count TemplateCount
	day   TemplateDay
	dirty bool
}

// NewState makes an empty state.
func NewState() *State {
	return &State{
		claims: map[ClaimID]*Issuance{}, links: map[Identifier]*User{}, members: map[string][]UserID{},
		templates: map[TemplateID]*templateState{}, activities: map[ActivityID]bool{}, rows: newRows(), newUsers: map[UserID]bool{},
		candidateSets: map[*Request]*candidateSet{}, codes: newCodes(),
	}
}

// Reset empties the state for the next batch, and keeps its memory.
func (s *State) Reset(now Instant) {
	s.Now = now
	clear(s.claims)
	clear(s.links)
	clear(s.members)
	clear(s.templates)
	clear(s.activities)
	s.rows.reset()
	clear(s.newUsers)
	clear(s.candidateSets)
	s.codes.reset()
	s.dirtyTemplates = s.dirtyTemplates[:0]
	s.changes = Changes{} // the last one belongs to the caller that took it
}

// MoveTo moves Now forward in the middle of a batch. Earlier results of rules may no longer hold.
func (s *State) MoveTo(now Instant) {
	s.Now = now
	for _, b := range s.candidateSets {
		for k := range b.candidates {
			b.candidates[k].ruleResult = nil //guard:TestRuleByTheNowOfTheDecision
		}
	}
}

// The Set methods are for stores: each gives the state a row that was asked for, present or absent.

// SetClaim sets the issuance stored under a key; nil when there is none.
func (s *State) SetClaim(c ClaimID, i *Issuance) { s.claims[c] = i }

// SetRecipient sets the user that an identifier names; nil when there is none. members are all users of the user's
// person, when it has one.
func (s *State) SetRecipient(ident Identifier, u *User, members []UserID) {
	s.links[ident] = u
	if u != nil && u.Person != "" {
		s.members[u.Person] = members
	}
}

// SetTemplate sets a template's counters, in total and on the day of Now.
func (s *State) SetTemplate(c TemplateCount, d TemplateDay) {
	s.templates[c.Template] = &templateState{count: c, day: d}
}

// FirstKeys lists what deciding the requests needs first: their claims and recipients, and the claims of the certificate
// codes that it draws for them.
func (s *State) FirstKeys(requests []*Request, cat *Catalogue, env Env) *Keys {
	k := &Keys{
		Claims: make([]ClaimKey, 0, len(requests)), Recipients: make([]Identifier, 0, len(requests)),
	}
	for _, r := range requests {
		k.Claims = append(k.Claims, ClaimKey{ID: r.ClaimID(), Scope: r.Scope, Key: r.Key})
		k.Recipients = append(k.Recipients, r.Recipient)
		k.Claims = append(k.Claims, s.draw(cat, r, env)...)
	}
	return k
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

// NextKeys lists what deciding the requests needs next, once the first keys are loaded: the counters of their templates,
// the quotas and participations of their users, and of the other users of the same person where a template limits
// persons. For a request that continues the lines frozen under its key they are the counters of those lines, too. And
// where a drawn certificate code turned out to be taken, it draws others.
//
// What was listed before is not listed again; asked once more after Now has moved, it lists what the later instant
// needs besides.
func (s *State) NextKeys(requests []*Request, cat *Catalogue, env Env) *Keys {
	w := wants{
		s: s, cat: cat, keys: &Keys{Quotas: make([]QuotaKey, 0, len(requests))},
		templates: map[TemplateID]bool{},
	}
	for _, r := range requests {
		u := s.recipient(r.Recipient)
		for k := range r.Lines {
			w.line(u, &r.Lines[k])
		}
		if r.Params.SceneCode != "" {
			w.candidates(chooser{candidateSet: s.candidateSet(cat, r), cat: cat, st: s, request: r, user: u, rules: env.Rules})
		}
		w.keys.Claims = append(w.keys.Claims, s.draw(cat, r, env)...)
		if !r.Continues {
			continue
		}
		if bound := s.claim(r.ClaimID()); bound != nil {
			for k := range bound.Lines {
				w.line(u, &bound.Lines[k].Line)
			}
		}
	}
	return w.keys
}

// RedrawnKeys lists the claims of further codes where those drawn so far were taken; nil when every request has enough,
// or has had its share of draws.
func (s *State) RedrawnKeys(requests []*Request, cat *Catalogue, env Env) *Keys {
	var k *Keys
	for _, r := range requests {
		if drawn := s.draw(cat, r, env); len(drawn) > 0 { //guard:TestCodesAreDrawnAgain|TestCodesRunOut len(drawn) > 0 -> false
			if k == nil {
				k = &Keys{}
			}
			k.Claims = append(k.Claims, drawn...)
		}
	}
	return k
}

// wants collects the rows that a batch needs, each once.
type wants struct {
	s    *State
	cat  *Catalogue
	keys *Keys

	templates map[TemplateID]bool // in keys
}

// line adds the rows that deciding a line for u reads. An unknown user has none.
func (w *wants) line(u *User, l *Line) {
	t := w.cat.Templates[l.Template]
	w.template(t)
	w.quotas(u, t)
	w.participation(u, w.cat.Activities[l.Activity])
}

// candidates adds the rows that choosing among them reads: of their rights, and of what their rules refer to.
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
	if t == nil || w.templates[t.ID] || w.s.templates[t.ID] != nil {
		return
	}
	w.templates[t.ID] = true
	w.keys.Templates = append(w.keys.Templates, t.ID)
}

// participation adds the participation of u, when known, in an activity, and locks the activity for the batch.
func (w *wants) participation(u *User, act *Activity) {
	if act == nil {
		return
	}
	if !w.s.activities[act.ID] {
		w.s.activities[act.ID] = true
		w.keys.Activities = append(w.keys.Activities, act.ID)
	}
	if u == nil {
		return
	}
	if key := (ParticipationKey{u.ID, act.ID}); w.s.rows.wantParticipation(key) {
		w.keys.Participations = append(w.keys.Participations, key)
	}
}

// quotas adds the quotas that a decision about u and t reads.
func (w *wants) quotas(u *User, t *Template) {
	if u == nil || t == nil {
		return
	}
	if t.Limits.PerPerson == 0 || u.Person == "" { // as nearly always
		w.quota(QuotaKey{u.ID, t.ID})
		return
	}
	for _, member := range w.s.samePerson(u, t) {
		w.quota(QuotaKey{member, t.ID})
	}
}

func (w *wants) quota(k QuotaKey) {
	if w.s.rows.wantQuota(k) {
		w.keys.Quotas = append(w.keys.Quotas, k)
	}
}

// samePerson lists the users whose quotas a decision about u and t looks at.
func (s *State) samePerson(u *User, t *Template) []UserID {
	if t.Limits.PerPerson > 0 && u.Person != "" {
		return s.members[u.Person]
	}
	return []UserID{u.ID}
}

func (s *State) recipient(ident Identifier) *User {
	u, ok := s.links[ident]
	if !ok {
		panic("benefit: a recipient was not loaded") // whose it is stays out of the log
	}
	return u
}

func (s *State) template(t TemplateID) *templateState {
	if c, ok := s.templates[t]; ok {
		return c
	}
	panic(fmt.Sprintf("benefit: the counters of template %d were not loaded", t))
}

func (s *State) claim(c ClaimID) *Issuance {
	i, ok := s.claims[c]
	if !ok {
		panic(fmt.Sprintf("benefit: the claim %s was not loaded", c))
	}
	return i
}

// Effect is what one decided request changes: it issues, or it closes lines of the issuance under its key. It is nothing
// until Absorb takes it.
type Effect struct {
	Issuance       *Issuance
	NewUser        *User
	claim          ClaimID
	usages         []usage
	quotas         []Quota
	participations []Participation
}

// usage is what the request used of one template.
type usage struct {
	template TemplateID
	vouchers int64
	amount   int64
}

// Vouchers returns how many vouchers the request issues.
func (e *Effect) Vouchers() (n int64) {
	if e != nil {
		for _, t := range e.usages {
			n += t.vouchers
		}
	}
	return n
}

// Absorb takes a request's effect, so that the next request of the batch sees it.
func (s *State) Absorb(e *Effect) {
	if e == nil {
		return
	}
	s.claims[e.claim] = e.Issuance
	for k := range e.Issuance.Lines {
		for _, code := range e.Issuance.Lines[k].Codes {
			s.claims[CodeKey(code).ID] = e.Issuance
		}
	}
	s.changes.Issuances = append(s.changes.Issuances, e.Issuance)
	if u := e.NewUser; u != nil {
		s.newUsers[u.ID] = true
		for _, ident := range u.Identifiers {
			s.links[ident] = u
		}
		s.changes.Users = append(s.changes.Users, u)
	}
	for _, t := range e.usages {
		s.take(t)
	}
	for _, q := range e.quotas {
		s.rows.setQuota(q, true)
	}
	for _, p := range e.participations {
		s.rows.setParticipation(p, true)
	}
}

func (s *State) take(t usage) {
	c := s.template(t.template)
	if !c.dirty {
		c.dirty = true
		s.dirtyTemplates = append(s.dirtyTemplates, c)
	}
	c.count.Count += t.vouchers
	c.count.Amount += t.amount
	c.day.Count += t.vouchers
	c.day.Amount += t.amount
}

// Uncommitted reports whether an effect that this state absorbed created, continued or closed the issuance.
func (s *State) Uncommitted(i *Issuance) bool {
	return i != nil && slices.Contains(s.changes.Issuances, i)
}

// Changes returns the rows that the absorbed effects write. The caller may keep them; the state gets new ones at the
// next Reset.
func (s *State) Changes() *Changes {
	c := s.changes
	c.Now = s.Now
	for _, t := range s.dirtyTemplates {
		c.Templates = append(c.Templates, t.count)
		c.Days = append(c.Days, t.day)
	}
	for _, q := range s.rows.dirtyQuotas {
		c.Quotas = append(c.Quotas, q.rows.quotas[q.at].Quota)
	}
	for _, p := range s.rows.dirtyParticipations {
		c.Participations = append(c.Participations, p.rows.participations[p.at].Participation)
	}
	return &c
}
