package audit

import (
	"context"
	"fmt"
	"hash/maphash"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Store audits what a reader shows. An error means that it could not be read to the end.
func Store(ctx context.Context, r store.Reader, o Options) (*Report, error) {
	c, err := countAgain(ctx, r, o)
	if err != nil {
		return nil, err
	}
	for _, p := range c.crowded {
		c.doubt(p.template, rulePerPerson, p.finding())
	}
	if err := c.checksum(ctx); err != nil {
		return nil, err
	}
	return c.done(), nil
}

// checksum computes the checksum of the store, if it was requested.
func (c *recount) checksum(ctx context.Context) (err error) {
	if c.o.Checksum {
		c.report.Checksum, err = ComputeChecksum(ctx, c.r, nil)
	}
	return err
}

// recount is an audit of rows under way.
type recount struct {
	reporter
	r     store.Reader
	o     Options
	rules rules
	first bool // the first pass, in which everything is looked at that a pass need not hold
	seeds [2]maphash.Seed

	next           id.ID // the first id that is free after the issuances so far
	templates      map[benefit.TemplateID]*tally
	numbers        map[benefit.TemplateID]int32 // short numbers of templates, for the records
	numbered       []benefit.TemplateID
	users          *window[grant]
	activityGrants *window[activityGrant]
	keys           *window[keyPrint]
	lookups        int // issuances and users since the last that was asked back

	activityNumbers map[benefit.ActivityID]int32 // short numbers of activities, for the records
	activities      []benefit.ActivityID
	cards           boxCards

	linked  map[benefit.UserID]int32 // users who are linked to a person, when persons are limited
	persons map[string]int32
	shares  map[share]*personTotal
	crowded []personTotal // that have more than a limit, in a fixed order
}

func countAgain(ctx context.Context, r store.Reader, o Options) (*recount, error) {
	o.defaults()
	entities, version, err := r.Entities(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	catalogue, err := benefit.CatalogueOf(version, entities)
	if err != nil {
		return nil, err
	}
	c := &recount{
		reporter: newReporter(o.MaxFindings), r: r, o: o, rules: rules{catalogue, o.History},
		seeds:     [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		templates: map[benefit.TemplateID]*tally{}, numbers: map[benefit.TemplateID]int32{},
		users:           newWindow(o.Memory/2, grantBytes, func(g grant) uint64 { return uint64(g.user) }),
		activityGrants:  newWindow(o.Memory/3, activityGrantBytes, func(j activityGrant) uint64 { return uint64(j.user) }),
		keys:            newWindow(o.Memory/6, keyPrintBytes, func(k keyPrint) uint64 { return k.print }),
		activityNumbers: map[benefit.ActivityID]int32{},
		cards:           boxCards{numbers: map[string]uint16{}, names: []string{""}},
		linked:          map[benefit.UserID]int32{}, persons: map[string]int32{}, shares: map[share]*personTotal{},
	}
	c.reporter.cat = catalogue
	switch every := o.LookupEvery; {
	case every < 0:
		c.notChecked("that issuances and users are found by their keys and identifiers, because --lookup-every -1 leaves that out. --lookup-every 1 checks all of them")
	case every > 1:
		c.notChecked("that all issuances and users are found by their keys and identifiers, because that takes several reads for each; one of %d was looked up. --lookup-every 1 checks all of them", every)
	}
	return c, c.passes(ctx)
}

// law is a law over what a pass over the issuances has collected.
type law struct {
	add    func(i *benefit.Issuance)
	settle func(ctx context.Context) error // at the end of a pass
	next   func() bool                     // reports whether another pass is needed: see window
}

// laws lists the laws that take passes. Those of laterLaws compare what is known when the passes are over.
func (c *recount) laws() []law {
	return []law{
		{c.addGrants, c.settleUsers, c.users.next},
		{c.addActivityGrants, c.settleParticipations, c.activityGrants.next},
		{c.addKeys, c.settleKeys, c.keys.next},
	}
}

func (c *recount) laterLaws() []func(ctx context.Context) error {
	return []func(ctx context.Context) error{c.settlePersons, c.settleTotals}
}

// passes goes over all issuances as often as memory makes it necessary.
func (c *recount) passes(ctx context.Context) error {
	c.first = true
	laws := c.laws()
	for more := true; more; c.first = false {
		c.report.Checked.Passes++
		for i, err := range c.r.AllIssuances(ctx) {
			if err != nil {
				return fmt.Errorf("reading the issuances: %w", err)
			}
			for _, law := range laws {
				law.add(i)
			}
			if !c.first {
				continue
			}
			if err := c.issuance(ctx, i); err != nil {
				return err
			}
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
	for _, settle := range c.laterLaws() {
		if err := settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// issuance looks at one issuance by itself.
func (c *recount) issuance(ctx context.Context, i *benefit.Issuance) error {
	c.report.Checked.Issuances++
	c.shape(i)
	c.decision(i)
	for k := range i.Lines {
		l := lineRef{i, k, &i.Lines[k]}
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

// number returns the short number of a template.
func (c *recount) number(t benefit.TemplateID) int32 {
	n, ok := c.numbers[t]
	if !ok {
		n = int32(len(c.numbered))
		c.numbers[t] = n
		c.numbered = append(c.numbered, t)
	}
	return n
}
