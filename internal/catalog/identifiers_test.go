package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

const openFile = `
merchants:
  - {name: m, recipients: open, user_types: any, alipay_user_ids: digits}
apps:
  - {name: a, merchant: m, app_key: "1", app_secret: s1}
templates:
  - {name: t, merchant: m, kind: EXCHANGE, valid: {days: 1}}
`

// drawIdentifier draws an identifier that a gateway accepts before the key is looked up.
func drawIdentifier(t *rapid.T) benefit.Identifier {
	odd := rapid.StringOf(rapid.OneOf(
		rapid.RuneFrom([]rune("ab1 -:#&*!|>'\"%@`,[]{}?~=<\\/.券\u00a0\u2028\u0085\ufeff\ufffe\u200b😀é\n\t\r\x00\x7f")), rapid.Rune(),
	))
	value := rapid.OneOf(odd, rapid.SampledFrom([]string{
		"true", "null", "undefined", "[object Object]", "~", "1e3", "0x10", "2026-01-01", "off", "-", "- a", "a: b", " a", "a ", "<<", "\ufeff", "2088", "666450000", "x y",
	})).Filter(func(s string) bool {
		return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= benefit.MaxIdentifier
	})
	i := benefit.Identifier{Value: value.Draw(t, "value"), Type: rapid.OneOf(
		rapid.SampledFrom([]string{"ALIPAY", "TAOBAO", "OPEN_ID", "LOGIN", "NICK", "true", "null", "~", "<<", "1e3", "-", "*a", "&a", "!t", "{", "'", "\"", "#", "="}),
		rapid.StringOfN(rapid.RuneFrom(nil, asciiGraphic), 1, benefit.MaxIdentifierType, -1),
	).Filter(func(s string) bool {
		return benefit.ValidIdentifierType(s) && benefit.CanonicalType(s) == ""
	}).Draw(t, "type")}
	if i.Type == benefit.OpenID {
		i.App = 1
	}
	return i
}

// With any users that calls made, and any users from before identifiers had rules, the export can be applied to an empty
// store, and the export of that store is the same.
func TestUsersOfCallsSurviveExport(t *testing.T) {
	made, before := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		if _, err := w.apply(openFile); err != nil {
			rt.Fatal(err)
		}
		calls := storetest.NewCommitter(w.store, w.catalogue(), 1)
		changes := &benefit.Changes{}
		named := map[benefit.Identifier]bool{}
		for k := range rapid.IntRange(1, 8).Draw(rt, "users") {
			ident := drawIdentifier(rt)
			if named[ident] {
				continue
			}
			named[ident] = true
			if rapid.Bool().Draw(rt, "from before") {
				u := benefit.PlainUser(w.env.IDs.Block(0, home(&benefit.User{Identifiers: []benefit.Identifier{ident}}), 1), ident)
				digest := benefit.SessionDigest(fmt.Sprint("k", k))
				changes.Users = append(changes.Users, u)
				changes.Rows = append(changes.Rows, benefit.Sessions.Rows(&benefit.Session{
					Digest: digest, Sealed: w.box.Seal(fmt.Append(nil, "k", k), SessionKey(digest)), App: 1, Merchant: 1, User: u.ID,
				}))
				before++
				continue
			}
			r := storetest.Request(fmt.Sprint("k", k), "", storetest.Line(1))
			r.Recipient, r.OnAlipay = ident, rapid.Bool().Draw(rt, "on Alipay")
			all, err := calls.Issue(context.Background(), storetest.Start, r)
			if err != nil {
				rt.Fatal(err)
			}
			if all[0].Issuance != nil {
				made++
			}
		}
		w.commit(changes)

		exported := w.export(true)
		other := newWorld(t)
		if _, err := other.apply(exported); err != nil {
			rt.Fatalf("%v\n%s", err, exported)
		}
		if d := cmp.Diff(entries(exported), entries(other.export(true))); d != "" {
			rt.Fatalf("%s\n%s", d, exported)
		}
		if plan, err := w.apply(exported); err != nil || !plan.Empty() {
			rt.Fatalf("applied where it came from: %+v, %v\n%s", plan, err, exported)
		}
	})
	if made == 0 || before == 0 {
		t.Errorf("%d users were made by calls, %d are from before", made, before)
	}
}

// entries returns the entries of an export, sorted: users are in the order of their ids, which differ between stores.
func entries(exported string) []string {
	all := strings.Split(exported, "\n  - ")
	for k := range all {
		all[k] = strings.TrimSpace(strings.Split(all[k], "\n\n")[0]) // without the title of the next section
	}
	slices.Sort(all)
	return all
}

// A user from before the rules keeps its identifier, and the refusal of a file without unchecked_ids names that field.
func TestIdentifiersFromBefore(t *testing.T) {
	w := newWorld(t)
	w.mustApply(openFile)
	ident := benefit.Identifier{Type: benefit.OpenID, Value: "two\nlines", App: 1}
	w.commit(&benefit.Changes{Users: []*benefit.User{benefit.PlainUser(w.env.IDs.Block(0, 1, 1), ident)}})
	exported := w.export(true)
	if !strings.Contains(exported, `id: "two\nlines"`) || !strings.Contains(exported, "unchecked_ids: true") {
		t.Fatal(exported)
	}
	_, err := w.apply(strings.Replace(exported, "unchecked_ids: true", "unchecked_ids: false", 1))
	if err == nil || !strings.Contains(err.Error(), "OPEN_ID: id: has a control character; for a user who has it already, set unchecked_ids: true") {
		t.Error(err)
	}
}

// A merchant from before the list of user types existed accepts any type until a file sets the list. A new one has the
// default.
func TestUserTypes(t *testing.T) {
	w := newWorld(t)
	e, err := benefit.EntityOf(&benefit.Merchant{ID: 1, Name: "m", SellerID: 1, Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(e.Body); text != `{"id":1,"name":"m","seller_id":1,"open":true}` {
		t.Error("a merchant from before is stored as", text)
	}
	w.commit(&benefit.Changes{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows(e))})
	types := func() []string { return w.catalogue().Merchants[1].UserTypes }
	for _, step := range []struct {
		file string
		want []string
	}{
		{`merchants: [{name: m, recipients: open}]`, nil},
		{`merchants: [{name: m, recipients: open, user_types: [MEMBER, ALIPAY]}]`, []string{"MEMBER", "ALIPAY"}},
		{`merchants: [{name: m, recipients: open, title: T}]`, []string{"MEMBER", "ALIPAY"}},
		{`merchants: [{name: m, recipients: open, user_types: any}]`, nil},
	} {
		w.mustApply(step.file)
		if got := types(); !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.file, got, step.want)
		}
	}
	if exported := w.export(true); !strings.Contains(exported, "user_types: any\n") {
		t.Error(exported)
	}
	w.mustApply(`merchants: [{name: new}]`)
	if got := w.catalogue().Merchants[2]; !slices.Equal(got.UserTypes, []string{"ALIPAY", "TAOBAO", "OPEN_ID"}) || got.AnyUserID {
		t.Errorf("%+v", got)
	}
}

// A scene from before such scenes were refused stays in the store, and files that do not touch it can be applied.
func TestSceneOfOtherMerchantsFromBefore(t *testing.T) {
	w := newWorld(t)
	w.mustApply(`
merchants: [{name: m}, {name: n}]
apps: [{name: a, merchant: m, app_key: "1", app_secret: x}]
templates: [{name: t, merchant: m, kind: EXCHANGE, valid: {days: 1}}]
activities: [{name: x, merchant: m, items: [{template: t}]}]
scenes: [{name: s, merchant: m, activities: [x]}]
`)
	theirs := *w.catalogue().Templates[1]
	theirs.Merchant = 2
	e, err := benefit.EntityOf(&theirs)
	if err != nil {
		t.Fatal(err)
	}
	w.commit(&benefit.Changes{Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows(e))})
	w.mustApply(`merchants: [{name: m, title: T}]`)
	for _, touching := range []string{
		`scenes: [{name: s, merchant: m, activities: [x]}]`, `activities: [{name: x, merchant: m, items: [{template: t}]}]`,
		`templates: [{name: t, merchant: n, title: T, kind: EXCHANGE, valid: {days: 1}}]`,
	} {
		if _, err := w.apply(touching); err == nil || !strings.Contains(err.Error(), `catalog.yaml:1: scene "s": activity "x" holds template "t" of merchant "n"`) {
			t.Errorf("%s: %v", touching, err)
		}
	}
	w.mustApply(`templates: [{name: t, merchant: n, kind: EXCHANGE, valid: {days: 1}, granted_to: [a]}]`)
}
