package benefit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"strings"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// sent is one send of an activity.
type sent struct {
	user     UserID
	activity ActivityID
	at       Instant
	card     string
	vouchers int64
	done     bool // with it the task of the day was done
}

// joined tells of a user in an activity: everything, and what is of the day of now.
func (j *judge) joined(user UserID, activity ActivityID, now Instant) (all, today []sent) {
	for _, s := range j.sent {
		if s.user == user && s.activity == activity {
			all = append(all, s)
			if s.at.Day() == now.Day() {
				today = append(today, s)
			}
		}
	}
	return all, today
}

func cardsOf(sends []sent) (cards []string) {
	for _, s := range sends {
		if s.card != "" && !slices.Contains(cards, s.card) {
			cards = append(cards, s.card)
		}
	}
	return cards
}

func vouchersOf(sends []sent) (n int64) {
	for _, s := range sends {
		n += s.vouchers
	}
	return n
}

// send notes a send.
func (j *judge) send(user UserID, l Line, card string, now Instant) {
	if l.Activity == 0 {
		return
	}
	s := sent{user: user, activity: l.Activity, at: now, vouchers: int64(l.Quantity)}
	if box := j.cat.Activities[l.Activity].Box; box != nil {
		s.card = card
		j.sent = append(j.sent, s)
		_, today := j.joined(user, l.Activity, now)
		j.sent[len(j.sent)-1].done = len(cardsOf(today)) >= box.DoneAfter && !box.CountSends || box.CountSends && len(today) >= box.DoneAfter
		return
	}
	j.sent = append(j.sent, s)
}

// boxDone reports whether a task of the lines' activities is done on the day of now.
func (j *judge) boxDone(user *User, lines []Line, now Instant) bool {
	for _, l := range lines {
		if a := j.cat.Activities[l.Activity]; user == nil || a == nil || a.Box == nil {
			continue
		}
		_, today := j.joined(user.ID, l.Activity, now)
		if slices.ContainsFunc(today, func(s sent) bool { return s.done }) {
			return true
		}
	}
	return false
}

// participations returns what the sends come to, in the order of the table.
func (j *judge) participations() (all []Participation) {
	for _, s := range j.sent {
		if slices.ContainsFunc(all, func(p Participation) bool { return p.User == s.user && p.Activity == s.activity }) {
			continue
		}
		every, _ := j.joined(s.user, s.activity, 0)
		last := every[len(every)-1].at
		_, today := j.joined(s.user, s.activity, last)
		all = append(all, Participation{
			ParticipationKey: ParticipationKey{User: s.user, Activity: s.activity}, Total: vouchersOf(every), At: last,
			DayTotal: vouchersOf(today), DaySends: int64(len(today)), Cards: cardsOf(today),
			Done: slices.ContainsFunc(today, func(s sent) bool { return s.done }),
		})
	}
	return all
}

// codes judges the certificate codes of a line that was frozen now: of the right length, and nobody else's.
func (j *judge) checkCodes(l IssuedLine) error {
	t := j.cat.Templates[l.Template]
	if t == nil || t.Kind != Certificate {
		if len(l.Codes) > 0 {
			return fmt.Errorf("codes %v of what carries none", l.Codes)
		}
		return nil
	}
	if len(l.Codes) < l.Issued*l.Quantity {
		return fmt.Errorf("%d vouchers with %d codes", l.Issued*l.Quantity, len(l.Codes))
	}
	for _, code := range l.Codes {
		if len(code) != t.Code.Digits || j.codes[code] {
			return fmt.Errorf("the code %s is another's, or has not %d digits", code, t.Code.Digits)
		}
		j.codes[code] = true
	}
	return nil
}

// decision is what a request for a scene must come to.
type decision struct {
	lines    []Line
	errors   []DecisionError
	eligible map[string]bool // by the name of the candidate; nil when nobody looked
}

// option is a candidate.
type option struct {
	act    *Activity
	weight int64
	lines  []Line
}

// options lists the candidates, in the scene's order, and the errors.
func (j *judge) options(r *Request) (*Scene, []option, []DecisionError) {
	var scene *Scene
	for _, s := range j.cat.Scenes {
		if s.SceneCode == r.Params.SceneCode && s.Merchant == j.cat.Apps[r.App].Merchant {
			scene = s
		}
	}
	if scene == nil {
		return nil, nil, []DecisionError{{Kind: SceneError, Reason: SceneNotFound}}
	}
	if scene.Status != Active {
		return nil, nil, []DecisionError{{Kind: SceneError, Reason: SceneNotOpen}}
	}
	if errors := forbidden(scene, r); len(errors) > 0 {
		return scene, nil, errors
	}
	has := func(p ActRight, act *Activity, i Item) bool {
		t := j.cat.Templates[i.Template]
		return (p.ActCode == "" || p.ActCode == act.ActCode) && (p.RightID == 0 || t != nil && t.RightID == p.RightID)
	}
	var all []option
	var errors []DecisionError
	foundActs, foundRights := map[string]bool{}, map[ActRight]bool{}
	for _, e := range scene.Activities {
		o := option{act: j.cat.Activities[e.Activity], weight: e.Weight}
		foundActs[o.act.ActCode] = true
		for _, i := range o.act.Items {
			wanted := len(r.Params.Rights) == 0
			for _, p := range r.Params.Rights {
				wanted = wanted || has(p, o.act, i)
				foundRights[p] = foundRights[p] || has(p, o.act, i)
			}
			if wanted && (len(r.Params.ActCodes) == 0 || slices.Contains(r.Params.ActCodes, o.act.ActCode)) {
				l := Line{Template: i.Template, Activity: o.act.ID, DetailID: i.DetailID, Sends: 1, Quantity: i.Quantity}
				if t := j.cat.Templates[i.Template]; t != nil && t.Kind == Cash && t.Amount.From == FromRequest && i.Amount > 0 {
					l.HasAmount, l.Amount = true, fen(i.Amount)
				}
				o.lines = append(o.lines, l)
			}
		}
		others := 0
		for _, l := range o.lines {
			if tmpl := j.cat.Templates[l.Template]; tmpl != nil && !j.mayGive(r, tmpl) {
				errors = append(errors, DecisionError{Kind: RightError, ActCode: o.act.ActCode, RightID: tmpl.RightID, Reason: OtherMerchant})
				others++
			}
		}
		if len(o.lines) > 0 && others == 0 {
			all = append(all, o)
		}
	}
	for _, code := range r.Params.ActCodes {
		if !foundActs[code] {
			errors = append(errors, DecisionError{Kind: ActivityError, ActCode: code, Reason: ActivityNotFound})
		}
	}
	for _, p := range r.Params.Rights {
		if foundRights[p] {
			continue
		}
		e := DecisionError{Kind: RightError, ActCode: p.ActCode, RightID: p.RightID, Reason: RightNotFound}
		if p.RightID == 0 {
			e.Kind, e.Reason = ActivityError, ActivityNotFound
		}
		errors = append(errors, e)
	}
	return scene, all, errors
}

// mayGive reports whether the app's merchant owns the template, or that it is granted to the app.
func (j *judge) mayGive(r *Request, t *Template) bool {
	return t.Merchant == j.cat.Apps[r.App].Merchant || slices.Contains(t.GrantedTo, r.App)
}

// forbidden returns the errors for what the scene does not let a request name: whoever names anything may get nothing.
func forbidden(s *Scene, r *Request) (errors []DecisionError) {
	mayName := map[Narrowing]string{NarrowNone: "", NarrowActivities: "act", NarrowRights: "act right"}[s.Narrowing]
	if s.Narrowing == 0 && s.Strategy != ChooseWeighted {
		mayName = "act right"
	}
	named := slices.Clone(r.Params.Rights)
	for k, code := range r.Params.ActCodes {
		named = slices.Insert(named, k, ActRight{ActCode: code})
	}
	for _, n := range named {
		kind, word := ActivityError, "act"
		if n.RightID != 0 {
			kind, word = RightError, "right"
		}
		if !strings.Contains(mayName, word) {
			errors = append(errors, DecisionError{Kind: kind, ActCode: n.ActCode, RightID: n.RightID, Reason: NarrowingNotAllowed})
		}
	}
	return errors
}

// decide chooses again.
func (j *judge) decide(t *tryout, r *Request, known bool) decision {
	scene, all, errors := j.options(r)
	invalid, wrong := wrongRecipient(r, nil)
	for n, o := range all {
		for k, l := range o.lines {
			if reason, is := wrongRecipient(r, j.cat.Templates[l.Template]); n+k == 0 || !is {
				invalid, wrong = reason, is
			}
		}
	}
	if wrong {
		return decision{errors: []DecisionError{{Kind: SceneError, Reason: invalid}}}
	}
	if len(all) == 0 && len(errors) > 0 {
		return decision{errors: errors}
	}
	stranger := t.user != nil && t.user.Unregistered && len(all) > 0
	for _, o := range all {
		for _, l := range o.lines {
			tmpl := j.cat.Templates[l.Template]
			stranger = stranger && tmpl != nil && tmpl.Merchant == storetest.RegisteredMerchant
		}
	}
	if t.user == nil || stranger {
		return decision{errors: append([]DecisionError{{Kind: SceneError, Reason: UserNotFound}}, errors...)}
	}
	if t.user.Frozen {
		return decision{errors: append([]DecisionError{{Kind: SceneError, Reason: UserFrozen}}, errors...)}
	}
	d := decision{errors: errors, eligible: map[string]bool{}}
	var eligible []option
	for _, o := range all {
		ok := j.holds(t, r, o.act.Rule, known) && o.act.Status == Active && t.now >= o.act.Window.Start
		for _, l := range o.lines {
			ok = ok && len(t.reasons(l, t.least(0, l))) == 0
		}
		if d.eligible[o.act.Name] = ok; ok {
			eligible = append(eligible, o)
		}
	}
	for _, o := range chosen(scene.Strategy, eligible, r) {
		d.lines = append(d.lines, o.lines...)
	}
	return d
}

func (j *judge) holds(t *tryout, r *Request, rule string, known bool) bool {
	in := &RuleInput{Now: t.now, Attributes: t.user.Attributes, Known: known, Request: r}
	in.OfTemplate = func(name string) (p Past) {
		for _, g := range j.given {
			if tmpl := j.cat.Templates[g.template]; g.user == t.user.ID && tmpl.Name == name {
				p.Total++
				if g.day == t.now.Day().String() {
					p.Today++
				}
			}
		}
		return p
	}
	in.InActivity = func(name string) (p Past) {
		for _, a := range j.cat.Activities {
			if a.Name == name {
				all, today := j.joined(t.user.ID, a.ID, t.now)
				p = Past{Total: vouchersOf(all), Today: vouchersOf(today)}
			}
		}
		return p
	}
	holds, err := storetest.Rules{}.Holds(rule, in)
	return holds && err == nil
}

func chosen(s Strategy, eligible []option, r *Request) []option {
	if s == ChooseAll || len(eligible) == 0 {
		return eligible
	}
	if s == ChooseFirst {
		best := eligible[0]
		for _, o := range eligible {
			if o.act.Priority > best.act.Priority {
				best = o
			}
		}
		return []option{best}
	}
	total := int64(0)
	for _, o := range eligible {
		total += o.weight
	}
	mac := hmac.New(sha256.New, storetest.DrawSecret)
	fmt.Fprintf(mac, "%c%s%s", len(r.Scope), r.Scope, r.Key) // the scopes are short: one byte of length
	at := new(big.Int).SetBytes(mac.Sum(nil)[:8])
	at.Rsh(at.Mul(at, big.NewInt(total)), 64)
	for _, o := range eligible {
		if at.Int64() < o.weight {
			return []option{o}
		}
		at.Sub(at, big.NewInt(o.weight))
	}
	return eligible[len(eligible)-1:]
}

// checkExplanation makes the decision of an issuance again and compares it with what was decided, and with what the
// judge finds eligible; nil: it does not know.
func checkExplanation(cat *Catalogue, i *Issuance, eligible map[string]bool) error {
	e := Explain(cat, i, storetest.Rules{})
	if len(e.Lines) != len(i.Lines) || fmt.Sprint(e.Errors) != fmt.Sprint(i.Errors) {
		return fmt.Errorf("it explains %d lines of %d, and the errors %v", len(e.Lines), len(i.Lines), e.Errors)
	}
	if i.Params.SceneCode == "" {
		return nil
	}
	byName := map[string]*Activity{}
	for _, a := range cat.Activities {
		byName[a.Name] = a
	}
	var of []ActivityID // those chosen, once for each line
	trace := map[string]bool{}
	for _, c := range e.Candidates {
		ok := c.Open && c.Holds
		for _, l := range c.Lines {
			ok = ok && l.Reason == NotRefused.String()
			if c.Chosen {
				of = append(of, byName[c.Activity].ID)
			}
		}
		trace[c.Activity] = ok
	}
	var were []ActivityID
	for _, l := range i.Lines {
		were = append(were, l.Activity)
	}
	if !slices.Equal(of, were) {
		return fmt.Errorf("it explains lines of the activities %v, and they were of %v", of, were)
	}
	if eligible != nil && fmt.Sprint(trace) != fmt.Sprint(eligible) {
		return fmt.Errorf("it explains that those are eligible: %v; it was %v", trace, eligible)
	}
	return nil
}
