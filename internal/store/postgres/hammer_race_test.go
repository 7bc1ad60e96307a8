package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/pgtest/cutproxy"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// told remembers what callers were told under each key, and that it never changes.
type told struct {
	mu    sync.Mutex
	lines map[benefit.ClaimID]*benefit.Issuance
}

// note checks an answer against those before. What a key was told may grow where it is continued, and a key that was
// bound for a while may be bound again; else it stays.
func (x *told) note(t testing.TB, r *benefit.Request, o benefit.Outcome) {
	if o.Issuance == nil || o.Reason == benefit.KeyConflict {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.lines[r.ClaimID()]
	if was == nil || was.BindMillis > 0 {
		x.lines[r.ClaimID()] = o.Issuance
		return
	}
	if was.ID != o.Issuance.ID {
		t.Errorf("key %q: told of %d and of %d", r.Key, was.ID, o.Issuance.ID)
	}
	if len(o.Issuance.Vouchers()) > len(was.Vouchers()) {
		x.lines[r.ClaimID()] = o.Issuance
	}
}

// stands checks that all that was told is in the store.
func (x *told) stands(t testing.TB, p *process) {
	t.Helper()
	r, err := p.st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, i := range x.lines {
		got, err := r.IssuanceOf(t.Context(), i.Vouchers()[0].ID)
		if err != nil || got == nil {
			t.Errorf("told of %d: in the store %v, %v", i.ID, got, err)
			continue
		}
		if have := got.Vouchers(); len(have) < len(i.Vouchers()) || i.BindMillis == 0 && len(have) != len(i.Vouchers()) && !i.Continues {
			t.Errorf("told of %d vouchers of %d, the store has %d", len(i.Vouchers()), i.ID, len(have))
		}
	}
}

// TestHammer lets 1, 2 and 4 processes issue in a random world while its catalogue and its users change, commits are cut
// and connections are killed. Then the books are audited. The world is always the same; how the processes meet is not.
func TestHammer(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(n, " processes"), func(t *testing.T) {
			hammer(t, n, uint64(n))
		})
	}
}

func hammer(t *testing.T, n int, seed uint64) {
	w := storetest.NewWorld(storetest.Seeded(seed))
	w.Clock = benefit.InstantOf(time.Now()) // windows are around it
	for _, t := range w.Templates {
		for _, c := range []*benefit.Cap{&t.Stock.Count, &t.Stock.Amount, &t.Stock.CountPerDay, &t.Stock.AmountPerDay} {
			if *c != benefit.Unlimited {
				*c = 10 + 20**c // there is more to be had than in a world that is told step by step
			}
		}
		t.Limits.PerUser, t.Limits.PerUserPerDay, t.Limits.PerPerson = 20*t.Limits.PerUser, 20*t.Limits.PerUserPerDay, 20*t.Limits.PerPerson
	}
	url := server(t).Database(t)
	st := join(t, url, 1).st
	if err := storetest.Write(t.Context(), st, 0, w.Setup().Changes); err != nil {
		t.Fatal(err)
	}
	proxy := cutproxy.Start(t, url)
	all := make([]*process, n)
	for k := range all {
		all[k] = join(t, proxy.URL(), seed+uint64(k))
		all[k].run()
	}
	x := &told{lines: map[benefit.ClaimID]*benefit.Issuance{}}
	chance := storetest.Seeded(^seed)
	var callers sync.WaitGroup
	waiting := make(chan struct{}, 32)
	for range 300 {
		s := w.Next()
		if s.Changes != nil {
			write(t, st, s.Changes)
			continue
		}
		switch chance(40) {
		case 0:
			proxy.Arm([]cutproxy.Cut{cutproxy.AnswerLost, cutproxy.CommitLost, cutproxy.AtOnce}[chance(3)])
		case 1:
			proxy.CutAll()
		}
		for _, r := range s.Requests() {
			for range 1 + chance(2) { // the same request at two processes
				p := all[chance(n)]
				waiting <- struct{}{}
				callers.Go(func() {
					defer func() { <-waiting }()
					insist(t, p, r, x)
				})
			}
		}
	}
	callers.Wait()
	if t.Failed() {
		return
	}
	x.stands(t, all[0])
	t.Logf("%d keys were told of something", len(x.lines))
	audited(t, url)
}

// write makes a change past the proxy.
func write(t testing.TB, st store.Store, c *benefit.Changes) {
	t.Helper()
	if err := storetest.Write(t.Context(), st, 0, c); err != nil {
		t.Fatalf("a change: %v", err)
	}
}

// insist asks until there is an outcome.
func insist(t testing.TB, p *process, r *benefit.Request, x *told) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		o, err := p.engine.Issue(context.Background(), r)
		switch {
		case err == nil:
			x.note(t, r, o)
			return
		case errors.Is(err, engine.ErrUnknown) || errors.Is(err, engine.ErrNotIssued) || errors.Is(err, engine.ErrBusy):
		default:
			t.Errorf("%q: %v", r.Key, err)
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%q: no answer in two minutes: %v", r.Key, err)
			return
		}
	}
}

// audited holds the store to its promises. What the catalogue has changed since may look doubtful; a finding is wrong.
func audited(t testing.TB, url string) {
	t.Helper()
	p := join(t, url, 99)
	r, err := p.st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	report, err := audit.Store(t.Context(), r, audit.Options{LookupEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Errorf("the audit found: %+v", report.Findings)
	}
}

// TestNoDeadlock has eight processes issue and change at random, over several templates, activities and users at once.
// They wait for each other, but never in a circle.
func TestNoDeadlock(t *testing.T) {
	const templates, users = 6, 5
	var catalogue []any
	for n := range templates {
		catalogue = append(catalogue, template(benefit.TemplateID(n+1), func(t *benefit.Template) { t.Limits.PerPerson = 1_000_000 }),
			activity(benefit.ActivityID(n+1), benefit.TemplateID(n+1), fmt.Sprint("a", n+1), func(a *benefit.Activity) { a.NoGuard = true }))
	}
	all := processes(t, 8, catalogue...)
	const deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
	before := count(t, all[0].url, deadlocks)
	for _, p := range all {
		p.run()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var callers sync.WaitGroup
	x := &told{lines: map[benefit.ClaimID]*benefit.Issuance{}}
	for n, p := range all {
		for c := range 6 {
			draw := storetest.Seeded(uint64(100*n + c))
			callers.Go(func() {
				for ctx.Err() == nil {
					insist(t, p, several(draw, templates, users), x)
				}
			})
		}
	}
	for version := int64(2); ctx.Err() == nil; version++ {
		time.Sleep(100 * time.Millisecond)
		write(t, all[0].st, entities(t, version, template(benefit.TemplateID(1+version%templates))))
	}
	callers.Wait()
	time.Sleep(time.Second) // servers tell their figures with a delay
	if n := count(t, all[0].url, deadlocks) - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	t.Logf("%d keys", len(x.lines))
	audited(t, all[0].url)
}

// several asks for one to three templates through their activities, in any order, under a key that others use, too.
func several(draw storetest.Pick, templates, users int) *benefit.Request {
	lines := make([]benefit.Line, 1+draw(3))
	for k := range lines {
		n := 1 + draw(templates)
		lines[k] = storetest.Line(benefit.TemplateID(n))
		lines[k].Activity = benefit.ActivityID(n)
	}
	slices.Reverse(lines)
	r := storetest.Request(fmt.Sprint("k", draw(100_000)), fmt.Sprint("2088", draw(users)), lines...)
	r.Scope, r.Continues = "s", draw(2) == 0
	return r
}
