package benefit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	. "faquan/internal/benefit"
)

// Everything that an operator can set comes back from the stored form, and what is not set takes no room.
func TestEntitiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		apps, templates := drawAll[App](t), drawAll[Template](t)
		for k, a := range apps { // no two are called the same
			a.ID, a.AppID, a.AppKey = AppID(k), fmt.Sprint(k, a.AppID), fmt.Sprint(k, a.AppKey)
		}
		for k, x := range templates {
			x.ID, x.Name, x.TemplateID, x.OutID = TemplateID(k), fmt.Sprint(k, x.Name), fmt.Sprint(k, x.TemplateID), int64(k)
		}
		activities, scenes := drawAll[Activity](t), drawAll[Scene](t)
		for k, x := range activities {
			x.ID, x.Name, x.RelationID = ActivityID(k), fmt.Sprint(k, x.Name), int64(k)
		}
		for k, x := range scenes {
			x.ID, x.SceneCode = SceneID(k), fmt.Sprint(k, x.SceneCode)
		}
		subscriptions := drawAll[Subscription](t)
		for k, x := range subscriptions {
			x.ID = SubscriptionID(k)
		}
		want := NewCatalogue(7, drawAll[Merchant](t), apps, templates, activities, scenes, subscriptions...)
		got, err := CatalogueOf(7, entitiesOf(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Catalogue{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// drawAll draws entities with every field at random.
func drawAll[T any](t *rapid.T) []*T {
	return rapid.SliceOfN(rapid.Ptr(rapid.Make[T](), false), 0, 3).Draw(t, "entities")
}

func entitiesOf(t *rapid.T, c *Catalogue) []Entity {
	var all []Entity
	add := func(v any) {
		e, err := EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for _, v := range c.Merchants {
		add(v)
	}
	for _, v := range c.Apps {
		add(v)
	}
	for _, v := range c.Templates {
		add(v)
	}
	for _, v := range c.Activities {
		add(v)
	}
	for _, v := range c.Scenes {
		add(v)
	}
	for _, v := range c.Subscriptions {
		add(v)
	}
	return all
}

// The stored form is read by other versions of the program: its names stay.
func TestStoredFormOfATemplate(t *testing.T) {
	e, err := EntityOf(template(1, func(t *Template) {
		t.TemplateID, t.Limits.PerUser, t.Stock.Count, t.Publish.End = "20261111", 2, 0, now
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":1,"name":"template","merchant":1,"template_id":"20261111","kind":2,"face":{"reduction":500},` +
		`"publish":{"end":1794362400000},"valid":{"for_ms":604800000},` +
		`"stock":{"count":0,"amount":-1,"count_per_day":-1,"amount_per_day":-1},"limits":{"per_user":2},"status":2}`
	if diff := cmp.Diff(want, string(e.Body)); diff != "" || e.Kind != TemplateEntity || e.ID != 1 {
		t.Errorf("%d/%d (-want +got):\n%s", e.Kind, e.ID, diff)
	}
}

func TestEntitiesThatAreNone(t *testing.T) {
	if _, err := EntityOf(Template{}); err == nil {
		t.Error("a template by value was taken")
	}
	if _, err := CatalogueOf(1, []Entity{{Kind: TemplateEntity, ID: 9, Body: []byte("{")}}); err == nil || !strings.Contains(err.Error(), "3/9") {
		t.Errorf("a broken entity: %v", err)
	}
	if c, err := CatalogueOf(1, []Entity{{Kind: PlatformEntity, ID: 1, Body: []byte("not JSON")}}); err != nil || len(c.Templates) != 0 {
		t.Errorf("the platform's settings: %v", err)
	}
	if _, err := CatalogueOf(1, []Entity{{Kind: 99, ID: 4, Body: []byte("{}")}}); err == nil || !strings.Contains(err.Error(), "99/4: this version does not know the kind") {
		t.Errorf("an entity of a newer version: %v", err)
	}
}

// The stored form is read by other versions of the program: its names stay.
func TestStoredFormOfASubscription(t *testing.T) {
	e, err := EntityOf(&Subscription{ID: 2, Name: "s", Merchant: 1, Types: []EventPattern{"voucher.expired", "template.*"}, Templates: []TemplateID{3}, Status: Active})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":2,"name":"s","merchant":1,"types":["voucher.expired","template.*"],"templates":[3],"status":2}`
	if diff := cmp.Diff(want, string(e.Body)); diff != "" || e.Kind != 7 || e.ID != 2 {
		t.Errorf("%d/%d (-want +got):\n%s", e.Kind, e.ID, diff)
	}
}

func TestWhatASubscriptionWants(t *testing.T) {
	about := template(3)
	for name, c := range map[string]struct {
		change func(*Subscription)
		event  EventType
		want   bool
	}{
		"its type":                 {func(*Subscription) {}, VoucherExpiredEvent, true},
		"another type":             {func(*Subscription) {}, VoucherVoidedEvent, false},
		"a pattern":                {func(s *Subscription) { s.Types = []EventPattern{"template.*", "voucher.*"} }, VoucherVoidedEvent, true},
		"all templates":            {func(s *Subscription) { s.Templates = nil }, VoucherExpiredEvent, true},
		"another template":         {func(s *Subscription) { s.Templates = []TemplateID{4} }, VoucherExpiredEvent, false},
		"that of another merchant": {func(s *Subscription) { s.Merchant = 2 }, VoucherExpiredEvent, false},
		"all of another merchant":  {func(s *Subscription) { s.Merchant, s.Templates = 2, nil }, VoucherExpiredEvent, false},
		"a draft":                  {func(s *Subscription) { s.Status = Draft }, VoucherExpiredEvent, false},
		"a paused one":             {func(s *Subscription) { s.Status = Paused }, VoucherExpiredEvent, true},
		"one that has ended":       {func(s *Subscription) { s.Status = Ended }, VoucherExpiredEvent, false},
	} {
		s := &Subscription{ID: 1, Merchant: 1, Types: []EventPattern{"voucher.expired"}, Templates: []TemplateID{3}, Status: Active}
		c.change(s)
		if got := s.Wants(c.event, about); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCatalogueIsFoundByWireID(t *testing.T) {
	a, b := template(1, func(t *Template) { t.TemplateID = "T" }), template(2)
	app := &App{ID: 1, AppID: "2021", Merchant: 1, Methods: []string{"m"}}
	c := NewCatalogue(1, nil, []*App{app, {ID: 2}}, []*Template{a, b}, nil, nil)
	if c.TemplateByWireID("T") != a || c.TemplateByWireID("") != nil || c.TemplateByWireID("t") != nil {
		t.Error("a template is found by what is not its id, or not found by what is")
	}
	if c.AppByAppID("2021") != app || c.AppByAppID("") != nil {
		t.Error("an app is found by what is not its id, or not found by what is")
	}
	if !app.Granted("m") || app.Granted("n") || !c.Apps[2].Granted("n") {
		t.Error("the granted methods are others")
	}
	if !app.MayIssue(a, 1) || app.MayIssue(a, 2) || !app.MayIssue(template(1, func(t *Template) { t.Merchant, t.GrantedTo = 9, []AppID{1} }), 2) {
		t.Error("the app may issue other templates")
	}
}

func TestUsersAndSessionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, s := rapid.Make[User]().Draw(t, "user"), rapid.Make[Session]().Draw(t, "session")
		if diff := cmp.Diff(u, throughJSON(t, u), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("user (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(s, throughJSON(t, s), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("session (-want +got):\n%s", diff)
		}
	})
}

func throughJSON[T any](t *rapid.T, v T) (again T) {
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &again); err != nil {
		t.Fatal(err)
	}
	return again
}

// Session digests are looked up in stores, and claim digests, too: they may never change.
func TestDigestsArePinned(t *testing.T) {
	for what, c := range map[string]struct{ got, want string }{
		"session": {SessionDigest("key").String(), "7ec8ad57df58cbd6724250535a3b6687"},
		"claim":   {ClaimIDOf("t/1", "k").String(), "6cdf4ddc3236975eb0f1506a6c0abfef"},
		"meaning": {FingerprintOf([]Line{{Template: 1, Sends: 1, Quantity: 1, HasAmount: true, Amount: 5}}, "x").String(), "cc777c0a5714b947fe35f6a6b6a4aa44"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", what, c.got, c.want)
		}
	}
}

func FuzzDigestText(f *testing.F) {
	f.Add("00112233445566778899aabbccddeeff")
	f.Add("00112233445566778899aabbccddeeff00")
	f.Add("0g112233445566778899aabbccddeeff")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		var d Digest
		if err := d.UnmarshalText([]byte(text)); err == nil && d.String() != strings.ToLower(text) {
			t.Fatalf("%q reads as %s", text, d)
		}
	})
}
