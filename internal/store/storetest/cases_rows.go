package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// testCounters reads back every counter, today's and those of other days.
func testCounters(t *testing.T, h Harness) {
	st := h.open(t)
	today := Start.Day()
	changes := &benefit.Changes{Rows: benefit.RowsOf(
		benefit.Quotas.Rows(
			benefit.Quota{QuotaKey: benefit.QuotaKey{User: 1, Template: 1}, Total: 3, Day: today, DayTotal: 2},
			benefit.Quota{QuotaKey: benefit.QuotaKey{User: 1, Template: 2}, Total: 9, Day: today - 1, DayTotal: 9},
			benefit.Quota{QuotaKey: benefit.QuotaKey{User: math.MaxInt64, Template: math.MaxInt64}, Total: math.MaxInt64, Day: math.MaxInt32, DayTotal: math.MaxInt64 - 1},
		),
		benefit.TemplateCounts.Rows(
			benefit.TemplateCount{Template: 1, Count: 3, Amount: 4},
			benefit.TemplateCount{Template: math.MaxInt64, Count: math.MaxInt64, Amount: math.MaxInt64 - 1},
		),
		benefit.TemplateDays.Rows(
			benefit.TemplateDay{Template: 1, Day: today - 1, Count: 1, Amount: 1}, benefit.TemplateDay{Template: 1, Day: today, Count: 2, Amount: 3},
			benefit.TemplateDay{Template: math.MaxInt64, Day: today, Count: math.MaxInt64, Amount: math.MaxInt64 - 1},
		),
	)}
	mustWrite(t, st, Start, changes)
	keys := &wanted{
		Templates: []benefit.TemplateID{1, 2, math.MaxInt64},
		Quotas:    []benefit.QuotaKey{{User: 1, Template: 1}, {User: 1, Template: 2}, {User: 2, Template: 1}, {User: math.MaxInt64, Template: math.MaxInt64}},
	}
	compareLoads(t, st, keys, changes)

	again := &benefit.Changes{Rows: benefit.RowsOf(
		benefit.Quotas.Rows(benefit.Quota{QuotaKey: benefit.QuotaKey{User: 1, Template: 2}, Total: 10, Day: today + 1, DayTotal: 1}),
		benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: 1, Count: 4, Amount: 5}),
		benefit.TemplateDays.Rows(benefit.TemplateDay{Template: 1, Day: today + 1, Count: 1, Amount: 1}),
	)}
	tomorrow := (today + 1).Start()
	mustWrite(t, st, tomorrow, again)
	model := memory.New()
	mustWrite(t, model, Start, changes)
	mustWrite(t, model, tomorrow, again)
	for range 2 {
		want(t, "the loaded state", mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
		want(t, "the state of the day after", mustLoad(t, model, tomorrow+86_400_000, keys), mustLoad(t, st, tomorrow+86_400_000, keys))
		want(t, "everything", mustContents(t, model), mustContents(t, st))
		st = h.reopen(t, st)
	}
	_ = st.Close()
}

// testLoadTwice: a batch may load as often as it likes, also what it has loaded already and what is named twice.
func testLoadTwice(t *testing.T, h Harness) {
	st := h.open(t)
	changes := sampleChanges(newIDs())
	mustWrite(t, st, Start, changes)
	i, u := changes.Issuances[0], changes.Users[0]
	keys := &wanted{
		Claims:     []benefit.ClaimKey{claimKey(i.Scope, i.Key), claimKey(i.Scope, "absent"), claimKey(i.Scope, i.Key)},
		Recipients: []benefit.Identifier{u.Identifiers[0], {Type: "absent"}, u.Identifiers[0]},
		Templates:  []benefit.TemplateID{benefit.TemplateID(i.ID), 77},
		Quotas:     []benefit.QuotaKey{{User: i.ID, Template: 1}, {User: 3, Template: 3}},
		Vouchers:   []id.ID{i.ID, i.ID + 1, i.ID},
	}
	tx := mustBegin(t, st, Start)
	defer tx.Rollback()
	state := benefit.NewState()
	state.Reset(tx.Now())
	for _, k := range []*wanted{{}, keys, {Quotas: keys.Quotas}, {Claims: keys.Claims}, keys} {
		if err := tx.Load(t.Context(), k.keys(state), state); err != nil {
			t.Fatalf("Load: %v", err)
		}
	}
	model := memory.New()
	mustWrite(t, model, Start, changes)
	want(t, "the loaded state", mustLoad(t, model, Start, keys), state)
}

// testUsers: a user is found by its id, its name and each of its identifiers, as they were last written.
func testUsers(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	g := newIDs()
	full, a, b := fullUser(g.take(Start, 1)), named(g.take(Start, 1), "a"), named(g.take(Start, 1), "b")
	bare := &benefit.User{ID: g.take(Start, 1), Identifiers: []benefit.Identifier{{Type: "MEMBER", Value: "1"}}}
	made := benefit.PlainUser(g.take(Start, 1), benefit.Identifier{Type: benefit.AlipayID, Value: "2088unregistered"})
	frozen := *benefit.PlainUser(g.take(Start, 1), benefit.Identifier{Type: benefit.AlipayID, Value: "2088frozen"})
	frozen.Frozen = true
	registered := *made
	registered.Unregistered = false
	extra := benefit.Identifier{Type: benefit.Nick, Value: "moves"}
	steps := []struct {
		name  string
		users []*benefit.User
	}{
		{"made", []*benefit.User{full, a, b, bare, made, &frozen}},
		{"an identifier is added", []*benefit.User{named(a.ID, "a", extra)}},
		{"it moves to another user", []*benefit.User{named(a.ID, "a"), named(b.ID, "b", extra)}},
		{"it goes, with the first one, and the name changes", []*benefit.User{{ID: b.ID, Name: "c", Identifiers: []benefit.Identifier{{Type: benefit.Login, Value: "13800138000"}}}}},
		{"frozen, without a person and attributes", []*benefit.User{{ID: full.ID, Name: full.Name, Frozen: true, Identifiers: full.Identifiers[1:]}}},
		{"thawed, in another person", []*benefit.User{{ID: full.ID, Name: full.Name, Person: "p", Attributes: []byte(`{}`), Identifiers: full.Identifiers}}},
		{"one that issuing made is registered", []*benefit.User{&registered}},
		{"and is not any more", []*benefit.User{made}},
	}
	idents := slices.Concat(made.Identifiers, frozen.Identifiers, full.Identifiers, a.Identifiers, b.Identifiers, bare.Identifiers, []benefit.Identifier{
		extra, {Type: benefit.Login, Value: "13800138000"}, {Type: benefit.OpenID, Value: "2088302001456115", App: 2},
		{Type: benefit.OpenID, Value: "2088302001456115"}, {Type: benefit.TaobaoID, Value: "2088a"}, {Type: benefit.AlipayID, Value: "2088A"},
		benefit.RefTo(made.ID), benefit.RefTo(bare.ID),
	})
	for _, step := range steps {
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, Start, &benefit.Changes{Users: step.users})
		}
		st = h.reopen(t, st)
		got, plain := mustRead(t, st), mustRead(t, model)
		for _, ident := range idents {
			want(t, fmt.Sprintf("%s: the user called %v", step.name, ident),
				found[*benefit.User](t)(plain.Recipient(t.Context(), ident)), found[*benefit.User](t)(got.Recipient(t.Context(), ident)))
		}
		for _, name := range []string{full.Name, "a", "b", "c", "A", ""} {
			want(t, step.name+": the user named "+name,
				found[*benefit.User](t)(plain.UserByName(t.Context(), name)), found[*benefit.User](t)(got.UserByName(t.Context(), name)))
		}
		for _, user := range []benefit.UserID{full.ID, a.ID, b.ID, bare.ID, made.ID, frozen.ID, 1} {
			want(t, step.name+": the user by id",
				found[*benefit.User](t)(plain.User(t.Context(), user)), found[*benefit.User](t)(got.User(t.Context(), user)))
			if st.LastIDMillis() < bare.ID.Millis() {
				t.Errorf("%s: LastIDMillis() = %d, below a user's id", step.name, st.LastIDMillis())
			}
		}
		want(t, step.name+": everything", mustContents(t, model), mustContents(t, st))
		keys := &wanted{Recipients: idents}
		want(t, step.name+": the loaded state", mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
		_ = got.Close()
	}
	_ = st.Close()
}

// testPersons: a recipient comes with all users of its person, as they are linked now.
func testPersons(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	g := newIDs()
	var users []*benefit.User
	for k := range 6 {
		users = append(users, named(g.take(Start, 1), fmt.Sprint("u", k)))
	}
	link := func(u *benefit.User, person string) *benefit.User {
		linked := *u
		linked.Person = person
		return &linked
	}
	keys := &wanted{}
	for _, u := range users {
		keys.Recipients = append(keys.Recipients, u.Identifiers[0])
	}
	for k, step := range [][]*benefit.User{
		users,
		{link(users[4], "p"), link(users[0], "p"), link(users[2], "p"), link(users[3], "P")},
		{link(users[2], "q"), link(users[1], "p")},
		{link(users[0], ""), link(users[5], "q")},
	} {
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, Start, &benefit.Changes{Users: step})
		}
		want(t, fmt.Sprint("the loaded state, step ", k), mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
		st = h.reopen(t, st)
		want(t, fmt.Sprint("the loaded state, opened again, step ", k), mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
	}
	_ = st.Close()
}

// testSessions reads sessions back by digest, and in order.
func testSessions(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	changed := fullSession("a")
	changed.Expires, changed.User, changed.Sealed = Start, 0, []byte("again")
	for _, sessions := range [][]*benefit.Session{
		{fullSession("a"), fullSession("b"), {Digest: benefit.SessionDigest("c"), App: 1, Merchant: 1}},
		{changed},
	} {
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, Start, &benefit.Changes{Rows: benefit.RowsOf(benefit.Sessions.Rows(sessions...))})
		}
		for _, key := range []string{"a", "b", "c", "d", ""} {
			want(t, "the session "+key+", asked at once", found[*benefit.Session](t)(store.Session(t.Context(), model, benefit.SessionDigest(key))),
				found[*benefit.Session](t)(store.Session(t.Context(), st, benefit.SessionDigest(key))))
		}
		st = h.reopen(t, st)
		for _, key := range []string{"a", "b", "c", "d", ""} {
			want(t, "the session "+key+", asked after a start", found[*benefit.Session](t)(store.Session(t.Context(), model, benefit.SessionDigest(key))),
				found[*benefit.Session](t)(store.Session(t.Context(), st, benefit.SessionDigest(key))))
		}
		r, m := mustRead(t, st), mustRead(t, model)
		for _, key := range []string{"a", "b", "c", "d", ""} {
			want(t, "the session "+key, found[*benefit.Session](t)(store.Session(t.Context(), m, benefit.SessionDigest(key))),
				found[*benefit.Session](t)(store.Session(t.Context(), r, benefit.SessionDigest(key))))
		}
		want(t, "everything", mustContents(t, model), mustContents(t, st))
		_ = r.Close()
	}
	_ = st.Close()
}

// testEntities reads the catalogue back by kind and id, byte for byte, with its version.
func testEntities(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	body := []byte("{\"name\": \"" + "五元券" + "\", \"n\":9223372036854775807 }")
	for k, step := range []*benefit.Changes{
		{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows(
			benefit.Entity{Kind: benefit.TemplateEntity, ID: 10, Body: body}, benefit.Entity{Kind: benefit.TemplateEntity, ID: 9, Body: []byte(`{}`)},
			benefit.Entity{Kind: benefit.MerchantEntity, ID: 10, Body: []byte(`{"id":10}`)},
			benefit.Entity{Kind: benefit.PlatformEntity, ID: math.MaxInt64, Body: []byte(`{}`)},
		))},
		{Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows(
			benefit.Entity{Kind: benefit.TemplateEntity, ID: 9, Body: body}, benefit.Entity{Kind: benefit.AppEntity, ID: 1, Body: body},
		))},
		{Users: []*benefit.User{named(newIDs().take(Start, 1), "a")}}, // leaves the version alone
		{Catalogue: math.MaxInt64},
	} {
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, Start, step)
		}
		st = h.reopen(t, st)
		want(t, fmt.Sprint("everything, step ", k), mustContents(t, model), mustContents(t, st))
		want(t, fmt.Sprint("the version, step ", k), []int64{1, 2, 2, math.MaxInt64}[k], mustContents(t, st).Version)
	}
	_ = st.Close()
}

// testPaging: lists go on after an id, and stop at the limit.
func testPaging(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	var all []*benefit.Issuance
	for k := range 12 {
		i := plain(g.take(Start+benefit.Instant(k), 2), fmt.Sprint(k), benefit.UserID(1+k%3), benefit.TemplateID(1+k%2), 2)
		all = append(all, i)
	}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	mustWrite(t, st, Start, &benefit.Changes{Issuances: backwards[:7]})
	mustWrite(t, st, Start, &benefit.Changes{Issuances: backwards[7:]})

	r := mustRead(t, st)
	of := func(after id.ID, limit int, wanted func(i *benefit.Issuance) bool) (some []*benefit.Issuance) {
		for _, i := range all {
			if i.ID > after && wanted(i) && len(some) < limit {
				some = append(some, i)
			}
		}
		return some
	}
	for _, after := range []id.ID{0, all[0].ID - 1, all[0].ID, all[0].ID + 1, all[5].ID, all[11].ID, math.MaxInt64} {
		for _, limit := range []int{1, 2, 4, 100} {
			for n := range 4 {
				user, template := benefit.UserID(n), benefit.TemplateID(n)
				want(t, fmt.Sprintf("user %d after %d, at most %d", user, after, limit),
					of(after, limit, func(i *benefit.Issuance) bool { return i.User == user }),
					found[[]*benefit.Issuance](t)(r.UserIssuances(t.Context(), user, after, limit)))
				want(t, fmt.Sprintf("template %d after %d, at most %d", template, after, limit),
					of(after, limit, func(i *benefit.Issuance) bool { return i.Lines[0].Template == template }),
					found[[]*benefit.Issuance](t)(r.TemplateIssuances(t.Context(), template, after, limit)))
			}
		}
	}
	want(t, "everything", all, mustContents(t, st).Issuances)
}

// testManyRows pages through more rows than a store keeps at hand, and finds single ones among them.
func testManyRows(t *testing.T, h Harness) {
	const rows, batch, page = 10_000, 1_000, 700
	st := h.open(t)
	g := newIDs()
	var all []*benefit.Issuance
	for n := 0; n < rows; n += batch {
		changes := &benefit.Changes{}
		var quotas []benefit.Quota
		for k := range batch {
			i := plain(g.take(Start+benefit.Instant(n), 1), fmt.Sprint(n+k), benefit.UserID(1+k%2), 1, 1)
			changes.Issuances = append(changes.Issuances, i)
			quotas = append(quotas, benefit.Quota{QuotaKey: benefit.QuotaKey{User: i.ID, Template: 1}, Total: 1, Day: 1, DayTotal: 1})
		}
		changes.Rows = benefit.RowsOf(benefit.Quotas.Rows(quotas...))
		all = append(all, changes.Issuances...)
		mustWrite(t, st, Start, changes)
	}
	st = h.reopen(t, st)
	got := mustContents(t, st)
	wantSample(t, "all issuances", all, got.Issuances)
	want(t, "how many quotas", rows, len(got.Rows[benefit.Quotas.Name]))

	r := mustRead(t, st)
	var paged []*benefit.Issuance
	for after := id.ID(0); len(paged) <= rows; after = paged[len(paged)-1].ID {
		some := found[[]*benefit.Issuance](t)(r.TemplateIssuances(t.Context(), 1, after, page))
		paged = append(paged, some...)
		if len(some) < page {
			break
		}
	}
	wantSample(t, "page after page", all, paged)
	want(t, "half of them", rows/2, len(found[[]*benefit.Issuance](t)(r.UserIssuances(t.Context(), 1, 0, rows))))
	for k := 0; k < rows; k += 997 {
		want(t, "a claim", all[k], found[*benefit.Issuance](t)(r.Claim(t.Context(), all[k].Scope, all[k].Key)))
		want(t, "an issuance by voucher", all[k], found[*benefit.Issuance](t)(r.IssuanceOf(t.Context(), all[k].ID)))
	}
	_ = r.Close()
	_ = st.Close()
}

// wantSample compares the ids of two long lists, and some of the rows in full.
func wantSample(t *testing.T, what string, wanted, got []*benefit.Issuance) {
	t.Helper()
	ids := func(all []*benefit.Issuance) (ids []id.ID) {
		for _, i := range all {
			ids = append(ids, i.ID)
		}
		return ids
	}
	if !slices.Equal(ids(wanted), ids(got)) {
		t.Fatalf("%s: %d rows, want %d, or in another order", what, len(got), len(wanted))
	}
	for k := 0; k < len(wanted); k += 97 {
		want(t, what, wanted[k], got[k])
	}
}

// testStoppedIteration: a caller may stop an iteration early, and the store goes on.
func testStoppedIteration(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	for range 5 {
		mustWrite(t, st, Start, sampleChanges(g))
	}
	r := mustRead(t, st)
	seen := 0
	for _, err := range r.AllIssuances(t.Context()) {
		if err != nil {
			t.Fatalf("AllIssuances: %v", err)
		}
		if seen++; seen == 2 {
			break
		}
	}
	for range r.AllUsers(t.Context()) {
		break
	}
	want(t, "how many were seen", 2, seen)
	mustWrite(t, st, Start, sampleChanges(g))
	again, err := contents(t.Context(), r)
	if err != nil || len(again.Issuances) != 5 {
		t.Errorf("the reader goes on with %d issuances, %v", len(again.Issuances), err)
	}
}

// testReadingBeside reads from several goroutines while batches are committed. Each view must be one state: as
// many issuances as the counter committed with them says, and never fewer than were acknowledged before.
func testReadingBeside(t *testing.T, h Harness) {
	const readers, batches = 3, 60
	st := h.open(t)
	c := NewCommitter(st, Catalogue(Template(1)), 1)
	done := make(chan struct{})
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			last := 0
			for {
				n, err := countConsistent(t.Context(), st)
				if err != nil || n < last {
					t.Errorf("a view of %d issuances after one of %d: %v", n, last, err)
					return
				}
				last = n
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for n := range batches {
		requests := make([]*benefit.Request, 3)
		for k := range requests {
			requests[k] = Request(fmt.Sprint(n, "/", k), fmt.Sprint("2088", k), Line(1))
		}
		if _, err := c.Issue(t.Context(), Start, requests...); err != nil {
			t.Fatalf("issuing: %v", err)
		}
	}
	close(done)
	group.Wait()
	n, err := countConsistent(t.Context(), st)
	if err != nil || n != 3*batches {
		t.Errorf("%d issuances in the end, %v", n, err)
	}
}

// countConsistent counts the issuances of one view, and compares with the counter in the same view.
func countConsistent(ctx context.Context, st store.Store) (int, error) {
	c, err := ContentsOf(ctx, st)
	if err != nil {
		return 0, err
	}
	counted := int64(0)
	for _, x := range RowsOf(c, benefit.TemplateCounts) {
		counted += x.Count
	}
	if counted != int64(len(c.Issuances)) {
		return 0, fmt.Errorf("the view has %d issuances, and its counters say %d", len(c.Issuances), counted)
	}
	return len(c.Issuances), nil
}
