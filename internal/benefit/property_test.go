package benefit_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// Whatever happens, nothing is issued against a rule, nothing is refused without one, and the counters say what
// the vouchers say.
func TestRandomHistories(t *testing.T) {
	tally := map[Reason]int{}
	never := func() (all []Reason) {
		for _, r := range Reasons() {
			if tally[r] == 0 {
				all = append(all, r)
			}
		}
		return all
	}
	for range 10 { // some reasons are rare: a round may come to none of one
		rapid.Check(t, func(rt *rapid.T) {
			h := newHistory(rt, storetest.NewWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") }))
			h.run(40)
			for reason, n := range h.tally {
				tally[reason] += n
			}
		})
		if len(never()) == 0 || t.Failed() {
			break
		}
	}
	if missing := never(); len(missing) > 0 && tally[NotRefused] > 1000 {
		t.Errorf("no history came to %v", missing)
	}
	t.Logf("lines by reason: %v", tally)
}

// FuzzHistories is the same with the choices made by a fuzzer, one byte each, and by 0 when they are used up.
func FuzzHistories(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\x02\x03\x00\x00\x02\x05\x02\x01\x00\x00a few vouchers of a random template, then a change"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		steps := len(choices) / 20
		newHistory(t, storetest.NewWorld(func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			first := choices[0]
			choices = choices[1:]
			return int(first) % n
		})).run(min(steps, 60))
	})
}

// history is a random history on its way.
type history struct {
	rt        failer
	world     *storetest.World
	store     *memory.Store
	committer *storetest.Committer
	judge     *judge
	committed Instant // the last committed now
	tally     map[Reason]int

	catalogues map[int64]*Catalogue // by version
}

// failer is what a test of either kind fails by.
type failer interface {
	Context() context.Context
	Fatal(...any)
	Fatalf(string, ...any)
}

func newHistory(rt failer, w *storetest.World) *history {
	st := memory.New()
	return &history{
		rt: rt, world: w, store: st, committer: storetest.NewCommitter(st, w.Catalogue(), 1), tally: map[Reason]int{},
		judge: newJudge(), catalogues: map[int64]*Catalogue{},
	}
}

// run does so many steps after the first one.
func (h *history) run(steps int) {
	h.step(h.world.Setup())
	for range steps {
		h.step(h.world.Next())
	}
	h.explain()
}

// explain tells of everything that was issued how it came about: the same as it did, whatever has changed since.
func (h *history) explain() {
	c, err := storetest.ContentsOf(h.rt.Context(), h.store)
	if err != nil {
		h.rt.Fatal(err)
	}
	for _, i := range c.Issuances {
		if err := checkExplanation(h.catalogues[i.Catalogue], i, nil); err != nil {
			h.rt.Fatal(err)
		}
	}
}

// step does what comes next, and judges it.
func (h *history) step(s storetest.Step) {
	now := max(s.Clock, h.committed)
	h.judge.cat, h.committer.Catalogue = h.world.Catalogue(), h.world.Catalogue()
	h.catalogues[h.judge.cat.Version] = h.judge.cat
	if s.Changes != nil {
		if err := storetest.Write(h.rt.Context(), h.store, s.Clock, s.Changes); err != nil {
			h.rt.Fatal(err)
		}
		for _, u := range s.Changes.Users {
			h.judge.users[u.ID] = u
		}
		h.committed = now
		return
	}
	outcomes, err := h.committer.Issue(h.rt.Context(), s.Clock, s.Requests...)
	if err != nil {
		h.rt.Fatal(err)
	}
	before := len(h.judge.given)
	for k, o := range outcomes {
		if err := h.judge.verdict(s.Requests[k], o, now); err != nil {
			h.rt.Fatalf("request %d at %s: %v\nrequest %+v\noutcome %+v", k, now, err, *s.Requests[k], o)
		}
		h.tally[o.Reason]++
		for _, e := range o.Errors {
			h.tally[e.Reason]++
		}
		for _, l := range o.Lines {
			h.tally[l.Reason]++
		}
	}
	if len(h.judge.given) > before {
		h.committed = now
	}
	h.recount()
}

// recount holds the rows of the store to the invariants: the counters are what the vouchers say, no cap is
// exceeded, no id and no key is there twice, every voucher is worth what its template gives and belongs to a user.
func (h *history) recount() {
	c, err := storetest.ContentsOf(h.rt.Context(), h.store)
	if err != nil {
		h.rt.Fatal(err)
	}
	users := map[UserID]bool{}
	for _, u := range c.Users {
		users[u.ID] = true
	}
	type day struct {
		template TemplateID
		day      Day
	}
	counts, days := map[TemplateID]TemplateCount{}, map[day]TemplateDay{}
	totals := map[QuotaKey]Quota{}
	ids, keys := map[id.ID]bool{}, map[string][]*Issuance{}
	for _, i := range c.Issuances {
		key := string(i.Scope) + "\x00" + i.Key
		for _, other := range keys[key] {
			a, b := i, other
			if b.At() < a.At() {
				a, b = b, a
			}
			if a.BindMillis == 0 || b.At() < a.At()+Instant(a.BindMillis) {
				h.rt.Fatalf("the key %q is bound twice", key)
			}
		}
		keys[key] = append(keys[key], i)
		for _, v := range i.Vouchers() {
			if ids[v.ID] || v.ID.Millis() > h.store.LastIDMillis() || !users[v.User] {
				h.rt.Fatalf("voucher %d of user %d is there twice, or too late, or nobody's", v.ID, v.User)
			}
			ids[v.ID] = true
			h.checkWorth(v)
			n, d := counts[v.Template], days[day{v.Template, v.IssuedAt.Day()}]
			counts[v.Template] = TemplateCount{v.Template, n.Count + 1, n.Amount + int64(v.Amount)}
			days[day{v.Template, v.IssuedAt.Day()}] = TemplateDay{v.Template, v.IssuedAt.Day(), d.Count + 1, d.Amount + int64(v.Amount)}
			k := QuotaKey{User: v.User, Template: v.Template}
			q := totals[k]
			if v.IssuedAt.Day() > q.Day {
				q.Day, q.DayTotal = v.IssuedAt.Day(), 0
			}
			if v.IssuedAt.Day() == q.Day {
				q.DayTotal++
			}
			totals[k] = Quota{k, q.Total + 1, q.Day, q.DayTotal}
		}
	}
	h.same("counts of templates", counts, keyed(storetest.RowsOf(c, TemplateCounts), func(x TemplateCount) TemplateID { return x.Template }))
	h.same("counts of days", days, keyed(storetest.RowsOf(c, TemplateDays), func(x TemplateDay) day { return day{x.Template, x.Day} }))
	h.same("quotas", totals, keyed(storetest.RowsOf(c, Quotas), func(x Quota) QuotaKey { return x.QuotaKey }))
	h.same("participations", keyed(h.judge.participations(), func(p Participation) ParticipationKey { return p.ParticipationKey }),
		keyed(storetest.RowsOf(c, Participations), func(p Participation) ParticipationKey { return p.ParticipationKey }))
	for _, t := range h.judge.cat.Templates {
		n := counts[t.ID]
		h.within(t, "count", t.Stock.Count, n.Count)
		h.within(t, "amount", t.Stock.Amount, n.Amount)
		for _, d := range days {
			if d.Template == t.ID {
				h.within(t, "count on "+d.Day.String(), t.Stock.CountPerDay, d.Count)
				h.within(t, "amount on "+d.Day.String(), t.Stock.AmountPerDay, d.Amount)
			}
		}
	}
}

func (h *history) checkWorth(v Voucher) {
	t := h.judge.cat.Templates[v.Template]
	lowest, highest := t.Face.Reduction, t.Face.Reduction
	if t.Kind == Cash {
		lowest, highest = t.Amount.Min, t.Amount.Max
	}
	if v.Amount < lowest || v.Amount > highest || v.Kind != t.Kind || v.Face != t.Face {
		h.rt.Fatalf("voucher %+v of template %+v", v, t)
	}
}

func (h *history) within(t *Template, what string, most Cap, got int64) {
	if most != Unlimited && got > int64(most) {
		h.rt.Fatalf("template %d: %s %d, above %d", t.ID, what, got, most)
	}
}

func (h *history) same(what string, counted, stored any) {
	if diff := cmp.Diff(counted, stored); diff != "" {
		h.rt.Fatalf("%s (-counted +stored):\n%s", what, diff)
	}
}

// keyed makes a map of rows.
func keyed[K comparable, V any](rows []V, key func(V) K) map[K]V {
	m := map[K]V{}
	for _, v := range rows {
		m[key(v)] = v
	}
	return m
}
