package benefit

import (
	"encoding/json"
	"errors"
	"slices"
)

// Basis records what a choice among a scene's activities read, besides the catalogue and the request. It is stored with
// the issuance, so that the choice can be repeated and explained step by step.
type Basis struct {
	Now            Instant         `json:"now"`
	Known          bool            `json:"known"` // the recipient was known before
	Frozen         bool            `json:"frozen,omitzero"`
	Unregistered   bool            `json:"unregistered,omitzero"` // see User
	Attributes     []byte          `json:"attributes"`            // of the recipient: a JSON object, or empty
	Templates      []TemplateSeen  `json:"templates"`
	Participations []Participation `json:"participations"`
}

// TemplateSeen holds the counters of a template when they were read.
type TemplateSeen struct {
	Template TemplateID `json:"template"`
	Counters
}

// Explanation is the trace of a decision, step by step.
type Explanation struct {
	Now        Instant          `json:"now"`
	Catalogue  int64            `json:"catalogue"` // the version
	Scene      string           `json:"scene,omitzero"`
	Strategy   Strategy         `json:"strategy,omitzero"`
	Errors     []DecisionError  `json:"errors,omitempty"`
	Candidates []CandidateTrace `json:"candidates,omitempty"` // in the order of the scene
	Lines      []LineTrace      `json:"lines,omitempty"`      // those that were decided: the request's, or those that were chosen
}

// CandidateTrace traces the decision about one activity of the scene.
type CandidateTrace struct {
	Activity string `json:"activity"` // the operator's handle
	ActCode  string `json:"act_code,omitzero"`
	Open     bool   `json:"open"`
	Rule     string `json:"rule,omitzero"`
	// Holds is the rule's result, true without one; RuleError why it could not be evaluated.
	Holds     bool        `json:"holds"`
	RuleError string      `json:"rule_error,omitzero"`
	Inputs    *RuleInputs `json:"inputs,omitzero"`
	// Lines are its rights; they were looked at only where the activity is open and its rule holds.
	Lines  []LineTrace `json:"lines,omitempty"`
	Chosen bool        `json:"chosen"`
}

// RuleInputs holds the inputs of a rule.
type RuleInputs struct {
	User       json.RawMessage `json:"user,omitzero"`
	Request    Params          `json:"request"`
	OfTemplate map[string]Past `json:"of_template,omitempty"`
	InActivity map[string]Past `json:"in_activity,omitempty"`
}

// LineTrace traces one line: its reason, NOT_REFUSED when it was or would be issued, the counters seen and the caps and
// limits that they were compared with.
type LineTrace struct {
	Template string    `json:"template"` // the operator's handle
	Vouchers int       `json:"vouchers"`
	Issued   int       `json:"issued"` // vouchers
	Reason   string    `json:"reason"`
	Seen     Counters  `json:"seen"`
	Stock    StockCaps `json:"stock"`
	Limits   Limits    `json:"limits"`
}

// StockCaps are the caps of a template. One that it does not have is nil.
type StockCaps struct {
	Count        *int64 `json:"count,omitzero"`
	Amount       *int64 `json:"amount,omitzero"` // fen
	CountPerDay  *int64 `json:"count_per_day,omitzero"`
	AmountPerDay *int64 `json:"amount_per_day,omitzero"` // fen
}

func stockCaps(s Stock) StockCaps {
	limited := func(c Cap) *int64 {
		if c == Unlimited {
			return nil
		}
		n := int64(c)
		return &n
	}
	return StockCaps{limited(s.Count), limited(s.Amount), limited(s.CountPerDay), limited(s.AmountPerDay)}
}

// Explain repeats a decision from its stored record, under the catalogue version that it was made by, and traces each
// step. It is pure and gives the same choice; the draw of a weighted scene is taken from the record. Under another
// catalogue the trace is partial: a candidate whose counters or rule inputs were not recorded has no lines and is
// not chosen.
func Explain(cat *Catalogue, i *Issuance, rules Rules) *Explanation {
	e := &Explanation{Now: i.At(), Catalogue: cat.Version, Errors: i.Errors}
	if b := i.Basis; b != nil {
		e.Now = b.Now
		r := &Request{Scope: i.Scope, Key: i.Key, App: i.App, Recipient: i.Recipient, Params: i.Params}
		d := chooser{
			attempt:      attempt{cat: cat, request: r, newUser: !b.Known},
			candidateSet: candidatesOf(cat, r, i.failedBy(OtherMerchant)), rules: rules, trace: e,
		}
		invalid := NotRefused
		for _, reason := range []Reason{IdentifierInvalid, UserTypeNotAllowed} {
			if i.failedBy(reason) {
				invalid = reason
			}
		}
		if i.User != 0 {
			d.user = &User{ID: i.User, Frozen: b.Frozen, Unregistered: b.Unregistered, Person: "1", Attributes: b.Attributes}
			d.st = b.state(d.user)
		}
		if d.scene != nil {
			e.Scene, e.Strategy = d.scene.Name, d.scene.Strategy
		}
		d.basis, d.draw = &Basis{}, i.drawn
		d.decide(invalid)
	}
	for k := range i.Lines {
		l := &i.Lines[k]
		trace := traceLine(cat, &l.Line, l.Reason, l.Seen)
		trace.Issued = l.issuedVouchers()
		e.Lines = append(e.Lines, trace)
	}
	return e
}

// failedBy reports whether something that the request asked for was refused for the reason.
func (i *Issuance) failedBy(reason Reason) bool {
	return slices.ContainsFunc(i.Errors, func(e DecisionError) bool { return e.Reason == reason })
}

// drawn returns the candidate whose lines the issuance has; nil if there is none.
func (i *Issuance) drawn(eligible []*candidate) *candidate {
	for _, c := range eligible {
		if slices.ContainsFunc(i.Lines, func(l IssuedLine) bool { return l.Activity == c.activity.ID }) {
			return c
		}
	}
	return nil
}

// state returns a state with the counters of the basis, for a user whose person has one other member.
func (b *Basis) state(u *User) *State {
	st := NewState()
	st.Reset(b.Now)
	today := b.Now.Day()
	other := u.ID + 1
	st.members[u.Person] = []UserID{u.ID, other}
	for _, t := range b.Templates {
		TemplateCounts.Load(&st.rows, 1, TemplateCount{t.Template, t.Count, t.Amount})
		TemplateDays.Load(&st.rows, 1, TemplateDay{t.Template, today, t.DayCount, t.DayAmount})
		//guard:TestExplain t.User, today, t.UserDay -> 0, today, 0
		Quotas.Load(&st.rows, 1, Quota{QuotaKey{u.ID, t.Template}, t.User, today, t.UserDay})
		Quotas.Load(&st.rows, 1, Quota{QuotaKey: QuotaKey{other, t.Template}, Total: t.Person - t.User})
	}
	for _, p := range b.Participations {
		Participations.Load(&st.rows, 1, p)
	}
	return st
}

// errNotRecorded is returned when the record does not hold the inputs of a rule.
var errNotRecorded = errors.New("the rule needs values that were not recorded with this decision")

// hasLineCounters reports whether the basis has the counters of all templates of the lines.
func (d *chooser) hasLineCounters(lines []Line) bool {
	return !slices.ContainsFunc(lines, func(l Line) bool { return !d.hasCounters(d.cat.Templates[l.Template]) })
}

// hasRuleInputs reports whether the basis has the past issues that the rule depends on.
func (d *chooser) hasRuleInputs(rule string) bool {
	templates, activities := d.rules.References(rule)
	for _, name := range templates {
		if !d.hasCounters(d.cat.TemplateByName(name)) {
			return false
		}
	}
	for _, name := range activities {
		act := d.cat.ActivityByName(name)
		if act == nil {
			continue
		}
		if _, loaded := Participations.Get(&d.st.rows, ParticipationKey{d.user.ID, act.ID}); !loaded {
			return false
		}
	}
	return true
}

// hasCounters reports whether the counters of a template are in the basis. A template that does not exist needs none.
func (d *chooser) hasCounters(t *Template) bool {
	if t == nil {
		return true
	}
	_, loaded := TemplateCounts.Get(&d.st.rows, t.ID)
	return loaded
}

// startBasis starts the basis of the choice.
func (d *chooser) startBasis() {
	d.basis = &Basis{Now: d.st.Now, Known: !d.newUser}
	if d.user != nil {
		d.basis.Frozen, d.basis.Unregistered, d.basis.Attributes = d.user.Frozen, d.user.Unregistered, d.user.Attributes
	}
}

// recordCounters records counters that were read.
func (d *chooser) recordCounters(t TemplateID, seen Counters) {
	for k := range d.basis.Templates {
		if d.basis.Templates[k].Template == t {
			return
		}
	}
	if d.basis.Templates == nil {
		d.basis.Templates = make([]TemplateSeen, 0, len(d.candidates)) // most have one right
	}
	d.basis.Templates = append(d.basis.Templates, TemplateSeen{t, seen})
}

// recordRuleInputs records the past issues that a rule depends on.
func (d *chooser) recordRuleInputs(rule string) {
	templates, activities := d.rules.References(rule)
	if len(templates)+len(activities) == 0 {
		return
	}
	a := applier{attempt: d.attempt}
	for _, name := range templates {
		if t := d.cat.TemplateByName(name); t != nil {
			d.recordCounters(t.ID, a.counters(t))
		}
	}
	for _, name := range activities {
		act := d.cat.ActivityByName(name)
		if act == nil {
			continue
		}
		key := ParticipationKey{d.user.ID, act.ID}
		if !slices.ContainsFunc(d.basis.Participations, func(p Participation) bool { return p.ParticipationKey == key }) {
			d.basis.Participations = append(d.basis.Participations, a.participation(key))
		}
	}
}

// The methods below trace what happens, if a trace is wanted.

func (d *chooser) traceCandidate(c *candidate, open bool, ruled ruleResult) {
	if d.trace == nil {
		return
	}
	trace := CandidateTrace{Activity: c.activity.Name, ActCode: c.activity.ActCode, Open: open, Rule: c.activity.Rule, Holds: ruled.holds}
	if ruled.err != nil {
		trace.RuleError = ruled.err.Error()
	}
	if open && trace.Rule != "" && ruled.err != errNotRecorded {
		in := d.input()
		trace.Inputs = &RuleInputs{in.Attributes, in.Request.Params, map[string]Past{}, map[string]Past{}}
		templates, activities := d.rules.References(trace.Rule)
		for _, name := range templates {
			trace.Inputs.OfTemplate[name] = in.OfTemplate(name)
		}
		for _, name := range activities {
			trace.Inputs.InActivity[name] = in.InActivity(name)
		}
	}
	d.trace.Candidates = append(d.trace.Candidates, trace)
}

// traceLine traces a line of the last candidate.
func (d *chooser) traceLine(l *Line, reason Reason, seen Counters) {
	if d.trace != nil {
		last := &d.trace.Candidates[len(d.trace.Candidates)-1]
		last.Lines = append(last.Lines, traceLine(d.cat, l, reason, seen))
	}
}

func (d *chooser) traceChosen(c *candidate) {
	if d.trace == nil {
		return
	}
	for k := range d.trace.Candidates {
		if d.trace.Candidates[k].Activity == c.activity.Name {
			d.trace.Candidates[k].Chosen = true
		}
	}
}

func traceLine(cat *Catalogue, l *Line, reason Reason, seen Counters) LineTrace {
	trace := LineTrace{Vouchers: l.Vouchers(), Reason: reason.String(), Seen: seen}
	if t := cat.Templates[l.Template]; t != nil {
		trace.Template, trace.Stock, trace.Limits = t.Name, stockCaps(t.Stock), t.Limits
	}
	return trace
}
