package audit

import (
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// sceneSnapshot is a scene with its activities in one version of the catalogue.
type sceneSnapshot struct {
	scene      *benefit.Scene // nil: there was none with the code
	activities []*benefit.Activity
	sure       bool
}

type sceneSnapshotKey struct {
	code    string
	version int64
}

func (c *recount) sceneSnapshotOf(code string, version int64) *sceneSnapshot {
	k := sceneSnapshotKey{code, version}
	if h := c.sceneSnapshots[k]; h != nil {
		return h
	}
	h := &sceneSnapshot{}
	if h.scene, h.sure = c.rules.scene(code, version); h.scene != nil {
		for _, e := range h.scene.Activities {
			act, sure := c.rules.activity(e.Activity, version)
			if h.sure = h.sure && sure; act != nil {
				h.activities = append(h.activities, act)
			}
		}
	}
	c.sceneSnapshots[k] = h
	return h
}

// decisionCheck is an issuance whose lines a scene chose, before the catalogue of the version under which they were frozen.
type decisionCheck struct {
	c     *recount
	i     *benefit.Issuance
	scene *sceneSnapshot
}

// decision checks the lines that were frozen with a key. Which of the eligible activities a strategy would choose is
// not made out again; that the choice was one that the scene, the strategy and the request allow is.
func (c *recount) decision(i *benefit.Issuance) {
	if i.Params.SceneCode == "" {
		if i.Basis != nil || len(i.Errors) > 0 {
			c.find(Finding{Decisions, issuanceRef{i}.String(), "lines that the request named", "lines that were chosen"})
		}
		return
	}
	c.report.Checked.Decisions++
	d := decisionCheck{c, i, c.sceneSnapshotOf(i.Params.SceneCode, i.Catalogue)}
	switch s := d.scene.scene; {
	case s == nil:
		d.violated("its scene", "one in the catalogue", "none")
		return
	case s.Status != benefit.Active:
		d.violated("its scene", "open", "not open")
	}
	d.named()
	d.lines()
	d.errors()
	d.basis()
}

func (d decisionCheck) violated(rule string, want, got any) {
	f := Finding{Decisions, issuanceRef{d.i}.String() + ": " + rule, fmt.Sprint(want), fmt.Sprint(got)}
	if d.scene.sure {
		d.c.find(f)
	} else {
		d.c.doubtOf(doubtKey{invariant: Decisions, rule: rule}, f)
	}
}

// named checks that the request names nothing that the scene forbids. A scene that does not say what it forbids may have
// been chosen from before scenes could.
func (d decisionCheck) named() {
	narrowing, asked := d.scene.scene.Narrowing, &d.i.Params
	activities := len(asked.ActCodes) > 0
	rights := false
	for _, r := range asked.Rights {
		rights = rights || r.RightID != 0
		activities = activities || r.RightID == 0
	}
	if rights && (narrowing == benefit.NarrowNone || narrowing == benefit.NarrowActivities) || activities && narrowing == benefit.NarrowNone {
		d.violated("what it names", "nothing that the scene forbids", "an activity or a right")
	}
}

// lines checks that the lines are the whole of what one or more activities of the scene give to the request.
func (d decisionCheck) lines() {
	rest := d.i.Lines
	chosen := 0
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && rest[n].Activity == rest[0].Activity {
			n++
		}
		d.activity(rest[0].Activity, rest[:n])
		rest = rest[n:]
		chosen++
	}
	switch s := d.scene.scene.Strategy; {
	case chosen > 1 && s != benefit.ChooseAll:
		d.violated("its activities", "one, by the strategy of the scene", chosen)
	case chosen > len(d.scene.activities):
		d.violated("its activities", fmt.Sprintf("each of %d once", len(d.scene.activities)), chosen)
	}
}

// activity checks the lines of one activity.
func (d decisionCheck) activity(a benefit.ActivityID, lines []benefit.IssuedLine) {
	at := slices.IndexFunc(d.scene.activities, func(act *benefit.Activity) bool { return act.ID == a })
	if at < 0 {
		d.violated("its activity", "one of the scene", fmt.Sprint("activity ", a))
		return
	}
	act := d.scene.activities[at]
	if d.i.Basis != nil && !openAt(act, d.i.Basis.Now) {
		d.violated(fmt.Sprint("activity ", a), "open when it was chosen", "not open")
	}
	want := d.wanted(act)
	if len(want) != len(lines) {
		d.violated(fmt.Sprint("activity ", a), fmt.Sprintf("%d lines, which are all that the request leaves in", len(want)), len(lines))
		return
	}
	for k := range want {
		if lines[k].Line != want[k] {
			d.violated(fmt.Sprintf("activity %d, line %d of it", a, k), fmt.Sprintf("%+v", want[k]), fmt.Sprintf("%+v", lines[k].Line))
		}
	}
}

// openAt reports whether the activity is active and within its window, whose last second belongs to it.
func openAt(act *benefit.Activity, at benefit.Instant) bool {
	const second = 1000
	w := act.Window
	return act.Status == benefit.Active && (w.Start == 0 || w.Start <= at) && (w.End == 0 || at/second <= w.End/second)
}

// wanted returns the lines that an activity gives to the request: one send of each item that the two narrowings leave
// in.
func (d decisionCheck) wanted(act *benefit.Activity) (lines []benefit.Line) {
	asked := &d.i.Params
	if len(asked.ActCodes) > 0 && !slices.Contains(asked.ActCodes, act.ActCode) { //guard:TestStage$
		return nil
	}
	for _, item := range act.Items {
		if len(asked.Rights) > 0 && !slices.ContainsFunc(asked.Rights, func(r benefit.ActRight) bool { return d.names(r, act, item) }) {
			continue
		}
		l := benefit.Line{Template: item.Template, Activity: act.ID, DetailID: item.DetailID, Sends: 1, Quantity: item.Quantity}
		t, _ := d.c.rules.at(item.Template, d.i.Catalogue)
		if t != nil && t.Kind == benefit.Cash && t.Amount.From == benefit.FromRequest && item.Amount != 0 {
			l.Amount, l.HasAmount = money.Fen(item.Amount), true
		}
		lines = append(lines, l)
	}
	return lines
}

// names reports whether a pair of the request means the item.
func (d decisionCheck) names(r benefit.ActRight, act *benefit.Activity, item benefit.Item) bool {
	if r.ActCode != "" && r.ActCode != act.ActCode {
		return false
	}
	t, _ := d.c.rules.at(item.Template, d.i.Catalogue)
	return r.RightID == 0 || t != nil && t.RightID == r.RightID
}

// errors checks that the names reported as missing are exactly those that the scene does not have.
func (d decisionCheck) errors() {
	var want []benefit.DecisionError
	for _, code := range d.i.Params.ActCodes {
		if !slices.ContainsFunc(d.scene.activities, func(act *benefit.Activity) bool { return act.ActCode == code }) {
			want = append(want, benefit.DecisionError{Kind: benefit.ActivityError, ActCode: code, Reason: benefit.ActivityNotFound})
		}
	}
	for _, r := range d.i.Params.Rights {
		there := false
		for _, act := range d.scene.activities {
			there = there || slices.ContainsFunc(act.Items, func(item benefit.Item) bool { return d.names(r, act, item) })
		}
		switch {
		case there:
		case r.RightID == 0:
			want = append(want, benefit.DecisionError{Kind: benefit.ActivityError, ActCode: r.ActCode, Reason: benefit.ActivityNotFound})
		default:
			want = append(want, benefit.DecisionError{Kind: benefit.RightError, ActCode: r.ActCode, RightID: r.RightID, Reason: benefit.RightNotFound})
		}
	}
	var told []benefit.DecisionError
	for _, e := range d.i.Errors {
		if e.Reason == benefit.OtherMerchant {
			d.foreign(e)
		} else {
			told = append(told, e)
		}
	}
	if !slices.Equal(want, told) {
		d.violated("its names reported as missing", fmt.Sprintf("%d names, which the scene does not have", len(want)), fmt.Sprintf("%d, or others", len(told)))
	}
}

// foreign checks that what was reported as another merchant's is another merchant's. That nothing else of the scene was
// can not be asked of all issuances: those from before it was refused may have been given it.
func (d decisionCheck) foreign(e benefit.DecisionError) {
	there := slices.ContainsFunc(d.scene.activities, func(act *benefit.Activity) bool {
		if act.ActCode != e.ActCode {
			return false
		}
		if e.Kind == benefit.ActivityError {
			return act.Merchant != d.scene.scene.Merchant
		}
		return slices.ContainsFunc(act.Items, func(item benefit.Item) bool {
			t, _ := d.c.rules.at(item.Template, d.i.Catalogue)
			return t != nil && t.RightID == e.RightID && t.Merchant != d.scene.scene.Merchant && !slices.Contains(t.GrantedTo, d.i.App)
		})
	})
	if !there || slices.ContainsFunc(d.i.Lines, func(l benefit.IssuedLine) bool { return d.codeOf(l.Activity) == e.ActCode }) {
		d.violated("its names reported as another merchant's", "something of the scene that belongs to another merchant, and was not issued", fmt.Sprintf("%q, right %d", e.ActCode, e.RightID))
	}
}

// codeOf returns the act_code of an activity of the scene.
func (d decisionCheck) codeOf(a benefit.ActivityID) string {
	for _, act := range d.scene.activities {
		if act.ID == a {
			return act.ActCode
		}
	}
	return ""
}

// basis checks that the counters that the choice looked at can have been those of its moment: they bound one another,
// and the lines found as much or more.
func (d decisionCheck) basis() {
	b := d.i.Basis
	if b == nil {
		d.violated("its basis", "kept", "none")
		return
	}
	if first, _, _ := moments(d.i); b.Now <= 0 || b.Now > first {
		d.violated("the instant of its choice", fmt.Sprintf("at %d or before", int64(first)), int64(b.Now))
	}
	if b.Frozen {
		d.violated("its user", "one who was not frozen", "frozen")
	}
	seen := map[benefit.TemplateID]benefit.Counters{}
	for _, t := range b.Templates {
		seen[t.Template] = t.Counters
		if n := t.Counters; !inOrder(0, n.DayCount, n.Count) || !inOrder(0, n.DayAmount, n.Amount) || !inOrder(0, n.UserDay, n.User, n.Count) ||
			n.Person != 0 && n.Person < n.User || !b.Known && n.User != 0 {
			d.violated(fmt.Sprintf("the counters of template %d that its choice saw", t.Template), "counters that can be", fmt.Sprintf("%+v", n))
		}
	}
	for k := range d.i.Lines {
		l := &d.i.Lines[k]
		n, ok := seen[l.Template]
		sameDay := l.At.Day() == b.Now.Day()
		switch {
		case l.Issued == 0:
		case !ok:
			d.violated(fmt.Sprint("the counters of template ", l.Template), "among what its choice saw", "not there")
		case l.Seen.Count < n.Count || l.Seen.Amount < n.Amount || l.Seen.User < n.User ||
			sameDay && (l.Seen.DayCount < n.DayCount || l.Seen.DayAmount < n.DayAmount || l.Seen.UserDay < n.UserDay):
			d.violated(fmt.Sprintf("the counters of template %d that its choice saw", l.Template), "those of its line, or less", "more")
		}
	}
	for _, p := range b.Participations {
		if p.User != d.i.User || !inOrder(0, p.DaySends, p.DayTotal, p.Total) || p.At > b.Now || !b.Known && p.Total != 0 {
			d.violated(fmt.Sprintf("the participation in activity %d that its choice saw", p.Activity), "one that can be", "another")
		}
	}
}

func inOrder(all ...int64) bool { return slices.IsSorted(all) }
