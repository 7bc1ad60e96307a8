package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// The catalogue of a pair: a coupon given by a treasure box, and certificates with so few digits that they run out.
const (
	couponTemplate = 1
	certTemplate   = 2
	boxActivity    = 5
)

func pairCatalogue(digits int) *benefit.Catalogue {
	return benefit.NewCatalogue(1, []*benefit.Merchant{{ID: storetest.OpenMerchant, Name: "open", Open: true}},
		[]*benefit.App{{ID: storetest.App, Name: "app", Merchant: storetest.OpenMerchant}},
		[]*benefit.Template{
			storetest.Template(couponTemplate),
			storetest.Template(certTemplate, func(t *benefit.Template) {
				t.Kind, t.Face, t.Code.Digits = benefit.Certificate, benefit.Face{}, digits
			}),
		},
		[]*benefit.Activity{{
			ID: boxActivity, Name: "box", Merchant: storetest.OpenMerchant, Status: benefit.Active,
			Box: &benefit.Box{Cards: []string{"a", "b"}, DoneAfter: 2},
		}}, nil)
}

// pair is a store in a place and the plain one, to which the same happens.
type pair struct {
	place *testPlace
	s     *Store
	model *memory.Store
	r     *rand.Rand
	real  *storetest.Committer
	plain *storetest.Committer
}

func newPair(t testing.TB, o Options, digits int, seed uint64) *pair {
	x := &pair{place: newMemPlace(t, o), model: memory.New(), r: rand.New(rand.NewPCG(seed, 1))}
	x.s = x.place.open(t)
	x.real = storetest.NewCommitter(x.s, pairCatalogue(digits), seed)
	x.plain = storetest.NewCommitter(x.model, pairCatalogue(digits), seed)
	return x
}

// issue issues on both, and wants the same outcome.
func (x *pair) issue(t testing.TB, clock benefit.Instant, r *benefit.Request) benefit.Outcome {
	t.Helper()
	r.Fingerprint = benefit.FingerprintOf(r.Lines, r.Params.Card)
	x.real.Store = x.s
	got, err := x.real.Issue(t.Context(), clock, r)
	if err != nil {
		t.Fatalf("issuing: %v", err)
	}
	want, err := x.plain.Issue(t.Context(), clock, r)
	if err != nil {
		t.Fatalf("issuing on the plain store: %v", err)
	}
	if diff := storetest.Diff(want, got); diff != "" {
		t.Fatalf("%s (-plain +got):\n%s", r.Key, diff)
	}
	return got[0]
}

// write commits rows on both.
func (x *pair) write(t testing.TB, c *benefit.Changes) {
	t.Helper()
	one := *c
	if err := errors.Join(storetest.Write(t.Context(), x.s, storetest.Start, c), storetest.Write(t.Context(), x.model, storetest.Start, &one)); err != nil {
		t.Fatal(err)
	}
}

// disturb does something that must change nothing: writes the memtable out, kills the process, takes the view away.
func (x *pair) disturb(t testing.TB) {
	t.Helper()
	switch x.r.IntN(8) {
	case 0, 1:
		if err := x.s.Flush(); err != nil {
			t.Fatal(err)
		}
	case 2:
		x.place.kill(x.s)
		x.s = x.place.open(t)
	case 3:
		if err := x.s.Close(); err != nil {
			t.Fatal(err)
		}
		x.place.disk = x.place.disk.CrashProcess()
		x.s = x.place.open(t)
	case 4:
		x.place.kill(x.s)
		if err := removeView(ViewPath(x.place.dir)); err != nil {
			t.Fatal(err)
		}
		x.s = x.place.open(t)
	}
}

// wantLoads wants that loading the keys, and the rows that are wanted, gives the same of both.
func (x *pair) wantLoads(t testing.TB, what string, keys benefit.Keys, want ...func(*table.State)) {
	t.Helper()
	load := func(st store.Store) *benefit.State {
		tx, err := st.Begin(t.Context(), storetest.Start)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		state := benefit.NewState()
		state.Reset(tx.Now())
		for _, rows := range want {
			rows(state.Rows())
		}
		keys.Rows = state.Rows().Wanted()
		if err := tx.Load(t.Context(), &keys, state); err != nil {
			t.Fatal(err)
		}
		return state
	}
	if diff := storetest.Diff(load(x.model), load(x.s)); diff != "" {
		t.Errorf("%s (-plain +got):\n%s", what, diff)
	}
}

// wantSame wants that all rows of both are the same, and that the view is what the journal says.
func (x *pair) wantSame(t testing.TB) {
	t.Helper()
	wantSame(t, "all rows", contentsOf(t, x.model), contentsOf(t, x.s))
	if err := x.s.Close(); err != nil {
		t.Fatal(err)
	}
	x.place.disk = x.place.disk.CrashProcess()
	x.place.wantSound(t)
}

var tiny = Options{GenerationSize: 5, MaxMemtable: 8, CacheEntries: 1}

// What users do in activities is loaded as it was left, whatever happened in between: tiny generations whose filters
// are made again, caches that forget, kills, views that are lost.
func TestParticipationsAcrossGenerations(t *testing.T) {
	for seed := range uint64(6) {
		x := newPair(t, tiny, 8, seed)
		clock := storetest.Start
		users := map[benefit.UserID]bool{}
		for n := range 60 {
			r := storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", x.r.IntN(6)), benefit.Line{
				Template: couponTemplate, Activity: boxActivity, Sends: 1 + x.r.IntN(2), Quantity: 1,
			})
			r.Params.Card, r.Guarded = []string{"", "a", "b"}[x.r.IntN(3)], x.r.IntN(2) == 0
			clock += benefit.Instant([]int{0, 300, 999, 1000, 20_000_000}[x.r.IntN(5)])
			if o := x.issue(t, clock, r); o.Issuance != nil {
				users[o.Issuance.User] = true
			}
			x.disturb(t)
		}
		want := func(rows *table.State) {
			for u := range users {
				for _, a := range []benefit.ActivityID{boxActivity, boxActivity + 1} {
					benefit.Participations.Want(rows, benefit.ParticipationKey{User: u, Activity: a})
				}
			}
		}
		x.wantLoads(t, "participations", benefit.Keys{}, want)
		x.wantLoads(t, "participations, again", benefit.Keys{}, want)
		x.wantSame(t)
	}
}

// A filter that is made from the view while its generation fills up holds the participations and codes that came in
// between, and those of the view.
func TestFiltersOfActivities(t *testing.T) {
	x := newPair(t, Options{GenerationSize: 8, MaxMemtable: 1000}, 8, 1)
	ask := func(from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			r := storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", n),
				benefit.Line{Template: couponTemplate, Activity: boxActivity, Sends: 1, Quantity: 1}, storetest.Line(certTemplate))
			if o := x.issue(t, storetest.Start, r); o.Reason != benefit.NotRefused {
				t.Fatalf("k%d: %v", n, o.Reason)
			}
		}
	}
	ask(0, 5)
	contentsOf(t, x.s)
	x.place.kill(x.s)
	x.s = x.place.open(t)
	defer func() { x.s.Close() }()
	last := x.s.gens[len(x.s.gens)-1]
	if last.complete() {
		t.Fatal("there is nothing to make")
	}
	conn, err := openConn(ViewPath(x.place.dir), true)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read, err := readFilters(conn, last.gen, x.s.filterCapacity())
	if err != nil {
		t.Fatal(err)
	}
	ask(5, 10) // fills the generation
	if err := x.s.Flush(); err != nil {
		t.Fatal(err)
	}
	if x.s.gens[len(x.s.gens)-1] == last {
		t.Fatal("the generation is not full")
	}
	last.fill(read)
	for _, i := range contentsOf(t, x.model).Issuances {
		k := benefit.ParticipationKey{User: i.User, Activity: boxActivity}
		if !last.quotas.mayContain(rowHash(benefit.Participations.Number, benefit.Participations.AppendKey(nil, benefit.Participations.DatumsOf(k)))) {
			t.Errorf("the participation of %s is hidden", i.Key)
		}
		for _, c := range i.ClaimKeys() {
			if !last.claims.mayContain(claimHash(c.ID)) {
				t.Errorf("a claim of %s in %s is hidden", i.Key, c.Scope)
			}
		}
	}
	x.s.links.drop()
	x.s.rows.drop()
	ask(10, 12)
}

// Filters made in the background, of generations that a kill left without, hide nothing either.
func TestFiltersOfActivitiesInTheBackground(t *testing.T) {
	x := newPair(t, Options{GenerationSize: 4, MaxMemtable: 6, CacheEntries: 1}, 8, 2)
	var keys benefit.Keys
	var done []benefit.ParticipationKey
	for n := range 30 {
		r := storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", n%7),
			benefit.Line{Template: couponTemplate, Activity: boxActivity, Sends: 1, Quantity: 1}, storetest.Line(certTemplate))
		i := x.issue(t, storetest.Start+benefit.Instant(n), r).Issuance
		done = append(done, benefit.ParticipationKey{User: i.User, Activity: boxActivity})
		keys.Claims = append(keys.Claims, i.ClaimKeys()...)
		if n%3 == 0 {
			if err := x.s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	x.place.kill(x.s)
	if err := sqlForget(x.place); err != nil {
		t.Fatal(err)
	}
	x.place.o.Foreground = false
	x.s = x.place.open(t)
	x.s.awaitFilters(t)
	x.wantLoads(t, "with filters", keys, func(rows *table.State) {
		for _, k := range done {
			benefit.Participations.Want(rows, k)
		}
	})
	x.wantSame(t)
}

// sqlForget takes the stored filters out of a view.
func sqlForget(p *testPlace) error {
	conn, err := openConn(ViewPath(p.dir), false)
	if err != nil {
		return err
	}
	return errors.Join(execOn(conn, "UPDATE generation SET claims=NULL, quotas=NULL"), conn.Close())
}

// A key that was bound for a window and is bound again leads to the newest issuance, in whatever generations the two
// lie; and so does its code, to its own.
func TestReboundKeys(t *testing.T) {
	for seed := range uint64(4) {
		x := newPair(t, tiny, 8, seed)
		clock := storetest.Start
		codes := map[string]bool{}
		for n := range 50 {
			r := storetest.Request(fmt.Sprint("w", x.r.IntN(3)), "20881", storetest.Line(certTemplate))
			r.Scope, r.BindMillis = scope.Certificate(storetest.App), 1000
			clock += benefit.Instant([]int{0, 999, 1000, 1}[x.r.IntN(4)])
			o := x.issue(t, clock, r)
			x.disturb(t)
			if o.Issuance == nil {
				t.Fatalf("step %d: %v", n, o.Reason)
			}
			if o.Replayed != codes[o.Issuance.Lines[0].Codes[0]] {
				t.Fatalf("step %d: replayed %v, and the code was given out %v", n, o.Replayed, !o.Replayed)
			}
			codes[o.Issuance.Lines[0].Codes[0]] = true
			reader, err := x.s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			newest, err := reader.Claim(t.Context(), r.Scope, r.Key)
			if err != nil || newest == nil || newest.ID != o.Issuance.ID {
				t.Fatalf("step %d: %s leads to %+v, %v, not to %d", n, r.Key, newest, err, o.Issuance.ID)
			}
			byCode, err := reader.Claim(t.Context(), benefit.CodeScope, o.Issuance.Lines[0].Codes[0])
			if err != nil || byCode == nil || byCode.ID != o.Issuance.ID {
				t.Fatalf("step %d: the code leads to %+v, %v, not to %d", n, byCode, err, o.Issuance.ID)
			}
			reader.Close()
			var keys benefit.Keys
			for k := range 3 {
				key := fmt.Sprint("w", k)
				keys.Claims = append(keys.Claims, benefit.ClaimKey{ID: benefit.ClaimIDOf(r.Scope, key), Scope: r.Scope, Key: key})
			}
			x.wantLoads(t, fmt.Sprint("step ", n), keys)
		}
		if len(codes) < 15 {
			t.Errorf("only %d issuances", len(codes))
		}
		x.wantSame(t)
	}
}

// No code is given out twice, not even by a process that draws the same as the one before it, which was killed.
func TestCodesAcrossCrashes(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 7, MaxMemtable: 8, CacheEntries: 1})
	r := rand.New(rand.NewPCG(1, 1))
	held := map[string]string{} // key by code
	empty := 0
	s := p.open(t)
	for n := 0; empty < 12 && n < 1000; n++ {
		if n%6 == 5 {
			if n%12 == 5 {
				p.powerCut(s, r)
			} else {
				p.kill(s)
			}
			s = p.open(t)
		}
		c := storetest.NewCommitter(s, pairCatalogue(2), uint64(empty)) // the same draws, until they give nothing more
		key := fmt.Sprint("k", n)
		all, err := c.Issue(t.Context(), storetest.Start+benefit.Instant(n), storetest.Request(key, "20881", storetest.Line(certTemplate)))
		if err != nil {
			t.Fatal(err)
		}
		i := all[0].Issuance
		if i == nil {
			if all[0].Reason != benefit.CodesEmpty {
				t.Fatalf("%s: %v", key, all[0].Reason)
			}
			empty++
			continue
		}
		if other, ok := held[i.Lines[0].Codes[0]]; ok {
			t.Fatalf("%s and %s have the same code", other, key)
		}
		held[i.Lines[0].Codes[0]] = key
	}
	defer s.Close()
	if len(held) < 80 || len(held) > 100 || empty < 12 {
		t.Errorf("%d of 100 codes were given out, and %d times there was none", len(held), empty)
	}
	reader, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for code, key := range held {
		if i, err := reader.Claim(t.Context(), benefit.CodeScope, code); err != nil || i == nil || i.Key != key {
			t.Errorf("the code of %s leads to %+v, %v", key, i, err)
		}
	}
}
