package storetest

import (
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
)

// rightOf returns the right_id of a world's template.
func rightOf(t benefit.TemplateID) int64 { return 100 + int64(t) }

// rules that a world's activities have.
func (w *World) rule() string {
	return some(w, "", "", "", "t1<2", "t2/day<2 t1<5", "@a1<3 known", "@a3/day<2", "attr:gold", "never", "broken", "t9<1 @a9<1")
}

// activity draws an activity. The first is always open, the second opens later, the third and the fourth are
// treasure boxes.
func (w *World) activity(n benefit.ActivityID) *benefit.Activity {
	a := &benefit.Activity{
		ID: n, Name: fmt.Sprint("a", n), Merchant: OpenMerchant, ActCode: fmt.Sprint("A", n), RelationID: int64(n), Status: benefit.Active,
		Rule: w.rule(), Priority: int64(w.pick(3)), NoGuard: w.pick(4) == 0,
	}
	switch n {
	case 2:
		a.Window.Start = w.Clock + 3*hour
	case 3, 4:
		a.Box = w.box(n == 4)
	}
	for k := range 1 + w.pick(2) {
		a.Items = append(a.Items, benefit.Item{
			DetailID: int64(k + 1), Template: benefit.TemplateID(1 + w.pick(len(w.Templates))), MaxSends: 3, Quantity: some(w, 1, 1, 2),
			Amount: int64(some(w, 3, 3, 0, 50)),
		})
	}
	return a
}

func (w *World) box(sends bool) *benefit.Box {
	return &benefit.Box{Cards: []string{"a", "b", "c"}, DoneAfter: some(w, 1, 2, 3), CountSends: sends}
}

// scenes draws a scene for each strategy, and one of another merchant.
func (w *World) drawScenes() []*benefit.Scene {
	all := []*benefit.Scene{
		{ID: 1, Name: "all", Merchant: OpenMerchant, SceneCode: "ALL", Strategy: benefit.ChooseAll, Status: benefit.Active},
		{ID: 2, Name: "first", Merchant: OpenMerchant, SceneCode: "FIRST", Strategy: benefit.ChooseFirst, Status: benefit.Active},
		{ID: 3, Name: "weighted", Merchant: OpenMerchant, SceneCode: "WEIGHTED", Strategy: benefit.ChooseWeighted, Status: benefit.Active, Narrowing: benefit.NarrowRights},
		{ID: 4, Name: "other", Merchant: RegisteredMerchant, SceneCode: "OTHER", Strategy: benefit.ChooseAll, Status: benefit.Active},
	}
	for _, s := range all {
		for _, a := range w.activities {
			if w.pick(4) > 0 {
				s.Activities = append(s.Activities, benefit.SceneEntry{Activity: a.ID, Weight: int64(w.pick(4))})
			}
		}
	}
	return all
}

// changeActivity changes an activity as an operator may.
func (w *World) changeActivity() *benefit.Changes {
	k := w.pick(len(w.activities))
	a := *w.activities[k]
	switch w.pick(4) {
	case 0:
		a.Status = some(w, benefit.Active, benefit.Active, benefit.Paused, benefit.Ended)
	case 1:
		a.NoGuard = !a.NoGuard
	case 2:
		a.Rule = w.rule()
	case 3:
		if a.Box != nil {
			a.Box = w.box(a.Box.CountSends)
		}
	}
	w.activities = slices.Clone(w.activities)
	w.activities[k] = &a
	w.version++
	return w.entities(&a)
}

// changeScene opens or closes a scene, or changes how it chooses.
func (w *World) changeScene() *benefit.Changes {
	k := w.pick(len(w.scenes))
	s := *w.scenes[k]
	if w.pick(2) == 0 {
		s.Status = some(w, benefit.Active, benefit.Active, benefit.Paused)
	} else {
		s.Strategy = some(w, benefit.ChooseAll, benefit.ChooseFirst, benefit.ChooseWeighted)
		s.Narrowing = some(w, 0, benefit.NarrowRights, benefit.NarrowRights, benefit.NarrowActivities, benefit.NarrowNone)
	}
	w.scenes = slices.Clone(w.scenes)
	w.scenes[k] = &s
	w.version++
	return w.entities(&s)
}

// sceneRequest makes a request one that leaves the lines to a scene.
func (w *World) sceneRequest(r *benefit.Request) {
	r.Scope, r.Lines, r.Guarded, r.OnAlipay, r.Continues = scope.Biz(App, "w"), nil, false, false, w.pick(5) > 0
	r.Params = benefit.Params{
		BizCode: "w", SceneCode: some(w, "ALL", "ALL", "FIRST", "WEIGHTED", "WEIGHTED", "OTHER", "NONE"),
		ActCodes: some(w, nil, nil, nil, nil, []string{"A1"}, []string{"A1", "A3", "A4"}, []string{"A1", "A9"}),
		Rights: some(w, nil, nil, nil, nil, []benefit.ActRight{{RightID: rightOf(1)}}, []benefit.ActRight{{ActCode: "A1"}, {ActCode: "A2", RightID: rightOf(2)}},
			[]benefit.ActRight{{RightID: 999}, {ActCode: "A3"}, {ActCode: "A9"}}),
	}
	r.Fingerprint = benefit.FingerprintOf(nil, r.Params.SceneCode, fmt.Sprint(r.Params.ActCodes), fmt.Sprint(r.Params.Rights))
}

// windowRequest makes a request one whose key is bound for a while only.
func (w *World) windowRequest(r *benefit.Request) {
	n := w.pick(3)
	r.Scope, r.Key, r.Continues = scope.Certificate(App), fmt.Sprint("w", n), false
	r.Recipient = benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20880", n)}
	r.Lines = []benefit.Line{Line(benefit.TemplateID(1 + n%len(w.Templates)))}
	r.Fingerprint, r.BindMillis = benefit.FingerprintOf(r.Lines), int64(some(w, 1, 700, int(hour)))
}
