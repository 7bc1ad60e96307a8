package benefit_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// An explanation tells each candidate: whether it was open, what its rule looked at and came to, and how its rights
// stood. TestRandomHistories compares explanations with decisions.
func TestExplainScene(t *testing.T) {
	d := newSceneDesk(t, ChooseFirst)
	d.activities[0].Rule = "t3<1 attr:gold"
	d.activities[1].Rule, d.activities[1].Priority = "broken", 9
	d.activities[2].Rule, d.activities[2].Priority = "@a3/day<5", 3
	d.templates[1].Stock.Count = 0
	d.renew()
	d.ask(request("before", "a", 3, lines(Line{Template: 3, Activity: 3, Sends: 1, Quantity: 2})))
	d.clock += 5000
	o := d.ask(inScene("k", "a", narrow([]string{"A1", "A2", "A3", "A9"})))
	e := Explain(d.committer.Catalogue, o.Issuance, storetest.Rules{})

	trace := map[string][3]bool{}
	for _, c := range e.Candidates {
		trace[c.Activity] = [3]bool{c.Open, c.Holds, c.Chosen}
	}
	want := map[string][3]bool{"a1": {true, false, false}, "a2": {true, false, false}, "a3": {true, true, true}}
	if diff := cmp.Diff(want, trace); diff != "" {
		t.Errorf("open, holds, chosen (-want +got):\n%s", diff)
	}
	if e.Scene != "scene" || e.Strategy != ChooseFirst || e.Now != d.clock || e.Catalogue != d.committer.Catalogue.Version {
		t.Errorf("%+v", e)
	}
	if diff := cmp.Diff(o.Errors, e.Errors); diff != "" || len(e.Errors) != 1 {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if got := e.Candidates[0].Inputs.OfTemplate["t3"]; got != (Past{Total: 2, Today: 2}) {
		t.Errorf("the first rule saw %+v", got)
	}
	if got := e.Candidates[2].Inputs.InActivity["a3"]; got != (Past{Total: 2, Today: 2}) {
		t.Errorf("the third rule saw %+v", got)
	}
	if got := string(e.Candidates[0].Inputs.User); got != `{"level":"gold"}` {
		t.Errorf("the first rule saw the user %s", got)
	}
	if e.Candidates[1].RuleError == "" || len(e.Candidates[1].Lines) != 0 || len(e.Candidates[2].Lines) != 1 {
		t.Errorf("the second candidate: %+v", e.Candidates[1])
	}
	if l := e.Lines; len(l) != 1 || l[0].Template != "t3" || l[0].Issued != 1 || l[0].Seen.Count != 2 || l[0].Seen.User != 2 {
		t.Errorf("the lines: %+v", l)
	}
	text, err := json.Marshal(e)
	if err != nil || !strings.Contains(string(text), `"rule_error"`) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

// What has changed since is not looked at: the explanation is of then.
func TestExplainIsOfThen(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.templates[0].Limits.PerPerson, d.templates[0].Limits.PerUserPerDay = 1, 1
	d.renew()
	then := d.committer.Catalogue
	o := d.ask(inScene("k", "a"))
	want := Explain(then, o.Issuance, storetest.Rules{})
	d.ask(inScene("l", "b"))
	d.users(&User{ID: 11, Frozen: true, Identifiers: []Identifier{{Type: TaobaoID, Value: "a"}}})
	d.clock += 48 * hour
	if diff := cmp.Diff(want, Explain(then, o.Issuance, storetest.Rules{})); diff != "" {
		t.Errorf("(-then +now):\n%s", diff)
	}
	for _, c := range want.Candidates {
		if !c.Chosen || c.Lines[0].Reason != "NOT_REFUSED" {
			t.Errorf("%+v", c)
		}
	}
}

// Under a newer catalogue, in which the scene has more activities and rules ask for more, what was looked at then is
// told, and what was not is left out.
func TestExplainUnderNewerCatalogue(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.scene.Activities = d.scene.Activities[:1]
	d.renew()
	o := d.ask(inScene("k", "a"))
	d.scene.Activities = append(d.scene.Activities, SceneEntry{Activity: 2})
	for _, c := range []struct {
		template   TemplateID // of the second activity
		rule       string
		told, fits bool // its lines were looked at; its rule can be evaluated
	}{{2, "", false, true}, {1, "t3<1", false, false}, {1, "@a3<1", false, false}, {1, "t1<5", true, true}, {1, "", true, true}} {
		d.activities[1].Items[0].Template, d.activities[1].Rule = c.template, c.rule
		d.renew()
		all := Explain(d.committer.Catalogue, o.Issuance, storetest.Rules{}).Candidates
		if len(all) != 2 || !all[0].Chosen || len(all[0].Lines) != 1 {
			t.Fatalf("%+v: %+v", c, all)
		}
		if x := all[1]; x.Chosen != c.told || (len(x.Lines) == 1) != c.told || (x.RuleError == "") != c.fits {
			t.Errorf("%+v: %+v", c, x)
		}
	}
}

// What was refused is explained from the attempt.
func TestExplainRefusal(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	for _, x := range d.templates {
		x.Limits.PerPerson = 1
	}
	d.renew()
	d.ask(inScene("k", "b"))
	o := d.ask(inScene("l", "a"))
	e := Explain(d.committer.Catalogue, o.Attempt, storetest.Rules{})
	for _, c := range e.Candidates {
		if l := c.Lines[0]; l.Reason != "PERSON_LIMIT" || l.Seen.Person != 1 || l.Seen.User != 0 || l.Limits.PerPerson != 1 {
			t.Errorf("%s: %+v", c.Activity, l)
		}
	}
	if len(e.Candidates) != 3 || len(e.Lines) != 0 {
		t.Errorf("%d candidates, %d lines", len(e.Candidates), len(e.Lines))
	}
	for name, user := range map[string]string{"frozen": "frozen", "unknown": "x"} {
		grantedByOther(d.templates[0])
		d.renew()
		o := d.ask(inScene(name, user))
		if e := Explain(d.committer.Catalogue, o.Attempt, storetest.Rules{}); len(e.Errors) != 1 || len(e.Candidates) != 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	line := d.ask(request("line", "a", 1, lines(Line{Template: 1, Sends: 1, Quantity: 3})))
	if e := Explain(d.committer.Catalogue, line.Attempt, nil); len(e.Lines) != 1 || e.Lines[0].Reason != "PERSON_LIMIT" || e.Lines[0].Vouchers != 3 {
		t.Errorf("a request with lines: %+v", e)
	}
}
