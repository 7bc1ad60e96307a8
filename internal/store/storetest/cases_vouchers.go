package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// testOldVouchers redeems vouchers that were issued before anything could happen to them: there is no row of their state.
func testOldVouchers(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	g := newIDs()
	old := plain(g.take(Start, 2), "old", 7, 1, 2)
	changes := &benefit.Changes{
		Issuances: []*benefit.Issuance{old}, Users: []*benefit.User{named(7, "u")},
		Rows: benefit.RowsOf(
			benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: 1, Count: 2, Amount: 1000}),
			benefit.TemplateDays.Rows(benefit.TemplateDay{Template: 1, Day: Start.Day(), Count: 2, Amount: 1000}),
			benefit.Quotas.Rows(benefit.Quota{QuotaKey: benefit.QuotaKey{User: 7, Template: 1}, Total: 2, Day: Start.Day(), DayTotal: 2}),
		),
	}
	for _, s := range []store.Store{st, model} {
		mustWrite(t, s, Start, changes)
	}
	first := old.FirstVoucher()
	for step, c := range []struct {
		call *oracle.OnVoucher
		want string
	}{
		{redeems("k", first), "redeem"},
		{redeems("k", first), "redeem replayed"},
		{redeems("again", first), "redeem VOUCHER_USED"},
		{voids("k", first), "void VOUCHER_USED"},
		{voids("k", first+1), "void"},
		{redeems("void", first+1), "redeem VOUCHER_VOIDED"},
		{reverses("k", first), "reverse"},
		{redeems("again", first), "redeem"},
	} {
		st = h.reopen(t, st)
		call := c.call.Again().(*oracle.OnVoucher)
		carryOut(t, NewCommitter(st, Catalogue(Template(1)), 1), call)
		carryOut(t, NewCommitter(model, Catalogue(Template(1)), 1), c.call)
		if got := call.Result(); got != c.want {
			t.Errorf("step %d: %s, want %s", step, got, c.want)
		}
		want(t, fmt.Sprintf("step %d: the outcome", step), c.call.Outcome, call.Outcome)
		all := mustContents(t, st)
		want(t, fmt.Sprintf("step %d: everything", step), mustContents(t, model), all)
		if err := oracle.CheckConservation(all.Issuances, all.Rows); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
	}
	_ = st.Close()
}

func redeems(key string, voucher id.ID) *oracle.OnVoucher {
	return onVoucher(key, voucher, &benefit.Redeem{Order: "order", OrderAmount: 900, HasOrderAmount: true})
}

func voids(key string, voucher id.ID) *oracle.OnVoucher {
	return onVoucher(key, voucher, &benefit.Void{ReturnStock: true})
}

// reverses reverses the first operation on a voucher.
func reverses(key string, voucher id.ID) *oracle.OnVoucher {
	return onVoucher(key, 0, &benefit.Reverse{Redemption: benefit.OperationID{Voucher: voucher, Number: 1}})
}

func onVoucher(key string, voucher id.ID, a benefit.Action) *oracle.OnVoucher {
	return &oracle.OnVoucher{OnVoucher: benefit.OnVoucher{Action: a, App: App, Key: key, Voucher: voucher}}
}

// carryOut carries a call out, again where another committer was first.
func carryOut(t testing.TB, c *Committer, call oracle.Call) {
	t.Helper()
	for {
		err := c.Do(t.Context(), Start, call.Command())
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%v: %v", call, err)
			return
		}
	}
}

// testVouchersAtOnce lets two callers ask for what only one of them can have: two committers of two processes at the same
// moment, where the store is shared; else one after the other.
func testVouchersAtOnce(t *testing.T, h Harness) {
	st := h.open(t)
	other := st
	if st.Shared() {
		other = h.open(t)
	}
	cat := Catalogue(
		Template(1), Template(2, Cash(benefit.Fixed, 100, 100)), Template(3, func(t *benefit.Template) { t.Stock.Count = 1 }),
		Template(4, func(t *benefit.Template) { t.Limits.PerUser = 1 }),
	)
	x := &pairs{t: t, one: NewCommitter(st, cat, 1), other: NewCommitter(other, cat, 2)}
	x.one.confirms, x.other.confirms = true, true
	for round := range 4 {
		key := func(name string) string { return fmt.Sprint(name, round) }
		if round%2 == 1 {
			x.one, x.other = x.other, x.one
		}

		v := x.issue(1, key("redeemed twice"))
		x.wants("redeemed twice", redeems(key("a"), v), redeems(key("b"), v), "redeem", "redeem VOUCHER_USED")

		v = x.issue(1, key("one key"))
		one, other := redeems(key("one"), v), redeems(key("one"), v)
		x.wants("under one key", one, other, "redeem", "redeem replayed")
		want(t, "what both were told", one.Outcome.Transition, other.Outcome.Transition)

		v = x.issue(1, key("two meanings"))
		x.wants("under one key, for two vouchers", redeems(key("two"), v), redeems(key("two"), x.issue(1, key("another"))), "redeem", "redeem KEY_CONFLICT")

		v = x.issue(1, key("redeemed and void"))
		void := voids(key("c"), v)
		if x.race(void, redeems(key("c"), v)); void.Outcome.Reason == benefit.NotRefused {
			x.told("redeemed and void", "redeem VOUCHER_VOIDED", "void")
		} else {
			x.told("redeemed and void", "redeem", "void VOUCHER_USED")
		}

		v = x.issue(1, key("reversed twice"))
		carryOut(t, x.one, redeems(key("d"), v))
		x.wants("reversed twice", reverses(key("d"), v), reverses(key("e"), v), "reverse", "reverse REVERSAL_TOO_LARGE")

		v = x.issue(2, key("the last fen"))
		x.wants("the last fen", pays(key("f"), v, 60), pays(key("g"), v, 41), "redeem", "redeem BALANCE_NOT_ENOUGH")

		for _, template := range []benefit.TemplateID{3, 4} { // one is issued, and no more than one
			v = x.issue(template, key("one piece"))
			void, last := voids(key(fmt.Sprint("h", template)), v), oracle.NewIssue(Request(key("last piece"), "2088", Line(template)))
			x.race(void, last)
			if void.Outcome.Reason != benefit.NotRefused {
				t.Errorf("a void was refused: %v", void.Outcome.Reason)
			}
			if i := last.Outcome.Issuance; i == nil {
				last = oracle.NewIssue(last.Request)
				carryOut(t, x.one, last)
			}
			if last.Outcome.Issuance == nil {
				t.Fatalf("the piece that came back was not issued: %v", last.Outcome.Reason)
			}
			carryOut(t, x.other, voids(key(fmt.Sprint("i", template)), last.Outcome.Issuance.FirstVoucher()))
		}
	}
	all := mustContents(t, st)
	if err := oracle.CheckConservation(all.Issuances, all.Rows); err != nil {
		t.Error(err)
	}
}

// pays takes an amount of a CASH voucher.
func pays(key string, voucher id.ID, amount money.Fen) *oracle.OnVoucher {
	return onVoucher(key, voucher, &benefit.Redeem{Amount: amount, HasAmount: true})
}

// pairs are two committers whose callers meet.
type pairs struct {
	t          *testing.T
	one, other *Committer
	results    []string
}

// issue issues one voucher, always to the same user.
func (x *pairs) issue(template benefit.TemplateID, key string) id.ID {
	x.t.Helper()
	call := oracle.NewIssue(Request(key, "2088", Line(template)))
	carryOut(x.t, x.one, call)
	if call.Outcome.Issuance == nil {
		x.t.Fatalf("%s: %v", key, call.Outcome.Reason)
	}
	return call.Outcome.Issuance.FirstVoucher()
}

// race carries out both calls, and notes what they came to.
func (x *pairs) race(a, b oracle.Call) {
	x.t.Helper()
	if x.one.Store == x.other.Store {
		carryOut(x.t, x.one, a)
		carryOut(x.t, x.other, b)
	} else {
		var both sync.WaitGroup
		both.Go(func() { carryOut(x.t, x.one, a) })
		both.Go(func() { carryOut(x.t, x.other, b) })
		both.Wait()
	}
	x.results = []string{a.Result(), b.Result()}
}

// told checks what the last two calls came to, in any order.
func (x *pairs) told(what string, one, other string) {
	x.t.Helper()
	if got := x.results; !(got[0] == one && got[1] == other || got[0] == other && got[1] == one) {
		x.t.Errorf("%s: %q, want %q and %q", what, got, one, other)
	}
}

// wants has both calls carried out, and one come to this, the other to that.
func (x *pairs) wants(what string, a, b oracle.Call, one, other string) {
	x.t.Helper()
	x.race(a, b)
	x.told(what, one, other)
}
