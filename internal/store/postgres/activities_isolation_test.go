package postgres_test

import (
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/store/storetest"
)

// activity returns one template.
func activity(n benefit.ActivityID, gives benefit.TemplateID, name string, changes ...func(*benefit.Activity)) *benefit.Activity {
	a := &benefit.Activity{
		ID: n, Name: name, ActCode: name, Merchant: storetest.OpenMerchant, Status: benefit.Active,
		Items: []benefit.Item{{Template: gives, MaxSends: 1, Quantity: 1}},
	}
	for _, change := range changes {
		change(a)
	}
	return a
}

// given returns a request for a template that the activity 1 gives, which the one-second guard holds for.
func given(key, user string, n benefit.TemplateID, card string) *benefit.Request {
	line := storetest.Line(n)
	line.Activity = 1
	r := storetest.Request(key, "", line)
	r.Recipient = named(user)
	r.Guarded, r.Params.Card = true, card
	return r
}

// The one-second guard of an activity holds between processes, also where they share no template.
func TestGuardOfAnActivity(t *testing.T) {
	for _, known := range []bool{true, false} {
		all := processes(t, 2, template(1), template(2), template(3), activity(1, 1, "a"))
		if known {
			all[0].begin(asks("before", "1", 3)).rows().mustIssue()
		}
		// Now stays where it is, however long the second takes to come.
		execute(t, all[0].url, "INSERT INTO clock (slot, now, id_millis) VALUES (64, $1, 0)", time.Now().Add(time.Hour).UnixMilli())
		wantReason(t, "the second", race(t, all, given("a", "1", 1, ""), given("b", "1", 2, "")), benefit.Guarded)
	}
}

// A treasure box is done by the second of two cards, whoever takes them.
func TestTreasureBox(t *testing.T) {
	all := processes(t, 2, template(1), template(2), template(3), activity(1, 1, "a", func(a *benefit.Activity) {
		a.NoGuard, a.Box = true, &benefit.Box{Cards: []string{"x", "y"}, DoneAfter: 2}
	}))
	all[0].begin(asks("before", "1", 3)).rows().mustIssue()
	got := race(t, all, given("a", "1", 1, "x"), given("b", "1", 2, "y"))
	wantReason(t, "the second", got, benefit.NotRefused)
	if !got.BoxDone {
		t.Error("both cards are there, and the box is not done")
	}
}

// Of two promotions that exclude each other a user gets one, though neither process writes what the other's rule reads.
func TestRulesThatExcludeEachOther(t *testing.T) {
	for name, rules := range map[string][2]string{"templates": {"t2<1", "t1<1"}, "activities": {"@b<1", "@a<1"}} {
		for _, known := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				rule := func(text string) func(*benefit.Activity) { return func(a *benefit.Activity) { a.Rule = text } }
				all := processes(t, 2, template(1), template(2), template(3),
					activity(1, 1, "a", rule(rules[0])), activity(2, 2, "b", rule(rules[1])), scene(1, "A", 1), scene(2, "B", 2))
				if known {
					all[0].begin(asks("before", "1", 3)).rows().mustIssue()
				}
				got := race(t, all, chosen("a", "1", "A"), chosen("b", "1", "B"))
				if got.err != nil || !got.Empty() {
					t.Errorf("the second: %+v, %v; want no line chosen", got.Lines, got.err)
				}
			})
		}
	}
}

func scene(n benefit.SceneID, code string, of benefit.ActivityID) *benefit.Scene {
	return &benefit.Scene{
		ID: n, Name: code, Merchant: storetest.OpenMerchant, SceneCode: code, Strategy: benefit.ChooseAll, Status: benefit.Active,
		Activities: []benefit.SceneEntry{{Activity: of}},
	}
}

// chosen returns a request that leaves the lines to a scene.
func chosen(key, user, scene string) *benefit.Request {
	return &benefit.Request{
		Scope: scope.Biz(storetest.App, "b"), Key: key, App: storetest.App, Continues: true,
		Recipient:   named(user),
		Fingerprint: benefit.FingerprintOf(nil, scene), Params: benefit.Params{BizCode: "b", SceneCode: scene},
	}
}
