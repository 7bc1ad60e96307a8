package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/expiry"
	"faquan/internal/oracle"
)

// FirstWithExpiry is the first seed in whose history vouchers that have expired are recorded, for subscriptions that come and
// go. What it draws comes from a source of its own.
const FirstWithExpiry = 4000

// Expired counts what was recorded about ends of vouchers.
type Expired struct {
	Ends    int // that have an event
	Moved   int // cursors
	Unmoved int // cursors that another command had moved, or that nobody needs any more
}

// expirer records expired vouchers as the processes do in the background.
type expirer struct {
	*simulation
	pick    func(n int) int
	finders map[*engine.Engine]*expiry.Finder
	since   map[benefit.TemplateID]benefit.Instant // from when on a subscription wants the ends of the template's vouchers
}

func newExpirer(s *simulation, seed uint64) *expirer {
	return &expirer{
		simulation: s, pick: rand.New(rand.NewPCG(seed, 8)).IntN,
		finders: map[*engine.Engine]*expiry.Finder{}, since: map[benefit.TemplateID]benefit.Instant{},
	}
}

// expire sometimes has a process look for expired vouchers, and submits what it found; or lets some more time pass.
func (e *expirer) expire() {
	if e == nil {
		return
	}
	switch n := e.pick(24); {
	case n == 0:
		e.clock += hour
		e.tracef("the clock shows %v, as vouchers are to expire", e.clock)
	case n < 8:
		e.submit(e.processes[e.pick(len(e.processes))])
	}
}

// submit submits what a process finds, and reports whether it found anything.
func (e *expirer) submit(p *process) bool {
	r, err := e.back.all().Read(e.ctx)
	if err != nil {
		e.tracef("%sexpired vouchers: %s", p.name, class(err))
		return false
	}
	defer r.Close()
	finder := e.finders[p.engine]
	if finder == nil {
		finder = &expiry.Finder{}
		e.finders[p.engine] = finder
	}
	found, err := finder.Next(e.ctx, r, p.engine.Catalogue(), max(e.clock, e.latest))
	if err != nil {
		e.tracef("%sexpired vouchers: %s", p.name, class(err))
		return false
	}
	for _, c := range found {
		e.ask(p, &wish{other: &oracle.Expiry{Expiry: *c}})
	}
	return len(found) > 0
}

// answered counts the answer of a call.
func (e *expirer) answered(c *oracle.Expiry) {
	e.report.Expired.Ends += len(c.Expired)
	if c.Moved {
		e.report.Expired.Moved++
	} else {
		e.report.Expired.Unmoved++
	}
}

// learned notes of which templates the ends are wanted from now on.
func (e *expirer) learned(now benefit.Instant) {
	if e == nil {
		return
	}
	wanted := e.oracle.Catalogue.ExpiryWanted()
	for _, t := range wanted {
		if _, before := e.since[t]; !before {
			e.since[t] = now
		}
	}
	maps.DeleteFunc(e.since, func(t benefit.TemplateID, _ benefit.Instant) bool { return !slices.Contains(wanted, t) })
}

// finish records what is left, and wants each end that has passed.
func (e *expirer) finish() {
	if e == nil {
		return
	}
	const minute = 60_000
	e.clock = max(e.clock, e.latest) + 3*minute
	for rounds := 0; e.submit(e.processes[0]); rounds++ {
		e.workAll()
		if rounds == 1000 {
			e.failf("the cursors over ends of vouchers never stand still")
		}
	}
	for t, since := range e.since {
		if missed := e.oracle.MissedEnds(t, since, e.clock-minute); len(missed) > 0 {
			e.failf("ends of vouchers of template %d that have passed without an event: %d", t, missed)
		}
	}
}

func expirySubscription(n benefit.SubscriptionID, m benefit.MerchantID) *benefit.Subscription {
	return &benefit.Subscription{
		ID: n, Name: fmt.Sprint("s", n), Merchant: m, Types: []benefit.EventPattern{"voucher.expired"}, Status: benefit.Active,
	}
}

// changeEnds changes a subscription, or how long the vouchers of a template live.
func (w *world) changeEnds(clock benefit.Instant, cat *benefit.Catalogue) any {
	if n := benefit.SubscriptionID(1 + w.pick(3)); w.pick(2) == 0 {
		s := expirySubscription(n, benefit.MerchantID(1+w.pick(2)))
		s.Status = some(w, benefit.Active, benefit.Active, benefit.Paused, benefit.Ended)
		if n == 3 {
			s.Templates = []benefit.TemplateID{1}
		}
		return s
	}
	t := *cat.Templates[benefit.TemplateID(1+w.pick(w.templates))]
	t.Valid = some(w,
		benefit.Validity{ForMillis: 1000}, benefit.Validity{ForMillis: int64(3 * hour)}, benefit.Validity{ForMillis: 1, ToDayEnd: true},
		benefit.Validity{Absolute: benefit.Window{End: clock + hour}}, benefit.Validity{Absolute: benefit.Window{Start: clock}})
	return &t
}
