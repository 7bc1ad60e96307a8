package storetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// Pick draws a whole number from 0 to n-1. Where rapid draws it a failing history shrinks; see Seeded for one
// that a number repeats.
type Pick func(n int) int

// Seeded returns a Pick that repeats itself for the same seed.
func Seeded(seed uint64) Pick { return rand.New(rand.NewPCG(seed, seed)).IntN }

// World makes random histories: a few templates with tight caps and limits, a few users that are linked,
// frozen and called otherwise, activities with a guard and treasure boxes, scenes of every strategy, certificates whose
// codes run out, keys that are bound for a while, requests that come again, sometimes with another meaning, the commands of
// [oracle.Generators], and a clock that jumps over midnight and steps back. It is small, so that things meet. Its rules are
// of the language of [oracle.Term]. [World.Do] carries its steps out; a test may do so itself, and see what becomes of them.
type World struct {
	Clock     benefit.Instant
	Templates []*benefit.Template
	Users     []*benefit.User // those that are registered; others come to be by being issued to
	Oracle    *oracle.Oracle  // judges what Do carries out

	pick       Pick
	version    int64
	app        *benefit.App
	activities []*benefit.Activity
	scenes     []*benefit.Scene
	past       []*benefit.Request
	sources    []*oracle.Source
}

// Step is what happens next: a batch of calls, or rows that an operator writes.
type Step struct {
	Clock   benefit.Instant
	Calls   []oracle.Call
	Changes *benefit.Changes // nil for a batch
}

// Requests returns the requests of the issues among the calls.
func (s Step) Requests() (all []*benefit.Request) {
	for _, c := range s.Calls {
		if i, ok := c.(*oracle.Issue); ok {
			all = append(all, i.Request)
		}
	}
	return all
}

// NewWorld draws a world.
func NewWorld(pick Pick) *World {
	// The ten codes of one digit may all be drawn by a batch of five requests, but never the hundred of two.
	w := &World{Clock: Start + 10*hour, Oracle: NewOracle(1), pick: pick, version: 1, app: apps()[0]}
	for n := range 1 + pick(3) {
		w.Templates = append(w.Templates, w.template(benefit.TemplateID(n+1)))
	}
	for n := range 4 {
		w.activities = append(w.activities, w.activity(benefit.ActivityID(n+1)))
	}
	w.scenes = w.drawScenes()
	g := id.NewGenerator(rand.New(rand.NewPCG(1, 1)), 0)
	for n := range 4 {
		u := named(g.Block(int64(Start-1000), 100*n, 1), fmt.Sprint("u", n), benefit.Identifier{Type: benefit.Login, Value: fmt.Sprint("u", n)})
		u.Person = some(w, "", "p", "p", "q")
		u.Attributes = some(w, nil, []byte(`{"level":"gold"}`), []byte(`{}`))
		w.Users = append(w.Users, u)
	}
	seed := w.hash()
	w.sources = oracle.Sources(seed)
	for _, t := range w.Templates {
		VaryUse(Seeded(seed+uint64(t.ID)), t)
	}
	return w
}

// VaryUse changes what a template's vouchers can be used for, and when. What can be issued does not depend on it.
func VaryUse(pick Pick, t *benefit.Template) {
	switch {
	case t.Kind == benefit.Reduction:
		t.Face.Threshold = oneOf[money.Fen](pick, 0, 3, 10)
	case t.Kind == benefit.Exchange && pick(4) > 0:
		t.Kind, t.Face = benefit.Discount, benefit.Face{
			Percent: oneOf[int64](pick, 1, 5_000, 8_500, 9_999), Ceiling: oneOf[money.Fen](pick, 0, 3, 3), Threshold: oneOf[money.Fen](pick, 0, 0, 10),
		}
		if pick(2) == 0 {
			t.Kind, t.Face = benefit.FixedPrice, benefit.Face{Price: oneOf[money.Fen](pick, 1, 10)}
		}
	}
	day := int64(24 * hour)
	t.Valid = oneOf(pick,
		t.Valid, t.Valid, benefit.Validity{ForMillis: 1000}, benefit.Validity{ForMillis: 10 * int64(hour)},
		benefit.Validity{AfterMillis: int64(hour), ForMillis: day}, benefit.Validity{ForMillis: 1, ToDayEnd: true},
		benefit.Validity{Absolute: benefit.Window{Start: Start}}, benefit.Validity{Absolute: benefit.Window{Start: Start, End: Start + 20*hour}},
	)
}

func oneOf[T any](pick Pick, choices ...T) T { return choices[pick(len(choices))] }

// hash returns a number that is the same for the same templates and activities. As a seed it leaves pick alone: the requests
// and changes of a world do not depend on which commands there are.
func (w *World) hash() uint64 {
	h := fnv.New64a()
	for _, e := range benefit.Entities.Of(w.Setup().Changes.Rows) {
		h.Write(e.Body)
	}
	return h.Sum64()
}

const hour benefit.Instant = 3_600_000

// some is one of the choices.
func some[T any](w *World, choices ...T) T { return oneOf(w.pick, choices...) }

// template draws a template. Its kind and amounts never change.
func (w *World) template(n benefit.TemplateID) *benefit.Template {
	t := Template(n, some(w,
		func(t *benefit.Template) { t.Face.Reduction = 5 },
		func(t *benefit.Template) { t.Kind, t.Face = benefit.Exchange, benefit.Face{} },
		Cash(benefit.FromRequest, 2, 9), Cash(benefit.Random, 2, 9), Cash(benefit.Fixed, 4, 4), Certificate(1), Certificate(2)))
	t.Name, t.RightID = fmt.Sprint("t", n), rightOf(n)
	if t.Merchant = some(w, OpenMerchant, OpenMerchant, RegisteredMerchant); t.Merchant != OpenMerchant && w.pick(3) > 0 {
		t.GrantedTo = []benefit.AppID{App}
	}
	t.Stock = benefit.Stock{Count: w.cap(20), Amount: w.cap(60), CountPerDay: w.cap(12), AmountPerDay: w.cap(40)}
	t.Limits = w.limits()
	return t
}

// Cash makes a template give cash.
func Cash(from benefit.AmountFrom, lowest, highest money.Fen) func(*benefit.Template) {
	return func(t *benefit.Template) {
		t.Kind, t.Face, t.Amount = benefit.Cash, benefit.Face{}, benefit.AmountRule{From: from, Min: lowest, Max: highest}
	}
}

// Certificate makes a template give codes of so few digits that they meet and run out.
func Certificate(digits int) func(*benefit.Template) {
	return func(t *benefit.Template) {
		t.Kind, t.Face, t.Code = benefit.Certificate, benefit.Face{}, benefit.CodeRule{Digits: digits}
	}
}

func (w *World) cap(most int) benefit.Cap {
	return some(w, benefit.Unlimited, benefit.Unlimited, benefit.Cap(w.pick(most)))
}

func (w *World) limits() benefit.Limits {
	return benefit.Limits{
		PerUser: int64(some(w, 0, 0, 1, 4)), PerUserPerDay: int64(some(w, 0, 0, 1, 3)), PerPerson: int64(some(w, 0, 0, 2, 5)),
	}
}

// Catalogue returns the catalogue as it stands.
func (w *World) Catalogue() *benefit.Catalogue {
	return benefit.NewCatalogue(w.version, merchants(), []*benefit.App{w.app}, w.Templates, w.activities, w.scenes)
}

// Setup returns the first step: the users, the catalogue and a session.
func (w *World) Setup() Step {
	var all []any
	for _, m := range merchants() {
		all = append(all, m)
	}
	all = append(all, w.app)
	for _, t := range w.Templates {
		all = append(all, t)
	}
	for _, a := range w.activities {
		all = append(all, a)
	}
	for _, s := range w.scenes {
		all = append(all, s)
	}
	changes := w.entities(all...)
	changes.Users = w.Users
	changes.Rows = append(changes.Rows, benefit.Sessions.Rows(fullSession("first")))
	return Step{Clock: w.Clock, Changes: changes}
}

// entities returns the rows of what was changed in the catalogue.
func (w *World) entities(changed ...any) *benefit.Changes {
	var all []benefit.Entity
	for _, v := range changed {
		e, err := benefit.EntityOf(v)
		if err != nil {
			panic(err) // all of a world's are some
		}
		all = append(all, e)
	}
	return &benefit.Changes{Catalogue: w.version, Rows: benefit.RowsOf(benefit.Entities.Rows(all...))}
}

// Next draws the next step.
func (w *World) Next() Step {
	w.Clock += some(w, 0, 0, 1, 700, 999, 1000, hour, 9*hour, -2*hour)
	s := Step{Clock: w.Clock}
	switch n := w.pick(16); {
	case w.app.Disabled && n < 8 || n == 5 && w.pick(4) == 0:
		s.Changes = w.changeApp()
	case n < 2:
		s.Changes = w.changeTemplate()
	case n < 4:
		s.Changes = w.changeUsers()
	case n == 4:
		s.Changes = w.changeActivity()
	case n == 5:
		s.Changes = w.changeScene()
	default:
		for range 1 + w.pick(5) {
			r := w.request()
			w.past = append(w.past, r)
			s.Calls = append(s.Calls, oracle.NewIssue(r))
		}
		for _, source := range w.sources {
			s.Calls = append(s.Calls, source.Next(w.Oracle)...)
		}
	}
	return s
}

// Do carries out the step on stores with the same past, whose committers draw from the same seed. It fails when an outcome
// is not what the oracle finds right, or when the stores differ in one.
func (w *World) Do(ctx context.Context, s Step, all ...*Committer) error {
	cat := w.Catalogue()
	w.Oracle.SetCatalogue(cat)
	for k, c := range all {
		before := c.Catalogue
		c.Catalogue = cat
		var err error
		switch {
		case s.Changes != nil:
			err = writeChange(ctx, c.Store, s, before, cat)
		case k == 0:
			err = c.callJudged(ctx, w.Oracle, s.Clock, s.Calls)
		default:
			err = c.CallAgain(ctx, s.Clock, s.Calls...)
		}
		if err != nil {
			return fmt.Errorf("store %d: %w", k, err)
		}
		if plain, ok := c.Store.(*memory.Store); ok { // others take their time, and are compared with a plain one
			if err := conserved(ctx, plain); err != nil {
				return fmt.Errorf("store %d: %w", k, err)
			}
		}
	}
	if s.Changes != nil {
		w.Oracle.SetUsers(s.Changes.Users...)
	}
	return nil
}

// writeChange writes the changes of a step with the events of the templates that they add or change, as the engine does.
func writeChange(ctx context.Context, st store.Store, s Step, before, after *benefit.Catalogue) error {
	_, version, err := st.Entities(ctx)
	if err != nil {
		return err
	}
	changes, step := *s.Changes, benefit.Step{}
	for _, e := range benefit.Entities.Of(changes.Rows) {
		if e.Kind != benefit.TemplateEntity {
			continue
		}
		id := benefit.TemplateID(e.ID)
		issued, err := store.GetAll(ctx, st, benefit.TemplateCounts, id)
		if err != nil {
			return err
		}
		was := before.Templates[id]
		if version == 0 {
			was = nil
		}
		step.Templates = append(step.Templates, after.Templates[id].ChangeEvents(was, after.Version, issued[id])...)
	}
	if len(step.Templates) > 0 {
		changes.Steps = []benefit.Step{step}
	}
	return Write(ctx, st, s.Clock, &changes)
}

// conserved checks a store by [oracle.CheckConservation].
func conserved(ctx context.Context, st store.Store) error {
	all, err := ContentsOf(ctx, st)
	if err != nil {
		return err
	}
	return oracle.CheckConservation(all.Issuances, all.Rows)
}

// changeTemplate changes a template as an operator may: stock only grows.
func (w *World) changeTemplate() *benefit.Changes {
	k := w.pick(len(w.Templates))
	t := *w.Templates[k]
	switch w.pick(5) {
	case 0:
		t.Limits = w.limits()
	case 1:
		for _, c := range []*benefit.Cap{&t.Stock.Count, &t.Stock.Amount, &t.Stock.CountPerDay, &t.Stock.AmountPerDay} {
			if *c != benefit.Unlimited {
				*c += benefit.Cap(w.pick(5))
			}
		}
	case 2:
		t.Publish = some(w, benefit.Window{}, benefit.Window{Start: w.Clock + hour}, benefit.Window{End: w.Clock + hour})
	default:
		t.Status = some(w, benefit.Active, benefit.Active, benefit.Paused, benefit.Ended, benefit.Draft)
	}
	w.Templates = slices.Clone(w.Templates)
	w.Templates[k] = &t
	w.version++
	return w.entities(&t)
}

// changeApp disables the app, or enables it again.
func (w *World) changeApp() *benefit.Changes {
	a := *w.app
	a.Disabled = !a.Disabled
	w.app = &a
	w.version++
	return w.entities(&a)
}

// changeUsers freezes or links a user, or gives its login name to another.
func (w *World) changeUsers() *benefit.Changes {
	a, b := w.pick(len(w.Users)), w.pick(len(w.Users))
	w.Users = slices.Clone(w.Users)
	one := *w.Users[a]
	w.Users[a] = &one
	switch w.pick(3) {
	case 0:
		one.Frozen = !one.Frozen
	case 1:
		one.Person = some(w, "", "p", "q")
	case 2:
		if a == b {
			break
		}
		other := *w.Users[b]
		w.Users[b] = &other
		one.Identifiers, other.Identifiers = swapLast(one.Identifiers, other.Identifiers)
		return &benefit.Changes{Users: []*benefit.User{&one, &other}}
	}
	return &benefit.Changes{Users: []*benefit.User{&one}}
}

// swapLast exchanges the last identifiers of two users.
func swapLast(a, b []benefit.Identifier) ([]benefit.Identifier, []benefit.Identifier) {
	a, b = slices.Clone(a), slices.Clone(b)
	a[len(a)-1], b[len(b)-1] = b[len(b)-1], a[len(a)-1]
	return a, b
}

// request draws a request: one that came before, one like it, or a new one.
func (w *World) request() *benefit.Request {
	if len(w.past) > 0 && w.pick(3) == 0 {
		r := *some(w, w.past...)
		switch w.pick(6) {
		case 0:
			r.Recipient = w.recipient()
		case 1:
			if r.Params.SceneCode != "" {
				w.sceneRequest(&r)
				break
			}
			r.Lines = w.lines(r.Continues)
			r.Fingerprint = benefit.FingerprintOf(r.Lines)
		case 2:
			r.Note.TraceID = "again"
		}
		return &r
	}
	r := &benefit.Request{
		Scope: some[benefit.Scope](w, "w/1", "w/2"), Key: fmt.Sprint("k", len(w.past)), App: App,
		Recipient: w.recipient(), Continues: w.pick(3) == 0, Note: benefit.Note{Memo: "第", TraceID: fmt.Sprint(len(w.past))},
		Guarded: w.pick(2) == 0, Params: benefit.Params{Card: some(w, "", "a", "b", "c")}, OnAlipay: w.pick(10) == 0,
	}
	switch w.pick(8) {
	case 0, 1, 2:
		w.sceneRequest(r)
	case 3:
		w.windowRequest(r)
	default:
		r.Lines = w.lines(r.Continues)
		r.Fingerprint = benefit.FingerprintOf(r.Lines)
	}
	return r
}

func (w *World) recipient() benefit.Identifier {
	n := w.pick(4)
	return some(w,
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20880", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20880", n)},
		benefit.Identifier{Type: benefit.Login, Value: fmt.Sprint("u", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20889", n)},
		benefit.Identifier{Type: benefit.OpenID, Value: "unknown", App: App},
		benefit.Identifier{Type: benefit.Nick, Value: "unknown"},
		benefit.Identifier{Type: some(w, benefit.TaobaoID, "INVENTED"), Value: some(w, "unknown", "two\nlines")},
		benefit.RefTo(w.Users[n].ID),
		benefit.RefTo(benefit.UserID(n)), // nobody
	)
}

func (w *World) lines(continues bool) []benefit.Line {
	all := make([]benefit.Line, 1+w.pick(2))
	for k := range all {
		l := Line(benefit.TemplateID(1 + w.pick(len(w.Templates))))
		if w.pick(30) == 0 {
			l.Template = 99 // there is none
		}
		l.Quantity = some(w, 1, 1, 2)
		if !continues {
			l.Sends = some(w, 1, 1, 3)
		}
		l.Activity = some[benefit.ActivityID](w, 0, 0, 1, 2, 3, 3, 4)
		if t := w.templateOf(l); t != nil && t.TakesAmount() != (w.pick(10) == 0) {
			l.HasAmount, l.Amount = true, money.Fen(1+w.pick(10))
		}
		all[k] = l
	}
	return all
}

func (w *World) templateOf(l benefit.Line) *benefit.Template {
	for _, t := range w.Templates {
		if t.ID == l.Template {
			return t
		}
	}
	return nil
}
