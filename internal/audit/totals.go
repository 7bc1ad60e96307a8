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
// sum: as each line adds something, there can be no circles.
//
// A void that returns stock is a step back. With steps back there can be circles: a line and a void of one of its vouchers may
// both keep counters that never were, if those of the line lead to those of the void and back again. Such a line may have
// exceeded a cap at its time without being found. The sums are exact all the same: what counts in the end is within the caps.
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
			c.settleBalance(c.balance(t), kept[sumKey{t, inTotal}])
			if !whole {
				broken[t] = nil
			}
		}
	}
	c.showBalances()
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

// sumReturns takes the voids that return a voucher of the line into the totals.
func (c *recount) sumReturns(l lineRef, n int, x *life) {
	for o := range x.returns() {
		c.returned++
		//guard:TestLives$ state{o.seen.Count, o.seen.Amount} -> state{}
		c.sum(sumKey{l.Template, inTotal}).add(c.seeds, state{o.seen.Count, o.seen.Amount}, -1, -l.amountOf(n))
		//guard:TestLives$ int64(l.At.Day()) -> int64(o.at.Day())
		c.sum(sumKey{l.Template, int64(l.At.Day())}).add(c.seeds, state{o.seen.DayCount, o.seen.DayAmount}, -1, -l.amountOf(n))
	}
}

// findGaps names the lines and voids at which the counters kept with the vouchers of templates do not follow one another.
// It reads everything once more, but only if there is such a template.
func (c *recount) findGaps(ctx context.Context, broken map[benefit.TemplateID][]step) error {
	if len(broken) == 0 {
		return nil
	}
	add := func(row string, l lineRef, seen benefit.Counters, n, amount int64) {
		if steps, ok := broken[l.Template]; ok {
			broken[l.Template] = append(steps, step{row, l.At.Day(), seen, state{n, amount}})
		}
	}
	voids := c.returnedLives(ctx)
	defer voids.close()
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for l := range linesOf(i) {
			if l.Issued > 0 {
				n, amount := l.vouchers()
				add(l.String(), l, l.Seen, n, amount)
			}
		}
		for x, err := range voids.upTo(lastVoucher(i)) {
			if err != nil {
				return err
			}
			if l, n, issued := voucherIn(i, x.voucher); issued {
				for o := range x.returns() {
					add(o.String(), l, *o.seen, -1, -l.amountOf(n))
				}
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(broken)) {
		c.findGap(t, broken[t])
	}
	return nil
}

// step is a line of a template whose lines do not follow one another, or a void of one of its vouchers.
type step struct {
	row   string
	day   benefit.Day // of the issue
	seen  benefit.Counters
	added state
}

// place is where a step starts or ends: counters in total, or of a day.
type place struct {
	day int64 // inTotal, or a benefit.Day
	at  state
}

// places returns where the step starts and ends, in total and on its day.
func (s *step) places() (starts, ends [2]place) {
	starts = [2]place{{inTotal, state{s.seen.Count, s.seen.Amount}}, {int64(s.day), state{s.seen.DayCount, s.seen.DayAmount}}}
	for k, p := range starts {
		ends[k] = place{p.day, state{p.at[0] + s.added[0], p.at[1] + s.added[1]}}
	}
	return starts, ends
}

// findGap names the first step of a template that starts where no other leads.
func (c *recount) findGap(t benefit.TemplateID, steps []step) {
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.seen.Count, b.seen.Count), cmp.Compare(a.day, b.day), cmp.Compare(b.added[0], a.added[0]))
	})
	led := map[place]int{{day: inTotal}: 1} // how many steps lead there, less those that start there
	for k := range steps {
		led[place{day: int64(steps[k].day)}] = 1
	}
	for k := range steps {
		_, ends := steps[k].places()
		led[ends[0]]++
		led[ends[1]]++
	}
	first := -1
	for k := range steps {
		starts, _ := steps[k].places()
		if first < 0 && (led[starts[0]] == 0 || led[starts[1]] == 0) {
			first = k
		}
		led[starts[0]]--
		led[starts[1]]--
	}
	if first >= 0 {
		s := &steps[first]
		want := fmt.Sprintf("those that a line or a void of the template left behind, such as %s in total and %s of the day",
			showLoose(led, inTotal), showLoose(led, int64(s.day)))
		c.find(Finding{Totals, s.row + ": the counters of its template that it keeps", want, show(s.seen)})
		return
	}
	c.find(Finding{Totals, fmt.Sprint("template ", t), "counters kept with its vouchers that follow one another", "others"})
}

// showLoose shows the least place of a day, or in total, to which more steps lead than start there.
func showLoose(led map[place]int, day int64) string {
	var least *state
	for p, n := range led {
		if p.day == day && n > 0 && (least == nil || slices.Compare(p.at[:], least[:]) < 0) {
			least = &p.at
		}
	}
	if least == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d vouchers and %d fen", least[0], least[1])
}

func show(c benefit.Counters) string {
	return fmt.Sprintf("%d vouchers and %d fen in total, %d and %d of the day", c.Count, c.Amount, c.DayCount, c.DayAmount)
}
