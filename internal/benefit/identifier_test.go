package benefit_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

func TestIdentifierRules(t *testing.T) {
	for _, c := range []struct {
		kind, value string
		want        IdentifierRule
	}{
		{TaobaoID, "12312312", ""},
		{Login, "13196215350", ""},
		{Nick, "小二 2号", ""},
		{"MEMBER", "m-77", ""},
		{OpenID, "Null", ""}, // a user may have this name
		{OpenID, "two\nlines", RuleControl},
		{OpenID, "x\uFFFF", RuleControl},
		{Nick, "x\x00", RuleControl},
		{Nick, "x\u0085y", RuleControl},
		{Login, " a@b", RuleSpace},
		{"MEMBER", "m-77 ", RuleSpace},
		{Nick, "小二\u3000", RuleSpace},
		{TaobaoID, "undefined", RulePlaceholder},
		{"MEMBER", "null", RulePlaceholder},
		{OpenID, "[object Object]", RulePlaceholder},
		{AlipayID, "666450000", ""},
		{AlipayID, "2088302001456115", ""},
		{AlipayID, "x y", RuleDigits},
		{AlipayID, "20883020014561150", RuleDigits},
		{AlipayID, "2088e2", RuleDigits},
		{AlipayID, "٢٠٨٨", RuleDigits},
		{AlipayID, "", RuleDigits},
		{AlipayID, "null", RulePlaceholder},
	} {
		if got := (Identifier{Type: c.kind, Value: c.value}).Breaks(); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.kind, c.value, got, c.want)
		}
	}
}

func TestIdentifierTypes(t *testing.T) {
	for kind, want := range map[string]bool{
		"ALIPAY": true, "m-77": true, strings.Repeat("x", MaxIdentifierType): true, strings.Repeat("x", MaxIdentifierType+1): false,
		"": false, "@USER": false, "A:B": false, "A/B": false, "A B": false, "会员": false, "A\x7f": false,
	} {
		if ValidIdentifierType(kind) != want {
			t.Errorf("%q can be a type: %v", kind, !want)
		}
	}
}

// On the Alipay gateway a user_id has the platform's form, unless the template's owner relaxes it. On TOP any digits do.
func TestUserIDOnAlipay(t *testing.T) {
	for _, c := range []struct {
		value           string
		strict, relaxed Reason
		anywhereElse    Reason
	}{
		{"2088302001456115", NotRefused, NotRefused, NotRefused},
		{"2088", IdentifierInvalid, NotRefused, NotRefused},
		{"666450000", IdentifierInvalid, NotRefused, NotRefused},
		{"1088302001456115", IdentifierInvalid, NotRefused, NotRefused},
		{"x y", IdentifierInvalid, IdentifierInvalid, IdentifierInvalid},
	} {
		for _, way := range []struct {
			onAlipay, relaxed bool
			want              Reason
		}{{true, false, c.strict}, {true, true, c.relaxed}, {false, false, c.anywhereElse}} {
			x := newTrial()
			x.rename(AlipayID, c.value)
			x.request.OnAlipay, x.merchant.AnyUserID = way.onAlipay, way.relaxed
			x.wantReason(t, way.want)
		}
	}
	x := newTrial()
	x.rename(TaobaoID, "12312312")
	x.request.OnAlipay = true
	x.wantReason(t, NotRefused)
}

// A key that was bound before identifiers had rules is answered from its record, and a fresh key is not bound by such
// an identifier, whether or not it names a user.
func TestInvalidRecipientOfABoundKey(t *testing.T) {
	for name, wrong := range map[string]func(*trial){
		"identifier": wrongs[IdentifierInvalid], "type": wrongs[UserTypeNotAllowed],
		"user_id": func(x *trial) { x.request.OnAlipay = true },
	} {
		x := newTrial()
		wrong(x)
		x.bound = &Issuance{
			ID: 5, Scope: x.request.Scope, Key: x.request.Key, Fingerprint: x.request.Fingerprint, Recipient: x.request.Recipient, User: 11,
			Lines: []IssuedLine{{Line: x.request.Lines[0], Issued: 1}},
		}
		if o, _ := x.decide(); o.Reason != NotRefused || !o.Replayed || o.Issuance != x.bound {
			t.Errorf("%s: a bound key came to %s", name, o.Reason)
		}
		x.bound = nil
		if o, st := x.decide(); o.Reason != IdentifierInvalid && o.Reason != UserTypeNotAllowed || !st.Changes().Empty() {
			t.Errorf("%s: a fresh key came to %s", name, o.Reason)
		}
	}
}

// Frozen lines of a bound key are continued for the identifier that bound it.
func TestInvalidRecipientContinues(t *testing.T) {
	x := newTrial()
	wrongs[IdentifierInvalid](x)
	x.request.Continues = true
	x.bound = &Issuance{
		ID: 5, Scope: x.request.Scope, Key: x.request.Key, Fingerprint: x.request.Fingerprint, Recipient: x.request.Recipient, User: 11,
		Continues: true, Lines: []IssuedLine{{Line: x.request.Lines[0], Reason: StockEmpty, First: 6, Amounts: []money.Fen{500}}},
	}
	if o, _ := x.decide(); o.Reason != NotRefused || o.Issuance.Lines[0].Issued != 1 {
		t.Errorf("came to %s", o.Reason)
	}
}

// A user type is wrong when no owner among the rights accepts it; what the others own is then not eligible.
func TestUserTypesOfAScene(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	invented := func(key string) *Request {
		return inScene(key, "a", func(r *Request) { r.Recipient.Type = "INVENTED" })
	}
	o := d.wants(UserTypeNotAllowed, invented("none"))
	if diff := cmp.Diff([]DecisionError{{Kind: SceneError, Reason: UserTypeNotAllowed}}, o.Errors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e := Explain(d.committer.Catalogue, o.Attempt, storetest.Rules{}); len(e.Candidates) != 0 || len(e.Errors) != 1 {
		t.Errorf("explained by %+v", e)
	}
	d.users(&User{ID: 11, Identifiers: []Identifier{{Type: "INVENTED", Value: "a"}}})
	grantedByOther(d.templates[1])
	d.renew()
	d.wantChosen(d.ask(invented("some")), 2)
	d.wants(IdentifierInvalid, inScene("odd", "two\nlines", func(r *Request) { r.Params.SceneCode = "none such" }))
}

// A scene from before such scenes were refused gives nothing of another merchant.
func TestSceneOfOtherMerchants(t *testing.T) {
	right := DecisionError{Kind: RightError, ActCode: "A2", RightID: 102, Reason: OtherMerchant}
	for name, c := range map[string]struct {
		change func(*sceneDesk)
		errors []DecisionError
		chosen []ActivityID
	}{
		"an activity": {func(d *sceneDesk) { d.activities[1].Merchant = 2 },
			[]DecisionError{{Kind: ActivityError, ActCode: "A2", Reason: OtherMerchant}}, []ActivityID{1, 3}},
		"a right":            {func(d *sceneDesk) { d.templates[1].Merchant = 2 }, []DecisionError{right}, []ActivityID{1, 3}},
		"granted to another": {func(d *sceneDesk) { d.templates[1].Merchant, d.templates[1].GrantedTo = 2, []AppID{7} }, []DecisionError{right}, []ActivityID{1, 3}},
		"granted":            {func(d *sceneDesk) { grantedByOther(d.templates[1]) }, nil, []ActivityID{1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newSceneDesk(t, ChooseAll)
			c.change(d)
			d.renew()
			o := d.ask(inScene("k", "a"))
			d.wantChosen(o, c.chosen...)
			if diff := cmp.Diff(c.errors, o.Errors); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, trace := range Explain(d.committer.Catalogue, o.Issuance, storetest.Rules{}).Candidates {
				if !trace.Chosen {
					t.Errorf("%s is explained as not chosen", trace.ActCode)
				}
			}
			only := d.ask(inScene("only", "a", narrow([]string{"A2"})))
			if wanted := slices.Contains(c.chosen, 2); (only.Issuance != nil) != wanted || len(only.Errors) != len(c.errors) {
				t.Errorf("alone it came to %s, %v", only.Reason, only.Errors)
			}
		})
	}
}

// What was issued stays, and an open line that was frozen with it is not issued any more.
func TestFrozenLineOfAnotherMerchant(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	grantedByOther(d.templates[0])
	d.templates[0].Stock.Count = 1
	d.activities[0].Items = append(d.activities[0].Items, d.activities[0].Items[0])
	d.scene.Activities = d.scene.Activities[:1]
	d.renew()
	wantReasons(t, "first", d.ask(inScene("k", "a")), NotRefused, StockEmpty)
	d.templates[0].Stock.Count, d.templates[0].GrantedTo = 2, nil
	d.renew()
	wantReasons(t, "no longer granted", d.ask(inScene("k", "a")), NotRefused, OtherMerchant)
	grantedByOther(d.templates[0])
	d.renew()
	wantReasons(t, "granted again", d.ask(inScene("k", "a")), NotRefused, NotRefused)
}

// A choice that was made before scenes of other merchants were refused is explained as it was made.
func TestExplainOldChoiceOfAnotherMerchant(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	o := d.ask(inScene("k", "a"))
	want := Explain(d.committer.Catalogue, o.Issuance, storetest.Rules{})
	then := d.committer.Catalogue
	for _, tmpl := range then.Templates {
		tmpl.Merchant = 2 // as it may have been
	}
	then.Merchants[2] = &Merchant{ID: 2, Open: true}
	if diff := cmp.Diff(want, Explain(then, o.Issuance, storetest.Rules{})); diff != "" || len(want.Candidates) != 3 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
