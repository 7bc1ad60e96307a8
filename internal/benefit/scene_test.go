package benefit_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// sceneDesk has the activities a1 to a3, each giving the template of its number, in the scene S, and the users a and b,
// of one person.
type sceneDesk struct {
	*desk
	templates  []*Template
	activities []*Activity
	scene      *Scene
}

func newSceneDesk(t *testing.T, strategy Strategy) *sceneDesk {
	d := &sceneDesk{desk: newDesk(t), scene: &Scene{ID: 1, Name: "scene", Merchant: 1, SceneCode: "S", Strategy: strategy, Status: Active}}
	for n := range 3 {
		d.templates = append(d.templates, template(TemplateID(n+1), func(t *Template) {
			t.Name, t.RightID = fmt.Sprint("t", n+1), int64(101+n)
		}))
		d.activities = append(d.activities, activity(ActivityID(n+1), func(a *Activity) { a.Items[0].Template = TemplateID(n + 1) }))
		d.scene.Activities = append(d.scene.Activities, SceneEntry{Activity: ActivityID(n + 1), Weight: 1})
	}
	d.users(
		&User{ID: 11, Person: "p", Attributes: []byte(`{"level":"gold"}`), Identifiers: []Identifier{{Type: TaobaoID, Value: "a"}}},
		&User{ID: 12, Person: "p", Identifiers: []Identifier{{Type: TaobaoID, Value: "b"}}},
		&User{ID: 13, Frozen: true, Identifiers: []Identifier{{Type: TaobaoID, Value: "frozen"}}},
	)
	d.renew()
	return d
}

// renew puts the changed catalogue in force; what was changed is a copy, as an operator's change would be.
func (d *sceneDesk) renew() {
	for k, t := range d.templates {
		next := *t
		d.templates[k] = &next
	}
	for k, a := range d.activities {
		next := *a
		next.Items = slices.Clone(a.Items)
		d.activities[k] = &next
	}
	next := *d.scene
	d.scene = &next
	d.setUp(slices.Clone(d.templates), slices.Clone(d.activities), d.scene)
}

// inScene asks for what the scene S gives.
func inScene(key, user string, changes ...func(*Request)) *Request {
	r := &Request{
		Scope: "b/1/biz", Key: key, App: 1, Recipient: Identifier{Type: TaobaoID, Value: user}, Continues: true,
		Params: Params{BizCode: "biz", SceneCode: "S"},
	}
	for _, change := range changes {
		change(r)
	}
	r.Fingerprint = FingerprintOf(nil, r.Params.SceneCode, fmt.Sprint(r.Params.ActCodes, r.Params.Rights))
	return r
}

func narrow(acts []string, rights ...ActRight) func(*Request) {
	return func(r *Request) { r.Params.ActCodes, r.Params.Rights = acts, rights }
}

// chosenFrom lists the activities of the lines that were tried.
func chosenFrom(o Outcome) (all []ActivityID) {
	decided := o.Issuance
	if o.Attempt != nil {
		decided = o.Attempt
	}
	for _, l := range decided.Lines {
		all = append(all, l.Activity)
	}
	return all
}

func (d *sceneDesk) wantChosen(o Outcome, want ...ActivityID) {
	d.t.Helper()
	if diff := cmp.Diff(want, chosenFrom(o)); diff != "" {
		d.t.Errorf("chosen (-want +got):\n%s", diff)
	}
	if o.Empty() != (len(want) == 0) {
		d.t.Errorf("empty: %v", o.Empty())
	}
}

func TestStrategyAll(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.wantChosen(d.ask(inScene("1", "a")), 1, 2, 3)
	d.activities[1].Status = Paused
	d.renew()
	d.wantChosen(d.ask(inScene("2", "a")), 1, 3)
}

func TestStrategyFirst(t *testing.T) {
	d := newSceneDesk(t, ChooseFirst)
	d.wantChosen(d.ask(inScene("1", "a")), 1)
	d.activities[1].Priority, d.activities[2].Priority = 7, 7
	d.renew()
	d.wantChosen(d.ask(inScene("2", "a")), 2)
	d.scene.Activities = []SceneEntry{{Activity: 3}, {Activity: 2}, {Activity: 1}}
	d.renew()
	d.wantChosen(d.ask(inScene("3", "a")), 3)
	d.templates[2].Stock.Count = 1
	d.renew()
	d.wantChosen(d.ask(inScene("4", "a")), 2)
	d.activities[0].Priority = -1
	d.activities[1].Status, d.activities[2].Status = Paused, Paused
	d.renew()
	d.wantChosen(d.ask(inScene("5", "a")), 1)
}

// The draw is pinned: changing it would change what retries under way come to.
func TestStrategyWeightedIsPinned(t *testing.T) {
	d := newSceneDesk(t, ChooseWeighted)
	for k, weight := range []int64{1, 2, 7} {
		d.scene.Activities[k].Weight = weight
	}
	d.renew()
	got := ""
	for n := range 40 {
		got += fmt.Sprint(chosenFrom(d.ask(inScene(fmt.Sprint("key-", n), "a")))[0])
	}
	if want := goldenDraws; got != want {
		t.Errorf("drawn %s, want %s", got, want)
	}
}

// goldenDraws are what the HMAC of "b/1/biz" and "key-N" draws by the weights 1, 2 and 7, N from 0 on. They were made
// with other code:
//
//	python3 -c 'import hmac;print("".join(str((lambda a:1 if a<1 else 2 if a<3 else 3)(int.from_bytes(hmac.new(
//	b"tests draw by this",b"\x07b/1/bizkey-%d"%n,"sha256").digest()[:8],"big")*10>>64)) for n in range(40)))'
const goldenDraws = "3312233323313133323233323323323332333333"

// What is drawn depends on the secret: who does not have it cannot choose a key that draws what he wants.
func TestStrategyWeightedIsSecret(t *testing.T) {
	draws := func(secret string) (all []ActivityID) {
		d := newSceneDesk(t, ChooseWeighted)
		d.committer.Env.Secret = []byte(secret)
		for n := range 40 {
			all = append(all, chosenFrom(d.ask(inScene(fmt.Sprint("key-", n), "a")))...)
		}
		return all
	}
	one, other := draws("one"), draws("other")
	if len(one) != 40 || slices.Equal(one, other) {
		t.Errorf("two secrets draw %v and %v", one, other)
	}
	if again := draws("one"); !slices.Equal(one, again) {
		t.Errorf("one secret draws %v, and then %v", one, again)
	}
}

// What was drawn is explained from the record, whatever secret or rule drew it.
func TestExplainedDraw(t *testing.T) {
	d := newSceneDesk(t, ChooseWeighted)
	for n := range 20 {
		o := d.ask(inScene(fmt.Sprint("key-", n), "a"))
		// As if another rule had drawn: the next activity, which was as eligible.
		i := *o.Issuance
		i.Lines = slices.Clone(i.Lines)
		i.Lines[0].Activity = 1 + i.Lines[0].Activity%3
		for _, of := range []*Issuance{o.Issuance, &i} {
			for _, c := range Explain(d.committer.Catalogue, of, storetest.Rules{}).Candidates {
				if want := c.Activity == d.committer.Catalogue.Activities[of.Lines[0].Activity].Name; c.Chosen != want {
					t.Errorf("key %d: activity %s is explained as chosen: %v, want %v", n, c.Activity, c.Chosen, want)
				}
			}
		}
	}
}

// Over many keys each is drawn as often as its weight says, and one without weight never.
func TestStrategyWeightedIsFair(t *testing.T) {
	const keys = 100_000
	cat := NewCatalogue(1, []*Merchant{{ID: 1, Open: true}}, []*App{{ID: 1, Merchant: 1}},
		[]*Template{template(1)}, []*Activity{activity(1), activity(2), activity(3), activity(4)},
		[]*Scene{{ID: 1, Merchant: 1, SceneCode: "S", Strategy: ChooseWeighted, Status: Active, Activities: []SceneEntry{
			{Activity: 1, Weight: 1}, {Activity: 2}, {Activity: 3, Weight: 2}, {Activity: 4, Weight: 7},
		}}})
	drawn := map[ActivityID]int{}
	st, env := NewState(), testEnv(1)
	user := &User{ID: 11}
	for n := range keys {
		r := inScene(fmt.Sprint(n), "a")
		st.Reset(now)
		(&Batch{State: st, Catalogue: cat, Env: env}).Names([]Command{&Issue{Request: r}})
		st.SetClaim(r.ClaimID(), nil)
		st.SetRecipient(r.Recipient, user, nil)
		TemplateCounts.Load(st.Rows(), 1, TemplateCount{Template: 1})
		TemplateDays.Load(st.Rows(), 1, TemplateDay{Template: 1, Day: now.Day()})
		Quotas.Load(st.Rows(), 1, Quota{QuotaKey: QuotaKey{User: 11, Template: 1}})
		for a := range ActivityID(5) {
			Participations.Load(st.Rows(), 1, Participation{ParticipationKey: ParticipationKey{User: 11, Activity: a}})
		}
		o, _ := Apply(cat, Choose(cat, st, r, env), st)
		drawn[chosenFrom(o)[0]]++
	}
	for a, want := range map[ActivityID]int{1: 10_000, 2: 0, 3: 20_000, 4: 70_000} {
		// Five standard deviations at most: √(100,000 · p · (1-p)) is below 146.
		if got := drawn[a]; got < want-730 || got > want+730 || want == 0 && got != 0 {
			t.Errorf("activity %d was drawn %d times, want about %d", a, got, want)
		}
	}
}

// Refused at first, drawn again at the retry: the same, because the draw depends on the key alone.
func TestStrategyWeightedRepeats(t *testing.T) {
	d := newSceneDesk(t, ChooseWeighted)
	for n := range 20 {
		r := func() *Request { return inScene(fmt.Sprint("r", n), "a") }
		first := chosenFrom(d.ask(r()))
		fresh := newSceneDesk(t, ChooseWeighted)
		if again := chosenFrom(fresh.ask(r())); !slices.Equal(first, again) {
			t.Errorf("key %d: %v, then %v", n, first, again)
		}
	}
}

// A request names the activities and rights that it wants; both narrowings hold, and what the scene does not have is
// an error beside what it has.
func TestNarrowing(t *testing.T) {
	noAct := func(code string) DecisionError {
		return DecisionError{Kind: ActivityError, ActCode: code, Reason: ActivityNotFound}
	}
	noRight := func(code string, right int64) DecisionError {
		return DecisionError{Kind: RightError, ActCode: code, RightID: right, Reason: RightNotFound}
	}
	for name, c := range map[string]struct {
		acts   []string
		rights []ActRight
		want   []ActivityID
		errors []DecisionError
	}{
		"nothing":                     {nil, nil, []ActivityID{1, 2, 3}, nil},
		"an activity":                 {[]string{"A2"}, nil, []ActivityID{2}, nil},
		"two":                         {[]string{"A1", "A3"}, nil, []ActivityID{1, 3}, nil},
		"a right":                     {nil, []ActRight{{RightID: 102}}, []ActivityID{2}, nil},
		"a pair":                      {nil, []ActRight{{ActCode: "A3", RightID: 103}}, []ActivityID{3}, nil},
		"a pair's activity alone":     {nil, []ActRight{{ActCode: "A3"}}, []ActivityID{3}, nil},
		"pairs are joined":            {nil, []ActRight{{ActCode: "A3"}, {RightID: 101}}, []ActivityID{1, 3}, nil},
		"both hold":                   {[]string{"A1", "A2"}, []ActRight{{RightID: 102}, {ActCode: "A3"}}, []ActivityID{2}, nil},
		"both hold, and leave none":   {[]string{"A1"}, []ActRight{{RightID: 102}}, nil, nil},
		"no such activity":            {[]string{"A1", "A9"}, nil, []ActivityID{1}, []DecisionError{noAct("A9")}},
		"no such right":               {nil, []ActRight{{RightID: 101}, {RightID: 999}}, []ActivityID{1}, []DecisionError{noRight("", 999)}},
		"a right of another activity": {nil, []ActRight{{ActCode: "A1", RightID: 102}}, nil, []DecisionError{noRight("A1", 102)}},
		"a pair's activity is none":   {nil, []ActRight{{ActCode: "A9"}}, nil, []DecisionError{noAct("A9")}},
		"all wrong": {[]string{"A8", "A9"}, []ActRight{{ActCode: "A7"}, {RightID: 5}}, nil,
			[]DecisionError{noAct("A8"), noAct("A9"), noAct("A7"), noRight("", 5)}},
	} {
		d := newSceneDesk(t, ChooseAll)
		o := d.ask(inScene("k", "a", narrow(c.acts, c.rights...)))
		if diff := cmp.Diff(c.want, chosenFrom(o)) + storetest.Diff(c.errors, o.Errors); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		reason := NotRefused
		if len(c.want) == 0 && len(c.errors) > 0 {
			reason = c.errors[0].Reason
		}
		if o.Reason != reason || o.Empty() != (len(c.want) == 0 && len(c.errors) == 0) {
			t.Errorf("%s: the reason is %s, empty: %v", name, o.Reason, o.Empty())
		}
		again := d.ask(inScene("k", "a", narrow(c.acts, c.rights...)))
		if diff := storetest.Diff(c.errors, again.Errors); diff != "" {
			t.Errorf("%s: a replay tells other errors (-want +got):\n%s", name, diff)
		}
	}
}

// A scene says what a request may narrow. One that narrows more gets an error for each name and nothing else; a key
// that is bound stays bound.
func TestNarrowingAllowed(t *testing.T) {
	act := func(code string) DecisionError {
		return DecisionError{Kind: ActivityError, ActCode: code, Reason: NarrowingNotAllowed}
	}
	right := func(code string, right int64) DecisionError {
		return DecisionError{Kind: RightError, ActCode: code, RightID: right, Reason: NarrowingNotAllowed}
	}
	acts, rights := []string{"A1", "A9"}, []ActRight{{ActCode: "A1"}, {ActCode: "A1", RightID: 101}, {RightID: 999}}
	none := []DecisionError{act("A1"), act("A9"), act("A1"), right("A1", 101), right("", 999)}
	activities := none[3:]
	for name, c := range map[string]struct {
		strategy  Strategy
		narrowing Narrowing
		want      []DecisionError
	}{
		"all by default":      {ChooseAll, 0, nil},
		"first by default":    {ChooseFirst, 0, nil},
		"weighted by default": {ChooseWeighted, 0, none},
		"none":                {ChooseAll, NarrowNone, none},
		"activities":          {ChooseAll, NarrowActivities, activities},
		"rights":              {ChooseAll, NarrowRights, nil},
		"weighted activities": {ChooseWeighted, NarrowActivities, activities},
		"weighted rights":     {ChooseWeighted, NarrowRights, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newSceneDesk(t, c.strategy)
			d.scene.Narrowing = c.narrowing
			d.renew()
			d.wantChosen(d.ask(inScene("plain", "a")), chosenFrom(d.ask(inScene("plain", "a")))...)
			o := d.ask(inScene("k", "a", narrow(acts, rights...)))
			if c.want == nil {
				if o.Issuance == nil || slices.ContainsFunc(o.Errors, func(e DecisionError) bool { return e.Reason == NarrowingNotAllowed }) {
					t.Errorf("refused for %v", o.Errors)
				}
				d.scene.Narrowing = NarrowNone
				d.renew()
				if again := d.ask(inScene("k", "a", narrow(acts, rights...))); again.Issuance == nil || again.Issuance.ID != o.Issuance.ID {
					t.Errorf("the bound key came to %v", again.Reason)
				}
				return
			}
			if diff := cmp.Diff(c.want, o.Errors); diff != "" || o.Issuance != nil || len(o.Lines) > 0 || o.Reason != NarrowingNotAllowed {
				t.Errorf("%v, %d lines (-want +got):\n%s", o.Reason, len(o.Lines), diff)
			}
			d.ask(inScene("k", "a")) // the key is free
			d.wants(KeyConflict, inScene("k", "a", narrow(acts, rights...)))
		})
	}
}

func TestDecisionErrors(t *testing.T) {
	for name, c := range map[string]struct {
		user   string
		change func(*sceneDesk)
		ask    func(*Request)
		want   Reason
	}{
		"no such scene":      {"a", nil, func(r *Request) { r.Params.SceneCode = "T" }, SceneNotFound},
		"another merchant's": {"a", func(d *sceneDesk) { d.scene.Merchant = 2 }, nil, SceneNotFound},
		"no such app":        {"a", nil, func(r *Request) { r.App = 9 }, SceneNotFound},
		"draft":              {"a", func(d *sceneDesk) { d.scene.Status = Draft }, nil, SceneNotOpen},
		"paused":             {"frozen", func(d *sceneDesk) { d.scene.Status = Paused }, nil, SceneNotOpen},
		"frozen":             {"frozen", nil, nil, UserFrozen},
		"unknown":            {"x", func(d *sceneDesk) { grantedByOther(d.templates[1]) }, nil, UserNotFound},
		"an unknown alias":   {"x", nil, func(r *Request) { r.Recipient.Type = Login }, UserNotFound},
		"nobody's id":        {"x", nil, func(r *Request) { r.Recipient = RefTo(99) }, UserNotFound},
	} {
		d := newSceneDesk(t, ChooseAll)
		if c.change != nil {
			c.change(d)
			d.renew()
		}
		var changes []func(*Request)
		if c.ask != nil {
			changes = append(changes, c.ask)
		}
		o := d.wants(c.want, inScene(name, c.user, changes...))
		want := []DecisionError{{Kind: SceneError, Reason: c.want}}
		if diff := cmp.Diff(want, o.Errors); diff != "" || len(o.Lines) != 0 || o.Issuance != nil {
			t.Errorf("%s: %+v (-want +got):\n%s", name, o.Lines, diff)
		}
	}
	if n := len(newSceneDesk(t, ChooseAll).contents().Issuances); n != 0 {
		t.Errorf("%d issuances", n)
	}
}

// The open policy makes a user in the commit that issues, and in no other.
func TestSceneMakesUser(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.activities[0].Rule, d.activities[1].Rule = "known", "t2<1 @a9<1 @a1<1 t1<1"
	d.scene.Activities = d.scene.Activities[:2]
	d.renew()
	d.wantChosen(d.ask(inScene("1", "x")), 2)
	d.wantChosen(d.ask(inScene("2", "x")), 1)
	d.activities[0].Rule = "never"
	d.renew()
	d.wantChosen(d.ask(inScene("3", "y", narrow([]string{"A1"}))))
	if n := len(d.contents().Users); n != 4 {
		t.Errorf("%d users, want the three and x", n)
	}
}

// A rule may ask of templates that the scene does not give, also for somebody who is not known.
func TestRuleOfAnotherTemplate(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.scene.Activities = d.scene.Activities[:1]
	d.activities[0].Rule = "t3<1 @a3<1"
	d.renew()
	d.wantChosen(d.ask(inScene("1", "x")), 1)
	d.ask(request("other", "x", 3, lines(Line{Template: 3, Activity: 3, Sends: 1, Quantity: 1})))
	d.wantChosen(d.ask(inScene("2", "x")))
	o := d.batch(inScene("3", "y"), inScene("4", "y"))
	d.wantChosen(o[0], 1)
	d.wantChosen(o[1], 1)
}

// Which activities are eligible: those that are open, whose rule holds, and all of whose rights have room.
func TestEligible(t *testing.T) {
	for name, change := range map[string]func(*sceneDesk){
		"a draft":           func(d *sceneDesk) { d.activities[0].Status = Draft },
		"not begun":         func(d *sceneDesk) { d.activities[0].Window.Start = now + 1 },
		"over":              func(d *sceneDesk) { d.activities[0].Window.End = now - 1000 },
		"the rule":          func(d *sceneDesk) { d.activities[0].Rule = "never" },
		"an attribute":      func(d *sceneDesk) { d.activities[0].Rule = "attr:silver" },
		"the rule's error":  func(d *sceneDesk) { d.activities[0].Rule = "known broken" },
		"past issues":       func(d *sceneDesk) { d.activities[0].Rule = "t3<1" },
		"today's issues":    func(d *sceneDesk) { d.activities[0].Rule = "t3/day<1" },
		"in an activity":    func(d *sceneDesk) { d.activities[0].Rule = "@a3<1" },
		"stock":             func(d *sceneDesk) { d.templates[0].Stock.Count = 0 },
		"budget":            func(d *sceneDesk) { d.templates[0].Stock.Amount = 499 },
		"a paused template": func(d *sceneDesk) { d.templates[0].Status = Paused },
		"no such template":  func(d *sceneDesk) { d.activities[0].Items[0].Template = 77 },
		"no amount":         func(d *sceneDesk) { cash(FromRequest, 1, 9)(d.templates[0]) },
		"one right of two": func(d *sceneDesk) {
			d.activities[0].Items = append(d.activities[0].Items, Item{Template: 3, Quantity: 1})
			d.templates[2].Limits.PerUser = 1
		},
		"the user's limit": func(d *sceneDesk) {
			d.activities[0].Items[0].Template, d.templates[2].Limits.PerUserPerDay = 3, 1
		},
		"the person's limit": func(d *sceneDesk) {
			d.activities[0].Items[0].Template, d.templates[2].Limits.PerPerson = 3, 2
		},
	} {
		d := newSceneDesk(t, ChooseAll)
		d.scene.Activities = d.scene.Activities[:2]
		d.activities[0].Rule = "attr:gold known t3<2"
		d.renew()
		took := Line{Template: 3, Activity: 3, Sends: 1, Quantity: 1}
		d.ask(request("before a", "a", 3, lines(took)))
		d.ask(request("before b", "b", 3, lines(took)))
		d.wantChosen(d.ask(inScene("all is well", "a")), 1, 2)
		change(d)
		d.renew()
		if o := d.ask(inScene("now", "a")); !slices.Equal(chosenFrom(o), []ActivityID{2}) {
			t.Errorf("%s: chosen are %v", name, chosenFrom(o))
		}
	}
}

// Each right is looked at by itself. Two that share what is left are both chosen, and the second is refused then.
func TestEligibleIsNotCumulative(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.activities[1].Items[0].Template, d.templates[0].Stock.Count = 1, 1
	d.renew()
	o := d.ask(inScene("k", "a"))
	d.wantChosen(o, 1, 2, 3)
	wantReasons(t, "shared", o, NotRefused, StockEmpty, NotRefused)
}

// The lines are frozen under the key: a retry continues them, whatever the catalogue and the rules choose now.
func TestFrozenLines(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.activities[1].Items[0].Template, d.templates[0].Stock.Count = 1, 1
	d.renew()
	first := d.ask(inScene("k", "a"))
	wantReasons(t, "at first", first, NotRefused, StockEmpty, NotRefused)

	d.activities[0].Rule, d.activities[1].Rule = "never", "never"
	d.scene.Activities, d.scene.Strategy = d.scene.Activities[2:], ChooseFirst
	d.renew()
	d.wantChosen(d.ask(inScene("k", "a")), 1, 2, 3)
	d.templates[0].Stock.Count = 2
	d.renew()
	more := d.ask(inScene("k", "a"))
	wantReasons(t, "after a rise of the stock", more, NotRefused, NotRefused, NotRefused)
	if more.Issuance.ID != first.Issuance.ID || more.Issuance.Lines[1].First != first.Issuance.Lines[1].First {
		t.Error("the ids were not frozen")
	}
	if diff := cmp.Diff(first.Issuance.Basis, more.Issuance.Basis); diff != "" {
		t.Errorf("what the choice looked at has changed:\n%s", diff)
	}
	d.scene.Status = Ended
	d.renew()
	if o := d.ask(inScene("k", "a")); !o.Replayed || len(o.Lines) != 3 || len(o.Errors) != 0 {
		t.Errorf("a replay of a scene that has ended: %+v", o)
	}
	d.wants(KeyConflict, inScene("k", "a", narrow([]string{"A1"})))
	d.wants(KeyConflict, inScene("k", "b"))
}

// Nothing is frozen by a decision that issued nothing.
func TestNothingIsFrozenWithoutAnIssue(t *testing.T) {
	d := newSceneDesk(t, ChooseFirst)
	d.templates[0].Status = Paused
	d.scene.Activities = d.scene.Activities[:1]
	d.renew()
	d.wantChosen(d.ask(inScene("k", "a")))
	d.templates[0].Status = Active
	d.renew()
	if o := d.ask(inScene("k", "a")); o.Replayed || o.Reason != NotRefused {
		t.Errorf("%+v", o)
	}
}

// A decision issues no more vouchers than one request may ask for: what no longer fits is left out, smaller ones go on.
func TestDecisionIsBounded(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	for k, quantity := range []int{MaxRequestVouchers - 1, 2, 1} {
		d.activities[k].Items[0].Quantity = quantity
	}
	d.renew()
	d.wantChosen(d.ask(inScene("k", "a")), 1, 3)
	d.activities[0].Items[0].Quantity = MaxRequestVouchers + 1
	d.renew()
	d.wantChosen(d.ask(inScene("l", "a")), 2, 3)
}

// What an item of a template that takes an amount gives comes from the item.
func TestAmountOfAnItem(t *testing.T) {
	d := newSceneDesk(t, ChooseFirst)
	cash(FromRequest, 100, 900)(d.templates[0])
	d.activities[0].Items[0].Amount, d.activities[0].Items[0].Quantity = 250, 2
	d.renew()
	o := d.ask(inScene("k", "a"))
	if l := o.Issuance.Lines[0]; len(l.Amounts) != 2 || l.Amounts[0] != 250 || l.Amounts[1] != 250 {
		t.Errorf("it gives %v", l.Amounts)
	}
}

// The verdict of a rule that asks for the past is of its moment: the same request may stand twice in a batch.
func TestSceneRuleTwiceInBatch(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.scene.Activities = d.scene.Activities[:1]
	d.activities[0].Rule = "t3<1"
	d.templates[0].Stock.Count = 0
	d.renew()
	again := inScene("k", "a")
	all, err := d.committer.Issue(t.Context(), d.clock, again, request("other", "a", 3, lines(Line{Template: 3, Sends: 1, Quantity: 1})), again)
	if err != nil {
		t.Fatal(err)
	}
	for k, holds := range map[int]bool{0: true, 2: false} {
		c := Explain(d.committer.Catalogue, all[k].Attempt, storetest.Rules{}).Candidates
		if len(c) != 1 || c[0].Holds != holds || c[0].RuleError != "" {
			t.Errorf("the %d. request: %+v", k+1, c)
		}
	}
}
