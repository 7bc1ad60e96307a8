package audit

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
)

// Store audits what a reader shows. An error means that it could not be read to the end.
func Store(ctx context.Context, r store.Reader, o Options) (*Report, error) {
	o.defaults()
	report := newReporter(o.MaxFindings)
	if err := countAgain(ctx, report, r, o, nil); err != nil {
		return nil, err
	}
	return report.done(), nil
}

// recount is an audit of rows under way.
type recount struct {
	*reporter
	r     store.Reader
	o     Options
	rules rules
	first bool // the first pass, in which everything is looked at that a pass need not hold
	seeds [2]maphash.Seed

	next           id.ID // the first id that is free after the issuances so far
	sums           map[sumKey]*sum
	over           map[benefit.TemplateID]bool // of which a line was found to exceed a cap
	users          *window[grant]
	activityGrants *window[activityGrant]
	keys           *window[uint64]
	lookups        int // issuances and users since the last that was asked back

	balances        map[benefit.TemplateID]*Balance
	orders          bag[benefit.OrderRedemption] // of the redemptions
	returned        int64                        // voids that return stock
	operationMemory int64                        // bytes, for the operations on vouchers
	left            []int64                      // room for a walk
	events          events
	expired         expired

	// Short numbers, for the records.
	templates  numbering[benefit.TemplateID]
	activities numbering[benefit.ActivityID]
	cards      numbering[string]
	persons    numbering[string]

	linked map[benefit.UserID]int32 // users who are linked to a person, when persons are limited
	shares map[share]*personTotal
}

// countAgain audits what a reader shows. The journal of check, which may be nil, is asked how users came to have more than
// a limit per person.
func countAgain(ctx context.Context, report *reporter, r store.Reader, o Options, check *embedded.Check) error {
	entities, version, err := r.Entities(ctx)
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	if report.cat, err = benefit.CatalogueOf(version, entities); err != nil {
		return err
	}
	c := &recount{
		reporter: report, r: r, o: o, rules: rules{report.cat, cmp.Or(o.History, NewHistory())},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		sums:  map[sumKey]*sum{}, over: map[benefit.TemplateID]bool{},
		linked: map[benefit.UserID]int32{}, shares: map[share]*personTotal{},
		balances: map[benefit.TemplateID]*Balance{}, operationMemory: o.Memory / 4, expired: newExpired(o.Memory / 8),
	}
	if err := c.readFeed(ctx); err != nil {
		return err
	}
	some, err := hasOperations(ctx, r)
	if err != nil {
		return err
	}
	if len(c.expired.templates) > 0 {
		some, c.operationMemory = true, o.Memory/8
	}
	// Where there are operations or events of ends they have a quarter of the memory, and the others three quarters of their part.
	part := func(of int64) int64 {
		if some {
			return o.Memory * 3 / 4 / of
		}
		return o.Memory / of
	}
	c.users = newWindow(part(2), func(g grant) uint64 { return uint64(g.user) })
	c.activityGrants = newWindow(part(3), func(j activityGrant) uint64 { return uint64(j.user) })
	c.keys = newWindow(part(6), func(print uint64) uint64 { return print })
	switch every := o.LookupEvery; {
	case every < 0:
		c.notChecked("that issuances and users are found by their keys and identifiers, because --lookup-every -1 leaves that out. --lookup-every 1 checks all of them")
	case every > 1:
		c.notChecked("that all issuances and users are found by their keys and identifiers, because that takes several reads for each; one of %d was looked up. --lookup-every 1 checks all of them", every)
	}
	if err := c.passes(ctx); err != nil {
		return err
	}
	if check == nil {
		c.doubtPersons()
	} else if err := c.replayPersons(ctx, check); err != nil {
		return err
	}
	if o.Checksum {
		c.report.Checksum, err = ComputeChecksum(ctx, r)
	}
	return err
}

// hasOperations reports whether anything has happened to a voucher after its issue.
func hasOperations(ctx context.Context, r store.Reader) (bool, error) {
	first := newSource(r.Scan(ctx, benefit.Operations.Kind, nil))
	defer first.close()
	if first.err != nil {
		return false, fmt.Errorf("reading the operations: %w", first.err)
	}
	return first.more, nil
}

// law is a law over what a pass over the issuances has collected.
type law struct {
	add    func(i *benefit.Issuance)
	settle func(ctx context.Context) error // at the end of a pass
	next   func() bool                     // reports whether another pass is needed: see window
}

// passes goes over all issuances as often as memory makes it necessary.
func (c *recount) passes(ctx context.Context) error {
	laws := []law{
		{c.addGrants, c.settleUsers, c.users.next},
		{c.addActivityGrants, c.settleParticipations, c.activityGrants.next},
		{c.addKeys, c.settleKeys, c.keys.next},
	}
	c.first = true
	for more := true; more; c.first = false {
		c.report.Checked.Passes++
		if err := c.pass(ctx, laws); err != nil {
			return err
		}
		more = false
		for _, law := range laws {
			if err := law.settle(ctx); err != nil {
				return err
			}
		}
		for _, law := range laws {
			more = law.next() || more
		}
	}
	c.report.Checked.Persons = int64(len(c.shares))
	if err := c.settleOrders(ctx); err != nil {
		return err
	}
	if err := c.settleTotals(ctx); err != nil {
		return err
	}
	c.settleEvents()
	return c.settleExpired(ctx)
}

// pass goes over all issuances once, and what has happened to their vouchers.
func (c *recount) pass(ctx context.Context, laws []law) error {
	lives := c.returnedLives
	if c.first {
		lives = c.allLives
	}
	happened := lives(ctx)
	defer happened.close()
	for i, err := range c.r.AllIssuances(ctx) {
		if err == nil {
			err = ctx.Err() // of several iterations under way at a time, an embedded store stops only the last one
		}
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for _, law := range laws {
			law.add(i)
		}
		if c.first {
			err = c.issuance(ctx, i)
		}
		if err == nil {
			err = c.follow(happened, i)
		}
		if err != nil {
			return err
		}
	}
	return c.follow(happened, nil)
}

// issuance looks at one issuance by itself.
func (c *recount) issuance(ctx context.Context, i *benefit.Issuance) error {
	c.report.Checked.Issuances++
	c.shape(i)
	c.decision(i)
	for l := range linesOf(i) {
		c.lineShape(l)
		c.codes(l)
		if l.Issued > 0 {
			c.issued(l)
		}
	}
	if c.lookupDue() {
		return c.lookUp(ctx, i)
	}
	return nil
}

// lookupDue reports whether it is time to look up a row again.
func (c *recount) lookupDue() bool {
	if c.lookups++; c.o.LookupEvery < 0 || c.lookups < c.o.LookupEvery {
		return false
	}
	c.lookups = 0
	return true
}
