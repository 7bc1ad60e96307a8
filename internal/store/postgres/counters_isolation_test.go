package postgres_test

import (
	"errors"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// race has the first process hold its locks with one request while the second process asks for the other, which must
// wait; then the first commits. It returns what the second was told.
func race(t *testing.T, all []*process, first, second *benefit.Request) answered {
	t.Helper()
	a := all[0].begin(first).rows()
	b := all[1].ask(second)
	blocked(t, all[0].url, 1, b)
	a.mustIssue()
	return (<-b)[0]
}

// What a template has left is read by one process at a time: the last of it is given once.
func TestLastOfATemplate(t *testing.T) {
	cash := func(t *benefit.Template) {
		t.Kind, t.Face, t.Amount = benefit.Cash, benefit.Face{}, benefit.AmountRule{From: benefit.Fixed, Min: 10, Max: 10}
	}
	for want, caps := range map[benefit.Reason]func(*benefit.Template){
		benefit.StockEmpty:     func(t *benefit.Template) { t.Stock.Count = 1 },
		benefit.DayStockEmpty:  func(t *benefit.Template) { t.Stock.CountPerDay = 1 },
		benefit.BudgetEmpty:    func(t *benefit.Template) { cash(t); t.Stock.Amount = 19 },
		benefit.DayBudgetEmpty: func(t *benefit.Template) { cash(t); t.Stock.AmountPerDay = 19 },
	} {
		t.Run(want.String(), func(t *testing.T) {
			all := processes(t, 2, template(1, caps))
			wantReason(t, "the second", race(t, all, asks("a", "1", 1), asks("b", "2", 1)), want)
			if n := count(t, all[0].url, "SELECT count FROM template_count WHERE template = 1"); n != 1 {
				t.Errorf("%d issued of 1", n)
			}
		})
	}
}

// So is what a user has, also a user that neither process has seen before.
func TestLastOfAUser(t *testing.T) {
	for want, limits := range map[benefit.Reason]benefit.Limits{
		benefit.UserLimit:    {PerUser: 1},
		benefit.UserDayLimit: {PerUserPerDay: 1},
	} {
		for _, known := range []bool{false, true} {
			t.Run(want.String(), func(t *testing.T) {
				all := processes(t, 2, template(1, func(t *benefit.Template) { t.Limits = limits }), template(2))
				if known {
					all[0].begin(asks("before", "1", 2)).rows().mustIssue()
				}
				wantReason(t, "the second", race(t, all, asks("a", "1", 1), asks("b", "1", 1)), want)
				if n := count(t, all[0].url, "SELECT sum(total) FROM quota WHERE template = 1"); n != 1 {
					t.Errorf("%d received of 1", n)
				}
			})
		}
	}
}

// Two users of one person, each in a process of its own: neither writes a row of the other, and together they would
// have too much.
func TestLastOfAPerson(t *testing.T) {
	all := processes(t, 2, template(1, func(t *benefit.Template) { t.Limits.PerPerson = 1 }))
	var users []*benefit.User
	env := storetest.Env(all[0].st, 5)
	for k, name := range []string{"1", "2"} {
		ident := named(name)
		id := env.IDs.Block(int64(storetest.Start), k*100, 1)
		users = append(users, &benefit.User{ID: benefit.UserID(id), Identifiers: []benefit.Identifier{ident}, Person: "p"})
	}
	if err := storetest.Write(t.Context(), all[0].st, 0, &benefit.Changes{Users: users}); err != nil {
		t.Fatal(err)
	}
	wantReason(t, "the second", race(t, all, asks("a", "1", 1), asks("b", "2", 1)), benefit.PersonLimit)
}

// A call with the key of one that is under way waits for it and gets its outcome, whatever that has left for others.
func TestKeyNewToBoth(t *testing.T) {
	for name, limit := range map[string]func(*benefit.Template){
		"no limit":   func(*benefit.Template) {},
		"last one":   func(t *benefit.Template) { t.Stock.Count = 1 },
		"user limit": func(t *benefit.Template) { t.Limits.PerUser = 1 },
		"day limit":  func(t *benefit.Template) { t.Limits.PerUserPerDay = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			all := processes(t, 2, template(1, limit), template(2))
			all[0].begin(asks("before", "1", 2)).rows().mustIssue() // a user that is new, too, is another matter
			a := all[0].begin(asks("k", "1", 1)).rows()
			b := all[1].ask(asks("k", "1", 1), asks("another", "2", 1))
			blocked(t, all[0].url, 1, b)
			a.mustIssue()
			got := (<-b)[0]
			wantReason(t, "the second", got, benefit.NotRefused)
			if got.err == nil && (!got.Replayed || got.Issuance.ID != a.outcomes[0].Issuance.ID) {
				t.Errorf("the second call issued for itself")
			}
		})
	}
}

// Two processes that take no turns from each other still cannot both bind a key: nothing was there to lock, so the
// second finds out when it writes.
func TestKeyBoundTwice(t *testing.T) {
	all := processes(t, 2, template(1), template(2))
	one, other := asks("k", "1", 1), asks("k", "2", 2)
	other.Scope = one.Scope
	a, b := all[0].begin(one).rows(), all[1].begin(other).rows()
	a.mustIssue()
	wantConflict(t, b.commit())
	wantReason(t, "the second, again", all[1].issue(other), benefit.KeyConflict)
	wantIssuances(t, all[0], 1)
}

// Nor can both make a user.
func TestUserMadeTwice(t *testing.T) {
	all := processes(t, 2, template(1), template(2))
	a, b := all[0].begin(asks("a", "1", 1)).rows(), all[1].begin(asks("b", "1", 2)).rows()
	a.mustIssue()
	wantConflict(t, b.commit())
	again := all[1].issue(asks("b", "1", 2))
	wantReason(t, "the second, again", again, benefit.NotRefused)
	if again.err == nil && again.Issuance.User != a.outcomes[0].Issuance.User {
		t.Errorf("two users: %d and %d", a.outcomes[0].Issuance.User, again.Issuance.User)
	}
	if n := count(t, all[0].url, "SELECT count(*) FROM users"); n != 1 {
		t.Errorf("%d users, want 1", n)
	}
}

// Nor can both give one certificate code.
func TestCodeDrawnTwice(t *testing.T) {
	certificate := func(t *benefit.Template) {
		t.Kind, t.Face, t.Code = benefit.Certificate, benefit.Face{}, benefit.CodeRule{Digits: 1}
	}
	all := processes(t, 2, template(1, certificate), template(2, certificate))
	all[1].seed = all[0].seed // the same draws
	requests := []*benefit.Request{
		storetest.Request("a", "1", benefit.Line{Template: 1, Sends: 5, Quantity: 1}),
		storetest.Request("b", "2", benefit.Line{Template: 2, Sends: 5, Quantity: 1}),
	}
	a := all[0].begin(requests[0]).rows()
	b := all[1].begin(requests[1])
	b.batch.Env.IDs = storetest.Env(all[1].st, 77).IDs // but not the same ids
	b.rows()
	a.mustIssue()
	wantConflict(t, b.commit())
	again := all[1].issue(requests[1])
	wantReason(t, "the second, again", again, benefit.NotRefused)
	codes := map[string]bool{}
	for _, i := range []*benefit.Issuance{a.outcomes[0].Issuance, again.Issuance} {
		for _, code := range i.Lines[0].Codes {
			if codes[code] {
				t.Error("a code was given twice")
			}
			codes[code] = true
		}
	}
}

// What is left of an issuance is continued by one of two processes, and the other tells what it did.
func TestContinuedTwice(t *testing.T) {
	for name, stock := range map[string]benefit.Cap{"enough": 10, "the last one": 1} {
		t.Run(name, func(t *testing.T) {
			all := processes(t, 2, template(1), template(2, func(t *benefit.Template) { t.Stock.Count = 0 }))
			r := storetest.Request("k", "1", storetest.Line(1), storetest.Line(2))
			r.Continues = true
			all[0].begin(r).rows().mustIssue()
			changeTemplate(t, all, template(2, func(t *benefit.Template) { t.Stock.Count = stock }))
			got := race(t, all, r, r)
			wantReason(t, "the second", got, benefit.NotRefused)
			if got.err == nil && got.Lines[1].Issued != 1 {
				t.Errorf("the second says of the line that the first issued: %+v", got.Lines[1])
			}
			if n := count(t, all[0].url, "SELECT total FROM quota WHERE template = 2"); n != 1 {
				t.Errorf("%d issued of the line", n)
			}
		})
	}
}

// An issuance that comes again in a batch, as behind a code, must be what its key has shown.
func TestIssuanceReadTwice(t *testing.T) {
	all := processes(t, 2, template(1), template(2, func(t *benefit.Template) { t.Stock.Count = 0 }))
	r := storetest.Request("k", "1", storetest.Line(1), storetest.Line(2))
	r.Continues = true
	all[0].begin(r).rows().mustIssue()
	changeTemplate(t, all, template(2))
	late := all[1].begin(r)
	all[0].begin(r).rows().mustIssue()
	wantConflict(t, late.tx.Load(t.Context(), late.batch.Names(late.commands), late.batch.State))
}

// An id that was drawn twice is no issuance that is continued, also where the batch has read the first to have it.
func TestIssuanceOverAnother(t *testing.T) {
	all := processes(t, 2, template(1))
	a := all[0].begin(asks("a", "1", 1)).rows()
	a.mustIssue()
	b := all[1].begin(asks("a", "1", 1)) // a replay
	other := *a.outcomes[0].Issuance
	other.Key = "b"
	wantConflict(t, b.tx.Commit(t.Context(), &benefit.Changes{Now: b.tx.Now(), Issuances: []*benefit.Issuance{&other}}))
	if again := all[1].issue(asks("a", "1", 1)); again.err != nil || !again.Replayed {
		t.Errorf("what was issued first is answered %+v, %v", again.Outcome, again.err)
	}
}

// A key that was bound for a while, and is free again, is bound by one of two processes.
func TestWindowBoundTwice(t *testing.T) {
	for name, count := range map[string]benefit.Cap{"enough": benefit.Unlimited, "the last one": 2} {
		t.Run(name, func(t *testing.T) {
			all := processes(t, 2, template(1, func(t *benefit.Template) { t.Stock.Count = count }))
			r := asks("k", "1", 1)
			r.BindMillis = 60_000
			all[0].begin(r).rows().mustIssue()
			later := benefit.InstantOf(time.Now()) + 120_000
			execute(t, all[0].url, "UPDATE clock SET now = $1", int64(later)) // two minutes pass
			got := race(t, all, r, r)
			wantReason(t, "the second", got, benefit.NotRefused)
			if got.err == nil && !got.Replayed {
				t.Error("the second issued for itself")
			}
			wantIssuances(t, all[0], 2)
		})
	}
}

func wantConflict(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrConflict) {
		t.Fatalf("the second commit: %v, want %v", err, store.ErrConflict)
	}
}

func wantIssuances(t testing.TB, p *process, want int64) {
	t.Helper()
	if n := count(t, p.url, "SELECT count(*) FROM issuance"); n != want {
		t.Errorf("%d issuances, want %d", n, want)
	}
}

// changeTemplate changes a template by a process, and has all hear of it.
func changeTemplate(t testing.TB, all []*process, to *benefit.Template) {
	t.Helper()
	version := all[0].engine.Catalogue().Version + 1
	if err := storetest.Write(t.Context(), all[0].st, 0, entities(t, version, to)); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := p.engine.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
