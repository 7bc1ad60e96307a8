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

// grant is what one line issued to a user, in 40 bytes.
type grant struct {
	user     benefit.UserID
	issuance id.ID
	seen     int64 // vouchers that the user had of the template, by the line
	seenDay  int32 // and on the day
	n        int32 // vouchers
	template int32 // short number
	day      benefit.Day
}

func (c *recount) addGrants(i *benefit.Issuance) {
	for l := range linesOf(i) {
		if l.Issued > 0 {
			c.users.add(grant{
				user: i.User, issuance: i.ID, seen: l.Seen.User, seenDay: int32(min(max(l.Seen.UserDay, math.MinInt32), math.MaxInt32)),
				n: int32(l.Issued * l.Quantity), template: c.templates.of(l.Template), day: l.At.Day(),
			})
		}
	}
}

func (c *recount) quotaKey(g *grant) benefit.QuotaKey {
	return benefit.QuotaKey{User: g.user, Template: c.templates.values[g.template]}
}

func compareQuotas(a, b benefit.QuotaKey) int {
	return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Template, b.Template))
}

// settleUsers checks that the users who received something in this pass are there, and that their counters are what they
// received. On the first pass it also finds out who is linked to a person, and looks some of them up by their identifiers.
func (c *recount) settleUsers(ctx context.Context) error {
	all := c.users.rows
	slices.SortFunc(all, func(a, b grant) int {
		return cmp.Or(compareQuotas(c.quotaKey(&a), c.quotaKey(&b)), cmp.Compare(a.seen, b.seen), cmp.Compare(a.issuance, b.issuance))
	})
	received := runs(all, func(a, b *grant) bool { return a.user == b.user })
	order := func(g []grant, u *benefit.User) int { return cmp.Compare(g[0].user, u.ID) }
	err := compareRows("users", received, c.r.AllUsers(ctx), order, func(g []grant, u *benefit.User, have sides) error {
		if have == countedOnly {
			c.find(Finding{Vouchers, fmt.Sprintf("issuance %d: its user %d", g[0].issuance, g[0].user), "a user that is there", "none"})
			return nil
		}
		return c.user(ctx, u)
	})
	if err != nil {
		return err
	}
	return c.settleQuotas(ctx)
}

// user takes a user's row, once.
func (c *recount) user(ctx context.Context, u *benefit.User) error {
	if !c.first {
		return nil
	}
	c.report.Checked.Users++
	if u.Person != "" {
		c.linked[u.ID] = c.persons.of(u.Person)
	}
	if c.lookupDue() {
		return c.lookUpUser(ctx, u)
	}
	return nil
}

// settleQuotas compares what users have of templates with their counters.
func (c *recount) settleQuotas(ctx context.Context) error {
	counted := runs(c.users.rows, func(a, b *grant) bool { return a.user == b.user && a.template == b.template })
	order := func(g []grant, q benefit.Quota) int { return compareQuotas(c.quotaKey(&g[0]), q.QuotaKey) }
	rows := store.All(ctx, c.r, benefit.Quotas)
	return compareRows("users' counters", counted, rows, order, func(g []grant, q benefit.Quota, have sides) error {
		if have == rowOnly && !c.users.holds(uint64(q.User)) {
			return nil
		}
		if have != countedOnly {
			c.report.Checked.Quotas++
		}
		if have != rowOnly {
			c.quota(g, q, have)
		} else if q.Total != 0 {
			c.find(Finding{Limits, ownerOf(q.QuotaKey), "nothing, by the vouchers", fmt.Sprintf("%d, by the counters", q.Total)})
		}
		return nil
	})
}

func ownerOf(k benefit.QuotaKey) string {
	return fmt.Sprintf("user %d, template %d", k.User, k.Template)
}

// quota compares what a user has of one template with the counters, if there are any.
func (c *recount) quota(all []grant, got benefit.Quota, have sides) {
	want := benefit.Quota{QuotaKey: c.quotaKey(&all[0])}
	broken := ""
	for k := range all {
		g := &all[k]
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
	c.share(want.QuotaKey, want.Total)
	wrong := func(wanted, found string) { c.find(Finding{Limits, ownerOf(want.QuotaKey), wanted, found}) }
	switch {
	case have == countedOnly:
		wrong(showQuota(want)+", by the vouchers", "no counters")
	case broken != "" && got.Total == want.Total:
		wrong("vouchers that follow one another", broken)
	case got != want:
		wrong(showQuota(want)+", by the vouchers", showQuota(got)+", by the counters")
	}
}

func showQuota(q benefit.Quota) string {
	return fmt.Sprintf("%d, of which %d on %s", q.Total, q.DayTotal, q.Day)
}

// share names what a person has of a template, by their short numbers.
type share struct{ person, template int32 }

// personTotal is the total that the users of one person have of a template.
type personTotal struct {
	person   string
	user     benefit.UserID // one of them
	template benefit.TemplateID
	total    int64
}

// share adds what a user has of a template to what the person has; and, where it is known, to what every person
// has to whom the user once belonged, since one of those may have been given too much then.
func (c *recount) share(k benefit.QuotaKey, total int64) {
	if c.rules.lowestPerPerson(k.Template) == 0 {
		return
	}
	names := c.o.former[k.User]
	if now, linked := c.linked[k.User]; linked && !slices.Contains(names, c.persons.values[now]) {
		names = append(slices.Clip(names), c.persons.values[now])
	}
	for _, name := range names {
		s := share{c.persons.of(name), c.templates.of(k.Template)}
		if c.shares[s] == nil {
			c.shares[s] = &personTotal{person: name, user: k.User, template: k.Template}
		}
		c.shares[s].total += total
	}
}

// crowded returns who has more than a limit per person of today or, where there is a history, may have had more than one
// of its day, in a fixed order.
func (c *recount) crowded() (all []*personTotal) {
	inOrder := slices.SortedFunc(maps.Keys(c.shares), func(a, b share) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.template, b.template))
	})
	for _, s := range inOrder {
		if p := c.shares[s]; p.total > c.rules.lowestPerPerson(p.template) {
			all = append(all, p)
		}
	}
	return all
}

// doubtPersons doubts that limits per person were kept, where it is not known how users were linked when they were given
// what they have.
func (c *recount) doubtPersons() {
	for _, p := range c.crowded() {
		var limit int64 // today's; 0: none
		if now := c.rules.now.Templates[p.template]; now != nil {
			limit = now.Limits.PerPerson
		}
		c.judge(false, doubtKey{template: p.template, rule: rulePerPerson}, Finding{
			Limits, fmt.Sprintf("the users of the person of user %d, template %d: %s", p.user, p.template, rulePerPerson),
			fmt.Sprint("at most ", limit), fmt.Sprint(p.total),
		})
	}
}
