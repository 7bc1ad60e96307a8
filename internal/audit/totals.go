package audit

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// sumKey names a sum: of a template's vouchers of a day, or in total.
type sumKey struct {
	template benefit.TemplateID
	day      int64 // inTotal, or a benefit.Day
}

const inTotal = math.MinInt64 // before every day

func (k sumKey) String() string {
	if k.day == inTotal {
		return fmt.Sprint("template ", k.template)
	}
	return fmt.Sprintf("template %d on %s", k.template, benefit.Day(k.day))
}

// sum is a count and an amount, and a proof that the counters kept with the vouchers lead there: each line has
// what it found (a start) and leaves that and its own behind (an end). When every end is another line's start,
// but for the last, and every start another's end, but for the first, they are one sequence from nothing to the
// sum; there can be no circles, since each line adds something.
type sum struct {
	count, amount int64     // vouchers, fen
	ends          [2]uint64 // hashes of the ends less those of the starts
}

// state is a count with its amount.
type state [2]int64

func (c *recount) sum(key sumKey) *sum {
	found := c.sums[key]
	if found == nil {
		found = &sum{}
		c.sums[key] = found
	}
	return found
}

func (s *sum) add(seeds [2]maphash.Seed, seen state, n, amount int64) {
	s.count += n
	s.amount += amount
	for k, seed := range seeds {
		s.ends[k] += maphash.Comparable(seed, state{seen[0] + n, seen[1] + amount}) - maphash.Comparable(seed, seen)
	}
}

// sequence reports whether the lines follow one another from nothing to the sum.
func (s *sum) sequence(seeds [2]maphash.Seed) bool {
	for k, seed := range seeds {
		if s.ends[k] != maphash.Comparable(seed, state{s.count, s.amount})-maphash.Comparable(seed, state{}) {
			return false
		}
	}
	return true
}

func (s *sum) String() string { return fmt.Sprintf("%d vouchers, %d fen", s.count, s.amount) }

// settleTotals compares the templates' counters with what the vouchers add up to, and that with the caps.
func (c *recount) settleTotals(ctx context.Context) error {
	kept := map[sumKey]sum{}
	for row, err := range store.All(ctx, c.r, benefit.TemplateCounts) {
		if err != nil {
			return fmt.Errorf("reading the templates' counters: %w", err)
		}
		c.report.Checked.Templates++
		kept[sumKey{row.Template, inTotal}] = sum{count: row.Count, amount: row.Amount}
	}
	for row, err := range store.All(ctx, c.r, benefit.TemplateDays) {
		if err != nil {
			return fmt.Errorf("reading the templates' counters of days: %w", err)
		}
		c.report.Checked.TemplateDays++
		kept[sumKey{row.Template, int64(row.Day)}] = sum{count: row.Count, amount: row.Amount}
	}
	for key := range kept {
		c.sum(key)
	}
	broken := map[benefit.TemplateID][]step{} // templates whose lines do not follow one another
	keys := slices.SortedFunc(maps.Keys(c.sums), func(a, b sumKey) int {
		return cmp.Or(cmp.Compare(a.template, b.template), cmp.Compare(a.day, b.day))
	})
	for all := range runs(keys, func(a, b *sumKey) bool { return a.template == b.template }) {
		sound, whole := true, true
		for _, key := range all {
			want, got := c.sums[key], kept[key]
			if want.count != got.count || want.amount != got.amount {
				c.find(Finding{Totals, key.String(), want.String() + ", by its vouchers", got.String() + ", by its counters"})
				sound = false
			}
			whole = whole && want.sequence(c.seeds)
		}
		if t := all[0].template; sound { // if not: what follows would repeat it
			c.settleCaps(t)
			if !whole {
				broken[t] = nil
			}
		}
	}
	return c.findGaps(ctx, broken)
}

// settleCaps compares what was issued of a template in total with its caps, unless a line of it was found to exceed one.
func (c *recount) settleCaps(t benefit.TemplateID) {
	now := c.rules.now.Templates[t]
	if now == nil || c.over[t] {
		return
	}
	key := sumKey{t, inTotal}
	total := c.sum(key)
	for _, bound := range []struct {
		rule string
		most benefit.Cap
		have int64
	}{{ruleCount, now.Stock.Count, total.count}, {ruleAmount, now.Stock.Amount, total.amount}} {
		if bound.most != benefit.Unlimited && bound.have > int64(bound.most) {
			c.find(Finding{Totals, key.String() + ": " + bound.rule, fmt.Sprint("at most ", int64(bound.most)), fmt.Sprint(bound.have)})
		}
	}
}

// findGaps names the lines at which the counters kept with the vouchers of templates do not follow one another.
// It reads everything once more, but only if there is such a template.
func (c *recount) findGaps(ctx context.Context, broken map[benefit.TemplateID][]step) error {
	if len(broken) == 0 {
		return nil
	}
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for l := range linesOf(i) {
			if steps, ok := broken[l.Template]; ok && l.Issued > 0 {
				n, amount := l.vouchers()
				broken[l.Template] = append(steps, step{l.String(), l.At.Day(), l.Seen, state{n, amount}})
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
