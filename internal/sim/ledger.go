package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// ledger is the combined knowledge of all callers: which voucher was issued to which user under which key. All counts
// are made from that. It judges answers by the rules as they are written in the specification.
type ledger struct {
	cat                 *benefit.Catalogue
	issued              map[claim]*benefit.Issuance
	holders             map[id.ID]claim // of vouchers
	total               map[benefit.TemplateID]tally
	day                 map[dayKey]tally
	user                map[benefit.QuotaKey]int64
	userDay             map[userDay]int64
	users               map[benefit.UserID]*benefit.User
	participationEvents map[benefit.ParticipationKey][]participationEvent // what an activity gave, line by line
	codes               map[string]id.ID                                  // the issuance that each certificate code went to
	scenes              []*benefit.Scene                                  // of the catalogue
	loosest             map[benefit.TemplateID]benefit.Stock
	coverage            *Coverage
}

type claim struct {
	scope benefit.Scope
	key   string
}

// tally is how many vouchers, and how many fen.
type tally struct{ count, amount int64 }

func (t tally) plus(o tally) tally { return tally{t.count + o.count, t.amount + o.amount} }

type dayKey struct {
	template benefit.TemplateID
	day      benefit.Day
}

type userDay struct {
	benefit.QuotaKey
	day benefit.Day
}

func newLedger() *ledger {
	return &ledger{
		issued: map[claim]*benefit.Issuance{}, holders: map[id.ID]claim{}, total: map[benefit.TemplateID]tally{},
		day: map[dayKey]tally{}, user: map[benefit.QuotaKey]int64{}, userDay: map[userDay]int64{},
		users: map[benefit.UserID]*benefit.User{}, participationEvents: map[benefit.ParticipationKey][]participationEvent{}, codes: map[string]id.ID{},
		loosest: map[benefit.TemplateID]benefit.Stock{}, coverage: &Coverage{},
	}
}

// setCatalogue takes a catalogue into force, and remembers the loosest caps that there ever were.
func (l *ledger) setCatalogue(cat *benefit.Catalogue) {
	l.cat = cat
	l.scenes = slices.SortedFunc(maps.Values(cat.Scenes), func(a, b *benefit.Scene) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range cat.Templates {
		limit, before := t.Stock, t.Stock
		if s, ok := l.loosest[t.ID]; ok {
			before = s
		}
		for _, c := range []struct {
			cap    *benefit.Cap
			before benefit.Cap
		}{
			{&limit.Count, before.Count}, {&limit.Amount, before.Amount},
			{&limit.CountPerDay, before.CountPerDay}, {&limit.AmountPerDay, before.AmountPerDay},
		} {
			if *c.cap != benefit.Unlimited && (c.before == benefit.Unlimited || c.before > *c.cap) {
				*c.cap = c.before
			}
		}
		l.loosest[t.ID] = limit
	}
}

// seen is what a batch had read before it had its locks, when others came between. A refusal may rest on that: the
// batch is then as good as one that came before them.
type seen struct {
	users  map[benefit.UserID]*benefit.User
	issued map[claim]*benefit.Issuance // nil: what stood under the keys was looked at again
}

func (l *ledger) see() *seen { return &seen{maps.Clone(l.users), maps.Clone(l.issued)} }

// asSeenBy has the ledger judge by what a batch saw, until the returned function is called; nil sees what there is.
func (l *ledger) asSeenBy(x *seen) func() {
	if x == nil {
		return func() {}
	}
	users, issued := l.users, l.issued
	if l.users = x.users; x.issued != nil {
		l.issued = x.issued
	}
	return func() {
		maps.Copy(users, l.users) // those who became users by the batch
		l.users = users
		if x.issued != nil {
			l.issued = issued
		}
	}
}

func (l *ledger) setUsers(users []*benefit.User) {
	for _, u := range users {
		l.users[u.ID] = u
	}
}

// recipient returns the user that an identifier names now; nil when there is none.
func (l *ledger) recipient(ident benefit.Identifier) *benefit.User {
	if user, ok := ident.Ref(); ok {
		return l.users[user]
	}
	for _, u := range l.users {
		if slices.Contains(u.Identifiers, ident) {
			return u
		}
	}
	return nil
}

// standing returns the issuance under a key at now: a key that was bound for a while comes free again.
func (l *ledger) standing(k claim, now benefit.Instant) *benefit.Issuance {
	i := l.issued[k]
	if i != nil && i.BindMillis != 0 && now >= i.At()+benefit.Instant(i.BindMillis) {
		return nil
	}
	return i
}

// add books an issuance, or what a continued one has got more.
func (l *ledger) add(i *benefit.Issuance) error {
	k := claim{i.Scope, i.Key}
	before := l.standing(k, i.At())
	if before != nil && before.ID != i.ID {
		return fmt.Errorf("%s %q has a second issuance: %d and %d", i.Scope, i.Key, before.ID, i.ID)
	}
	if before != nil {
		if diff := diff(frozenOf(before), frozenOf(i)); diff != "" {
			return fmt.Errorf("what was frozen changed afterwards:\n%s", diff)
		}
	}
	if err := l.addCodes(before, i); err != nil {
		return err
	}
	for n, line := range i.Lines {
		if before != nil && before.Lines[n].Issued > 0 {
			if diff := diff(before.Lines[n], line); diff != "" {
				return fmt.Errorf("an issued line changed afterwards:\n%s", diff)
			}
			continue
		}
		if err := l.addLine(k, i, &line); err != nil {
			return err
		}
	}
	l.issued[k] = i
	return nil
}

// frozenOf returns what of an issuance may never change, but for the codes.
func frozenOf(i *benefit.Issuance) benefit.Issuance {
	frozen := *i
	frozen.BoxDone, frozen.Lines = false, nil
	for _, l := range i.Lines {
		frozen.Lines = append(frozen.Lines, benefit.IssuedLine{Line: l.Line, First: l.First, Amounts: l.Amounts})
	}
	return frozen
}

// addCodes books the codes of an issuance: no two vouchers have the same. A line that was frozen with too few may
// get more; those that it has it keeps.
func (l *ledger) addCodes(before, i *benefit.Issuance) error {
	for n, line := range i.Lines {
		had := 0
		if before != nil {
			had = len(before.Lines[n].Codes)
			if len(line.Codes) < had || !slices.Equal(before.Lines[n].Codes, line.Codes[:had]) || before.Lines[n].Issued > 0 && len(line.Codes) > had {
				return fmt.Errorf("the codes of line %d changed from %v to %v", n, before.Lines[n].Codes, line.Codes)
			}
		}
		for _, code := range line.Codes[had:] {
			if other, taken := l.codes[code]; taken {
				return fmt.Errorf("code %s went to %d and to %d", code, other, i.ID)
			}
			l.codes[code] = i.ID
		}
	}
	return nil
}

func (l *ledger) addLine(k claim, i *benefit.Issuance, line *benefit.IssuedLine) error {
	sum := tally{}
	for n := range line.Issued * line.Quantity {
		voucher := line.First + id.ID(n)
		if other, taken := l.holders[voucher]; taken {
			return fmt.Errorf("voucher %d was issued to %v and to %v", voucher, other, k)
		}
		l.holders[voucher] = k
		sum = sum.plus(tally{1, int64(line.Amounts[n])})
	}
	if sum.count == 0 {
		return nil
	}
	today, quota := dayKey{line.Template, line.At.Day()}, benefit.QuotaKey{User: i.User, Template: line.Template}
	l.total[line.Template] = l.total[line.Template].plus(sum)
	l.day[today] = l.day[today].plus(sum)
	l.user[quota] += sum.count
	l.userDay[userDay{quota, today.day}] += sum.count
	if line.Activity != 0 {
		l.played(i, line)
	}
	return nil
}

// withinCaps checks every total against the caps, as far as they ever went.
func (l *ledger) withinCaps() error {
	over := func(limit benefit.Cap, have int64) bool { return limit != benefit.Unlimited && have > int64(limit) }
	for t, sum := range l.total {
		if s := l.loosest[t]; over(s.Count, sum.count) || over(s.Amount, sum.amount) {
			return fmt.Errorf("template %d has issued %+v of %+v", t, sum, s)
		}
	}
	for d, sum := range l.day {
		if s := l.loosest[d.template]; over(s.CountPerDay, sum.count) || over(s.AmountPerDay, sum.amount) {
			return fmt.Errorf("template %d has issued %+v of %+v on %v", d.template, sum, s, d.day)
		}
	}
	return nil
}
