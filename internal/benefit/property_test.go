package benefit_test

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	. "faquan/internal/benefit"
	"faquan/internal/oracle"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// Whatever happens, nothing is issued against a rule, nothing is refused without one, and the counters say what
// the vouchers say.
func TestRandomHistories(t *testing.T) {
	tally := map[Reason]int{}
	never := func() (all []Reason) {
		for _, r := range IssueReasons() {
			if tally[r] == 0 {
				all = append(all, r)
			}
		}
		return all
	}
	for range 40 { // some reasons are rare: a round may come to none of one
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
		catalogues: map[int64]*Catalogue{},
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

// explain explains everything that was issued, once more: the same as it was, whatever has changed since.
func (h *history) explain() {
	for _, i := range h.contents().Issuances {
		if err := h.world.Oracle.CheckExplanation(i, Explain(h.catalogues[i.Catalogue], i, storetest.Rules{})); err != nil {
			h.rt.Fatalf("explaining %d in the end: %v", i.ID, err)
		}
	}
}

// step does what comes next, and judges it.
func (h *history) step(s storetest.Step) {
	cat := h.world.Catalogue()
	h.catalogues[cat.Version] = cat
	if err := h.world.Do(h.rt.Context(), s, h.committer); err != nil {
		h.rt.Fatal(err)
	}
	if s.Changes != nil {
		return
	}
	for _, c := range s.Calls {
		i, ok := c.(*oracle.Issue)
		if !ok {
			continue
		}
		o := i.Outcome
		h.tally[o.Reason]++
		for _, e := range o.Errors {
			h.tally[e.Reason]++
		}
		for _, l := range o.Lines {
			h.tally[l.Reason]++
		}
	}
	h.recount()
}

// recount compares the rows of the store with what was issued.
func (h *history) recount() {
	c := h.contents()
	if err := h.world.Oracle.CheckRows(c.Issuances, c.Rows); err != nil {
		h.rt.Fatal(err)
	}
	users := map[UserID]bool{}
	for _, u := range c.Users {
		users[u.ID] = true
	}
	for _, i := range c.Issuances {
		if i.ID.Millis() > h.store.LastIDMillis() || !users[i.User] {
			h.rt.Fatalf("issuance %d of user %d is too late, or nobody's", i.ID, i.User)
		}
	}
}

func (h *history) contents() *storetest.Contents {
	c, err := storetest.ContentsOf(h.rt.Context(), h.store)
	if err != nil {
		h.rt.Fatal(err)
	}
	return c
}
