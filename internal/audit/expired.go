package audit

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// expiredEvent is what the audit holds of the event of a voucher whose end has passed by itself, in 48 bytes.
type expiredEvent struct {
	benefit.ExpiredVoucher
	at benefit.Instant // of its commit
}

// expired are such events of the feed. It is not a law that each end that has passed has one: only those have one that a
// subscription wanted, a minute or more after they have passed.
type expired struct {
	events    *window[expiredEvent]
	templates map[benefit.TemplateID]bool // that have some
}

func newExpired(memory int64) expired {
	return expired{
		events:    newWindow(memory, func(e expiredEvent) uint64 { return uint64(e.Voucher) }),
		templates: map[benefit.TemplateID]bool{},
	}
}

// add takes the events of a step.
func (x *expired) add(at benefit.Instant, s *benefit.Step) {
	for _, e := range s.Expired {
		x.events.add(expiredEvent{e, at})
		x.templates[e.Template] = true
	}
}

// expiredRows iterates over the events in the order of vouchers, in bounded memory: those that did not fit when the feed was
// read are read again.
func (c *recount) expiredRows(ctx context.Context) iter.Seq2[expiredEvent, error] {
	return func(yield func(expiredEvent, error) bool) {
		w := c.expired.events
		for {
			slices.SortFunc(w.rows, func(a, b expiredEvent) int {
				return cmp.Or(
					cmp.Compare(uint64(a.Voucher), uint64(b.Voucher)), cmp.Compare(a.Operations, b.Operations), cmp.Compare(a.End, b.End), cmp.Compare(a.at, b.at),
				)
			})
			for _, e := range w.rows {
				if !yield(e, nil) {
					return
				}
			}
			if !w.next() { //guard:TestHealthyExpiry$ !w.next() -> true
				return
			}
			for commit, err := range c.r.AllCommits(ctx) {
				if err != nil {
					yield(expiredEvent{}, fmt.Errorf("reading the feed: %w", err))
					return
				}
				for k := range commit.Steps {
					c.expired.add(commit.Now, &commit.Steps[k])
				}
			}
		}
	}
}

// checkExpired checks the events of ends that passed after up to so many operations and before the next one, if there is one. It
// stops at the first that is wrong.
func (v *walk) checkExpired(x *life, operations int, next *operation) {
	for v.events < len(x.expired) && x.expired[v.events].Operations <= int64(operations) {
		if !v.expiredEvent(x, next) {
			v.events = len(x.expired)
			return
		}
		v.events++
	}
}

// expiredEvent checks the next event, and reports whether all is well. Instants can be compared because all that happens to a
// voucher is committed under the lock of its template: what comes later has no earlier instant, in any store.
func (v *walk) expiredEvent(x *life, next *operation) bool {
	e := &x.expired[v.events]
	wrong := func(what, want, got string) bool {
		v.c.find(Finding{Events, fmt.Sprintf("voucher %d, its event after %d operations that its end has passed: %s", e.Voucher, e.Operations, what), want, got})
		return false
	}
	number := func(i benefit.Instant) string { return fmt.Sprint(int64(i)) }
	switch all := int64(len(x.operations)); {
	//guard:TestExpired$ without e.Operations < 0
	//guard:TestExpired$ without e.Operations > all
	case e.Operations < 0 || e.Operations > all:
		return wrong("the operations before it", fmt.Sprint("0 to ", all), fmt.Sprint(e.Operations))
	case v.events > 0 && e.End <= x.expired[v.events-1].End: //guard:TestExpired$
		return wrong("its end", fmt.Sprintf("one event, and after it a later end than %d", int64(x.expired[v.events-1].End)), number(e.End))
	case e.Template != v.Template: //guard:TestExpired$
		return wrong("its template", fmt.Sprint(v.Template), fmt.Sprint(e.Template))
	case v.status != benefit.Issued: //guard:TestExpired$
		return wrong("the voucher before it", benefit.Issued.String(), v.status.String())
	//guard:TestExpired$ without e.Redeemed != v.redeemed
	//guard:TestExpired$ without e.End != v.end()
	case e.Redeemed != v.redeemed || e.End != v.end():
		return wrong("the voucher before it", showState(v.status, v.redeemed, v.end()), showState(v.status, e.Redeemed, e.End))
	case v.endedByCommand: //guard:TestExpired$
		return wrong("its end", "one that passes by itself", "that of an operation, which is its event")
	case e.End <= v.At: //guard:TestExpired$
		return wrong("its end", fmt.Sprintf("later than the issue at %d", int64(v.At)), number(e.End))
	}
	//guard:TestExpired$ max(e.End, v.changed) -> e.End
	//guard:TestExpired$ max(e.End, v.changed) -> v.changed
	if earliest := max(e.End, v.changed); e.at < earliest {
		return wrong("its instant", number(earliest)+" or later", number(e.at))
	}
	if next != nil && e.at > next.at { //guard:TestExpired$
		return wrong("its instant", number(next.at)+" or earlier, when the next operation was carried out", number(e.at))
	}
	return true
}

// settleExpired checks that ends of vouchers were looked for where they have events, and that what is kept for that is of
// templates that exist.
func (c *recount) settleExpired(ctx context.Context) error {
	found := map[string]bool{}
	known := func(what string, t benefit.TemplateID) {
		if c.rules.now.Templates[t] != nil { //guard:TestExpiryRows$ c.rules.now.Templates[t] != nil -> true
			return
		}
		if row := fmt.Sprintf("template %d: %s", t, what); !found[row] {
			found[row] = true
			c.find(Finding{Events, row, "a template of the catalogue", "none"})
		}
	}
	cursors := map[benefit.TemplateID]bool{}
	for row, err := range store.All(ctx, c.r, benefit.ExpiryCursors) {
		if err != nil {
			return fmt.Errorf("reading the cursors over ends of vouchers: %w", err)
		}
		cursors[row.Template] = true
	}
	for _, t := range slices.Sorted(maps.Keys(cursors)) {
		known("a cursor over the ends of its vouchers", t)
	}
	for row, err := range store.All(ctx, c.r, benefit.ExpiryDues) {
		if err != nil {
			return fmt.Errorf("reading the ends of vouchers: %w", err)
		}
		known("an end of one of its vouchers", row.Template)
	}
	for _, t := range slices.Sorted(maps.Keys(c.expired.templates)) {
		if !cursors[t] { //guard:TestExpired$
			c.find(Finding{Events, fmt.Sprintf("template %d: events of vouchers whose end has passed", t), "a cursor over the ends of its vouchers", "none"})
		}
	}
	return nil
}
