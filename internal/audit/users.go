package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// grant is what one line issued to a user.
type grant struct {
	user     benefit.UserID
	issuance id.ID
	seen     int64 // vouchers that the user had of the template, as the line says
	seenDay  int32 // and on the day
	n        int32 // vouchers
	template int32 // short number
	day      benefit.Day
}

const grantBytes = 40

func (c *recount) grantedBy(i *benefit.Issuance, l *benefit.IssuedLine) grant {
	return grant{
		user: i.User, issuance: i.ID, seen: l.Seen.User, seenDay: int32(min(max(l.Seen.UserDay, math.MinInt32), math.MaxInt32)),
		n: int32(l.Issued * l.Quantity), template: c.number(l.Template), day: l.At.Day(),
	}
}

func (c *recount) addGrants(i *benefit.Issuance) {
	for k := range i.Lines {
		if l := &i.Lines[k]; l.Issued > 0 {
			c.users.add(c.grantedBy(i, l))
		}
	}
}

// settleUsers checks that the users who received something in this pass are there, and that their counters are what they
// received. On the first pass it also finds out who is linked to a person, and looks some of them up by their identifiers.
func (c *recount) settleUsers(ctx context.Context) error {
	all := c.users.rows
	slices.SortFunc(all, func(a, b grant) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(c.numbered[a.template], c.numbered[b.template]),
			cmp.Compare(a.seen, b.seen), cmp.Compare(a.issuance, b.issuance))
	})
	k := 0
	missing := func(before func(benefit.UserID) bool) {
		for ; k < len(all) && before(all[k].user); k++ {
			if k == 0 || all[k-1].user != all[k].user {
				c.find(Finding{Vouchers, fmt.Sprintf("issuance %d: its user %d", all[k].issuance, all[k].user), "a user that is there", "none"})
			}
		}
	}
	for u, err := range c.r.AllUsers(ctx) {
		if err != nil {
			return fmt.Errorf("reading the users: %w", err)
		}
		missing(func(id benefit.UserID) bool { return id < u.ID })
		for k < len(all) && all[k].user == u.ID {
			k++
		}
		if err := c.user(ctx, u); err != nil {
			return err
		}
	}
	missing(func(benefit.UserID) bool { return true })
	return c.settleQuotas(ctx)
}

// user takes a user's row, once.
func (c *recount) user(ctx context.Context, u *benefit.User) error {
	if !c.first {
		return nil
	}
	c.report.Checked.Users++
	if u.Person != "" {
		c.linked[u.ID] = c.personNumber(u.Person)
	}
	if c.lookupDue() {
		return c.lookUpUser(ctx, u)
	}
	return nil
}

// settleQuotas compares what users have of templates with their counters. Both are in the same order.
func (c *recount) settleQuotas(ctx context.Context) error {
	rest := c.users.rows
	for q, err := range store.All(ctx, c.r, benefit.Quotas) {
		if err != nil {
			return fmt.Errorf("reading the users' counters: %w", err)
		}
		if !c.users.holds(uint64(q.User)) {
			continue
		}
		c.report.Checked.Quotas++
		for len(rest) > 0 && c.compare(rest[0], q.QuotaKey) < 0 {
			rest = c.group(rest, nil)
		}
		if len(rest) > 0 && c.compare(rest[0], q.QuotaKey) == 0 {
			rest = c.group(rest, &q)
		} else if q.Total != 0 {
			c.find(Finding{Limits, ownerOf(q.QuotaKey), "nothing, by the vouchers", fmt.Sprintf("%d, by the counters", q.Total)})
		}
	}
	for len(rest) > 0 {
		rest = c.group(rest, nil)
	}
	return nil
}

func (c *recount) compare(g grant, k benefit.QuotaKey) int {
	return cmp.Or(cmp.Compare(g.user, k.User), cmp.Compare(c.numbered[g.template], k.Template))
}

func ownerOf(k benefit.QuotaKey) string {
	return fmt.Sprintf("user %d, template %d", k.User, k.Template)
}

// group takes what a user has of one template, which stands first in the records, and the counters of it; nil:
// there are none. It returns the rest.
func (c *recount) group(all []grant, counted *benefit.Quota) (rest []grant) {
	key := benefit.QuotaKey{User: all[0].user, Template: c.numbered[all[0].template]}
	want := benefit.Quota{QuotaKey: key}
	broken := ""
	n := 0
	for ; n < len(all) && c.compare(all[n], key) == 0; n++ {
		g := &all[n]
		if g.day != want.Day {
			if g.day < want.Day && broken == "" {
				broken = fmt.Sprintf("issuance %d comes after one of a later day", g.issuance)
			}
			want.Day, want.DayTotal = g.day, 0
		}
		if (g.seen != want.Total || int64(g.seenDay) != want.DayTotal) && broken == "" {
			broken = fmt.Sprintf("issuance %d keeps %d, %d of them on its day, and before it were %d and %d",
				g.issuance, g.seen, g.seenDay, want.Total, want.DayTotal)
		}
		want.Total += int64(g.n)
		want.DayTotal += int64(g.n)
	}
	c.share(key, want.Total)
	switch {
	case counted == nil:
		c.find(Finding{Limits, ownerOf(key), showQuota(want) + ", by the vouchers", "no counters"})
	case *counted != want && broken != "" && counted.Total == want.Total:
		c.find(Finding{Limits, ownerOf(key), "vouchers that follow one another", broken})
	case *counted != want:
		c.find(Finding{Limits, ownerOf(key), showQuota(want) + ", by the vouchers", showQuota(*counted) + ", by the counters"})
	case broken != "":
		c.find(Finding{Limits, ownerOf(key), "vouchers that follow one another", broken})
	}
	return all[n:]
}

func showQuota(q benefit.Quota) string {
	return fmt.Sprintf("%d, of which %d on %s", q.Total, q.DayTotal, q.Day)
}

// share names what a person has of a template.
type share struct{ person, template int32 }

// personTotal is the total that the users of one person have of a template.
type personTotal struct {
	person   string
	user     benefit.UserID // one of them
	template benefit.TemplateID
	total    int64
	limit    int64 // today's; 0: none
}

func (p personTotal) finding() Finding {
	return Finding{
		Limits, fmt.Sprintf("the users of the person of user %d, template %d: %s", p.user, p.template, rulePerPerson),
		fmt.Sprint("at most ", p.limit), fmt.Sprint(p.total),
	}
}

// personNumber returns the short number of a person.
func (c *recount) personNumber(name string) int32 {
	n, ok := c.persons[name]
	if !ok {
		n = int32(len(c.persons))
		c.persons[name] = n
	}
	return n
}

// share adds what a user has of a template to what the person has; and, where it is known, to what every person
// has to whom the user once belonged, since one of those may have been given too much then.
func (c *recount) share(k benefit.QuotaKey, total int64) {
	if c.rules.lowestPerPerson(k.Template) == 0 {
		return
	}
	now, linked := c.linked[k.User]
	if linked {
		c.addShare(now, k, total)
	}
	for _, name := range c.o.former[k.User] {
		if n := c.personNumber(name); !linked || n != now {
			c.addShare(n, k, total)
		}
	}
}

func (c *recount) addShare(person int32, k benefit.QuotaKey, total int64) {
	s := share{person, c.number(k.Template)}
	if c.shares[s] == nil {
		c.shares[s] = &personTotal{user: k.User, template: k.Template}
	}
	c.shares[s].total += total
}

// settlePersons lists who has more than a limit per person of today or, where there is a history, may have had
// more than one of its day.
func (c *recount) settlePersons(context.Context) error {
	c.report.Checked.Persons = int64(len(c.shares))
	names := make([]string, len(c.persons))
	for name, n := range c.persons {
		names[n] = name
	}
	inOrder := slices.SortedFunc(maps.Keys(c.shares), func(a, b share) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.template, b.template))
	})
	for _, s := range inOrder {
		p := c.shares[s]
		p.person = names[s.person]
		if now := c.rules.now.Templates[p.template]; now != nil {
			p.limit = now.Limits.PerPerson
		}
		if lowest := c.rules.lowestPerPerson(p.template); lowest > 0 && p.total > lowest {
			c.crowded = append(c.crowded, *p)
		}
	}
	return nil
}
