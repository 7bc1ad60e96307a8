package oracle

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// choice is what a request that names a scene gets.
type choice struct {
	scene   *benefit.Scene // nil: the request gets nothing of it
	options []option
	errors  []benefit.DecisionError
	looked  bool // the options were looked at
}

// option is an activity of the scene that the request leaves in.
type option struct {
	act      *benefit.Activity
	weight   int64
	lines    []benefit.Line
	eligible bool
	chosen   bool
}

func (c *choice) allLines() (all []benefit.Line) {
	for _, o := range c.options {
		all = append(all, o.lines...)
	}
	return all
}

func (c *choice) chosenLines() (all []benefit.Line) {
	for _, o := range c.options {
		if o.chosen {
			all = append(all, o.lines...)
		}
	}
	return all
}

// candidates lists what the request may get of its scene, in the scene's order, and an error for each name that it cannot
// have.
func (t *trial) candidates() *choice {
	r, c := t.request, &choice{}
	for _, s := range t.Catalogue.Scenes {
		if s.SceneCode == r.Params.SceneCode && s.Merchant == t.Catalogue.Apps[r.App].Merchant {
			c.scene = s
		}
	}
	switch {
	case c.scene == nil:
		c.fail(benefit.SceneNotFound)
		return c
	case c.scene.Status != benefit.Active:
		c.fail(benefit.SceneNotOpen)
		return c
	}
	if c.errors = forbidden(c.scene, r); len(c.errors) > 0 {
		return c
	}
	var acts []string                    // the codes of the scene's activities
	found := map[benefit.ActRight]bool{} // the pairs of the request that the scene has
	for _, e := range c.scene.Activities {
		o := option{act: t.Catalogue.Activities[e.Activity], weight: e.Weight}
		acts = append(acts, o.act.ActCode)
		for _, item := range o.act.Items {
			in := len(r.Params.Rights) == 0
			for _, p := range r.Params.Rights {
				if (p.ActCode == "" || p.ActCode == o.act.ActCode) && (p.RightID == 0 || p.RightID == t.rightOf(item)) {
					in, found[p] = true, true
				}
			}
			if in && (len(r.Params.ActCodes) == 0 || slices.Contains(r.Params.ActCodes, o.act.ActCode)) {
				o.lines = append(o.lines, t.itemLine(o.act, item))
			}
		}
		foreign := t.foreign(c.scene, o)
		c.errors = append(c.errors, foreign...)
		if len(o.lines) > 0 && len(foreign) == 0 {
			c.options = append(c.options, o)
		}
	}
	for _, code := range r.Params.ActCodes {
		if !slices.Contains(acts, code) {
			c.errors = append(c.errors, errorOf(benefit.ActRight{ActCode: code}, benefit.ActivityNotFound))
		}
	}
	for _, p := range r.Params.Rights {
		switch {
		case found[p]:
		case p.RightID == 0:
			c.errors = append(c.errors, errorOf(p, benefit.ActivityNotFound))
		default:
			c.errors = append(c.errors, errorOf(p, benefit.RightNotFound))
		}
	}
	return c
}

// fail puts an error about the scene before all others.
func (c *choice) fail(reason benefit.Reason) {
	c.errors = append([]benefit.DecisionError{{Kind: benefit.SceneError, Reason: reason}}, c.errors...)
}

// errorOf returns the error about a right, or about an activity where the name has no right.
func errorOf(name benefit.ActRight, reason benefit.Reason) benefit.DecisionError {
	kind := benefit.RightError
	if name.RightID == 0 {
		kind = benefit.ActivityError
	}
	return benefit.DecisionError{Kind: kind, ActCode: name.ActCode, RightID: name.RightID, Reason: reason}
}

// forbidden returns an error for each name in the request that the scene does not let callers narrow by.
func forbidden(s *benefit.Scene, r *benefit.Request) (errors []benefit.DecisionError) {
	byActivity, byRight := true, true
	switch {
	case s.Narrowing == benefit.NarrowNone, s.Narrowing == 0 && s.Strategy == benefit.ChooseWeighted:
		byActivity, byRight = false, false
	case s.Narrowing == benefit.NarrowActivities:
		byRight = false
	}
	var names []benefit.ActRight
	for _, code := range r.Params.ActCodes {
		names = append(names, benefit.ActRight{ActCode: code})
	}
	for _, name := range append(names, r.Params.Rights...) {
		if name.RightID == 0 && !byActivity || name.RightID != 0 && !byRight {
			errors = append(errors, errorOf(name, benefit.NarrowingNotAllowed))
		}
	}
	return errors
}

func (t *trial) rightOf(item benefit.Item) int64 {
	if tp := t.Catalogue.Templates[item.Template]; tp != nil {
		return tp.RightID
	}
	return 0
}

// itemLine returns the line that a scene gives for an item.
func (t *trial) itemLine(act *benefit.Activity, item benefit.Item) benefit.Line {
	l := benefit.Line{Template: item.Template, Activity: act.ID, DetailID: item.DetailID, Sends: 1, Quantity: item.Quantity}
	tp := t.Catalogue.Templates[item.Template]
	if tp != nil && tp.Kind == benefit.Cash && tp.Amount.From == benefit.FromRequest && item.Amount != 0 {
		l.HasAmount, l.Amount = true, money.Fen(item.Amount)
	}
	return l
}

// foreign returns an error for what the scene may not give of an option, because it is another merchant's.
func (t *trial) foreign(s *benefit.Scene, o option) (errors []benefit.DecisionError) {
	if o.act.Merchant != s.Merchant && len(o.lines) > 0 {
		return []benefit.DecisionError{errorOf(benefit.ActRight{ActCode: o.act.ActCode}, benefit.OtherMerchant)}
	}
	for _, l := range o.lines {
		if tp := t.Catalogue.Templates[l.Template]; tp != nil && !t.mayIssue(tp) {
			errors = append(errors, benefit.DecisionError{
				Kind: benefit.RightError, ActCode: o.act.ActCode, RightID: tp.RightID, Reason: benefit.OtherMerchant,
			})
		}
	}
	return errors
}

// choose marks the options that are eligible and those that are chosen.
func (t *trial) choose(c *choice) {
	lines := c.allLines()
	invalid := t.wrongRecipient(nil)
	for _, l := range lines { // valid for one right is valid for the scene
		if invalid = t.wrongRecipient(t.Catalogue.Templates[l.Template]); invalid == benefit.NotRefused {
			break
		}
	}
	isOpen := func(l benefit.Line) bool { return !t.closedTo(l) }
	switch {
	case invalid != benefit.NotRefused:
		c.errors = nil
		c.fail(invalid)
		return
	case len(c.options) == 0 && len(c.errors) > 0:
		return
	case t.user == nil, t.user.Unregistered && len(lines) > 0 && !slices.ContainsFunc(lines, isOpen):
		c.fail(benefit.UserNotFound)
		return
	case t.user.Frozen:
		c.fail(benefit.UserFrozen)
		return
	}
	c.looked = true
	var eligible []*option
	for k := range c.options {
		o := &c.options[k]
		o.eligible = t.open(o.act.ID) && t.holds(o.act.Rule)
		for _, l := range o.lines {
			tp := t.Catalogue.Templates[l.Template]
			o.eligible = o.eligible && tp != nil && len(t.reasons(tp, l, leastWorth(tp, l))) == 0
		}
		if o.eligible {
			eligible = append(eligible, o)
		}
	}
	switch {
	case len(eligible) == 0:
	case c.scene.Strategy == benefit.ChooseFirst:
		best := eligible[0]
		for _, o := range eligible {
			if o.act.Priority > best.act.Priority {
				best = o
			}
		}
		best.chosen = true
	case c.scene.Strategy == benefit.ChooseWeighted:
		t.drawn(eligible).chosen = true
	default:
		for _, o := range eligible {
			o.chosen = true
		}
	}
	room := int64(benefit.MaxRequestVouchers)
	for _, o := range eligible {
		if o.chosen {
			asked := int64(0)
			for _, l := range o.lines {
				asked += int64(l.Sends) * int64(l.Quantity)
			}
			o.chosen = asked <= room
			if o.chosen {
				room -= asked
			}
		}
	}
}

// drawn returns the option that the key draws: 64 bits of an HMAC, as a fraction of the sum of the weights.
func (t *trial) drawn(eligible []*option) *option {
	sum := int64(0)
	for _, o := range eligible {
		sum += o.weight
	}
	mac := hmac.New(sha256.New, t.Secret)
	fmt.Fprintf(mac, "%c%s%s", len(t.request.Scope), t.request.Scope, t.request.Key) // the scopes are short: one byte of length
	at := new(big.Int).SetBytes(mac.Sum(nil)[:8])
	at.Rsh(at.Mul(at, big.NewInt(sum)), 64)
	below := int64(0)
	for _, o := range eligible {
		if below += o.weight; at.Int64() < below {
			return o
		}
	}
	return eligible[len(eligible)-1]
}
