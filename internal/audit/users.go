package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// grant is what one line issued to a user, or a void that returns stock took back, in 40 bytes.
type grant struct {
	user     benefit.UserID
	issuance id.ID
	seen     int64       // vouchers that the user had of the template, by the line or the void
	seenDay  int32       // and on the day
	n        int32       // vouchers; of a void -1
	template int32       // short number
	day      benefit.Day // of the issue
}

func (c *recount) addGrants(i *benefit.Issuance) {
	for l := range linesOf(i) {
		if l.Issued > 0 {
			c.users.add(grant{
				user: i.User, issuance: i.ID, seen: l.Seen.User, seenDay: small32(l.Seen.UserDay),
				n: int32(l.Issued * l.Quantity), template: c.templates.of(l.Template), day: l.At.Day(),
			})
		}
	}
}

// addReturns takes the voids that return a voucher of the line.
func (c *recount) addReturns(l lineRef, x *life) {
	for o := range x.returns() {
		c.users.add(grant{
			user: l.i.User, issuance: l.i.ID, seen: o.seen.User, seenDay: small32(o.seen.UserDay),
			n: -1, template: c.templates.of(l.Template), day: l.At.Day(),
		})
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
	follow := inOrder
	if slices.ContainsFunc(all, func(g grant) bool { return g.n < 0 }) {
		follow = linked
	}
	want, broken := follow(all)
	want.QuotaKey = c.quotaKey(&all[0])
	var issued int64
	for k := range all {
		issued += int64(max(all[k].n, 0))
	}
	c.share(want.QuotaKey, want.Total, issued)
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

// inOrder adds up the lines of a user and template, in the order of what they have seen. Each must have seen what the one before
// left; broken names the first that has not.
func inOrder(all []grant) (want benefit.Quota, broken string) {
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
	return want, broken
}

// linked adds up lines and voids, which have no order by what they have seen. Instead each must have seen what another one left:
// what they saw together with what is left in the end is what they left together with nothing, in total and on each day. What a
// sum does not show are circles, as with the totals: see sum.
//
// The counter of a day is gone once the user has received something on a later one; a void after that has seen none.
func linked(all []grant) (want benefit.Quota, broken string) {
	days := map[benefit.Day]int64{} // vouchers
	for k := range all {
		want.Total += int64(all[k].n)
		if all[k].n > 0 {
			want.Day = max(want.Day, all[k].day)
		}
	}
	var seen, left []place
	for k := range all {
		g := &all[k]
		seen, left = append(seen, place{inTotal, state{g.seen}}), append(left, place{inTotal, state{g.seen + int64(g.n)}})
		if g.day == want.Day || g.n > 0 || g.seenDay != 0 { //guard:TestLives$ g.day == want.Day || g.n > 0 || g.seenDay != 0 -> true
			seen, left = append(seen, place{int64(g.day), state{int64(g.seenDay)}}), append(left, place{int64(g.day), state{int64(g.seenDay + g.n)}})
			days[g.day] += int64(g.n)
		}
	}
	want.DayTotal = days[want.Day]
	seen, left = append(seen, place{inTotal, state{want.Total}}), append(left, place{day: inTotal})
	for day, n := range days {
		seen, left = append(seen, place{int64(day), state{n}}), append(left, place{day: int64(day)})
	}
	slices.SortFunc(seen, comparePlaces)
	slices.SortFunc(left, comparePlaces)
	for k := range seen {
		if seen[k] != left[k] { //guard:TestLives$
			return want, fmt.Sprintf("%s and %s", showPlace("one that saw", seen[k]), showPlace("one that left", left[k]))
		}
	}
	return want, ""
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.at[0], b.at[0]))
}

func showPlace(who string, p place) string {
	if p.day == inTotal {
		return fmt.Sprintf("%s %d in total", who, p.at[0])
	}
	return fmt.Sprintf("%s %d on %s", who, p.at[0], benefit.Day(p.day))
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
	issued   int64 // with what was taken back
}

// share adds what a user has of a template to what the person has; and, where it is known, to what every person
// has to whom the user once belonged, since one of those may have been given too much then.
func (c *recount) share(k benefit.QuotaKey, total, issued int64) {
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
		c.shares[s].issued += issued
	}
}

// crowded returns who has more than a limit per person of today or, where there is a history, may have had more than one
// of its day, in a fixed order. What counts of each is for the caller to choose.
func (c *recount) crowded(count func(*personTotal) int64) (all []*personTotal) {
	sorted := slices.SortedFunc(maps.Keys(c.shares), func(a, b share) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.template, b.template))
	})
	for _, s := range sorted {
		if p := c.shares[s]; count(p) > c.rules.lowestPerPerson(p.template) {
			all = append(all, p)
		}
	}
	return all
}

// doubtPersons doubts that limits per person were kept, where it is not known how users were linked when they were given
// what they have.
func (c *recount) doubtPersons() {
	for _, p := range c.crowded(func(p *personTotal) int64 { return p.total }) { //guard:TestPersonsAndVoids p.total -> p.issued
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
