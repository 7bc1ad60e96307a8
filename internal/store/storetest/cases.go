package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// testEmpty asks a new store for everything: what is not there is nil or zero, not an error.
func testEmpty(t *testing.T, h Harness) {
	st := h.open(t)
	want(t, "everything", &Contents{}, mustContents(t, st))

	r := mustRead(t, st)
	ctx := t.Context()
	want(t, "Claim", (*benefit.Issuance)(nil), found[*benefit.Issuance](t)(r.Claim(ctx, "t/1", "k")))
	want(t, "IssuanceOf", (*benefit.Issuance)(nil), found[*benefit.Issuance](t)(r.IssuanceOf(ctx, 1)))
	want(t, "UserIssuances", 0, len(found[[]*benefit.Issuance](t)(r.UserIssuances(ctx, 1, 0, 10))))
	want(t, "TemplateIssuances", 0, len(found[[]*benefit.Issuance](t)(r.TemplateIssuances(ctx, 1, 0, 10))))
	want(t, "TraceIssuances", 0, len(found[[]*benefit.Issuance](t)(r.TraceIssuances(ctx, "t", 0, 10))))
	if _, err := store.EntitiesAt(ctx, r, 1); !errors.Is(err, store.ErrNoVersion) {
		t.Errorf("EntitiesAt: %v", err)
	}
	want(t, "a recipient by id", (*benefit.User)(nil), found[*benefit.User](t)(r.Recipient(ctx, benefit.RefTo(1))))
	want(t, "Recipient", (*benefit.User)(nil), found[*benefit.User](t)(r.Recipient(ctx, benefit.Identifier{Type: benefit.AlipayID, Value: "1"})))
	want(t, "User", (*benefit.User)(nil), found[*benefit.User](t)(r.User(ctx, 1)))
	want(t, "UserByName", (*benefit.User)(nil), found[*benefit.User](t)(r.UserByName(ctx, "nobody")))
	want(t, "UserByName without a name", (*benefit.User)(nil), found[*benefit.User](t)(r.UserByName(ctx, "")))
	want(t, "Session", (*benefit.Session)(nil), found[*benefit.Session](t)(store.Session(ctx, r, benefit.SessionDigest("s"))))

	keys := &wanted{
		Claims:     []benefit.ClaimKey{claimKey("t/1", "k")},
		Recipients: []benefit.Identifier{{Type: benefit.AlipayID, Value: "1"}},
		Templates:  []benefit.TemplateID{1},
		Quotas:     []benefit.QuotaKey{{User: 1, Template: 1}},

		Participations: []benefit.ParticipationKey{{User: 1, Activity: 1}},
	}
	want(t, "the loaded state", mustLoad(t, memory.New(), Start, keys), mustLoad(t, st, Start, keys))
}

func claimKey(scope benefit.Scope, key string) benefit.ClaimKey {
	return benefit.ClaimKey{ID: benefit.ClaimIDOf(scope, key), Scope: scope, Key: key}
}

// testClock: now is the clock or the last committed now, whichever is later, whatever happens between.
func testClock(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	now := func(clock benefit.Instant) benefit.Instant {
		tx := mustBegin(t, st, clock)
		defer tx.Rollback()
		return tx.Now()
	}
	write := func(clock benefit.Instant) {
		first := g.take(clock, 1)
		mustWrite(t, st, clock, &benefit.Changes{Issuances: []*benefit.Issuance{plain(first, fmt.Sprint(first), 1, 1, 1)}})
	}

	want(t, "LastNow of a new store", benefit.Instant(0), st.LastNow())
	want(t, "the now of a new store", Start, now(Start))
	now(Start + 5000)
	want(t, "a batch that was rolled back does not move the clock", Start, now(Start))
	write(Start + 1000)
	want(t, "a clock that stepped back", Start+1000, now(Start))
	want(t, "a clock at the last now", Start+1000, now(Start+1000))
	want(t, "a clock that goes on", Start+1001, now(Start+1001))
	write(Start)
	want(t, "a commit at an earlier clock", Start+1000, now(Start))

	st = h.reopen(t, st)
	want(t, "LastNow after opening again", Start+1000, st.LastNow())
	want(t, "after opening again", Start+1000, now(Start))
	write(Start + 2000)
	want(t, "LastNow after a commit", Start+2000, st.LastNow())
	if h.Crash != nil {
		h.Crash(t, st)
		st = h.Open(t)
		want(t, "after a crash", Start+2000, now(Start))
	}
	if err := st.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// sampleChanges changes a row in every table.
func sampleChanges(g ids) *benefit.Changes {
	first := g.take(Start, 1)
	return &benefit.Changes{
		Issuances: []*benefit.Issuance{plain(first, fmt.Sprint("key ", first), first, 1, 1)},
		Users:     []*benefit.User{named(first, fmt.Sprint("user ", first))},
		Rows: benefit.RowsOf(
			benefit.Quotas.Rows(benefit.Quota{QuotaKey: benefit.QuotaKey{User: first, Template: 1}, Total: 1, Day: Start.Day(), DayTotal: 1}),
			benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: benefit.TemplateID(first), Count: 1, Amount: 500}),
			benefit.TemplateDays.Rows(benefit.TemplateDay{Template: benefit.TemplateID(first), Day: Start.Day(), Count: 1, Amount: 500}),
			benefit.Participations.Rows(benefit.Participation{
				ParticipationKey: benefit.ParticipationKey{User: first, Activity: 1}, Total: 1, At: Start, DayTotal: 1, DaySends: 1, Cards: []string{"a"},
			}),
			benefit.Entities.Rows(benefit.Entity{Kind: benefit.TemplateEntity, ID: int64(first), Body: []byte(`{}`)}),
			benefit.Sessions.Rows(fullSession(fmt.Sprint(first))),
		),
		Catalogue: int64(first),
	}
}

// testRollback: a batch that was rolled back leaves nothing, and the next one starts as if it had not been.
func testRollback(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	mustWrite(t, st, Start, sampleChanges(g))
	before := mustContents(t, st)

	mustLoad(t, st, Start, &wanted{Templates: []benefit.TemplateID{1, 2}})
	want(t, "after a rollback", before, mustContents(t, st))

	tx := mustBeginChange(t, st, Start)
	changes := sampleChanges(g)
	changes.Now = tx.Now()
	if err := tx.Commit(t.Context(), changes); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	after := mustContents(t, st)
	tx.Rollback()
	tx.Rollback()
	want(t, "after a commit and a rollback", after, mustContents(t, st))
	if len(after.Issuances) != 2 {
		t.Errorf("%d issuances after two commits", len(after.Issuances))
	}
}

// testVisibility: a reader sees what was acknowledged before it was opened, all of it, and nothing else.
func testVisibility(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	early := mustRead(t, st)
	first := sampleChanges(g)
	mustWrite(t, st, Start, first)
	middle := mustRead(t, st)
	tx := mustBeginChange(t, st, Start)
	during := mustRead(t, st)
	second := sampleChanges(g)
	second.Now = tx.Now()
	if err := tx.Commit(t.Context(), second); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	late := mustRead(t, st)

	for _, c := range []struct {
		name   string
		reader store.Reader
		wants  []*benefit.Changes
	}{
		{"before the first commit", early, nil},
		{"after the first commit", middle, []*benefit.Changes{first}},
		{"during the second batch", during, []*benefit.Changes{first}},
		{"after the second commit", late, []*benefit.Changes{first, second}},
	} {
		model := memory.New()
		for _, changes := range c.wants {
			mustWrite(t, model, Start, changes)
		}
		got, err := contents(t.Context(), c.reader)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want(t, "a reader opened "+c.name, mustContents(t, model), got)
		seen := second.Issuances[0]
		if len(c.wants) < 2 {
			seen = nil
		}
		want(t, "the claim, "+c.name, seen,
			found[*benefit.Issuance](t)(c.reader.Claim(t.Context(), second.Issuances[0].Scope, second.Issuances[0].Key)))
	}
}

// testCancelledCommit: a caller that gave up before the commit gets all or nothing, and learns which.
func testCancelledCommit(t *testing.T, h Harness) {
	st := h.open(t)
	tx := mustBeginChange(t, st, Start)
	changes := sampleChanges(newIDs())
	changes.Now = tx.Now()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := tx.Commit(ctx, changes)
	tx.Rollback()
	got := len(mustContents(t, st).Issuances)
	if err == nil && got != 1 {
		t.Error("the commit was acknowledged, and wrote nothing")
	}
	if errors.Is(err, store.ErrNotCommitted) && got != 0 {
		t.Error("the commit answered that nothing was written, and something was")
	}
	if err != nil && !errors.Is(err, store.ErrNotCommitted) {
		t.Errorf("a commit that was cancelled before it began answers an unknown outcome: %v", err)
	}
	mustWrite(t, st, Start, sampleChanges(newIDs()))
}

// testClaims: a key belongs to its scope, and no two scopes and keys run into each other.
func testClaims(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	changes := &benefit.Changes{}
	var keys wanted
	add := func(scope benefit.Scope, key string) {
		i := plain(g.take(Start, 1), key, 1, 1, 1)
		i.Scope = scope
		changes.Issuances = append(changes.Issuances, i)
	}
	for _, scope := range []benefit.Scope{"t/1", "t/11", "t/2", "a/1/我的业务", "a/1/我的业务 "} {
		for _, key := range []string{"k", "K", "k ", "1k", "1", "é", "e\u0301", edgeCaseText(benefit.MaxKey)} {
			add(scope, key)
		}
	}
	mustWrite(t, st, Start, changes)

	r := mustRead(t, st)
	for _, i := range changes.Issuances {
		want(t, fmt.Sprintf("%q in %q", i.Key, i.Scope), i, found[*benefit.Issuance](t)(r.Claim(t.Context(), i.Scope, i.Key)))
		keys.Claims = append(keys.Claims, claimKey(i.Scope, i.Key))
	}
	for _, absent := range [][2]string{{"t/3", "k"}, {"t/1", ""}, {"t/1", "k1"}, {"", "k"}, {"t/1", "ｋ"}} {
		scope := benefit.Scope(absent[0])
		want(t, fmt.Sprint(absent), (*benefit.Issuance)(nil), found[*benefit.Issuance](t)(r.Claim(t.Context(), scope, absent[1])))
		keys.Claims = append(keys.Claims, claimKey(scope, absent[1]))
	}
	compareLoads(t, st, &keys, changes)
}

// compareLoads loads the keys from the store and from a model that holds the changes.
func compareLoads(t *testing.T, st store.Store, keys *wanted, changes ...*benefit.Changes) {
	t.Helper()
	model := memory.New()
	for _, c := range changes {
		mustWrite(t, model, c.Now, c)
	}
	want(t, "the loaded state", mustLoad(t, model, Start, keys), mustLoad(t, st, Start, keys))
}

// testIssuances reads back every field of an issuance, by every way to it.
func testIssuances(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	full := fullIssuance(g)
	bare := &benefit.Issuance{
		ID: g.take(Start+1, 1), Scope: "t/9", Key: "k", User: 9, Recipient: benefit.Identifier{Type: "x", Value: "y"},
		Lines: []benefit.IssuedLine{{Line: benefit.Line{Template: 9, Sends: 1, Quantity: 1}, Amounts: []money.Fen{0}, Issued: 1}},
	}
	bare.Lines[0].First = bare.ID
	changes := &benefit.Changes{Issuances: []*benefit.Issuance{full, bare}}
	mustWrite(t, st, Start, changes)

	check := func(when string) {
		ctx := t.Context()
		r, err := st.Read(ctx)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		defer r.Close()
		for _, i := range changes.Issuances {
			want(t, when+": Claim", i, found[*benefit.Issuance](t)(r.Claim(ctx, i.Scope, i.Key)))
			want(t, when+": IssuanceOf", i, found[*benefit.Issuance](t)(r.IssuanceOf(ctx, i.ID)))
			want(t, when+": UserIssuances", []*benefit.Issuance{i}, found[[]*benefit.Issuance](t)(r.UserIssuances(ctx, i.User, 0, 10)))
			for _, l := range i.Lines {
				want(t, when+": TemplateIssuances", []*benefit.Issuance{i}, found[[]*benefit.Issuance](t)(r.TemplateIssuances(ctx, l.Template, 0, 10)))
			}
		}
		want(t, when+": everything", changes.Issuances, mustContents(t, st).Issuances)
	}
	check("at once")
	compareLoads(t, st, &wanted{Claims: []benefit.ClaimKey{claimKey(full.Scope, full.Key), claimKey(bare.Scope, bare.Key)}}, changes)
	st = h.reopen(t, st)
	check("after opening again")
	if got := st.LastIDMillis(); got < full.ID.Millis() || got < bare.ID.Millis() {
		t.Errorf("LastIDMillis() = %d, below an id of the store", got)
	}
	_ = st.Close()
}

// testContinued: an issuance that is written again replaces itself, also where only the reason of a line has changed,
// and its new vouchers are found.
func testContinued(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	before := plain(g.take(Start, 3), "k", 7, 1, 1)
	before.Continues = true
	before.Lines = append(before.Lines, before.Lines[0])
	before.Lines[1].Template, before.Lines[1].First = 2, before.ID+1
	before.Lines[1].Issued, before.Lines[1].Reason = 0, benefit.StockEmpty
	before.Lines = append(before.Lines, before.Lines[1])
	before.Lines[2].First = before.ID + 2
	mustWrite(t, st, Start, &benefit.Changes{Issuances: []*benefit.Issuance{before}})

	closed := *before // nothing more was issued, and a line is not tried again
	closed.Lines = append([]benefit.IssuedLine(nil), before.Lines...)
	closed.Lines[2].Reason = benefit.UserFrozen
	mustWrite(t, st, Start+3, &benefit.Changes{Issuances: []*benefit.Issuance{&closed}})
	want(t, "a line that was closed", []*benefit.Issuance{&closed}, mustContents(t, st).Issuances)

	after := closed
	after.Lines = append([]benefit.IssuedLine(nil), closed.Lines...)
	after.Lines[1].Issued, after.Lines[1].Reason, after.Lines[1].At = 1, benefit.NotRefused, Start+5
	mustWrite(t, st, Start+5, &benefit.Changes{Issuances: []*benefit.Issuance{&after}})

	for _, when := range []string{"at once", "after opening again"} {
		r := found[store.Reader](t)(st.Read(t.Context()))
		want(t, when+": Claim", &after, found[*benefit.Issuance](t)(r.Claim(t.Context(), after.Scope, after.Key)))
		want(t, when+": the first voucher", &after, found[*benefit.Issuance](t)(r.IssuanceOf(t.Context(), after.ID)))
		want(t, when+": the second voucher", &after, found[*benefit.Issuance](t)(r.IssuanceOf(t.Context(), after.ID+1)))
		for _, template := range []benefit.TemplateID{1, 2} {
			want(t, when+": TemplateIssuances", []*benefit.Issuance{&after}, found[[]*benefit.Issuance](t)(r.TemplateIssuances(t.Context(), template, 0, 9)))
		}
		want(t, when+": UserIssuances", []*benefit.Issuance{&after}, found[[]*benefit.Issuance](t)(r.UserIssuances(t.Context(), 7, 0, 9)))
		_ = r.Close()
		want(t, when+": everything", []*benefit.Issuance{&after}, mustContents(t, st).Issuances)
		st = h.reopen(t, st)
	}
	_ = st.Close()
}

// testVoucherLookup finds an issuance by each voucher that it issued, and by no other id, at once after each commit.
func testVoucherLookup(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	one := plain(g.take(Start, 5), "one", 1, 1, 3)
	one.Lines[0].Sends, one.Lines[0].Issued, one.Lines[0].Reason = 3, 2, benefit.StockEmpty // the third was refused
	one.Lines = append(one.Lines, one.Lines[0])
	one.Lines[1].Line, one.Lines[1].First = benefit.Line{Template: 2, Sends: 1, Quantity: 2}, one.ID+3
	one.Lines[1].Amounts, one.Lines[1].Issued = one.Lines[0].Amounts[:2], 1
	two := plain(g.take(Start, 2), "two", 1, 1, 2)
	other := plain(g.Block(int64(Start), 900, 1), "other bucket", 2, 1, 1)
	later := plain(g.take(Start+50, 1), "later", 1, 1, 1)
	open := plain(g.take(Start+60, 2), "open", 1, 1, 1)
	open.Continues = true
	open.Lines = append(open.Lines, open.Lines[0])
	open.Lines[1].First, open.Lines[1].Issued, open.Lines[1].Reason = open.ID+1, 0, benefit.StockEmpty
	full := *open
	full.Lines = []benefit.IssuedLine{open.Lines[0], open.Lines[0]}
	full.Lines[1].First, full.Lines[1].At = open.ID+1, Start+70

	commits := [][]*benefit.Issuance{{one, two, other}, {later}, {open}, {&full}}
	now := map[id.ID]*benefit.Issuance{} // the issuances as they are
	check := func(when string) {
		t.Helper()
		for _, from := range []string{"", ", by a reader"} { // the reader comes after: it moves rows in some stores
			ask := store.Lookup(st)
			if from != "" {
				r := mustRead(t, st)
				defer r.Close()
				ask = r
			}
			for _, c := range []struct{ voucher, issuance id.ID }{
				{0, 0}, {-1, 0}, {1, 0}, {one.ID - 1, 0}, {one.ID, one.ID}, {one.ID + 1, one.ID}, {one.ID + 2, 0}, {one.ID + 3, one.ID},
				{one.ID + 4, one.ID}, {two.ID - 1, one.ID}, {two.ID, two.ID}, {two.ID + 1, two.ID}, {two.ID + 2, 0}, {other.ID - 1, 0},
				{other.ID, other.ID}, {other.ID + 1, 0}, {later.ID - 1, 0}, {later.ID, later.ID}, {later.ID + 1, 0},
				{open.ID - 1, 0}, {open.ID, open.ID}, {open.ID + 1, open.ID}, {open.ID + 2, 0}, {1<<63 - 1, 0},
			} {
				holds := now[c.issuance]
				if holds == open && c.voucher != open.ID { // it is not issued yet
					holds = nil
				}
				want(t, fmt.Sprintf("%s%s: the issuance of voucher %d (one.ID%+d)", when, from, c.voucher, c.voucher-one.ID), holds,
					found[*benefit.Issuance](t)(ask.IssuanceOf(t.Context(), c.voucher)))
			}
		}
	}
	check("at first")
	for n, issuances := range commits {
		mustWrite(t, st, Start+benefit.Instant(20*n), &benefit.Changes{Issuances: issuances})
		for _, i := range issuances {
			now[i.ID] = i
		}
		check(fmt.Sprint("after commit ", n))
	}
	st = h.reopen(t, st)
	check("after opening again")
	_ = st.Close()
}

// testVouchersBeside: vouchers are found while others are issued, and rows move in some stores, as soon as they are
// acknowledged.
func testVouchersBeside(t *testing.T, h Harness) {
	st := h.open(t)
	const n = 150
	var issued [n]atomic.Pointer[benefit.Issuance]
	var last atomic.Int32
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			g := newIDs()
			for k := range n {
				i := plain(g.Block(int64(Start)+int64(k/10), k*37%id.Buckets, 3), fmt.Sprint(k), 1, 1, 2)
				if err := Write(t.Context(), st, Start, &benefit.Changes{Issuances: []*benefit.Issuance{i}}); err != nil {
					return err
				}
				issued[k].Store(i)
				last.Store(int32(k + 1))
				if k%9 == 8 {
					r, err := st.Read(t.Context())
					if err != nil {
						return err
					}
					_ = r.Close()
				}
			}
			return nil
		}()
	}()
	var askers sync.WaitGroup
	for seed := range uint64(3) {
		askers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for seen := int32(0); seen < n && !t.Failed(); {
				if seen = last.Load(); seen == 0 {
					continue
				}
				i := issued[r.IntN(int(seen))].Load()
				if r.IntN(2) == 0 {
					i = issued[seen-1].Load()
				}
				for k, holds := range []*benefit.Issuance{i, i, nil} { // the third is of nobody
					got, err := st.IssuanceOf(t.Context(), i.ID+id.ID(k))
					if err != nil || (got == nil) != (holds == nil) || got != nil && got.ID != i.ID {
						t.Errorf("of %d issuances, voucher %d of %s: %+v, %v", seen, k, i.Key, got, err)
						return
					}
				}
			}
		})
	}
	if err := <-done; err != nil {
		t.Error(err) // which ends the others
	}
	askers.Wait()
}
