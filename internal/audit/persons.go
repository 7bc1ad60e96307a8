package audit

import (
	"context"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/embedded"
)

// replayPersons finds out, for the persons who have more of a template than a limit per person, whether they were
// given more than the limit of the day, or linked afterwards, or the limit was lowered. It reads the journal for
// that, but only if there are such persons.
func (c *recount) replayPersons(ctx context.Context, check *embedded.Check) error {
	// Also who had more before a void.
	crowded := c.crowded(func(p *personTotal) int64 { return p.issued }) //guard:TestPersonsAndVoids p.issued -> p.total
	if len(crowded) == 0 {
		return nil
	}
	r := replay{
		c: c, users: map[benefit.UserID]string{}, members: map[string][]benefit.UserID{}, wanted: map[personTemplate]bool{},
		totals: map[benefit.QuotaKey]int64{}, counted: map[lineOf]bool{}, vouchers: map[id.ID]benefit.QuotaKey{},
	}
	for _, p := range crowded {
		r.members[p.person] = nil
		r.wanted[personTemplate{p.person, p.template}] = true
	}
	for u, persons := range c.o.former {
		for _, person := range persons {
			if all, ours := r.members[person]; ours {
				r.members[person] = append(all, u)
				r.users[u] = ""
			}
		}
	}
	for commit, err := range check.Commits(ctx) {
		if err != nil {
			return err
		}
		r.commit(commit.Changes)
	}
	return nil
}

type personTemplate struct {
	person   string
	template benefit.TemplateID
}

// replay iterates over the commits in order.
type replay struct {
	c       *recount
	users   map[benefit.UserID]string   // who ever belonged to the persons, and to whom they belong now
	members map[string][]benefit.UserID // who ever belonged to a person
	wanted  map[personTemplate]bool
	totals  map[benefit.QuotaKey]int64
	counted map[lineOf]bool
	// vouchers that the users were given, by whom and of what.
	vouchers map[id.ID]benefit.QuotaKey
}

// lineOf names a line.
type lineOf struct {
	issuance id.ID
	line     int
}

func (r *replay) commit(changes *benefit.Changes) {
	for _, u := range changes.Users {
		if _, ours := r.users[u.ID]; ours {
			r.users[u.ID] = u.Person
		}
	}
	// Which of a commit's commands came first is not kept. Voids are taken to: a limit that held only if they did not is not
	// found to be exceeded.
	for _, op := range benefit.Operations.Of(changes.Rows) {
		r.void(&op)
	}
	for _, i := range changes.Issuances {
		if _, ours := r.users[i.User]; !ours {
			continue
		}
		for l := range linesOf(i) {
			// A continued issuance comes again with the lines that it had.
			if one := (lineOf{i.ID, l.k}); l.Issued > 0 && !r.counted[one] {
				r.counted[one] = true
				r.line(l)
			}
		}
	}
}

// void takes back what a void returns to the user. One that cannot be read was found with its voucher.
func (r *replay) void(op *benefit.Operation) {
	k, ours := r.vouchers[op.ID]
	if op.Kind != benefit.VoidOperation || !ours {
		return
	}
	if t, err := benefit.DecodeTransition(op); err == nil && t.ReturnStock { //guard:TestPersonsAndVoids
		r.totals[k]--
	}
}

func (r *replay) line(l lineRef) {
	n, _ := l.vouchers()
	k := benefit.QuotaKey{User: l.i.User, Template: l.Template}
	r.totals[k] += n
	for v := range n {
		r.vouchers[l.First+id.ID(v)] = k
	}
	person := r.users[l.i.User]
	if !r.wanted[personTemplate{person, l.Template}] {
		return
	}
	var total int64
	for _, u := range r.members[person] {
		if r.users[u] == person {
			total += r.totals[benefit.QuotaKey{User: u, Template: l.Template}]
		}
	}
	t, _ := r.c.rules.at(l.Template, l.Catalogue)
	if limit := t.Limits.PerPerson; limit > 0 && total > limit {
		r.c.find(Finding{Limits, l.String() + ": " + rulePerPerson, fmt.Sprint("at most ", limit), fmt.Sprintf("%d, of which %d before", total, total-n)})
	}
}
