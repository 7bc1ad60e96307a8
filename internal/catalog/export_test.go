package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/seal"
	"faquan/internal/store"
)

func TestExportRoundTrip(t *testing.T) {
	w := newWorld(t)
	w.mustApply(string(example(t)))
	exported := w.export(true)

	other := newWorld(t)
	other.mustApply(exported)
	if d := cmp.Diff(exported, other.export(true)); d != "" {
		t.Errorf("applied to an empty store: %s", d)
	}
	if plan := w.mustApply(exported); !plan.Empty() {
		t.Errorf("applied where it came from: %+v", plan.Changes)
	}
	if plan := w.mustApply(w.export(false)); !plan.Empty() {
		t.Errorf("applied without secrets where it came from: %+v", plan.Changes)
	}
	if _, err := newWorld(t).apply(w.export(false)); err == nil || !strings.Contains(err.Error(), "app_secret is missing") {
		t.Errorf("without secrets on an empty store: %v", err)
	}
}

func TestExportOfNothing(t *testing.T) {
	w := newWorld(t)
	if plan := w.mustApply(w.export(true)); !plan.Empty() {
		t.Errorf("%+v", plan)
	}
}

func TestExportNamesWhatDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	w.mustApply(string(example(t)))
	other, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	err = Export(context.Background(), &bytes.Buffer{}, w.reader(), w.catalogue(), ExportOptions{Secrets: other})
	if !errors.Is(err, seal.ErrWrongKey) {
		t.Error(err)
	}
}

func TestExportOfManyUsers(t *testing.T) {
	const users = 1000
	var text strings.Builder
	text.WriteString("users:\n")
	for k := range users {
		fmt.Fprintf(&text, "  - {name: u%d, ids: {TAOBAO: [\"%d\"], LOGIN: [\"138%08d\"]}, attributes: {level: %d}}\n", k, k, k, k%9)
	}
	w := newWorld(t)
	w.mustApply(text.String())
	var out bytes.Buffer
	largest := 0
	err := Export(context.Background(), writerFunc(func(p []byte) (int, error) {
		largest = max(largest, len(p))
		return out.Write(p)
	}), w.reader(), w.catalogue(), ExportOptions{})
	if n := strings.Count(out.String(), "- name:"); err != nil || n != users || largest > 16<<10 {
		t.Errorf("%d users, the largest write has %d bytes, %v", n, largest, err)
	}
	if plan := w.mustApply(w.export(false)); !plan.Empty() || plan.Same != users {
		t.Errorf("applied again: %d changes, %d the same", len(plan.Changes), plan.Same)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// The generators draw entities that are valid, in the form in which they are stored, with every field.

var titles = rapid.StringOf(rapid.OneOf(
	rapid.RuneFrom([]rune("ab1 -:#&*!|>'\"%@`,[]{}?~=<\\/.券红包\u00a0\u2028\ufeff😀é")), rapid.RuneFrom(nil, asciiGraphic),
))

func drawTitle(t *rapid.T) string {
	return rapid.OneOf(titles.Filter(func(s string) bool {
		_, err := text(maxTitle)(s)
		return s == "" || err == nil
	}), rapid.SampledFrom([]string{"", "true", "null", "~", "1e3", "0x10", "2026-01-01", "off", "-", "- a", "a: b", " a", "a "})).Draw(t, "title")
}

func drawWindow(t *rapid.T) benefit.Window {
	instants := rapid.Int64Range(firstTime.Unix(), lastTime.Unix())
	w := benefit.Window{Start: benefit.Instant(instants.Draw(t, "start") * 1000), End: benefit.Instant(instants.Draw(t, "end") * 1000)}
	if w.Start > w.End {
		w.Start, w.End = w.End, w.Start
	}
	return w
}

func drawValidity(t *rapid.T) benefit.Validity {
	if rapid.Bool().Draw(t, "absolute") {
		return benefit.Validity{Absolute: drawWindow(t)}
	}
	seconds := rapid.Int64Range(1, maxDuration/1000)
	if rapid.Bool().Draw(t, "to the end of the day alone") {
		return benefit.Validity{ToDayEnd: true}
	}
	return benefit.Validity{
		AfterMillis: rapid.OneOf(rapid.Just(int64(0)), seconds).Draw(t, "after") * 1000,
		ForMillis:   rapid.OneOf(rapid.Just(int64(86400)), seconds).Draw(t, "for") * 1000, ToDayEnd: rapid.Bool().Draw(t, "to day end"),
	}
}

func drawStatus(t *rapid.T) benefit.Status {
	return benefit.Status(rapid.IntRange(1, 4).Draw(t, "status"))
}

func drawCap(t *rapid.T) benefit.Cap {
	return benefit.Cap(rapid.OneOf(rapid.Just(int64(-1)), rapid.Just(int64(0)), rapid.Int64Range(1, 1<<40)).Draw(t, "cap"))
}

// drawTemplate draws template number k of a catalogue.
func drawTemplate(t *rapid.T, k int) *benefit.Template {
	fen := rapid.Int64Range(1, 1e9)
	tpl := &benefit.Template{
		ID: benefit.TemplateID(k), Name: fmt.Sprint("t", k), Merchant: 1, Title: drawTitle(t), Status: drawStatus(t),
		Kind: benefit.Kind(rapid.IntRange(1, 6).Draw(t, "kind")), Publish: drawWindow(t), Valid: drawValidity(t),
		Stock: benefit.Stock{Count: drawCap(t), Amount: -1, CountPerDay: drawCap(t), AmountPerDay: -1},
		Limits: benefit.Limits{
			PerUser:       rapid.Int64Range(0, 9).Draw(t, "per user"),
			PerUserPerDay: rapid.Int64Range(0, 9).Draw(t, "per user per day"), PerPerson: rapid.Int64Range(0, 9).Draw(t, "per person"),
		},
		TemplateID: fmt.Sprint("T", k), RightID: 1<<62 + int64(k), BizID: fmt.Sprint("00", k),
	}
	if rapid.Bool().Draw(t, "granted") {
		tpl.GrantedTo = []benefit.AppID{1}
	}
	switch tpl.Kind {
	case benefit.Cash:
		min := fen.Draw(t, "min")
		tpl.Amount = benefit.AmountRule{From: benefit.AmountFrom(rapid.IntRange(1, 3).Draw(t, "from")), Min: fenOf(min), Max: fenOf(min)}
		if tpl.Amount.From != benefit.Fixed {
			tpl.Amount.Max += fenOf(fen.Draw(t, "more"))
		}
		tpl.Stock.Amount, tpl.Stock.AmountPerDay = drawCap(t), drawCap(t)
	case benefit.Reduction:
		tpl.Face = benefit.Face{Reduction: fenOf(fen.Draw(t, "reduction")), Threshold: fenOf(fen.Draw(t, "threshold") - 1)}
		tpl.Stock.Amount = drawCap(t)
	case benefit.Discount:
		tpl.Face = benefit.Face{Percent: rapid.Int64Range(1, 9999).Draw(t, "percent"), Ceiling: fenOf(fen.Draw(t, "ceiling") - 1)}
	case benefit.FixedPrice:
		tpl.Face.Price = fenOf(fen.Draw(t, "price"))
	case benefit.Certificate:
		tpl.OutID = 1<<62 + int64(k)
		if rapid.Bool().Draw(t, "by out_id alone") {
			tpl.TemplateID = ""
		}
		tpl.Code.Digits = rapid.IntRange(minDigits, maxDigits).Draw(t, "digits")
		tpl.Channels = rapid.SliceOfNDistinct(rapid.Int64Range(0, 99), 1, 3, rapid.ID).Draw(t, "channels")
		tpl.RepeatMillis = rapid.Int64Range(0, maxRepeat/1000).Draw(t, "repeat") * 1000
	}
	return tpl
}

// drawActivity draws activity number k over the templates.
func drawActivity(t *rapid.T, k int, templates []*benefit.Template) *benefit.Activity {
	a := &benefit.Activity{
		ID: benefit.ActivityID(k), Name: fmt.Sprint("a", k), Merchant: 1, ActCode: fmt.Sprint("A", k), RelationID: int64(k),
		Window: drawWindow(t), Status: drawStatus(t), NoGuard: rapid.Bool().Draw(t, "no guard"),
		Rule:     rapid.SampledFrom([]string{"", "user.level >= 2", "known ||\n\tuser.b == \"x\"\n", "issuedOf(\"t1\") + issuedIn(\"a1\") == 0", " known // # no comment", "user['a: b'] == '\\\\u4e2d'"}).Draw(t, "rule"),
		Priority: rapid.Int64Range(-5, 5).Draw(t, "priority"),
	}
	if rapid.Bool().Draw(t, "box") {
		a.Box = &benefit.Box{Cards: []string{"game", "beauty"}, DoneAfter: rapid.IntRange(1, 2).Draw(t, "done after"), CountSends: rapid.Bool().Draw(t, "sends")}
	}
	for n, tpl := range templates {
		i := benefit.Item{
			DetailID: int64(k*100 + n + 1), Template: tpl.ID, BenefitType: rapid.Int64Range(0, 3).Draw(t, "type"),
			MaxSends: rapid.IntRange(1, 64).Draw(t, "sends"), Quantity: rapid.IntRange(1, 64).Draw(t, "quantity"),
		}
		if tpl.TakesAmount() {
			i.Amount = int64(tpl.Amount.Min)
		}
		a.Items = append(a.Items, i)
	}
	return a
}

func drawSubscription(t *rapid.T, templates []*benefit.Template) *benefit.Subscription {
	s := &benefit.Subscription{
		ID: 1, Name: "s", Merchant: 1, Status: drawStatus(t),
		Types: rapid.SliceOfNDistinct(rapid.SampledFrom(benefit.EventPatterns()), 1, 4, rapid.ID).Draw(t, "types"),
	}
	for _, tpl := range rapid.SliceOfNDistinct(rapid.SampledFrom(templates), 0, 4, rapid.ID).Draw(t, "of") {
		s.Templates = append(s.Templates, tpl.ID)
	}
	return s
}

func drawUser(t *rapid.T, k int) *benefit.User {
	u := &benefit.User{
		Name: fmt.Sprint("u", k), Frozen: rapid.Bool().Draw(t, "frozen"), Person: drawTitle(t),
		Identifiers: []benefit.Identifier{
			{Type: "OPEN_ID", Value: fmt.Sprint("o", k, drawTitle(t)), App: 1}, {Type: "ALIPAY", Value: fmt.Sprintf("%016d", k)},
			{Type: "true", Value: fmt.Sprint(k)}, {Type: "1", Value: fmt.Sprint(k, drawTitle(t))},
		},
		Alipay: fmt.Sprintf("%016d", k),
	}
	if len([]rune(u.Person)) > maxPerson {
		u.Person = ""
	}
	attributes := rapid.SampledFrom([]string{
		"", `{"a":1}`, `{"a":[1,"1",true,null,{"b":1.5}],"c: d":"x: y"}`, `{"a":"true","b":9007199254740993,"c":1e+100}`, `{"":"x","a":-2.5e-7}`,
	}).Draw(t, "attributes")
	if attributes != "" {
		u.Attributes = []byte(attributes)
	}
	return u
}

// The round trip starts from what is stored, and not from a file.
func TestAnyCatalogueSurvivesExport(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		app := &benefit.App{
			ID: 1, Name: "app", Merchant: 1, AppKey: "0123", AppSecret: w.box.Seal([]byte("0x1f"), appSecret(1)),
			Methods: []string{"taobao.time.get"}, RatePerSecond: 5, Disabled: rapid.Bool().Draw(rt, "disabled"),
			RedirectURIs:     rapid.SampledFrom([][]string{nil, {"https://shop.example/back?a=b&c=%23", "http://127.0.0.1:8080"}}).Draw(rt, "redirect"),
			ExplainSignature: rapid.Bool().Draw(rt, "explain"),
		}
		merchant := &benefit.Merchant{ID: 1, Name: "m", Title: drawTitle(rt), SellerID: 1<<63 - 1, Open: rapid.Bool().Draw(rt, "open"),
			UserTypes: rapid.SampledFrom([][]string{nil, {"ALIPAY"}, {"true", "1", "OPEN_ID"}}).Draw(rt, "user types"), AnyUserID: rapid.Bool().Draw(rt, "any user id"),
		}
		entities := []any{merchant, app}
		var templates []*benefit.Template
		for k := range rapid.IntRange(1, 4).Draw(rt, "templates") {
			templates = append(templates, drawTemplate(rt, k+1))
			entities = append(entities, templates[k])
		}
		scene := &benefit.Scene{ID: 1, Name: "s", Merchant: 1, SceneCode: "1e5", Strategy: benefit.Strategy(rapid.IntRange(1, 3).Draw(rt, "strategy")), Status: drawStatus(rt), Narrowing: benefit.Narrowing(rapid.IntRange(0, 3).Draw(rt, "narrowing"))}
		for k := range 2 {
			if a := drawActivity(rt, k+1, templates); len(a.Items) > 0 {
				entry := benefit.SceneEntry{Activity: a.ID}
				if scene.Strategy == benefit.ChooseWeighted {
					entry.Weight = int64(k + 1)
				}
				entities, scene.Activities = append(entities, a), append(scene.Activities, entry)
			}
		}
		if len(scene.Activities) > 0 {
			entities = append(entities, scene)
		}
		entities = append(entities, drawSubscription(rt, templates))
		changes := &benefit.Changes{Catalogue: 1}
		for _, v := range entities {
			e, err := benefit.EntityOf(v)
			if err != nil {
				rt.Fatal(err)
			}
			changes.Rows = append(changes.Rows, benefit.Entities.Rows(e))
		}
		for k := range 3 {
			u := drawUser(rt, k)
			u.ID = w.env.IDs.Block(0, k, 1)
			changes.Users = append(changes.Users, u)
			d := benefit.SessionDigest(fmt.Sprint("k", k))
			changes.Rows = append(changes.Rows, benefit.Sessions.Rows(&benefit.Session{
				Digest: d, Sealed: w.box.Seal(fmt.Append(nil, "k", k), SessionKey(d)), App: 1, Merchant: 1, User: u.ID,
			}))
		}
		w.commit(changes)

		exported := w.export(true)
		other := newWorld(t)
		if _, err := other.apply(exported); err != nil {
			rt.Fatalf("%v\n%s", err, exported)
		}
		equalStores(rt, w, other, exported)
		plan, err := w.apply(exported)
		if err != nil || !plan.Empty() {
			rt.Fatalf("applied where it came from: %+v, %v\n%s", plan, err, exported)
		}
	})
}

// equalStores compares what two stores hold, apart from the ids of users and from the bytes of what is sealed.
func equalStores(t *rapid.T, a, b *world, exported string) {
	t.Helper()
	ca, cb := a.catalogue(), b.catalogue()
	open := func(w *world, c *benefit.Catalogue) string {
		secret, err := w.box.Open(c.Apps[1].AppSecret, appSecret(1))
		if err != nil {
			t.Fatal(err)
		}
		c.Apps[1].AppSecret = nil
		return string(secret)
	}
	if sa, sb := open(a, ca), open(b, cb); sa != sb {
		t.Fatalf("app_secret %q and %q", sa, sb)
	}
	for _, pair := range [][2]any{
		{ca.Merchants, cb.Merchants}, {ca.Apps, cb.Apps}, {ca.Templates, cb.Templates},
		{ca.Activities, cb.Activities}, {ca.Scenes, cb.Scenes}, {ca.Subscriptions, cb.Subscriptions}, {usersOf(t, a), usersOf(t, b)}, {sessionsOf(t, a), sessionsOf(t, b)},
	} {
		if d := cmp.Diff(pair[0], pair[1]); d != "" {
			t.Fatalf("%s\n%s", d, exported)
		}
	}
}

func usersOf(t *rapid.T, w *world) map[string]benefit.User {
	all := map[string]benefit.User{}
	for u, err := range w.reader().AllUsers(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		one := *u
		one.ID = 0
		all[one.Name] = one
	}
	return all
}

func sessionsOf(t *rapid.T, w *world) map[benefit.Digest]string {
	all := map[benefit.Digest]string{}
	r := w.reader()
	for s, err := range store.All(context.Background(), r, benefit.Sessions) {
		if err != nil {
			t.Fatal(err)
		}
		u, err := r.User(context.Background(), s.User)
		if err != nil || u == nil {
			t.Fatal(u, err)
		}
		key, err := w.box.Open(s.Sealed, SessionKey(s.Digest))
		if err != nil {
			t.Fatal(err)
		}
		all[s.Digest] = fmt.Sprint(string(key), s.App, s.Merchant, u.Name, s.Expires)
	}
	return all
}
