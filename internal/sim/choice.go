package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// choice is what the specification's rules give a request that names a scene.
type choice struct {
	scene      *benefit.Scene // nil: none that is there for the caller, and open
	candidates []option
	errors     []benefit.DecisionError
	chosen     []option
}

// option is an activity of the scene that the request leaves in.
type option struct {
	act      *benefit.Activity
	weight   int64
	lines    []benefit.Line
	eligible bool
}

// candidates finds what a request may be given, and what it names in vain.
func (l *ledger) candidates(r *benefit.Request) *choice {
	at := slices.IndexFunc(l.scenes, func(s *benefit.Scene) bool { return s.SceneCode == r.Params.SceneCode })
	if at < 0 || l.scenes[at].Merchant != l.cat.Apps[r.App].Merchant {
		return &choice{errors: []benefit.DecisionError{{Kind: benefit.SceneError, Reason: benefit.SceneNotFound}}}
	}
	scene := l.scenes[at]
	if scene.Status != benefit.Active {
		return &choice{errors: []benefit.DecisionError{{Kind: benefit.SceneError, Reason: benefit.SceneNotOpen}}}
	}
	if errors := namedAgainst(r, scene); len(errors) > 0 {
		return &choice{errors: errors}
	}
	c := &choice{scene: scene}
	var foreign []benefit.DecisionError
	for _, e := range scene.Activities {
		act := l.cat.Activities[e.Activity]
		o := option{act: act, weight: e.Weight}
		for _, item := range act.Items {
			if l.narrowed(r, act, item) {
				o.lines = append(o.lines, l.itemLine(act, item))
			}
		}
		theirs := l.ofOthers(r, scene, o)
		foreign = append(foreign, theirs...)
		if len(o.lines) > 0 && len(theirs) == 0 {
			c.candidates = append(c.candidates, o)
		}
	}
	c.errors = append(foreign, l.namedInVain(r, scene)...)
	return c
}

// ofOthers lists what the scene may not give of an activity, because it belongs to another merchant.
func (l *ledger) ofOthers(r *benefit.Request, scene *benefit.Scene, o option) (errors []benefit.DecisionError) {
	if o.act.Merchant != scene.Merchant && len(o.lines) > 0 {
		return []benefit.DecisionError{{Kind: benefit.ActivityError, ActCode: o.act.ActCode, Reason: benefit.OtherMerchant}}
	}
	for _, line := range o.lines {
		if !l.mayGive(r, line) {
			right := l.cat.Templates[line.Template].RightID
			errors = append(errors, benefit.DecisionError{Kind: benefit.RightError, ActCode: o.act.ActCode, RightID: right, Reason: benefit.OtherMerchant})
		}
	}
	return errors
}

// mayGive reports whether the app's merchant owns the template, or that it is granted to the app.
func (l *ledger) mayGive(r *benefit.Request, line benefit.Line) bool {
	t := l.cat.Templates[line.Template]
	return t == nil || t.Merchant == l.cat.Apps[r.App].Merchant || slices.Contains(t.GrantedTo, r.App)
}

// namedAgainst lists what the request names although the scene lets callers name no activity, or no right.
func namedAgainst(r *benefit.Request, scene *benefit.Scene) (errors []benefit.DecisionError) {
	activities, rights := true, true
	switch {
	case scene.Narrowing == benefit.NarrowNone, scene.Narrowing == 0 && scene.Strategy == benefit.ChooseWeighted:
		activities, rights = false, false
	case scene.Narrowing == benefit.NarrowActivities:
		rights = false
	}
	for _, code := range r.Params.ActCodes {
		if !activities {
			errors = append(errors, benefit.DecisionError{Kind: benefit.ActivityError, ActCode: code, Reason: benefit.NarrowingNotAllowed})
		}
	}
	for _, p := range r.Params.Rights {
		switch {
		case p.RightID == 0 && !activities:
			errors = append(errors, benefit.DecisionError{Kind: benefit.ActivityError, ActCode: p.ActCode, Reason: benefit.NarrowingNotAllowed})
		case p.RightID != 0 && !rights:
			errors = append(errors, benefit.DecisionError{Kind: benefit.RightError, ActCode: p.ActCode, RightID: p.RightID, Reason: benefit.NarrowingNotAllowed})
		}
	}
	return errors
}

// narrowed reports whether both narrowings leave the item in.
func (l *ledger) narrowed(r *benefit.Request, act *benefit.Activity, item benefit.Item) bool {
	byCode := len(r.Params.ActCodes) == 0 || slices.Contains(r.Params.ActCodes, act.ActCode)
	byRight := len(r.Params.Rights) == 0 || slices.ContainsFunc(r.Params.Rights, func(p benefit.ActRight) bool { return l.names(p, act, item) })
	return byCode && byRight
}

// names reports whether a pair, of which one member may be missing, names the item.
func (l *ledger) names(p benefit.ActRight, act *benefit.Activity, item benefit.Item) bool {
	return (p.ActCode == "" || p.ActCode == act.ActCode) && (p.RightID == 0 || p.RightID == l.cat.Templates[item.Template].RightID)
}

// namedInVain lists the names that the scene does not have.
func (l *ledger) namedInVain(r *benefit.Request, scene *benefit.Scene) (errors []benefit.DecisionError) {
	has := func(p benefit.ActRight) bool {
		return slices.ContainsFunc(scene.Activities, func(e benefit.SceneEntry) bool {
			act := l.cat.Activities[e.Activity]
			return slices.ContainsFunc(act.Items, func(i benefit.Item) bool { return l.names(p, act, i) })
		})
	}
	for _, code := range r.Params.ActCodes {
		if !has(benefit.ActRight{ActCode: code}) {
			errors = append(errors, benefit.DecisionError{Kind: benefit.ActivityError, ActCode: code, Reason: benefit.ActivityNotFound})
		}
	}
	for _, p := range r.Params.Rights {
		switch {
		case has(p):
		case p.RightID == 0:
			errors = append(errors, benefit.DecisionError{Kind: benefit.ActivityError, ActCode: p.ActCode, Reason: benefit.ActivityNotFound})
		default:
			errors = append(errors, benefit.DecisionError{Kind: benefit.RightError, ActCode: p.ActCode, RightID: p.RightID, Reason: benefit.RightNotFound})
		}
	}
	return errors
}

// itemLine returns what one send of an item asks for.
func (l *ledger) itemLine(act *benefit.Activity, item benefit.Item) benefit.Line {
	line := benefit.Line{Template: item.Template, Activity: act.ID, DetailID: item.DetailID, Sends: 1, Quantity: item.Quantity}
	t := l.cat.Templates[item.Template]
	if item.Amount != 0 && t.Kind == benefit.Cash && t.Amount.From == benefit.FromRequest {
		line.HasAmount, line.Amount = true, money.Fen(item.Amount)
	}
	return line
}

// choose makes the choice: who is eligible, and whom of them the scene's strategy takes.
func (t *trial) choose(r *benefit.Request, c *choice) {
	if c.scene == nil {
		return
	}
	if len(c.candidates) == 0 && len(c.errors) > 0 {
		return
	}
	stranger := t.user != nil && t.user.Unregistered && len(c.candidates) > 0
	for _, o := range c.candidates {
		for _, l := range o.lines {
			tp := t.cat.Templates[l.Template]
			stranger = stranger && tp != nil && !t.cat.Merchants[tp.Merchant].Open
		}
	}
	for reason, unfit := range map[benefit.Reason]bool{
		benefit.UserNotFound: t.user == nil || stranger, benefit.UserFrozen: t.user != nil && t.user.Frozen,
	} {
		if unfit {
			c.errors = append([]benefit.DecisionError{{Kind: benefit.SceneError, Reason: reason}}, c.errors...)
			return
		}
	}
	var all []option
	for k := range c.candidates {
		o := &c.candidates[k]
		if o.eligible = t.eligible(o); o.eligible {
			all = append(all, *o)
		}
	}
	if len(all) == 0 {
		return
	}
	switch c.scene.Strategy {
	case benefit.ChooseFirst:
		best := all[0]
		for _, o := range all {
			if o.act.Priority > best.act.Priority {
				best = o
			}
		}
		all = []option{best}
	case benefit.ChooseWeighted:
		all = []option{all[draw(all, r)]}
	}
	c.chosen = all
}

// draw returns which option the key takes: 64 bits of an HMAC, as a fraction of the sum of the weights.
func draw(all []option, r *benefit.Request) int {
	sum := int64(0)
	for _, o := range all {
		sum += o.weight
	}
	mac := hmac.New(sha256.New, storetest.DrawSecret)
	fmt.Fprintf(mac, "%c%s%s", len(r.Scope), r.Scope, r.Key) // the scopes are short: one byte of length
	at := new(big.Int).SetBytes(mac.Sum(nil)[:8])
	at.Rsh(at.Mul(at, big.NewInt(sum)), 64)
	below := int64(0)
	for k, o := range all {
		if below += o.weight; at.Int64() < below {
			return k
		}
	}
	return len(all) - 1
}

// eligible reports whether the activity is open, its rule holds, and each of its lines would be issued alone.
func (t *trial) eligible(o *option) bool {
	if o.act.Status != benefit.Active || t.now < o.act.Window.Start || ended(o.act.Window, t.now) || !t.ruleHolds(o.act.Rule) {
		return false
	}
	for _, line := range o.lines {
		if t.reason(line, t.minWorth(line, 0, nil, true)) != benefit.NotRefused {
			return false
		}
	}
	return true
}

// ruleHolds evaluates a rule by what the ledger knows.
func (t *trial) ruleHolds(text string) bool {
	if text == "" {
		return true
	}
	r := parseRule(text)
	var value int64
	switch r.what {
	case "level":
		level, err := levelOf(t.user.Attributes)
		if err != nil {
			return false
		}
		value = level
	case "known":
		if !t.fresh {
			value = 1
		}
	case "issued", "issuedToday":
		for _, tp := range t.cat.Templates {
			if k := (benefit.QuotaKey{User: t.user.ID, Template: tp.ID}); tp.Name == r.name && r.what == "issued" {
				value = t.ledger.user[k]
			} else if tp.Name == r.name {
				value = t.userDay[userDay{k, t.now.Day()}]
			}
		}
	default:
		for _, act := range t.cat.Activities {
			if k := (benefit.ParticipationKey{User: t.user.ID, Activity: act.ID}); act.Name == r.name && r.what == "joined" {
				value = t.participation(k).Total
			} else if act.Name == r.name {
				value = t.today(k, t.now).DayTotal
			}
		}
	}
	return r.holds(value)
}

// explained checks that the decision, made again from what is kept of it, is the choice.
func (c *choice) explained(e *benefit.Explanation) error {
	want := map[string]bool{} // eligible, by handle
	taken := map[string]bool{}
	for _, o := range c.candidates {
		want[o.act.Name] = o.eligible
	}
	for _, o := range c.chosen {
		taken[o.act.Name] = true
	}
	for _, result := range e.Candidates {
		eligible := result.Open && result.Holds
		for _, line := range result.Lines {
			eligible = eligible && line.Reason == benefit.NotRefused.String()
		}
		if eligible != want[result.Activity] || result.Chosen != taken[result.Activity] {
			return fmt.Errorf("it is explained wrongly: of %s eligible %v, chosen %v; and it was %v, %v", result.Activity,
				eligible, result.Chosen, want[result.Activity], taken[result.Activity])
		}
	}
	// Where the first that fits is taken, the others need not be looked at.
	all := len(c.chosen) == 0 || len(e.Candidates) == len(c.candidates) || c.scene.Strategy == benefit.ChooseFirst
	for name := range taken {
		all = all && slices.ContainsFunc(e.Candidates, func(result benefit.CandidateTrace) bool { return result.Activity == name })
	}
	if !all {
		return fmt.Errorf("%d candidates are explained, there were %d", len(e.Candidates), len(c.candidates))
	}
	return nil
}

func (c *choice) lines() (all []benefit.Line) {
	for _, o := range c.chosen {
		all = append(all, o.lines...)
	}
	return all
}
