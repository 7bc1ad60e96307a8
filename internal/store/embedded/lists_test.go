package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// A recipient named by faquan's own id is found whether the user is plain, changed, one of several of a person, or
// nobody; before and after the user is changed, and wherever the row lies.
func TestRecipientsByID(t *testing.T) {
	for seed := range uint64(4) {
		x := newPair(t, tiny, 8, seed)
		g := storetest.Env(x.model, 9).IDs
		var users []*benefit.User
		for n := range 4 {
			users = append(users, &benefit.User{
				ID: g.Block(int64(storetest.Start), n, 1), Name: fmt.Sprint("u", n), Person: []string{"", "p", "p", "q"}[n], Alipay: fmt.Sprint("2088named", n),
				Identifiers: []benefit.Identifier{{Type: benefit.AlipayID, Value: fmt.Sprint("2088named", n)}},
			})
		}
		x.write(t, &benefit.Changes{Users: users})
		refs := []benefit.Identifier{benefit.RefTo(0), benefit.RefTo(12345), {Type: "@USER", Value: "none"}}
		for _, u := range users {
			refs = append(refs, benefit.RefTo(u.ID))
		}
		for n := range 25 {
			o := x.issue(t, storetest.Start+benefit.Instant(n), storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", n%5), storetest.Line(couponTemplate)))
			told := o.Issuance
			if told == nil { // a frozen user
				told = o.Attempt
			}
			plain := told.User
			if refs = append(refs, benefit.RefTo(plain)); n%4 == 0 {
				r := storetest.Request(fmt.Sprint("ref", n), "", storetest.Line(couponTemplate))
				r.Recipient = benefit.RefTo(plain)
				if o := x.issue(t, storetest.Start+benefit.Instant(n), r); o.Reason != benefit.UserFrozen && (o.Issuance == nil || o.Issuance.User != plain) {
					t.Fatalf("issuing to %d by id: %+v", plain, o)
				}
			}
			x.disturb(t)
			switch x.r.IntN(4) {
			case 0: // an operator's user
				k := x.r.IntN(len(users))
				u := *users[k]
				u.Frozen, u.Person = !u.Frozen, []string{"", "p", "q"}[x.r.IntN(3)]
				users[k] = &u
				x.write(t, &benefit.Changes{Users: []*benefit.User{&u}})
			case 1: // a plain one, who is plain no longer
				u := benefit.User{
					ID: plain, Frozen: x.r.IntN(2) == 0, Person: []string{"", "p"}[x.r.IntN(2)], Alipay: fmt.Sprint("2088", n%5),
					Identifiers: []benefit.Identifier{{Type: benefit.AlipayID, Value: fmt.Sprint("2088", n%5)}, {Type: benefit.Login, Value: fmt.Sprint("l", n%5)}},
				}
				x.write(t, &benefit.Changes{Users: []*benefit.User{&u}})
			}
			x.wantLoads(t, fmt.Sprintf("seed %d, step %d", seed, n), benefit.Keys{Recipients: refs})
		}
		x.wantRecipients(t, refs)
		x.wantSame(t)
	}
}

// wantRecipients asks readers of both for the recipients.
func (x *pair) wantRecipients(t testing.TB, refs []benefit.Identifier) {
	t.Helper()
	real, plain := x.readers(t)
	defer real.Close()
	defer plain.Close()
	for _, ref := range refs {
		want, wantErr := plain.Recipient(t.Context(), ref)
		got, err := real.Recipient(t.Context(), ref)
		if diff := storetest.Diff(want, got); diff != "" || err != nil || wantErr != nil {
			t.Errorf("%v: %v, %v (-plain +got):\n%s", ref, wantErr, err, diff)
		}
	}
}

func (x *pair) readers(t testing.TB) (real, plain store.Reader) {
	t.Helper()
	real, err := x.s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if plain, err = x.model.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	return real, plain
}

// The catalogue of every version is as it was, after a start and from a view that was made again; versions that never
// were are not known.
func TestEntitiesOfVersions(t *testing.T) {
	x := newPair(t, Options{GenerationSize: 5, MaxMemtable: 8}, 8, 3)
	const versions = 12
	for v := int64(1); v <= versions; v++ {
		var entities []benefit.Entity
		for range 1 + x.r.IntN(3) {
			id := int64(x.r.IntN(4))
			kind := []benefit.EntityKind{benefit.TemplateEntity, benefit.ActivityEntity, benefit.PlatformEntity}[x.r.IntN(3)]
			entities = append(entities, benefit.Entity{Kind: kind, ID: id*3 + int64(len(entities)), Body: fmt.Appendf(nil, `{"v":%d}`, v)})
		}
		x.write(t, &benefit.Changes{Catalogue: v, Rows: benefit.RowsOf(benefit.Entities.Rows(entities...))})
		x.disturb(t)
		want, _, err := x.model.Entities(t.Context())
		got, version, gotErr := x.s.Entities(t.Context())
		if diff := storetest.Diff(want, got); diff != "" || err != nil || gotErr != nil || version != v {
			t.Fatalf("version %d: %d, %v, %v (-plain +got):\n%s", v, version, err, gotErr, diff)
		}
	}
	check := func(when string) {
		t.Helper()
		real, plain := x.readers(t)
		defer real.Close()
		defer plain.Close()
		for v := int64(-1); v <= versions+2; v++ {
			want, wantErr := store.EntitiesAt(t.Context(), plain, v)
			got, err := store.EntitiesAt(t.Context(), real, v)
			if diff := storetest.Diff(want, got); diff != "" || errors.Is(err, store.ErrNoVersion) != errors.Is(wantErr, store.ErrNoVersion) {
				t.Errorf("%s, version %d: %v, %v (-plain +got):\n%s", when, v, wantErr, err, diff)
			}
			if known := v > 0 && v <= versions; known != (err == nil) {
				t.Errorf("%s, version %d: %v", when, v, err)
			}
		}
		now, version, err := real.Entities(t.Context())
		at, atErr := store.EntitiesAt(t.Context(), real, version)
		if diff := storetest.Diff(now, at); diff != "" || err != nil || atErr != nil {
			t.Errorf("%s: the newest version is not the catalogue: %v, %v\n%s", when, err, atErr, diff)
		}
	}
	check("at first")
	x.place.kill(x.s)
	x.s = x.place.open(t)
	check("after a kill")
	if err := x.s.Close(); err != nil {
		t.Fatal(err)
	}
	x.place.disk = x.place.disk.CrashProcess()
	x.place.o.JournalFS = x.place.disk
	if err := Rebuild(x.place.o, nil); err != nil {
		t.Fatalf("Rebuild: %v", err)
	}
	x.s = x.place.open(t)
	check("after Rebuild")
	x.wantSame(t)
}

// The issuances under a trace id are listed page by page, each once, in whatever generations they lie, those that were
// continued among them; one that shares no more than the hash of the id is not.
func TestTraces(t *testing.T) {
	for seed := range uint64(4) {
		x := newPair(t, tiny, 8, seed)
		half := pairCatalogue(8)
		paused := *half.Templates[certTemplate]
		paused.Status = benefit.Paused
		half.Templates[certTemplate] = &paused
		for n := range 40 {
			r := storetest.Request(fmt.Sprint("k", n), "20881", storetest.Line(couponTemplate), storetest.Line(certTemplate))
			r.Continues, r.Note.TraceID = true, []string{"", "t1", "t2"}[x.r.IntN(3)]
			if n > 0 && x.r.IntN(3) == 0 { // continue an old one, perhaps; its trace id is the first one's
				r.Key = fmt.Sprint("k", x.r.IntN(n))
			}
			cat := pairCatalogue(8)
			if x.r.IntN(2) == 0 {
				cat = half
			}
			x.real.Catalogue, x.plain.Catalogue = cat, cat
			x.issue(t, storetest.Start+benefit.Instant(n), r)
			x.disturb(t)
		}
		if err := x.s.Flush(); err != nil {
			t.Fatal(err)
		}
		all := contentsOf(t, x.model).Issuances
		// A made-up clash of hashes.
		stranger := all[rand.New(rand.NewPCG(seed, 2)).IntN(len(all))]
		if stranger.Note.TraceID != "t1" {
			clash := fmt.Sprintf("INSERT INTO trace VALUES (1, %d, %d)", traceHash("t1"), int64(stranger.ID))
			if err := exec(x.s, clash); err != nil {
				t.Fatal(err)
			}
		}
		x.wantTraces(t, all)
		x.s.abandon()
	}
}

// wantTraces compares every page of every size.
func (x *pair) wantTraces(t *testing.T, all []*benefit.Issuance) {
	t.Helper()
	real, plain := x.readers(t)
	defer real.Close()
	defer plain.Close()
	after := []id.ID{0}
	for _, i := range all {
		after = append(after, i.ID)
	}
	for _, trace := range []string{"", "t1", "t2", "none"} {
		for _, from := range after {
			for _, limit := range []int{1, 2, 3, 100} {
				want, _ := plain.TraceIssuances(t.Context(), trace, from, limit)
				got, err := real.TraceIssuances(t.Context(), trace, from, limit)
				if diff := storetest.Diff(idsOf(want), idsOf(got)); diff != "" || err != nil {
					t.Fatalf("%d of %q after %d: %v (-plain +got)\n%s", limit, trace, from, err, diff)
				}
				var newest [2][]*benefit.Issuance
				for k, st := range []store.Finder{x.model, x.s} {
					for i, err := range st.RecentOfTrace(t.Context(), trace, from) {
						if err != nil {
							t.Fatal(err)
						}
						if newest[k] = append(newest[k], i); len(newest[k]) == limit {
							break
						}
					}
				}
				if diff := storetest.Diff(idsOf(newest[0]), idsOf(newest[1])); diff != "" {
					t.Fatalf("%d of %q before %d (-plain +got)\n%s", limit, trace, from, diff)
				}
			}
		}
	}
	if list, _ := plain.TraceIssuances(t.Context(), "t1", 0, 100); len(list) < 5 {
		t.Errorf("only %d issuances under one trace id", len(list))
	}
}
