package benefit

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"

	"faquan/internal/money"
)

// ErrorKind describes what a DecisionError is about.
type ErrorKind uint8

// The kinds. The numbers are stored.
const (
	SceneError    ErrorKind = 1
	ActivityError ErrorKind = 2
	RightError    ErrorKind = 3
)

// DecisionError describes what a request could not have: a scene that is not there or not open, an activity or a right
// that is not in the scene or is another merchant's, or a recipient who may receive nothing of it.
type DecisionError struct {
	Kind    ErrorKind `json:"kind"`
	ActCode string    `json:"act_code,omitzero"`
	RightID int64     `json:"right_id,omitzero"`
	Reason  Reason    `json:"reason"`
}

// candidate is an activity of the scene that the request leaves in, with the lines that it would give.
type candidate struct {
	activity   *Activity
	weight     int64
	lines      []Line
	ruleResult *ruleResult // of a rule that does not depend on past issues; nil: not evaluated yet
}

// ruleResult is the result of a rule. One that cannot be evaluated does not hold.
type ruleResult struct {
	holds bool
	err   error
}

// candidateSet is the set of candidates of a scene for a request. It depends only on the catalogue and the request.
type candidateSet struct {
	scene      *Scene // nil: there is none that the caller may use
	candidates []candidate
	errors     []DecisionError
}

// lines iterates over the lines of all candidates.
func (b *candidateSet) lines() iter.Seq[*Line] {
	return func(yield func(*Line) bool) {
		for _, c := range b.candidates {
			for k := range c.lines {
				if !yield(&c.lines[k]) {
					return
				}
			}
		}
	}
}

// candidatesOf returns the candidates of the request, in the order of the scene, and an error for everything that it names
// but cannot have. own excludes what belongs to other merchants; it is false to explain a choice from before such
// candidates were refused.
func candidatesOf(cat *Catalogue, r *Request, own bool) *candidateSet {
	app, scene := cat.Apps[r.App], cat.SceneByCode(r.Params.SceneCode)
	switch {
	//guard:TestDecisionErrors without scene.Merchant != app.Merchant
	case scene == nil || app == nil || scene.Merchant != app.Merchant:
		return &candidateSet{errors: sceneError(SceneNotFound)}
	case scene.Status != Active: //guard:TestDecisionErrors
		return &candidateSet{scene: scene, errors: sceneError(SceneNotOpen)}
	}
	if errors := scene.Narrows().forbids(&r.Params); len(errors) > 0 { //guard:TestNarrowingAllowed
		return &candidateSet{scene: scene, errors: errors}
	}
	b := &candidateSet{scene: scene}
	n := narrower{&r.Params, make([]bool, len(r.Params.ActCodes)), make([]bool, len(r.Params.Rights))}
	for _, e := range scene.Activities {
		act := cat.Activities[e.Activity]
		if act == nil {
			continue
		}
		lines := n.lines(cat, act)
		if len(lines) == 0 {
			continue
		}
		if own {
			if foreign := cat.foreign(app, scene, act, lines); len(foreign) > 0 {
				b.errors = append(b.errors, foreign...)
				continue
			}
		}
		b.candidates = append(b.candidates, candidate{activity: act, weight: e.Weight, lines: lines})
	}
	b.errors = append(b.errors, n.missing()...)
	return b
}

// foreign returns an error for what the scene may not give of an activity, because it belongs to another merchant: the
// activity, or rights of it that are not granted to the app either. The catalogue refuses such scenes, but a store may
// have one from before. An activity gives all that it holds or nothing, so it is then left out as a whole.
func (c *Catalogue) foreign(app *App, scene *Scene, act *Activity, lines []Line) (errors []DecisionError) {
	if act.Merchant != scene.Merchant {
		return []DecisionError{errorOf(ActRight{ActCode: act.ActCode}, OtherMerchant)}
	}
	for k := range lines {
		if t := c.Templates[lines[k].Template]; t != nil && !app.MayIssue(t, scene.Merchant) {
			errors = append(errors, DecisionError{Kind: RightError, ActCode: act.ActCode, RightID: t.RightID, Reason: OtherMerchant})
		}
	}
	return errors
}

// sceneError returns the error about the scene as a whole, with more behind it.
func sceneError(reason Reason, more ...DecisionError) []DecisionError {
	return append([]DecisionError{{Kind: SceneError, Reason: reason}}, more...)
}

// errorOf returns the error about a name in the request: a right, or else an activity.
func errorOf(name ActRight, reason Reason) DecisionError {
	kind := RightError
	if name.RightID == 0 {
		kind = ActivityError
	}
	return DecisionError{Kind: kind, ActCode: name.ActCode, RightID: name.RightID, Reason: reason}
}

// forbids returns an error for each name in the request that the scene does not let callers narrow by. Such a request
// gets nothing: what is left in could be chosen by the caller, and a scene that draws would have nothing to decide.
func (n Narrowing) forbids(params *Params) (errors []DecisionError) {
	if n == NarrowNone {
		for _, code := range params.ActCodes {
			errors = append(errors, errorOf(ActRight{ActCode: code}, NarrowingNotAllowed))
		}
	}
	for _, pair := range params.Rights {
		if n == NarrowNone || n != NarrowRights && pair.RightID != 0 { // one without a right narrows as act_codes does
			errors = append(errors, errorOf(pair, NarrowingNotAllowed))
		}
	}
	return errors
}

// narrower keeps the candidates that a request asks for, and records which of its names were found.
type narrower struct {
	params               *Params
	actFound, rightFound []bool
}

// lines returns what an activity of the scene would give to the request; none when the request leaves the activity out.
func (n *narrower) lines(cat *Catalogue, act *Activity) (lines []Line) {
	in := len(n.params.ActCodes) == 0
	for k, code := range n.params.ActCodes {
		if code == act.ActCode {
			in, n.actFound[k] = true, true
		}
	}
	for k := range act.Items {
		if n.includes(cat, act, &act.Items[k]) && in { //guard:TestNarrowing n.includes(cat, act, &act.Items[k]) && in -> n.includes(cat, act, &act.Items[k]) || in
			lines = append(lines, act.Items[k].Line(cat, act, 1))
		}
	}
	return lines
}

// includes reports whether the pairs of the request include the item.
func (n *narrower) includes(cat *Catalogue, act *Activity, item *Item) bool {
	in := len(n.params.Rights) == 0
	var right int64
	if t := cat.Templates[item.Template]; t != nil {
		right = t.RightID
	}
	for k, pair := range n.params.Rights {
		if (pair.ActCode == "" || pair.ActCode == act.ActCode) && (pair.RightID == 0 || pair.RightID == right) {
			in, n.rightFound[k] = true, true
		}
	}
	return in
}

// missing returns an error for each name of the request that the scene does not have.
func (n *narrower) missing() (errors []DecisionError) {
	for k, code := range n.params.ActCodes {
		if !n.actFound[k] {
			errors = append(errors, errorOf(ActRight{ActCode: code}, ActivityNotFound))
		}
	}
	for k, pair := range n.params.Rights {
		switch {
		case n.rightFound[k]:
		case pair.RightID == 0:
			errors = append(errors, errorOf(pair, ActivityNotFound))
		default:
			errors = append(errors, errorOf(pair, RightNotFound))
		}
	}
	return errors
}

// Line returns the line for a number of sends of the item.
func (i *Item) Line(cat *Catalogue, act *Activity, sends int) Line {
	l := Line{Template: i.Template, Activity: act.ID, DetailID: i.DetailID, Sends: sends, Quantity: i.Quantity}
	if t := cat.Templates[i.Template]; t != nil && t.TakesAmount() && i.Amount != 0 {
		l.Amount, l.HasAmount = money.Fen(i.Amount), true
	}
	return l
}

// chooser chooses the lines of one request.
type chooser struct {
	attempt
	*candidateSet
	rules Rules
	draw  func(eligible []*candidate) *candidate // picks one where the scene chooses by weight; nil is none
	in    *RuleInput                             // one for all rules, made when the first is asked
	basis *Basis                                 // what was looked at so far
	trace *Explanation                           // nil: no trace is wanted
}

// decide chooses among the candidates. It may choose none. invalid is why the recipient is wrong as a parameter, NotRefused
// if it is not.
func (d *chooser) decide(invalid Reason) (lines []Line, errors []DecisionError) {
	switch {
	case invalid != NotRefused:
		return nil, sceneError(invalid)
	case len(d.errors) > 0 && len(d.candidates) == 0:
		return nil, d.errors
	case d.user == nil, d.user.Unregistered && !d.anyOpen():
		return nil, sceneError(UserNotFound, d.errors...)
	case d.user.Frozen: //guard:TestDecisionErrors
		return nil, sceneError(UserFrozen, d.errors...)
	}
	var eligible []*candidate
	for k := range d.candidates {
		if c := &d.candidates[k]; d.eligible(c) {
			eligible = append(eligible, c)
		}
	}
	for _, c := range d.choose(eligible) {
		lines = append(lines, c.lines...)
		d.traceChosen(c)
	}
	return lines, d.errors
}

// invalidRecipient returns why the recipient is wrong as a parameter of the request. A type is valid if the
// owner of at least one right among the candidates accepts it; rights of other owners are not eligible.
func (d *chooser) invalidRecipient() Reason {
	reason := d.cat.invalidRecipient(d.request, nil)
	for l := range d.candidateSet.lines() {
		if reason = d.cat.invalidRecipient(d.request, d.cat.Templates[l.Template]); reason == NotRefused {
			return NotRefused
		}
	}
	return reason
}

// anyOpen reports whether a right among the candidates is one that an unregistered user may receive.
func (d *chooser) anyOpen() bool {
	for l := range d.candidateSet.lines() {
		if t := d.cat.Templates[l.Template]; t == nil || d.cat.open(t) {
			return true
		}
	}
	return len(d.candidates) == 0
}

// eligible reports whether the activity is open, its rule holds, and each of its rights would be issued to the user if
// it were requested alone. What it reads is recorded in the basis.
func (d *chooser) eligible(c *candidate) bool {
	var ruled ruleResult
	open := c.activity.OpenAt(d.st.Now)
	if open {
		ruled = d.ruleOf(c)
	}
	d.traceCandidate(c, open, ruled)
	//guard:TestExplainUnderNewerCatalogue without d.trace != nil && !d.hasLineCounters(c.lines)
	if !ruled.holds || d.trace != nil && !d.hasLineCounters(c.lines) {
		return false
	}
	ok := true
	a := applier{attempt: d.attempt}
	for k := range c.lines {
		l := &c.lines[k]
		reason, seen := a.probe(l)
		d.recordCounters(l.Template, seen)
		d.traceLine(l, reason, seen)
		ok = ok && reason == NotRefused //guard:TestEligible$ without reason == NotRefused
	}
	return ok
}

// ruleOf returns the result of the rule of an open activity; it holds when there is none.
func (d *chooser) ruleOf(c *candidate) ruleResult {
	rule := c.activity.Rule
	switch {
	case rule == "":
		return ruleResult{holds: true}
	case d.trace != nil && !d.hasRuleInputs(rule): //guard:TestExplainUnderNewerCatalogue
		return ruleResult{err: errNotRecorded}
	case c.ruleResult != nil:
		return *c.ruleResult
	}
	d.recordRuleInputs(rule)
	// It depends on past issues, and is evaluated again for each decision of a batch.
	return d.evaluate(rule) //guard:TestSceneRuleTwiceInBatch return d.evaluate(rule) -> r := d.evaluate(rule); c.ruleResult = &r; return r
}

func (d *chooser) evaluate(rule string) ruleResult {
	holds, err := d.rules.Holds(rule, d.input())
	return ruleResult{holds && err == nil, err} //guard:TestEligible$ holds && err == nil -> true
}

// ruledOut reports whether a candidate is not eligible for any counters, so that its rows need not be loaded: it is
// closed, or its rule does not hold and does not depend on past issues. The result of the rule is kept for the
// decision.
func (d *chooser) ruledOut(c *candidate) bool {
	if !c.activity.OpenAt(d.st.Now) {
		return true
	}
	if c.activity.Rule == "" {
		return false
	}
	if templates, activities := d.rules.References(c.activity.Rule); len(templates)+len(activities) > 0 {
		return false
	}
	if c.ruleResult == nil {
		result := d.evaluate(c.activity.Rule)
		c.ruleResult = &result
	}
	return !c.ruleResult.holds
}

// input returns the input of the rules.
func (d *chooser) input() *RuleInput {
	if d.in != nil {
		return d.in
	}
	in := &RuleInput{Now: d.st.Now, Known: !d.newUser, Request: d.request, Attributes: d.user.Attributes}
	in.OfTemplate = func(name string) Past {
		t := d.cat.TemplateByName(name)
		if t == nil || d.newUser {
			return Past{}
		}
		q := d.st.quota(QuotaKey{d.user.ID, t.ID})
		return Past{q.Total, q.onDay(d.st.Now.Day())}
	}
	in.InActivity = func(name string) Past {
		act := d.cat.ActivityByName(name)
		if act == nil || d.newUser {
			return Past{}
		}
		p := d.st.participation(ParticipationKey{d.user.ID, act.ID}).today(d.st.Now)
		return Past{p.Total, p.DayTotal}
	}
	d.in = in
	return in
}

// choose applies the scene's strategy, and keeps within what one request may issue.
func (d *chooser) choose(eligible []*candidate) (chosen []*candidate) {
	if len(eligible) == 0 {
		return nil
	}
	switch d.scene.Strategy {
	case ChooseFirst:
		// The greatest priority; of equal ones the first in the scene.
		chosen = []*candidate{slices.MaxFunc(eligible, func(a, b *candidate) int {
			return cmp.Compare(a.activity.Priority, b.activity.Priority) //guard:TestStrategyFirst
		})}
	case ChooseWeighted:
		if c := d.draw(eligible); c != nil {
			chosen = []*candidate{c}
		}
	default:
		chosen = eligible
	}
	room := MaxRequestVouchers
	return slices.DeleteFunc(chosen, func(c *candidate) bool {
		n := vouchers(c.lines)
		if n > room { //guard:TestDecisionIsBounded
			return true
		}
		room -= n
		return false
	})
}

// drawWeighted picks one candidate by its weight. The draw is an HMAC of the scope and the key, so it is the same at
// every attempt with nothing stored, and a key that draws a wanted candidate cannot be found without the secret. It is
// pinned by a test, because changing it would change retries under way.
func drawWeighted(eligible []*candidate, r *Request, secret []byte) *candidate {
	var total uint64
	for _, c := range eligible {
		total += uint64(c.weight) //guard:TestStrategyWeightedIsFair uint64(c.weight) -> uint64(c.weight) + 1
	}
	mac := hmac.New(sha256.New, secret)                           //guard:TestStrategyWeightedIsSecret without secret
	mac.Write(append(appendText(nil, string(r.Scope)), r.Key...)) //guard:TestStrategyWeightedIsPinned string(r.Scope) -> ""
	sum := mac.Sum(nil)
	// The high word of a product maps 64 random bits onto 0 … total-1; no weight gains more than 2⁻⁴⁰ by it.
	at, _ := bits.Mul64(binary.BigEndian.Uint64(sum), total)
	for _, c := range eligible {
		if at < uint64(c.weight) {
			return c
		}
		at -= uint64(c.weight)
	}
	return eligible[len(eligible)-1] // only when every weight is 0
}
