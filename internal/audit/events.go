package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// events compares the feed with the rows. What happened up to the first commit of the feed is left out, as the feed no
// longer has it, or had not begun; and, if others came before that commit, what happened in the minute after it.
type events struct {
	began     bool
	after     benefit.Instant // what is later than this is compared
	leftOut   bool            // the rows have something that is not compared
	templates map[benefit.TemplateID]*templateEvents
}

// feedDelay is by how much the instants of a shared store's feed may be out of its order, in milliseconds: a commit that was
// long under way is behind later ones.
const feedDelay = 60_000

// templateEvents are the events of a template and of its vouchers.
type templateEvents struct {
	feed, rows bag[event]
	// last is the last event about the template's stock: sold out, restocked, or created with or without stock; 0: unknown.
	last  benefit.EventType
	wrong bool // a finding about the order of the template's events was made
}

// event is something that happened, as both the feed and the rows have it. All vouchers of a line are one event.
type event struct {
	subject  id.ID // the first voucher of a line, the voucher of an operation, or the issuance that sold a template out
	number   int64 // of the operation; 0: none
	vouchers int64 // of the line
	soldOut  bool
	at       benefit.Instant
}

func (e *events) of(t benefit.TemplateID) *templateEvents {
	found := e.templates[t]
	if found == nil {
		if e.templates == nil {
			e.templates = map[benefit.TemplateID]*templateEvents{}
		}
		found = &templateEvents{}
		e.templates[t] = found
	}
	return found
}

// compared reports whether what happened at the instant is compared.
func (e *events) compared(at benefit.Instant) bool { return e.began && at > e.after }

// readFeed takes the events of the feed.
func (c *recount) readFeed(ctx context.Context) error {
	for commit, err := range c.r.AllCommits(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if errors.Is(err, store.ErrDamaged) { //guard:TestEvents$
			c.find(Finding{Events, "the feed", "commits that can be read", err.Error()})
			c.events, c.expired = events{}, newExpired(0) //guard:TestExpired$ newExpired(0) -> c.expired
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the feed: %w", err)
		}
		if !c.events.began {
			if len(commit.Steps) == 0 { //guard:TestEvents$
				continue // from before there were events
			}
			c.events.began, c.events.after = true, commit.Now
			if commit.Seq != 1 { //guard:TestWhereEventsBegin
				c.events.after += feedDelay
			}
		}
		for k := range commit.Steps {
			c.addStep(commit.Now, &commit.Steps[k])
		}
	}
	return nil
}

// addStep takes the events of a step.
func (c *recount) addStep(at benefit.Instant, s *benefit.Step) {
	if s.Issuance != nil {
		for _, k := range s.Lines {
			if k < 0 || k >= len(s.Issuance.Lines) { //guard:TestEvents$
				c.find(Finding{Events, issuanceName(s.Issuance), fmt.Sprintf("events of its %d lines", len(s.Issuance.Lines)), fmt.Sprint("one of line ", k)})
				continue
			}
			l := lineRef{s.Issuance, k, &s.Issuance.Lines[k]}
			n, _ := l.vouchers()
			c.addEvent(l.Template, event{subject: l.First, vouchers: n, at: at}, n)
		}
	}
	if s.Operation != nil {
		if t, err := benefit.DecodeTransition(s.Operation); err == nil { // if not: the row cannot be read either
			c.addEvent(t.Template, event{subject: s.Operation.ID, number: t.Number, at: at}, 1)
		}
	}
	c.report.Checked.Events += int64(len(s.Expired))
	c.expired.add(at, s)
	for k := range s.Templates {
		e := &s.Templates[k]
		c.report.Checked.Events++
		c.follows(e)
		if t, sure := c.rules.at(e.Template, e.Catalogue); e.Type == benefit.TemplateSoldOutEvent && s.Issuance != nil && t != nil && sure {
			c.addEvent(e.Template, event{subject: s.Issuance.ID, soldOut: true, at: at}, 0)
		}
	}
}

// addEvent takes an event of the feed, of so many vouchers.
func (c *recount) addEvent(t benefit.TemplateID, e event, vouchers int64) {
	if c.events.compared(e.at) {
		c.report.Checked.Events += vouchers
		c.events.of(t).feed.add(c.seeds, e)
	}
}

// follows checks that an event about a template's stock is possible after the one before it.
func (c *recount) follows(e *benefit.TemplateEvent) {
	all := c.events.of(e.Template)
	kind := e.Type
	t, sure := c.rules.at(e.Template, e.Catalogue)
	sure = sure && t != nil
	switch kind {
	case benefit.TemplateCreatedEvent:
		all.last = 0
		if sure {
			all.last = stockEvent(soldOut(t, e.Count, e.Amount))
		}
		return
	case benefit.TemplateSoldOutEvent, benefit.TemplateRestockedEvent:
	default:
		return
	}
	switch want := stockEvent(sure && soldOut(t, e.Count, e.Amount)); {
	case all.wrong:
	case kind == all.last: //guard:TestEvents$
		all.wrong = true
		c.find(Finding{
			Events, fmt.Sprintf("template %d: %v at %d vouchers, %d fen", e.Template, kind, e.Count, e.Amount),
			"it and its opposite by turns", "the same once more",
		})
	case sure && kind != want: //guard:TestEvents$
		all.wrong = true
		c.find(Finding{Events, fmt.Sprintf("template %d: its event at %d vouchers, %d fen", e.Template, e.Count, e.Amount), want.String(), kind.String()})
	}
	all.last = kind
}

// stockEvent returns the event after which a template is sold out, or is not.
func stockEvent(soldOut bool) benefit.EventType {
	if soldOut {
		return benefit.TemplateSoldOutEvent
	}
	return benefit.TemplateRestockedEvent
}

// soldOut reports whether the stock or the budget of a template, of which so much counts as issued, has no room for the
// smallest voucher.
func soldOut(t *benefit.Template, count, amount int64) bool {
	var smallest int64
	switch t.Kind {
	case benefit.Cash:
		smallest = int64(t.Amount.Min)
	case benefit.Reduction:
		smallest = int64(t.Face.Reduction)
	}
	left := func(limit benefit.Cap, have int64) int64 {
		if limit == benefit.Unlimited {
			return math.MaxInt64
		}
		return int64(limit) - have
	}
	return left(t.Stock.Count, count) < 1 || left(t.Stock.Amount, amount) < smallest
}

// addLineEvents takes what the feed must have of a line: its issue and, where it took the last of its template, that.
func (c *recount) addLineEvents(l lineRef, n, amount int64) {
	if !c.events.compared(l.At) {
		c.events.leftOut = true
		return
	}
	rows := &c.events.of(l.Template).rows
	rows.add(c.seeds, event{subject: l.First, vouchers: n, at: l.At})
	if t, sure := c.rules.at(l.Template, l.Catalogue); t != nil && sure {
		if !soldOut(t, l.Seen.Count, l.Seen.Amount) && soldOut(t, l.Seen.Count+n, l.Seen.Amount+amount) {
			rows.add(c.seeds, event{subject: l.i.ID, soldOut: true, at: l.At})
		}
	}
}

// addOperationEvent takes what the feed must have of an operation.
func (c *recount) addOperationEvent(o *operation) {
	switch {
	case o.flags&unreadable != 0:
	case !c.events.compared(o.at):
		c.events.leftOut = true
	default:
		c.events.of(c.templates.values[o.template]).rows.add(c.seeds, event{subject: o.voucher, number: int64(o.number), at: o.at})
	}
}

// settleEvents compares the events of the feed with those that the rows must have, and whether templates are sold out by their
// last event with whether they are by their vouchers.
func (c *recount) settleEvents() {
	if !c.events.began {
		c.notChecked("that everything that happened has one event, because the store has no events yet. They begin with the next commit")
		return
	}
	if c.events.leftOut {
		c.notChecked("that everything up to %s has one event, because the feed begins there. There is nothing to do", c.events.after)
	}
	for _, t := range slices.Sorted(maps.Keys(c.events.templates)) {
		all := c.events.templates[t]
		if all.feed != all.rows { //guard:TestEvents$
			want := fmt.Sprintf("one for each of the %d that its vouchers and their operations must have", all.rows.n)
			got := fmt.Sprint(all.feed.n)
			if all.feed.n == all.rows.n {
				got += ", some of which are others"
			}
			c.find(Finding{Events, fmt.Sprintf("template %d: the events of the feed", t), want, got})
		}
		now, total := c.rules.now.Templates[t], c.sum(sumKey{t, inTotal})
		if now == nil || all.last == 0 || all.wrong {
			continue
		}
		if want := stockEvent(soldOut(now, total.count, total.amount)); want != all.last { //guard:TestEvents$
			c.find(Finding{
				Events, fmt.Sprintf("template %d: the last event of its stock", t),
				fmt.Sprintf("%v, by its vouchers: %v", want, total), all.last.String(),
			})
		}
	}
}
