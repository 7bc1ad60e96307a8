package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// testParticipations reads back what users did in activities, as it was last written.
func testParticipations(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	row := func(user benefit.UserID, activity benefit.ActivityID, total int64) benefit.Participation {
		return benefit.Participation{
			ParticipationKey: benefit.ParticipationKey{User: user, Activity: activity}, Total: total, At: Start + benefit.Instant(total),
			DayTotal: 1, DaySends: 2, Cards: []string{"b", "a"}, Done: total > 1,
		}
	}
	keys := &wanted{Participations: []benefit.ParticipationKey{
		{User: 1, Activity: 1}, {User: 1, Activity: 2}, {User: 2, Activity: 1}, {User: 2, Activity: 2}, fullParticipation().ParticipationKey,
	}}
	bare := benefit.Participation{ParticipationKey: benefit.ParticipationKey{User: 1, Activity: 1}, Total: 3, At: Start + 86_400_000}
	for k, step := range [][]benefit.Participation{
		{row(2, 1, 1), fullParticipation(), row(1, 1, 1)},
		{row(1, 2, 7), row(1, 1, 2)},
		{bare, row(2, 1, 5)},
	} {
		for _, s := range []store.Store{st, model} {
			g := newIDs() // a batch that writes them has issued something
			mustWrite(t, s, Start, &benefit.Changes{Rows: benefit.RowsOf(benefit.Participations.Rows(step...)), Issuances: []*benefit.Issuance{plain(g.take(Start+benefit.Instant(k), 1), fmt.Sprint(k), 1, 1, 1)}})
		}
		for _, when := range []string{"at once", "after opening again"} {
			want(t, fmt.Sprintf("step %d, %s: the loaded state", k, when), mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
			want(t, fmt.Sprintf("step %d, %s: everything", k, when), mustContents(t, model), mustContents(t, st))
			st = h.reopen(t, st)
		}
	}
	if h.Crash != nil {
		h.Crash(t, st)
		st = h.Open(t)
		want(t, "after a crash", mustContents(t, model), mustContents(t, st))
	}
	got := RowsOf(mustContents(t, st), benefit.Participations)
	var order []benefit.ParticipationKey
	for _, p := range got {
		order = append(order, p.ParticipationKey)
	}
	want(t, "the order", []benefit.ParticipationKey{
		{User: 1, Activity: 1}, {User: 1, Activity: 2}, {User: 2, Activity: 1}, fullParticipation().ParticipationKey,
	}, order)
	_ = st.Close()
}

// coded returns an issuance of vouchers with the codes.
func coded(first id.ID, key string, codes ...string) *benefit.Issuance {
	i := plain(first, key, 1, 1, len(codes))
	l := &i.Lines[0]
	l.Kind, l.Face, l.Amounts, l.Codes = benefit.Certificate, benefit.Face{}, make([]money.Fen, len(codes)), codes
	return i
}

// testCodes looks issuances up by the codes of their vouchers, as by keys, and loads them so.
func testCodes(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	one := coded(g.take(Start, 2), "one", "100000000001", "100000000002")
	two := coded(g.take(Start, 3), "two", "1", "01", "001")
	two.Lines[0].Issued = 1 // codes are kept for the rest
	long := fullIssuance(g)
	changes := &benefit.Changes{Issuances: []*benefit.Issuance{one, two, long}}
	mustWrite(t, st, Start, changes)
	keys := &wanted{}
	for _, when := range []string{"at once", "after opening again"} {
		r := found[store.Reader](t)(st.Read(t.Context()))
		for code, i := range map[string]*benefit.Issuance{
			"100000000001": one, "100000000002": one, "1": two, "01": two, "001": two, long.Lines[0].Codes[0]: long,
			"100000000003": nil, "0001": nil, "": nil, "one": nil,
		} {
			want(t, fmt.Sprintf("%s: the code %q", when, code), i, found[*benefit.Issuance](t)(r.Claim(t.Context(), benefit.CodeScope, code)))
			keys.Claims = append(keys.Claims, benefit.CodeKey(code))
			if i != nil {
				want(t, when+": a code is no key of its issuance's scope", (*benefit.Issuance)(nil), found[*benefit.Issuance](t)(r.Claim(t.Context(), i.Scope, code)))
			}
		}
		keys.Claims = append(keys.Claims, claimKey(one.Scope, "one"), claimKey(one.Scope, "1"))
		compareLoads(t, st, keys, changes)
		_ = r.Close()
		st = h.reopen(t, st)
	}
	_ = st.Close()
}

// testRebinding binds a key again and again: what stands under it is the newest, and the older ones stay.
func testRebinding(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	g := newIDs()
	var all []*benefit.Issuance
	for n := range 5 {
		now := Start + benefit.Instant(n)*1000
		i := coded(g.take(now, 1), "window", fmt.Sprint("code", n))
		if n == 3 { // the user's bucket is another one, with smaller ids
			i = coded(g.Block(int64(now), 1, 1), "window", fmt.Sprint("code", n))
		}
		i.BindMillis = 1000
		i.Lines[0].At = now
		all = append(all, i)
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, now, &benefit.Changes{Issuances: []*benefit.Issuance{i}})
		}
		for _, when := range []string{"at once", "after opening again"} {
			r := found[store.Reader](t)(st.Read(t.Context()))
			want(t, when+": the key", i, found[*benefit.Issuance](t)(r.Claim(t.Context(), i.Scope, i.Key)))
			keys := &wanted{Claims: []benefit.ClaimKey{claimKey(i.Scope, i.Key)}}
			for _, old := range all {
				code := old.Lines[0].Codes[0]
				want(t, when+": the code "+code, old, found[*benefit.Issuance](t)(r.Claim(t.Context(), benefit.CodeScope, code)))
				want(t, when+": the voucher of "+code, old, found[*benefit.Issuance](t)(r.IssuanceOf(t.Context(), old.ID)))
				keys.Claims = append(keys.Claims, benefit.CodeKey(code))
			}
			want(t, when+": the loaded state", mustLoad(t, model, now, keys), mustLoad(t, st, now, keys))
			_ = r.Close()
			if n%2 == 1 {
				st = h.reopen(t, st)
			}
		}
	}
	want(t, "everything", mustContents(t, model), mustContents(t, st))
	_ = st.Close()
}

// testReboundAtOnce voids what a key is bound to and binds the key again, in one millisecond, for users of many buckets: the
// ids do not come in the order of time by themselves.
func testReboundAtOnce(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	real, plain := NewCommitter(st, Catalogue(Template(1)), 1), NewCommitter(model, Catalogue(Template(1)), 1)
	for n := range 6 {
		request := Request("window", fmt.Sprint("2088", n), Line(1))
		request.BindMillis = 1000
		issue, same := oracle.NewIssue(request), oracle.NewIssue(request)
		carryOut(t, real, issue)
		carryOut(t, plain, same)
		i := issue.Outcome.Issuance
		want(t, fmt.Sprintf("%d: what is issued", n), same.Outcome.Issuance, i)
		for _, when := range []string{"at once", "after opening again"} {
			r := found[store.Reader](t)(st.Read(t.Context()))
			want(t, fmt.Sprintf("%d, %s: the key", n, when), i, found[*benefit.Issuance](t)(r.Claim(t.Context(), i.Scope, i.Key)))
			_ = r.Close()
			keys := &wanted{Claims: []benefit.ClaimKey{claimKey(i.Scope, i.Key)}}
			want(t, fmt.Sprintf("%d, %s: the loaded state", n, when), mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
			if when == "at once" {
				st = h.reopen(t, st)
				real.Store = st
			}
		}
		for _, c := range []*Committer{real, plain} {
			void := voids(fmt.Sprint(n), i.FirstVoucher())
			if carryOut(t, c, void); void.Outcome.Reason != benefit.NotRefused {
				t.Fatalf("%d: %s", n, void.Result())
			}
		}
	}
	want(t, "everything", mustContents(t, model), mustContents(t, st))
	_ = st.Close()
}

// testTraces lists issuances by the caller's trace id, page after page.
func testTraces(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	traces := []string{"", "t", "T", "t ", edgeCaseText(256), edgeCaseText(255)}
	var all []*benefit.Issuance
	for n := range 36 {
		now := Start + benefit.Instant(n)
		i := plain(g.Block(int64(now), 1+n%5, 2), fmt.Sprint(n), 1, 1, 2) // of several users, so not in the order of time
		i.Note.TraceID = traces[n%len(traces)]
		all = append(all, i)
		mustWrite(t, st, now, &benefit.Changes{Issuances: []*benefit.Issuance{i}})
		if n == 20 {
			st = h.reopen(t, st)
		}
	}
	slices.SortFunc(all, func(a, b *benefit.Issuance) int { return int(min(max(a.ID-b.ID, -1), 1)) })
	for _, when := range []string{"at once", "after opening again"} {
		r := found[store.Reader](t)(st.Read(t.Context()))
		for _, trace := range append(traces, "absent", "tt") {
			for _, after := range []id.ID{0, all[7].ID - 1, all[7].ID, all[20].ID, math.MaxInt64} {
				for _, limit := range []int{1, 3, 100} {
					var wanted []*benefit.Issuance
					for _, i := range all {
						if trace != "" && i.Note.TraceID == trace && i.ID > after && len(wanted) < limit {
							wanted = append(wanted, i)
						}
					}
					want(t, fmt.Sprintf("%s: trace %.5q after %d, at most %d", when, trace, after, limit), wanted,
						found[[]*benefit.Issuance](t)(r.TraceIssuances(t.Context(), trace, after, limit)))
				}
			}
		}
		_ = r.Close()
		st = h.reopen(t, st)
	}
	_ = st.Close()
}

// testVersions reads the catalogue as it was at every version that changed something.
func testVersions(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	entity := func(kind benefit.EntityKind, n int64, body string) benefit.Entity {
		return benefit.Entity{Kind: kind, ID: n, Body: []byte(body)}
	}
	steps := []*benefit.Changes{
		{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows([]benefit.Entity{entity(benefit.TemplateEntity, 2, `{"v":1}`), entity(benefit.MerchantEntity, 1, `{}`)}...))},
		{Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows([]benefit.Entity{entity(benefit.TemplateEntity, 2, `{"v":2}`)}...))},
		{Users: []*benefit.User{named(newIDs().take(Start, 1), "a")}},
		{Catalogue: 5, Rows: benefit.RowsOf(benefit.Entities.Rows([]benefit.Entity{entity(benefit.TemplateEntity, 1, `{"v":5}`), entity(benefit.TemplateEntity, 2, `{"v":5}`)}...))},
		{Catalogue: 9, Rows: benefit.RowsOf(benefit.Entities.Rows([]benefit.Entity{entity(benefit.SceneEntity, math.MaxInt64, `{"v":9}`)}...))},
	}
	for k, step := range steps {
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, Start, step)
		}
		early := mustRead(t, st)
		for _, when := range []string{"at once", "after opening again"} {
			r, m := found[store.Reader](t)(st.Read(t.Context())), mustRead(t, model)
			for version := range int64(11) {
				wanted, wantErr := store.EntitiesAt(t.Context(), m, version)
				got, err := store.EntitiesAt(t.Context(), r, version)
				want(t, fmt.Sprintf("step %d, %s: version %d", k, when, version), wanted, got)
				if errors.Is(wantErr, store.ErrNoVersion) != errors.Is(err, store.ErrNoVersion) || wantErr == nil && err != nil {
					t.Errorf("step %d, %s: version %d: %v, want %v", k, when, version, err, wantErr)
				}
			}
			_ = r.Close()
			if when == "at once" {
				_ = early.Close()
				st = h.reopen(t, st)
			}
		}
	}
	_ = st.Close()
}

// testRecipientsByID names users by their ids.
func testRecipientsByID(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	g := newIDs()
	full, frozen, linked := fullUser(g.take(Start, 1)), named(g.take(Start, 1), "frozen"), named(g.take(Start, 1), "linked")
	frozen.Frozen = true
	full.Person, linked.Person = "p", "p"
	bare := &benefit.User{ID: g.take(Start, 1)}
	for _, s := range []store.Store{st, model} {
		mustWrite(t, s, Start, &benefit.Changes{Users: []*benefit.User{full, frozen, linked, bare}})
	}
	// A primary identifier that looks like an id is no id.
	keys := &wanted{Recipients: []benefit.Identifier{{Type: benefit.AlipayID, Value: fmt.Sprint(int64(full.ID))}}}
	for _, u := range []benefit.UserID{full.ID, frozen.ID, linked.ID, bare.ID, bare.ID + 1, 0, -1, math.MaxInt64} {
		keys.Recipients = append(keys.Recipients, benefit.RefTo(u))
	}
	for _, when := range []string{"at once", "after opening again"} {
		r := found[store.Reader](t)(st.Read(t.Context()))
		for _, u := range []*benefit.User{full, frozen, linked, bare} {
			want(t, when+": the user by id", u, found[*benefit.User](t)(r.Recipient(t.Context(), benefit.RefTo(u.ID))))
		}
		want(t, when+": nobody", (*benefit.User)(nil), found[*benefit.User](t)(r.Recipient(t.Context(), benefit.RefTo(bare.ID+1))))
		want(t, when+": the loaded state", mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
		_ = r.Close()
		st = h.reopen(t, st)
	}
	_ = st.Close()
}
