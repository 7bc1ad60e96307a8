package audit

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// tally is the total of a template's vouchers.
type tally struct {
	sum
	days map[benefit.Day]*sum
	over bool // a line was found to exceed a cap
}

// sum is a count and an amount, and a proof that the counters kept with the vouchers lead there: each line says
// what it found (a start) and leaves that and its own behind (an end). When every end is another line's start,
// but for the last, and every start another's end, but for the first, they are one sequence from nothing to the
// sum; there can be no circles, since each line adds something. Sums of hashes compare the two.
type sum struct {
	count, amount int64 // vouchers, fen
	starts, ends  [2]uint64
}

// state is a count with its amount.
type state [2]int64

func (c *recount) tally(t benefit.TemplateID) *tally {
	found := c.templates[t]
	if found == nil {
		found = &tally{days: map[benefit.Day]*sum{}}
		c.templates[t] = found
	}
	return found
}

func (t *tally) add(seeds [2]maphash.Seed, l *benefit.IssuedLine, n, amount int64) {
	day := t.days[l.At.Day()]
	if day == nil {
		day = &sum{}
		t.days[l.At.Day()] = day
	}
	t.sum.add(seeds, state{l.Seen.Count, l.Seen.Amount}, n, amount)
	day.add(seeds, state{l.Seen.DayCount, l.Seen.DayAmount}, n, amount)
}

func (s *sum) add(seeds [2]maphash.Seed, seen state, n, amount int64) {
	s.count += n
	s.amount += amount
	for k, seed := range seeds {
		s.starts[k] += maphash.Comparable(seed, seen)
		s.ends[k] += maphash.Comparable(seed, state{seen[0] + n, seen[1] + amount})
	}
}

// sequence reports whether the lines follow one another from nothing to the sum.
func (s *sum) sequence(seeds [2]maphash.Seed) bool {
	for k, seed := range seeds {
		if s.starts[k]+maphash.Comparable(seed, state{s.count, s.amount}) != s.ends[k]+maphash.Comparable(seed, state{}) {
			return false
		}
	}
	return true
}

func (s *sum) String() string { return fmt.Sprintf("%d vouchers, %d fen", s.count, s.amount) }

// settleTotals compares the templates' counters with what the vouchers add up to.
func (c *recount) settleTotals(ctx context.Context) error {
	got := map[benefit.TemplateID]*tally{}
	of := func(t benefit.TemplateID) *tally {
		if got[t] == nil {
			got[t] = &tally{days: map[benefit.Day]*sum{}}
		}
		return got[t]
	}
	for row, err := range store.All(ctx, c.r, benefit.TemplateCounts) {
		if err != nil {
			return fmt.Errorf("reading the templates' counters: %w", err)
		}
		c.report.Checked.Templates++
		of(row.Template).sum = sum{count: row.Count, amount: row.Amount}
	}
	for row, err := range store.All(ctx, c.r, benefit.TemplateDays) {
		if err != nil {
			return fmt.Errorf("reading the templates' counters of days: %w", err)
		}
		c.report.Checked.TemplateDays++
		of(row.Template).days[row.Day] = &sum{count: row.Count, amount: row.Amount}
	}
	for t := range got {
		c.tally(t) // a template with counters and without vouchers
	}
	for _, t := range slices.Sorted(maps.Keys(c.templates)) {
		c.settleTemplate(t, c.templates[t], of(t))
	}
	return c.findGaps(ctx)
}

func (c *recount) settleTemplate(t benefit.TemplateID, want, got *tally) {
	name := fmt.Sprint("template ", t)
	sound := c.sameSum(name, &want.sum, &got.sum)
	for d := range got.days {
		if want.days[d] == nil {
			want.days[d] = &sum{}
		}
	}
	for _, d := range slices.Sorted(maps.Keys(want.days)) {
		counted := got.days[d]
		if counted == nil {
			counted = &sum{}
		}
		if !c.sameSum(fmt.Sprintf("%s on %s", name, d), want.days[d], counted) {
			sound = false
		}
	}
	if !sound {
		want.days = nil // what follows would say the same again
		return
	}
	if now := c.rules.now.Templates[t]; now != nil && !want.over {
		for _, cap := range []struct {
			rule string
			most benefit.Cap
			have int64
		}{{ruleCount, now.Stock.Count, want.count}, {ruleAmount, now.Stock.Amount, want.amount}} {
			if cap.most != benefit.Unlimited && cap.have > int64(cap.most) {
				c.find(Finding{Totals, name + ": " + cap.rule, fmt.Sprint("at most ", int64(cap.most)), fmt.Sprint(cap.have)})
			}
		}
	}
}

func (c *recount) sameSum(name string, want, got *sum) bool {
	if want.count == got.count && want.amount == got.amount {
		return true
	}
	c.find(Finding{Totals, name, want.String() + ", by its vouchers", got.String() + ", by its counters"})
	return false
}

// findGaps names the lines at which the counters kept with the vouchers of a template do not follow one another.
// It reads everything once more, but only if there is such a template.
func (c *recount) findGaps(ctx context.Context) error {
	broken := map[benefit.TemplateID][]step{}
	for t, all := range c.templates {
		whole := all.days == nil || all.sequence(c.seeds)
		for _, d := range all.days {
			whole = whole && d.sequence(c.seeds)
		}
		if !whole {
			broken[t] = nil
		}
	}
	if len(broken) == 0 {
		return nil
	}
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for k := range i.Lines {
			l := lineRef{i, k, &i.Lines[k]}
			if steps, ok := broken[l.Template]; ok && l.Issued > 0 {
				broken[l.Template] = append(steps, stepOf(l))
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(broken)) {
		c.findGap(t, broken[t])
	}
	return nil
}

// step is a line of a template whose lines do not follow one another.
type step struct {
	row   string
	day   benefit.Day
	seen  benefit.Counters
	added state
}

func stepOf(l lineRef) step {
	n, amount := l.vouchers()
	return step{l.String(), l.At.Day(), l.Seen, state{n, amount}}
}

// findGap names the first line of a template that does not follow the one before.
func (c *recount) findGap(t benefit.TemplateID, steps []step) {
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.seen.Count, b.seen.Count), cmp.Compare(a.day, b.day))
	})
	var total, day state
	today := benefit.Day(0)
	for _, s := range steps {
		if s.day != today {
			today, day = s.day, state{}
		}
		want := benefit.Counters{Count: total[0], Amount: total[1], DayCount: day[0], DayAmount: day[1]}
		got := s.seen
		got.User, got.UserDay, got.Person = 0, 0, 0
		if want != got {
			c.find(Finding{Totals, s.row + ": the counters of its template that it keeps", show(want), show(got)})
			return
		}
		total, day = state{total[0] + s.added[0], total[1] + s.added[1]}, state{day[0] + s.added[0], day[1] + s.added[1]}
	}
	c.find(Finding{Totals, fmt.Sprint("template ", t), "counters kept with its vouchers that follow one another", "others"})
}

func show(c benefit.Counters) string {
	return fmt.Sprintf("%d vouchers and %d fen in total, %d and %d of the day", c.Count, c.Amount, c.DayCount, c.DayAmount)
}
