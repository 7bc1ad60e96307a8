package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/money"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// small is a catalogue with one entity of each kind.
const smallFile = `
merchants:
  - {name: m, seller_id: 1}
apps:
  - {name: a, merchant: m, app_key: "1", app_secret: s1, status: DISABLED}
users:
  - {name: u, ids: {ALIPAY: ["100"]}, status: FROZEN}
sessions:
  - {key: k1, app: a, user: u}
templates:
  - {name: t, merchant: m, kind: REDUCTION, reduction: "1", threshold: "2", valid: {days: 1}, template_id: T, right_id: 2, biz_id: B, stock: {count: 10, amount: "20"}, status: PAUSED}
  - {name: c, merchant: m, kind: CERTIFICATE, channels: [7], valid: {days: 1}, out_id: 3}
  - {name: d, merchant: m, kind: DISCOUNT, percent: "88", valid: {days: 1}}
activities:
  - {name: x, merchant: m, act_code: X, relation_id: 4, items: [{template: t, detail_id: 5}, {template: d, detail_id: 6}], status: DRAFT}
scenes:
  - {name: s, merchant: m, scene_code: S, activities: [x], status: ENDED}
subscriptions:
  - {name: e, merchant: m, types: [voucher.expired, template.*], templates: [c], status: PAUSED}
`

// issue writes what an issuing batch would: counters, and an issuance when there are vouchers.
func (w *world) issue(template benefit.TemplateID, count int64, amount money.Fen) {
	w.t.Helper()
	i := &benefit.Issuance{
		ID: w.env.IDs.Block(1_700_000_000_000, 1, 1), Scope: scope.Template(template), Key: fmt.Sprint("k", template),
		Recipient: benefit.Identifier{Type: "ALIPAY", Value: "100"}, User: 1,
		Lines: []benefit.IssuedLine{{Line: benefit.Line{Template: template, Sends: 1, Quantity: 1}, Issued: 1, Amounts: []money.Fen{amount}}},
	}
	i.Lines[0].First = i.ID
	w.commit(&benefit.Changes{
		Issuances: []*benefit.Issuance{i},
		Rows:      benefit.RowsOf(benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: template, Count: count, Amount: int64(amount)})),
	})
}

func TestWhatAStatedEntityKeeps(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	before := w.export(true)
	plan := w.mustApply(`
merchants: [{name: m}]
apps: [{name: a, merchant: m}]
users: [{name: u}]
templates:
  - {name: t, merchant: m, kind: REDUCTION, reduction: "1", threshold: "2", valid: {days: 1}, stock: {count: 10, amount: "20"}}
  - {name: c, merchant: m, kind: CERTIFICATE, channels: [7], valid: {days: 1}}
  - {name: d, merchant: m, kind: DISCOUNT, percent: "88", valid: {days: 1}}
activities: [{name: x, merchant: m, items: [{template: t}, {template: d}]}]
scenes: [{name: s, merchant: m, activities: [x]}]
subscriptions: [{name: e, merchant: m, types: [voucher.expired, template.*], templates: [c]}]
`)
	if !plan.Empty() {
		t.Errorf("the plan: %+v", plan.Changes)
	}
	if d := cmp.Diff(before, w.export(true)); d != "" {
		t.Error(d)
	}
}

func TestWhatAStatedEntityLoses(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	w.mustApply(`{merchants: [{name: m, title: T, recipients: open}], users: [{name: u, person: p, attributes: {a: 1}}]}`)
	plan := w.mustApply(`{merchants: [{name: m}], users: [{name: u}]}`)
	want := []Change{
		{Kind: "merchant", Name: "m", Line: 1, Action: Changed, Fields: []Difference{
			{Field: "recipients", Old: "open", New: "registered"}, {Field: "title", Old: "T"},
		}},
		{Kind: "user", Name: "u", Line: 1, Action: Changed, Fields: []Difference{
			{Field: "attributes.a", Old: "1"}, {Field: "person", Old: "p"},
		}},
	}
	slices.SortFunc(plan.Changes, func(a, b Change) int { return strings.Compare(a.Kind, b.Kind) })
	if d := cmp.Diff(want, plan.Changes); d != "" {
		t.Error(d)
	}
}

func TestOneFieldChanges(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	plan := w.mustApply(strings.Replace(smallFile, `stock: {count: 10, `, `stock: {count: 11, count_per_day: 5, `, 1))
	want := &Plan{Version: 2, Same: 9, Changes: []Change{{
		Kind: "template", Name: "t", Line: 11, Action: Changed,
		Fields: []Difference{{Field: "stock.count", Old: "10", New: "11"}, {Field: "stock.count_per_day", New: "5"}},
	}}}
	if d := cmp.Diff(want, plan); d != "" {
		t.Error(d)
	}
	var text strings.Builder
	if _, err := plan.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	wantText := "~ template t\n    stock.count: 10 → 11\n    stock.count_per_day: 5\n1 to change, 9 unchanged\n"
	if d := cmp.Diff(wantText, text.String()); d != "" {
		t.Error(d)
	}
}

func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	f, err := Parse("catalog.yaml", []byte(strings.Replace(smallFile, `{name: m, seller_id: 1}`, `{name: m, seller_id: 1, title: T}`, 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	changes, _, err := f.Changes(context.Background(), w.reader(), w.catalogue(), w.env, w.box)
	if err != nil {
		t.Fatal(err)
	}
	if len(benefit.Entities.Of(changes.Rows)) != 1 || len(changes.Users) != 0 || len(benefit.Sessions.Of(changes.Rows)) != 0 || changes.Catalogue != 2 {
		t.Errorf("%+v", changes)
	}
	users, err := w.apply(`users: [{name: v, ids: {TAOBAO: ["9"]}}]`)
	if err != nil || users.Version != 0 || len(users.Changes) != 1 {
		t.Errorf("users alone make no version: %+v, %v", users, err)
	}
}

func TestPlanWritesNothing(t *testing.T) {
	w := newWorld(t)
	f, err := Parse("catalog.yaml", []byte(smallFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	dry, err := f.Plan(context.Background(), w.reader(), w.catalogue(), w.box)
	if err != nil {
		t.Fatal(err)
	}
	if w.catalogue().Version != 0 {
		t.Error("a plan was applied")
	}
	// Generated ids come from names, so the plan shows the ones that applying makes.
	if d := cmp.Diff(dry, w.mustApply(smallFile)); d != "" {
		t.Error(d)
	}
}

func TestSecretsChangeOnlyWhenTheyDiffer(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	sealed := w.catalogue().Apps[1].AppSecret
	w.mustApply(strings.Replace(smallFile, "app_secret: s1, status: DISABLED", "app_secret: s1, status: ACTIVE", 1))
	if a := w.catalogue().Apps[1]; !bytes.Equal(a.AppSecret, sealed) || a.Disabled {
		t.Errorf("the secret was sealed again, or the app not changed: %+v", a)
	}
	plan := w.mustApply(strings.Replace(smallFile, "app_secret: s1", "app_secret: s2", 1))
	want := []Difference{{Field: "status", Old: "ACTIVE", New: "DISABLED"}, {Field: "app_secret", Old: "(secret)", New: "(another secret)"}}
	if d := cmp.Diff(want, plan.Changes[0].Fields); d != "" {
		t.Error(d)
	}
	if got, err := w.box.Open(w.catalogue().Apps[1].AppSecret, "app/1/app_secret"); err != nil || string(got) != "s2" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStatingASecretRepairsOneThatDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	other, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w.box = other
	w.mustApply(smallFile)
	if got, err := other.Open(w.catalogue().Apps[1].AppSecret, "app/1/app_secret"); err != nil || string(got) != "s1" {
		t.Errorf("%q, %v", got, err)
	}
	if !strings.Contains(w.export(true), "key: k1") {
		t.Error("the session's key was not sealed again")
	}
}

func TestRefusedChanges(t *testing.T) {
	for name, c := range map[string]struct {
		issued int64 // vouchers of templates 1 to 3, one yuan each
		old    string
		new    string
		line   int
		reason string // empty: allowed
	}{
		"kind":                    {1, "kind: DISCOUNT, percent: \"88\"", "kind: EXCHANGE", 13, `template "d": the kind cannot change`},
		"kind before":             {0, "kind: DISCOUNT, percent: \"88\"", "kind: EXCHANGE", 0, ""},
		"reduction":               {1, `reduction: "1"`, `reduction: "2"`, 11, `the reduction cannot change`},
		"reduction before":        {0, `reduction: "1"`, `reduction: "2"`, 0, ``},
		"threshold":               {1, `threshold: "2"`, `threshold: "3"`, 11, `the threshold cannot change`},
		"percent":                 {1, `percent: "88"`, `percent: "87.5"`, 13, `the percent cannot change`},
		"ceiling":                 {1, `percent: "88"`, `percent: "88", ceiling: "3"`, 13, `the ceiling cannot change`},
		"code":                    {1, `channels: [7]`, `channels: [7], code: {digits: 16}`, 12, `the code rule cannot change`},
		"code before":             {0, `channels: [7]`, `channels: [7], code: {digits: 16}`, 0, ``},
		"channels":                {1, `channels: [7]`, `channels: [7, 8]`, 0, ``},
		"merchant":                {1, "  - {name: t, merchant: m", "  - {name: t, granted_to: [a], merchant: n", 11, `the merchant cannot change`},
		"count below issued":      {8, "count: 10", "count: 7", 11, `stock.count 7 is below the 8 vouchers issued so far`},
		"count to issued":         {8, "count: 10", "count: 8", 0, ``},
		"amount below issued":     {8, `amount: "20"`, `amount: "7.99"`, 11, `stock.amount 7.99 is below the 8.00 yuan issued so far`},
		"amount to issued":        {8, `amount: "20"`, `amount: "8"`, 0, ``},
		"uncapped":                {0, `stock: {count: 10, amount: "20"}, `, ``, 11, `template "t": the file leaves out stock.count, stock.amount, which cap it now`},
		"per day":                 {8, `count: 10`, `count: 10, count_per_day: 1`, 0, ``},
		"ended again active":      {0, "activities: [x], status: ENDED", "activities: [x], status: ACTIVE", 17, `scene "s": cannot leave status ENDED, which is final`},
		"paused again draft":      {0, "status: PAUSED", "status: DRAFT", 11, `template "t": cannot go from status PAUSED back to DRAFT`},
		"paused active":           {0, "status: PAUSED", "status: ACTIVE", 0, ``},
		"draft ended":             {0, "status: DRAFT", "status: ENDED", 0, ``},
		"a subscription again":    {0, "templates: [c], status: PAUSED", "status: DRAFT", 19, `subscription "e": cannot go from status PAUSED back to DRAFT`},
		"types of a subscription": {0, "[voucher.expired, template.*]", "[voucher.*]", 0, ``},
		"a wire id moves":         {0, "right_id: 2", "right_id: 777", 0, ``},
		"a wire id is another's":  {0, "percent: \"88\"", "percent: \"88\", template_id: T", 13, `template "d": template_id T already belongs to template "t"`},
		"detail ids stay inside":  {0, "{template: t, detail_id: 5}, {template: d, detail_id: 6}", "{template: d, detail_id: 5}, {template: t, detail_id: 6}", 0, ``},
		"an identifier moves":     {0, `- {name: u,`, `- {name: u2,`, 7, `user "u2": this ALIPAY already belongs to user "u"`},
		"an identifier moves too": {0, "sessions:\n", "  - {name: v, ids: {TAOBAO: [\"5\"], ALIPAY: [\"100\"]}}\nsessions:\n", 8, `user "v": this ALIPAY already belongs to user "u"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustApply(smallFile)
			w.mustApply(`merchants: [{name: n}]`)
			for id := range benefit.TemplateID(3) {
				if c.issued > 0 {
					w.issue(id+1, c.issued, money.Fen(c.issued*100))
				}
			}
			text := strings.Replace(smallFile, c.old, c.new, 1)
			if text == smallFile {
				t.Fatal("the case changes nothing")
			}
			before := w.export(true)
			plan, err := w.apply(text)
			if c.reason == "" {
				if err != nil || plan.Empty() {
					t.Fatalf("%v; want it applied", err)
				}
				return
			}
			var got Problems
			if !errors.As(err, &got) || len(got) != 1 || got[0].Line != c.line || !strings.Contains(got[0].Reason, c.reason) {
				t.Errorf("%v; want %d: %s", err, c.line, c.reason)
			}
			if d := cmp.Diff(before, w.export(true)); d != "" {
				t.Errorf("something was applied: %s", d)
			}
		})
	}
}

func TestFixedEvenWhenAllVouchersWereTakenBack(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	w.issue(1, 1, 100)
	w.commit(&benefit.Changes{Rows: benefit.RowsOf(benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: 1}))})
	_, err := w.apply(strings.Replace(smallFile, `reduction: "1"`, `reduction: "2"`, 1))
	if err == nil || !strings.Contains(err.Error(), "the reduction cannot change") {
		t.Error(err)
	}
}

// A wire id does not move even when the same file gives another one to the entity that has it.
func TestAWireIDDoesNotMoveInOneStep(t *testing.T) {
	w := newWorld(t)
	w.mustApply(`merchants: [{name: a, seller_id: 1}, {name: b, seller_id: 2}]`)
	swapped := `merchants: [{name: a, seller_id: 2}, {name: b, seller_id: 1}]`
	if _, err := w.apply(swapped); err == nil {
		t.Error("two merchants swapped their ids")
	}
	w.mustApply(`merchants: [{name: a, seller_id: 3}]`)
	w.mustApply(`merchants: [{name: b, seller_id: 1}]`)
}

func TestTheTemplateOfAnItemChanges(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	// Only the template is stated, and the activity that has it would no longer work.
	_, err := w.apply(`templates:
  - {name: d, merchant: m, kind: CASH, amount: {from: request}, valid: {days: 1}}`)
	if err == nil || !strings.Contains(err.Error(), `catalog.yaml:2: activity "x": item of template "d": amount is missing`) {
		t.Error(err)
	}
}

func TestTheTemplateOfASubscriptionMovesToAnotherMerchant(t *testing.T) {
	w := newWorld(t)
	w.mustApply(smallFile)
	w.mustApply(`merchants: [{name: n}]`)
	// Only the template is stated, and the subscription that lists it would show it to the merchant that had it.
	_, err := w.apply(`templates:
  - {name: c, merchant: n, kind: CERTIFICATE, channels: [7], valid: {days: 1}}`)
	if err == nil || !strings.Contains(err.Error(), `catalog.yaml:2: subscription "e": template "c" belongs to merchant "n"`) {
		t.Error(err)
	}
	w.mustApply(`merchants: [{name: n, title: untouched}]`)
}

func TestUsersThatIssuingMade(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	made := &benefit.User{ID: w.env.IDs.Block(0, 5, 1), Alipay: "2088", Identifiers: []benefit.Identifier{{Type: "ALIPAY", Value: "2088"}}}
	w.commit(&benefit.Changes{Users: []*benefit.User{made}})

	again := w.mustApply(`users: [{ids: {ALIPAY: ["2088"]}}]`)
	if !again.Empty() {
		t.Errorf("stated as it is: %+v", again)
	}
	w.mustApply(`users: [{name: bob, ids: {TAOBAO: ["7"], ALIPAY: ["2088"]}}]`)
	bob, err := w.reader().UserByName(ctx, "bob")
	if err != nil || bob == nil || bob.ID != made.ID || len(bob.Identifiers) != 2 || bob.Alipay != "2088" {
		t.Errorf("%+v, %v; want the user %d", bob, err, made.ID)
	}
	w.mustApply(`users: [{ids: {TAOBAO: ["7"]}, status: FROZEN}]`)
	bob, err = w.reader().UserByName(ctx, "bob")
	if err != nil || bob == nil || !bob.Frozen {
		t.Errorf("found by identifier: %+v, %v", bob, err)
	}
	_, err = w.apply("users:\n  - {name: bob}\n  - {ids: {TAOBAO: [\"7\"]}}")
	if err == nil || !strings.Contains(err.Error(), `catalog.yaml:3: user: this TAOBAO already belongs to user "bob"`) {
		t.Errorf("one user twice: %v", err)
	}
	_, err = w.apply("users:\n  - {ids: {TAOBAO: [\"7\"]}}\n  - {name: bob}")
	if err == nil || !strings.Contains(err.Error(), `catalog.yaml:3: user "bob" is already stated in line 2`) {
		t.Errorf("one user twice, the other way round: %v", err)
	}
	_, err = w.apply("users:\n  - {ids: {ALIPAY: [\"1\"]}}\n  - {ids: {ALIPAY: [\"2\"]}}\n  - {ids: {ALIPAY: [\"1\", \"2\"]}}")
	if err == nil {
		t.Error("one user has the identifiers of two")
	}
}

// A file that names a user that issuing made registers the user; registered: false does not, or takes it back. An export
// has registered: false, so that applying it elsewhere registers no one.
func TestRegisteringUsers(t *testing.T) {
	w := newWorld(t)
	made := benefit.PlainUser(w.env.IDs.Block(0, 5, 1), benefit.Identifier{Type: "ALIPAY", Value: "2088"})
	w.commit(&benefit.Changes{Users: []*benefit.User{made}})
	unregistered := func(w *world) bool {
		t.Helper()
		u, err := w.reader().Recipient(context.Background(), made.Identifiers[0])
		if err != nil || u == nil {
			t.Fatalf("%+v, %v", u, err)
		}
		return u.Unregistered
	}
	export := w.export(false)
	if !strings.Contains(export, "registered: false") {
		t.Errorf("the export does not say that the user is not registered:\n%s", export)
	}
	other := newWorld(t)
	if other.mustApply(export); !unregistered(other) {
		t.Error("applying an export registered a user")
	}
	if plan := w.mustApply(`users: [{ids: {ALIPAY: ["2088"]}, registered: false}]`); !plan.Empty() {
		t.Errorf("stated as it is: %+v", plan)
	}
	plan := w.mustApply(`users: [{ids: {ALIPAY: ["2088"]}}]`)
	if unregistered(w) || len(plan.Changes) != 1 || len(plan.Changes[0].Fields) != 1 || plan.Changes[0].Fields[0].Field != "registered" {
		t.Errorf("registered: %v, %+v", !unregistered(w), plan.Changes)
	}
	if u, err := w.reader().Recipient(context.Background(), made.Identifiers[0]); err != nil || u.ID != made.ID {
		t.Errorf("registered as user %d, want %d (%v)", u.ID, made.ID, err)
	}
	if w.mustApply(`users: [{ids: {ALIPAY: ["2088"]}, registered: true}]`); unregistered(w) {
		t.Error("registered: true unregistered the user")
	}
	if w.mustApply(`users: [{ids: {ALIPAY: ["2088"]}, registered: false}]`); !unregistered(w) {
		t.Error("registered: false left the user registered")
	}
}

func TestIdentifiersOfTwoUsersDoNotJoinThem(t *testing.T) {
	w := newWorld(t)
	w.mustApply("users:\n  - {ids: {ALIPAY: [\"1\"]}}\n  - {ids: {ALIPAY: [\"2\"]}}")
	_, err := w.apply("users:\n  - name: both\n    ids: {ALIPAY:\n      [\"1\",\n      \"2\"]}")
	if err == nil || !strings.Contains(err.Error(), "catalog.yaml:5: user \"both\": this ALIPAY already belongs to the user without a name") {
		t.Error(err)
	}
}

func TestHomeBuckets(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.mustApply(`users:
  - {name: a, person: p, ids: {ALIPAY: ["1"]}}
  - {name: b, person: p, ids: {TAOBAO: ["2"]}}
  - {name: c, ids: {ALIPAY: ["3"]}}`)
	r := w.reader()
	a, _ := r.UserByName(ctx, "a")
	b, _ := r.UserByName(ctx, "b")
	c, _ := r.UserByName(ctx, "c")
	if a.ID.Bucket() != b.ID.Bucket() || a.ID == b.ID {
		t.Errorf("one person's users: buckets %d and %d", a.ID.Bucket(), b.ID.Bucket())
	}
	if want := home(&benefit.User{Identifiers: c.Identifiers}); c.ID.Bucket() != want {
		t.Errorf("bucket %d, want %d", c.ID.Bucket(), want)
	}
}

func TestSessions(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.mustApply(smallFile)
	w.mustApply(`{apps: [{name: b, merchant: m, app_key: "2", app_secret: s}], users: [{ids: {OPEN_ID: [{app: b, id: o}]}}]}`)
	plan := w.mustApply(`sessions:
  - {key: k1, app: b, user: "OPEN_ID/b:o", expires: 2036-01-01T00:00:00Z}`)
	r := w.reader()
	s, err := store.Session(ctx, r, benefit.SessionDigest("k1"))
	if err != nil || s == nil {
		t.Fatal(s, err)
	}
	u, err := r.Recipient(ctx, benefit.Identifier{Type: "OPEN_ID", Value: "o", App: 2})
	if err != nil || u == nil || s.User != u.ID || s.App != 2 || s.Merchant != 1 || s.Expires.String() != "2036-01-01 08:00:00" {
		t.Errorf("%+v, user %+v, %v", s, u, err)
	}
	want := []Difference{
		{Field: "app", Old: "a", New: "b"}, {Field: "user", Old: "u", New: "OPEN_ID/b:o"}, {Field: "expires", New: "2036-01-01 08:00:00"},
	}
	if d := cmp.Diff(want, plan.Changes[0].Fields); d != "" {
		t.Error(d)
	}
}

// A revoked session stays revoked when its file is applied again. It is not exported, because it would be valid where the
// export is applied. Nor is a refresh token, which would become a session there.
func TestRevokedSessionStaysRevoked(t *testing.T) {
	w := newWorld(t)
	file := smallFile
	w.mustApply(file)
	var all []*benefit.Session
	for s, err := range store.All(t.Context(), w.reader(), benefit.Sessions) {
		if err != nil {
			t.Fatal(err)
		}
		ended := *s
		ended.Ended = 5
		all = append(all, &ended)
	}
	if len(all) != 1 {
		t.Fatalf("%d sessions", len(all))
	}
	refresh := benefit.SessionDigest("refresh")
	all = append(all, &benefit.Session{Digest: refresh, Kind: benefit.RefreshSession, App: 1, Merchant: 1})
	w.commit(&benefit.Changes{Rows: benefit.RowsOf(benefit.Sessions.Rows(all...))})
	w.mustApply(file)
	if s, err := store.Session(t.Context(), w.reader(), all[0].Digest); err != nil || s.Ended != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	if out := w.export(true); strings.Contains(out, "sessions") {
		t.Errorf("exported:\n%s", out)
	}
	if _, err := w.apply("sessions: [{key: refresh, app: a}]"); err == nil || !strings.Contains(err.Error(), "a refresh token") {
		t.Errorf("a refresh token as a session: %v", err)
	}
}

func TestGeneratedIDs(t *testing.T) {
	const text = `
merchants: [{name: m}]
apps: [{name: a, merchant: m, app_secret: s}]
templates:
  - {name: t, merchant: m, kind: EXCHANGE, valid: {days: 1}}
  - {name: c, merchant: m, kind: CERTIFICATE, channels: [7], valid: {days: 1}}
activities: [{name: x, merchant: m, items: [{template: t}, {template: t}]}]
scenes: [{name: s, merchant: m, activities: [x]}]`
	w := newWorld(t)
	w.mustApply(text)
	cat := w.catalogue()
	tpl, cert, act := cat.Templates[1], cat.Templates[2], cat.Activities[1]
	if len(tpl.TemplateID) != 28 || tpl.BizID == "" || cert.TemplateID != "" || cert.BizID == "" {
		t.Errorf("%+v\n%+v", tpl, cert)
	}
	numbers := []int64{cat.Merchants[1].SellerID, tpl.RightID, cert.RightID, cert.OutID, act.RelationID, act.Items[0].DetailID, act.Items[1].DetailID}
	for k, n := range numbers {
		if n < 1e14 || n >= 1<<53 || slices.Contains(numbers[:k], n) {
			t.Errorf("number %d is %d", k, n)
		}
	}
	if len(act.ActCode) != 16 || len(cat.Scenes[1].SceneCode) != 12 || cat.Apps[1].AppKey == "" || cat.Apps[1].AppID != "" {
		t.Errorf("%+v, %+v, %+v", act, cat.Scenes[1], cat.Apps[1])
	}
	if plan := w.mustApply(text); !plan.Empty() {
		t.Errorf("applied again: %+v", plan.Changes)
	}
	// The same file makes the same ids in another store.
	other := newWorld(t)
	other.mustApply(text)
	if d := cmp.Diff(w.export(true), other.export(true)); d != "" {
		t.Error(d)
	}
	// The id that the name yields is taken, so the next one is used.
	third := newWorld(t)
	third.mustApply(fmt.Sprintf(`merchants: [{name: first, seller_id: %d}]`, cat.Merchants[1].SellerID))
	third.mustApply(text)
	if n := third.catalogue().Merchants[2].SellerID; n == cat.Merchants[1].SellerID || n < 1e14 {
		t.Errorf("generated %d", n)
	}
}

func TestReadersOfScalars(t *testing.T) {
	w := newWorld(t)
	// YAML would read these as numbers, times and booleans.
	w.mustApply(`
merchants: [{name: on, title: 1.50, seller_id: "007"}]
apps: [{name: true, merchant: on, app_key: 20140601000730010040000000e12, app_secret: 0x10}]
users: [{name: null, ids: {ALIPAY: [2088302001456115, 0123], LOGIN: [2026-01-01]}}]
templates: [{name: 1e3, merchant: on, kind: EXCHANGE, template_id: 20140601000730010040000000E2, valid: {after: 90s, for: 1d1h30m, to_day_end: true}}]
`)
	cat := w.catalogue()
	if m := cat.Merchants[1]; m.Name != "on" || m.Title != "1.50" || m.SellerID != 7 {
		t.Errorf("%+v", m)
	}
	if a := cat.Apps[1]; a.Name != "true" || a.AppKey != "20140601000730010040000000e12" {
		t.Errorf("%+v", a)
	}
	u, err := w.reader().UserByName(context.Background(), "null")
	if err != nil || u == nil || u.Identifiers[1].Value != "0123" || u.Identifiers[2].Value != "2026-01-01" {
		t.Errorf("%+v, %v", u, err)
	}
	want := benefit.Validity{AfterMillis: 90_000, ForMillis: 25*3600_000 + 30*60_000, ToDayEnd: true}
	if tpl := cat.Templates[1]; tpl.Name != "1e3" || tpl.TemplateID != "20140601000730010040000000E2" || tpl.Valid != want {
		t.Errorf("%+v", tpl)
	}
	before := w.export(true)
	if plan := w.mustApply(before); !plan.Empty() {
		t.Errorf("applying the export: %+v", plan.Changes)
	}
}

func TestAttributes(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                       ``,
		`{b: 1, a: x}`:             `{"a":"x","b":1}`,
		`{a: 1.0, b: -0.0, c: -0}`: `{"a":1,"b":0,"c":0}`,
		`{a: 9007199254740993, b: 1.5, c: 1e3, d: 1e30}`:            `{"a":9007199254740993,"b":1.5,"c":1000,"d":1e+30}`,
		`{a: true, b: "true", c: null, d: 2026-01-01, e: [1, [2]]}`: `{"a":true,"b":"true","c":null,"d":"2026-01-01","e":[1,[2]]}`,
		`{a: 0x10, b: 1_000}`: `{"a":16,"b":1000}`,
	} {
		w := newWorld(t)
		w.mustApply(`users: [{name: u, ids: {TAOBAO: ["1"]}, attributes: ` + text + `}]`)
		u, err := w.reader().UserByName(context.Background(), "u")
		if err != nil || u == nil || string(u.Attributes) != want {
			t.Errorf("%s: %s, %v; want %s", text, u.Attributes, err, want)
		}
		if plan := w.mustApply(w.export(false)); !plan.Empty() {
			t.Errorf("%s: the export changes %+v", text, plan.Changes)
		}
	}
	for text, reason := range map[string]string{
		`{a: ` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`:                     "is nested more than 8 levels deep",
		`{a: "` + strings.Repeat("x", 5000) + `", b: "` + strings.Repeat("y", 5000) + `"}`: "at most 8192 are allowed",
		`{a: 1, a: 2}`: "a is given twice",
		`{a: .nan}`:    "is not a number that JSON can represent",
	} {
		_, err := newWorld(t).apply(`users: [{name: u, ids: {TAOBAO: ["1"]}, attributes: ` + text + `}]`)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.40s: %v; want %s", text, err, reason)
		}
	}
}
