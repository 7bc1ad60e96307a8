package sim

import (
	"context"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// change draws a change: what it is, and its plan.
func (w *world) change(clock benefit.Instant) (string, engine.ChangeFunc) {
	of := func(plan func(clock benefit.Instant, cat *benefit.Catalogue) any) engine.ChangeFunc {
		return func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
			changes := &benefit.Changes{Catalogue: cat.Version + 1}
			return changes, entities(changes, plan(clock, cat))
		}
	}
	if w.endsChange && w.pick(3) == 0 {
		return "change a subscription or a validity", of(w.changeEnds)
	}
	if w.appChanges() {
		return "disable or enable an app", of(w.changeApp)
	}
	switch w.pick(6) {
	case 0, 1:
		return "change a template", of(w.changeTemplate)
	case 2:
		return "change an activity", of(w.changeActivity)
	case 3:
		return "change a scene", of(w.changeScene)
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

// appChanges draws whether an app is disabled or enabled. The one that issues is soon enabled again, as nothing happens without it.
func (w *world) appChanges() bool {
	switch {
	case w.pickApp == nil:
		return false
	case w.oracle.Catalogue.Apps[storetest.App].Disabled:
		return w.pickApp(2) == 0
	}
	return w.pickApp(4) == 0
}

// changeApp disables or enables an app.
func (w *world) changeApp(_ benefit.Instant, cat *benefit.Catalogue) any {
	a := *cat.Apps[storetest.App]
	if !a.Disabled && w.pickApp(4) == 0 {
		a = *cat.Apps[storetest.App+1]
	}
	a.Disabled = !a.Disabled
	return &a
}

// changeTemplate changes a template as an operator may.
func (w *world) changeTemplate(clock benefit.Instant, cat *benefit.Catalogue) any {
	t := *cat.Templates[benefit.TemplateID(1+w.pick(w.templates))]
	if short := w.filter(func(x *wish) bool { return len(x.short) > 0 }); len(short) > 0 && w.pick(2) == 0 {
		if wanted := cat.Templates[some(w, some(w, short...).short...)]; wanted != nil { // a request waits for more of it
			t = *wanted
			t.Stock, t.Status, t.Publish = w.restocked(t.Stock, 30), benefit.Active, benefit.Window{}
			return &t
		}
	}
	switch w.pick(9) {
	case 8:
		t.GrantedTo = granted(w)
	case 0:
		t.Limits = w.limits()
	case 1, 2, 3:
		t.Stock = w.restocked(t.Stock, 15)
	case 4:
		t.Stock = w.restocked(t.Stock, -10)
	case 5:
		t.Publish = some(w, benefit.Window{}, benefit.Window{}, benefit.Window{Start: clock + hour}, benefit.Window{End: clock + hour})
	default:
		t.Status = some(w, benefit.Active, benefit.Active, benefit.Active, benefit.Active, benefit.Paused, benefit.Ended, benefit.Draft)
	}
	return &t
}

// restocked changes the caps that there are by up to so much.
func (w *world) restocked(s benefit.Stock, limit int) benefit.Stock {
	for _, c := range []*benefit.Cap{&s.Count, &s.Amount, &s.CountPerDay, &s.AmountPerDay} {
		switch {
		case *c == benefit.Unlimited:
		case limit > 0:
			*c += benefit.Cap(w.pick(limit))
		default:
			*c = max(0, *c-benefit.Cap(w.pick(-limit)))
		}
	}
	return s
}

// changeActivity changes an activity that has items.
func (w *world) changeActivity(clock benefit.Instant, cat *benefit.Catalogue) any {
	a := *cat.Activities[benefit.ActivityID(firstCampaign+w.pick(w.campaigns))]
	switch w.pick(10) {
	case 0:
		a.Status = some(w, benefit.Active, benefit.Active, benefit.Paused, benefit.Ended)
	case 1, 9: // a box asks for more, or less, than it did in the morning
		if a.Box != nil {
			box := *a.Box
			box.DoneAfter = 1 + w.pick(3)
			a.Box = &box
		}
	case 2:
		a.Window = some(w, benefit.Window{}, benefit.Window{}, benefit.Window{Start: clock + hour}, benefit.Window{End: clock + hour})
	case 3:
		a.NoGuard = !a.NoGuard
	case 4:
		a.Box = w.box()
	case 5:
		a.Rule = w.rule()
	case 6:
		a.Priority = int64(w.pick(3))
	case 7:
		a.Items = append(slices.Clone(a.Items), w.item(len(a.Items)))
	default:
		if len(a.Items) > 1 {
			at := w.pick(len(a.Items))
			a.Items = slices.Delete(slices.Clone(a.Items), at, at+1)
		}
	}
	return &a
}

// changeScene changes what a scene has, or how it chooses.
func (w *world) changeScene(_ benefit.Instant, cat *benefit.Catalogue) any {
	s := *cat.Scenes[benefit.SceneID(1+w.pick(scenes))]
	switch w.pick(3) {
	case 0:
		s.Activities = w.entries()
	case 1:
		s.Strategy = some(w, benefit.ChooseAll, benefit.ChooseFirst, benefit.ChooseWeighted)
		s.Narrowing = some(w, 0, 0, benefit.NarrowRights, benefit.NarrowActivities, benefit.NarrowNone)
	default:
		s.Status = some(w, benefit.Active, benefit.Active, benefit.Active, benefit.Paused)
	}
	return &s
}

// changeUsers freezes or links a user, or gives identifiers to it and to others.
func (w *world) changeUsers(users []*benefit.User) *benefit.Changes {
	one, other := *users[w.pick(len(users))], *users[w.pick(len(users))]
	changes := &benefit.Changes{Users: []*benefit.User{&one}}
	switch w.pick(7) {
	case 0:
		one.Frozen = !one.Frozen
	case 5:
		one.Attributes = w.attributes()
	case 6: // an identifier less; whoever names the user by id still finds it
		if n := len(one.Identifiers); n > 1 {
			one.Identifiers = slices.Clone(one.Identifiers[:n-1])
			one.Alipay = firstAlipay(one.Identifiers)
		}
	case 1:
		one.Person = some(w, "", "p", "q")
	case 2: // an alias more
		if more := (benefit.Identifier{Type: benefit.Nick, Value: fmt.Sprint("nick", w.pick(4))}); free(users, more) {
			one.Identifiers = append(slices.Clone(one.Identifiers), more)
		}
	case 3: // known by another id from now on, and no more by its first
		if more := (benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20881", w.pick(4))}); free(users, more) {
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

// free reports whether no user has the identifier.
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
