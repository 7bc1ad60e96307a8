package sim

import (
	"context"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/issuing"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

const hour benefit.Instant = 3_600_000

// world draws what clients and operators do. It is small, so that things meet: a few templates with tight caps
// and limits, a few users, keys that come again.
type world struct {
	pickFrom  func(n int) int
	templates int
	takes     map[benefit.TemplateID]bool // their amount from the request
	asked     []*benefit.Request          // one for each key
	unsettled map[*benefit.Request]bool
}

func newWorld(pick func(n int) int) *world {
	return &world{pickFrom: pick, templates: 1 + pick(4), takes: map[benefit.TemplateID]bool{}, unsettled: map[*benefit.Request]bool{}}
}

func (w *world) pick(n int) int { return w.pickFrom(n) }

// setUp plans the first catalogue.
func (w *world) setUp(clock benefit.Instant) issuing.ChangeFunc {
	return func(_ context.Context, _ store.Reader, _ *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
		all := []any{
			&benefit.Merchant{ID: storetest.OpenMerchant, Name: "open", Open: true},
			&benefit.Merchant{ID: storetest.RegisteredMerchant, Name: "registered"},
			&benefit.App{ID: storetest.App, Name: "app", Merchant: storetest.OpenMerchant},
			&benefit.Activity{ID: 1, Name: "open", Merchant: storetest.OpenMerchant, Status: benefit.Active},
			&benefit.Activity{ID: 2, Name: "later", Merchant: storetest.OpenMerchant, Status: benefit.Active, Window: benefit.Window{Start: clock + 3*hour}},
		}
		for n := range w.templates {
			all = append(all, w.template(benefit.TemplateID(n+1)))
		}
		changes := &benefit.Changes{Catalogue: 1}
		for n := range 4 {
			changes.Users = append(changes.Users, w.newUser(clock, n, env))
		}
		return changes, entities(changes, all...)
	}
}

func entities(changes *benefit.Changes, all ...any) error {
	for _, v := range all {
		e, err := benefit.EntityOf(v)
		if err != nil {
			return err
		}
		changes.Entities = append(changes.Entities, e)
	}
	return nil
}

func (w *world) newUser(clock benefit.Instant, n int, env benefit.Env) *benefit.User {
	alipay := fmt.Sprint("2088u", n)
	return &benefit.User{
		ID: env.IDs.Block(int64(clock), id.BucketOf(alipay), 1), Name: fmt.Sprint("u", n), Alipay: alipay, Person: some(w, "", "p", "p", "q"),
		Identifiers: []benefit.Identifier{{Type: benefit.AlipayID, Value: alipay}, {Type: benefit.Login, Value: fmt.Sprint("u", n)}},
	}
}

func (w *world) template(n benefit.TemplateID) *benefit.Template {
	cash := func(from benefit.AmountFrom, lowest, highest money.Fen) func(*benefit.Template) {
		return func(t *benefit.Template) {
			t.Kind, t.Face, t.Amount = benefit.Cash, benefit.Face{}, benefit.AmountRule{From: from, Min: lowest, Max: highest}
		}
	}
	t := storetest.Template(n, some(w,
		func(t *benefit.Template) { t.Face.Reduction = 5 },
		func(t *benefit.Template) { t.Kind, t.Face = benefit.Exchange, benefit.Face{} },
		cash(benefit.FromRequest, 2, 9), cash(benefit.Random, 2, 9), cash(benefit.Fixed, 4, 4)))
	t.Merchant = some(w, storetest.OpenMerchant, storetest.OpenMerchant, storetest.OpenMerchant, storetest.OpenMerchant, storetest.RegisteredMerchant)
	t.Stock = benefit.Stock{Count: w.cap(80), Amount: w.cap(300), CountPerDay: w.cap(30), AmountPerDay: w.cap(120)}
	t.Limits = w.limits()
	w.takes[n] = t.TakesAmount()
	return t
}

func (w *world) cap(most int) benefit.Cap {
	return some(w, benefit.Unlimited, benefit.Unlimited, benefit.Unlimited, benefit.Cap(w.pick(most)))
}

func (w *world) limits() benefit.Limits {
	return benefit.Limits{
		PerUser: some[int64](w, 0, 0, 2, 6), PerUserPerDay: some[int64](w, 0, 0, 0, 1, 3), PerPerson: some[int64](w, 0, 0, 0, 2, 9),
	}
}

// change draws a change: what it is, and its plan.
func (w *world) change(clock benefit.Instant) (string, issuing.ChangeFunc) {
	if w.pick(2) == 0 {
		return "change a template", func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
			return w.changeTemplate(clock, cat)
		}
	}
	return "change a user", func(ctx context.Context, r store.Reader, _ *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		var users []*benefit.User
		for u, err := range r.AllUsers(ctx) {
			if err != nil {
				return nil, err
			}
			users = append(users, u)
		}
		return w.changeUsers(users), nil
	}
}

// changeTemplate changes a template as an operator may: stock only grows.
func (w *world) changeTemplate(clock benefit.Instant, cat *benefit.Catalogue) (*benefit.Changes, error) {
	t := *cat.Templates[benefit.TemplateID(1+w.pick(w.templates))]
	switch w.pick(7) {
	case 0:
		t.Limits = w.limits()
	case 1, 2, 3:
		for _, c := range []*benefit.Cap{&t.Stock.Count, &t.Stock.Amount, &t.Stock.CountPerDay, &t.Stock.AmountPerDay} {
			if *c != benefit.Unlimited {
				*c += benefit.Cap(w.pick(15))
			}
		}
	case 4:
		t.Publish = some(w, benefit.Window{}, benefit.Window{}, benefit.Window{Start: clock + hour}, benefit.Window{End: clock + hour})
	default:
		t.Status = some(w, benefit.Active, benefit.Active, benefit.Active, benefit.Active, benefit.Paused, benefit.Ended, benefit.Draft)
	}
	changes := &benefit.Changes{Catalogue: cat.Version + 1}
	return changes, entities(changes, &t)
}

// changeUsers freezes or links a user, or gives identifiers to it and to others.
func (w *world) changeUsers(users []*benefit.User) *benefit.Changes {
	one, other := *users[w.pick(len(users))], *users[w.pick(len(users))]
	changes := &benefit.Changes{Users: []*benefit.User{&one}}
	switch w.pick(5) {
	case 0:
		one.Frozen = !one.Frozen
	case 1:
		one.Person = some(w, "", "p", "q")
	case 2: // an alias more
		if more := (benefit.Identifier{Type: benefit.Nick, Value: fmt.Sprint("nick", w.pick(4))}); free(users, more) {
			one.Identifiers = append(slices.Clone(one.Identifiers), more)
		}
	case 3: // known by another id from now on, and no more by its first
		if more := (benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("2088moved", w.pick(4))}); free(users, more) {
			one.Identifiers = append(slices.Clone(one.Identifiers[1:]), more)
			one.Alipay = firstAlipay(one.Identifiers)
		}
	default: // two users change their last identifiers
		if one.ID != other.ID {
			one.Identifiers, other.Identifiers = slices.Clone(one.Identifiers), slices.Clone(other.Identifiers)
			a, b := &one.Identifiers[len(one.Identifiers)-1], &other.Identifiers[len(other.Identifiers)-1]
			*a, *b = *b, *a
			one.Alipay, other.Alipay = firstAlipay(one.Identifiers), firstAlipay(other.Identifiers)
			changes.Users = append(changes.Users, &other)
		}
	}
	return changes
}

// free says that nobody has the identifier.
func free(users []*benefit.User, ident benefit.Identifier) bool {
	return !slices.ContainsFunc(users, func(u *benefit.User) bool { return slices.Contains(u.Identifiers, ident) })
}

func firstAlipay(all []benefit.Identifier) string {
	for _, i := range all {
		if i.Type == benefit.AlipayID {
			return i.Value
		}
	}
	return ""
}

// request draws a request: one that came before, one like it, or a new one.
func (w *world) request(clock benefit.Instant) *benefit.Request {
	if n := len(w.asked); n > 0 && w.pick(3) == 0 {
		first := w.asked[max(0, n-1-w.pick(n))]
		again := *first
		switch w.pick(8) {
		case 0:
			again.Recipient = w.recipient()
		case 1:
			again.Lines = w.lines(again.Continues)
			again.Meaning = benefit.MeaningOf(again.Lines)
		case 2:
			again.Note.TraceID = "again"
		default:
			return first
		}
		return &again
	}
	r := &benefit.Request{
		Scope: some[benefit.Scope](w, "w/1", "w/2"), Key: fmt.Sprint("k", len(w.asked)), App: storetest.App,
		Recipient: w.recipient(), Continues: w.pick(3) == 0, Note: benefit.Note{Memo: "第", TraceID: fmt.Sprint(len(w.asked))},
	}
	r.Lines = w.lines(r.Continues)
	r.Meaning = benefit.MeaningOf(r.Lines)
	w.asked = append(w.asked, r)
	w.unsettled[r] = true
	return r
}

// answered notes whether the caller saw an outcome.
func (w *world) answered(r *benefit.Request, seen bool) { w.unsettled[r] = !seen }

// open are the requests whose callers do not know how they went, in the order in which they were first asked.
func (w *world) open() []*benefit.Request {
	var all []*benefit.Request
	for _, r := range w.asked {
		if w.unsettled[r] {
			all = append(all, r)
		}
	}
	return all
}

func (w *world) recipient() benefit.Identifier {
	n := w.pick(4)
	return some(w,
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("2088u", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("2088u", n)},
		benefit.Identifier{Type: benefit.Login, Value: fmt.Sprint("u", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("unknown", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("new", w.pick(200))},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("new", w.pick(200))},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("new", w.pick(200))},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("2088moved", n)},
		benefit.Identifier{Type: benefit.OpenID, Value: "unknown", App: storetest.App},
		benefit.Identifier{Type: benefit.Nick, Value: fmt.Sprint("nick", n)},
	)
}

func (w *world) lines(continues bool) []benefit.Line {
	all := make([]benefit.Line, 1+w.pick(2))
	for k := range all {
		l := storetest.Line(benefit.TemplateID(1 + w.pick(w.templates)))
		if w.pick(30) == 0 {
			l.Template = 99 // there is none
		}
		l.Quantity = some(w, 1, 1, 2)
		if !continues {
			l.Sends = some(w, 1, 1, 3)
		}
		l.Activity = some[benefit.ActivityID](w, 0, 0, 0, 0, 1, 1, 2)
		if w.takes[l.Template] != (w.pick(12) == 0) {
			l.HasAmount, l.Amount = true, money.Fen(1+w.pick(10))
		}
		all[k] = l
	}
	return all
}
