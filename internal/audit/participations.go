package audit

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/store"
)

// activityGrant is what one commit issued to a user by one line of an activity. A line that issued nothing, or nothing
// in the issuance's last commit, has one of no vouchers where that commit said whether a treasure box was done.
type activityGrant struct {
	user            benefit.UserID
	issuance        id.ID
	at              benefit.Instant
	activity        int32 // short number
	version         int32 // of the catalogue
	vouchers, sends uint16
	card            uint16 // short number; 0: none
	flags           grantFlags
}

const activityGrantBytes = 40

type grantFlags uint8

const (
	guarded   grantFlags = 1 << iota // the one-second guard was asked for
	boxDone                          // the issuance says that a box was done
	settled                          // in the last commit of the issuance
	continued                        // in a later commit than the first
)

// boxCards numbers the cards of treasure boxes. There are few; those beyond are all one, and not judged.
type boxCards struct {
	numbers map[string]uint16
	names   []string // number 0 is none
}

const tooManyCards = math.MaxUint16

func (b *boxCards) number(card string) uint16 {
	if card == "" {
		return 0
	}
	n, ok := b.numbers[card]
	if !ok && len(b.names) == tooManyCards {
		return tooManyCards
	}
	if !ok {
		n = uint16(len(b.names))
		b.names = append(b.names, card)
		b.numbers[card] = n
	}
	return n
}

// addActivityGrants takes what an issuance gave by activities.
func (c *recount) addActivityGrants(i *benefit.Issuance) {
	first, last, version := moments(i)
	for k := range i.Lines {
		l := &i.Lines[k]
		if l.Activity == 0 {
			continue
		}
		j := activityGrant{user: i.User, issuance: i.ID, activity: c.activityNumber(l.Activity)}
		if scope.IsRelation(i.Scope) { // the guard holds for activity.send alone
			j.flags |= guarded
		}
		if i.BoxDone {
			j.flags |= boxDone
		}
		everBox := c.rules.everBox(l.Activity)
		if l.Issued > 0 {
			one := j
			one.at, one.version = l.At, int32(l.Catalogue)
			one.vouchers, one.sends = small(l.Issued*l.Quantity), small(l.Issued)
			if everBox {
				one.card = c.cards.number(i.Params.Card)
			}
			if l.At != first {
				one.flags |= continued
			}
			if l.At == last {
				one.flags |= settled
			}
			c.activityGrants.add(one)
		}
		if (l.Issued == 0 || l.At != last) && (everBox || i.BoxDone) {
			j.at, j.version, j.flags = last, version, j.flags|settled
			if last != first {
				j.flags |= continued
			}
			c.activityGrants.add(j)
		}
	}
}

func small(n int) uint16 { return uint16(min(max(n, 0), math.MaxUint16)) }

// moments returns when an issuance was first and last issued, and the version of the catalogue that the last was under.
func moments(i *benefit.Issuance) (first, last benefit.Instant, version int32) {
	for k := range i.Lines {
		l := &i.Lines[k]
		if l.At == 0 {
			continue
		}
		if first == 0 || l.At < first {
			first = l.At
		}
		if l.At > last {
			last, version = l.At, 0
		}
		if l.At == last {
			version = max(version, int32(l.Catalogue))
		}
	}
	return first, last, version
}

func (c *recount) activityNumber(a benefit.ActivityID) int32 {
	n, ok := c.activityNumbers[a]
	if !ok {
		n = int32(len(c.activities))
		c.activityNumbers[a] = n
		c.activities = append(c.activities, a)
	}
	return n
}

// participationTotals holds the recounted participation of a user in an activity.
type participationTotals struct {
	benefit.Participation
	cards []uint16
	// unsure means that it is not known what the box was when something of the day was issued; mixed, that it is not
	// known in which order cards came.
	unsure, mixed bool
	// The commit that issued last, and the one before it.
	now, before commitOf
}

type commitOf struct {
	issuance  id.ID
	at        benefit.Instant
	continued bool
}

// settleParticipations counts user by user what was done in activities, and compares it with the participations.
func (c *recount) settleParticipations(ctx context.Context) error {
	all := c.activityGrants.rows
	slices.SortFunc(all, func(a, b activityGrant) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.at, b.at), cmp.Compare(a.issuance, b.issuance),
			cmp.Compare(c.activities[a.activity], c.activities[b.activity]), cmp.Compare(b.sends, a.sends))
	})
	next, stop := iter.Pull2(store.All(ctx, c.r, benefit.Participations))
	defer stop()
	rows := participationRows{c: c, next: next}
	if err := rows.advance(); err != nil {
		return err
	}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].user == all[0].user {
			n++
		}
		if err := rows.unknown(all[0].user); err != nil {
			return err
		}
		if err := rows.user(all[0].user, c.played(all[:n])); err != nil {
			return err
		}
		all = all[n:]
	}
	return rows.unknown(math.MaxInt64)
}

// played counts what one user has done, and holds it to the guard and the boxes. The records come in their order.
func (c *recount) played(all []activityGrant) map[benefit.ActivityID]*participationTotals {
	states := map[benefit.ActivityID]*participationTotals{}
	for len(all) > 0 {
		same := 1 // of the same instant
		many := false
		var mixed grantFlags
		for mixed = all[0].flags; same < len(all) && all[same].at == all[0].at; same++ {
			many = many || all[same].issuance != all[0].issuance
			mixed |= all[same].flags
		}
		unordered := many && mixed&continued != 0
		for part := all[:same]; len(part) > 0; {
			n := 1
			for n < len(part) && part[n].issuance == part[0].issuance {
				n++
			}
			c.commit(part[:n], states, unordered)
			part = part[n:]
		}
		all = all[same:]
	}
	return states
}

// commit counts what one commit gave by one issuance.
func (c *recount) commit(lines []activityGrant, states map[benefit.ActivityID]*participationTotals, unordered bool) {
	for k := range lines {
		if l := &lines[k]; l.sends > 0 {
			c.countGrant(l, states, unordered)
		}
	}
	want, sure := false, true
	for k := range lines {
		l := &lines[k]
		a := c.activities[l.activity]
		act, known := c.rules.activity(a, int64(l.version))
		s := states[a]
		if act != nil && act.Box != nil && s != nil && s.At.Day() == l.at.Day() {
			want = want || s.Done
			known = known && !s.unsure
		}
		sure = sure && known
	}
	got := lines[0].flags&boxDone != 0
	//guard:TestStage$ without lines[0].flags&settled == 0 || unordered || want == got
	if lines[0].flags&settled == 0 || unordered || want == got {
		return
	}
	c.violatedActivity(sure, c.activities[lines[0].activity], "a treasure box that is done",
		Finding{Boxes, fmt.Sprintf("issuance %d: a treasure box is done", lines[0].issuance), fmt.Sprint(want), fmt.Sprint(got)})
}

// violatedActivity reports a broken rule of an activity: a finding if that was the rule then, else a doubt.
func (c *recount) violatedActivity(sure bool, a benefit.ActivityID, rule string, f Finding) {
	if sure {
		c.find(f)
	} else {
		c.doubtOf(doubtKey{invariant: f.Invariant, activity: a, rule: rule}, f)
	}
}

// countGrant counts one line.
func (c *recount) countGrant(l *activityGrant, states map[benefit.ActivityID]*participationTotals, unordered bool) {
	a := c.activities[l.activity]
	s := states[a]
	if s == nil {
		s = &participationTotals{}
		s.User, s.Activity = l.user, a
		states[a] = s
	}
	if one := (commitOf{l.issuance, l.at, l.flags&continued != 0}); one != s.now {
		s.before, s.now = s.now, one
	}
	act, sure := c.rules.activity(a, int64(l.version))
	if act != nil && !act.NoGuard && l.flags&guarded != 0 {
		c.guard(l, s, sure)
	}
	if s.At.Day() != l.at.Day() {
		s.DayTotal, s.DaySends, s.cards, s.Done, s.unsure, s.mixed = 0, 0, nil, false, false, false
	}
	s.At = l.at
	s.Total += int64(l.vouchers)
	s.DayTotal += int64(l.vouchers)
	s.DaySends += int64(l.sends)
	s.unsure = s.unsure || !sure || l.card == tooManyCards
	s.mixed = s.mixed || unordered
	if act == nil || act.Box == nil {
		return
	}
	if l.card != 0 && !slices.Contains(s.cards, l.card) {
		s.cards = append(s.cards, l.card)
	}
	reached := int64(len(s.cards))
	if act.Box.CountSends {
		reached = s.DaySends
	}
	if reached >= int64(act.Box.DoneAfter) {
		s.Done = true
	}
}

// apart is the interval of the one-second guard, in milliseconds.
const apart = 1000

func (c *recount) guard(l *activityGrant, s *participationTotals, sure bool) {
	gap := l.at - s.before.at
	//guard:TestStage$ apart -> apart-1
	if s.before.at == 0 || gap >= apart || gap == 0 && (s.before.continued || s.now.continued) { // then the order is not known
		return
	}
	c.violatedActivity(sure, s.Activity, "one-second guard", Finding{
		Guard, fmt.Sprintf("issuances %d and %d, activity %d", s.before.issuance, l.issuance, s.Activity),
		fmt.Sprintf("%d ms between them or more", apart), fmt.Sprintf("%d ms", gap),
	})
}

// participationRows are the store's participations, of which one is at hand.
type participationRows struct {
	c    *recount
	next func() (benefit.Participation, error, bool)
	row  benefit.Participation
	more bool
}

// advance goes on to the next that belongs to this pass.
func (r *participationRows) advance() error {
	for {
		row, err, more := r.next()
		if err != nil {
			return fmt.Errorf("reading the participations: %w", err)
		}
		if r.row, r.more = row, more; !more || r.c.activityGrants.holds(uint64(row.User)) {
			return nil
		}
	}
}

// unknown takes the rows of users before the given one: they were given nothing.
func (r *participationRows) unknown(before benefit.UserID) error {
	for r.more && r.row.User < before {
		r.stray()
		if err := r.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (r *participationRows) stray() {
	r.c.report.Checked.Participations++
	r.c.find(Finding{Participations, memberOf(r.row.ParticipationKey), "nothing, by the vouchers", showParticipation(&r.row, len(r.row.Cards)) + ", by the row"})
}

func memberOf(k benefit.ParticipationKey) string {
	return fmt.Sprintf("user %d, activity %d", k.User, k.Activity)
}

// user compares the rows of one user.
func (r *participationRows) user(u benefit.UserID, counted map[benefit.ActivityID]*participationTotals) error {
	for r.more && r.row.User == u {
		if want := counted[r.row.Activity]; want == nil {
			r.stray()
		} else {
			r.c.report.Checked.Participations++
			r.c.sameParticipation(want, &r.row)
			delete(counted, r.row.Activity)
		}
		if err := r.advance(); err != nil {
			return err
		}
	}
	var missing []*participationTotals
	for _, want := range counted {
		missing = append(missing, want)
	}
	slices.SortFunc(missing, func(a, b *participationTotals) int { return cmp.Compare(a.Activity, b.Activity) })
	for _, want := range missing {
		r.c.find(Finding{Participations, memberOf(want.ParticipationKey), showParticipation(&want.Participation, len(want.cards)) + ", by the vouchers", "no row"})
	}
	return nil
}

// sameParticipation compares what was counted with the row.
func (c *recount) sameParticipation(want *participationTotals, got *benefit.Participation) {
	cards := make([]string, len(want.cards))
	for k, n := range want.cards {
		if n != tooManyCards {
			cards[k] = c.cards.names[n]
		}
	}
	stored := got.Cards
	if want.mixed {
		stored = slices.Clone(stored)
		slices.Sort(cards)
		slices.Sort(stored)
	}
	counts := want.Total == got.Total && want.At == got.At && want.DayTotal == got.DayTotal && want.DaySends == got.DaySends
	box := want.Done == got.Done && slices.Equal(cards, stored)
	if counts && box {
		return
	}
	f := Finding{
		Participations, memberOf(want.ParticipationKey),
		showParticipation(&want.Participation, len(cards)) + ", by the vouchers", showParticipation(got, len(stored)) + ", by the row",
	}
	if counts && want.Done == got.Done && len(cards) == len(stored) {
		f.Want, f.Got = "the cards that were played, in their order", "others"
	}
	c.violatedActivity(!counts || !want.unsure, want.Activity, "cards and done", f)
}

func showParticipation(p *benefit.Participation, cards int) string {
	return fmt.Sprintf("%d vouchers, the last at %d; on its day %d vouchers by %d sends, %d cards, done %v",
		p.Total, int64(p.At), p.DayTotal, p.DaySends, cards, p.Done)
}
