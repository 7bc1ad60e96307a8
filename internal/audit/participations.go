package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/store"
)

// activityGrant is what one commit issued to a user by one line of an activity, in 40 bytes. A line that issued nothing, or
// nothing in the issuance's last commit, has one of no vouchers where that commit answered whether a treasure box was done.
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

type grantFlags uint8

const (
	guarded   grantFlags = 1 << iota // the one-second guard was asked for, as activity.send alone does
	boxDone                          // the issuance was answered with a box that is done
	settled                          // in the last commit of the issuance
	continued                        // in a later commit than the first
)

func (f grantFlags) when(set bool) grantFlags {
	if set {
		return f
	}
	return 0
}

// tooManyCards is the number of all cards of treasure boxes beyond those that have a number. There are few; those are not
// judged.
const tooManyCards = math.MaxUint16

// card returns the number of a card, which is at 1 less in c.cards.
func (c *recount) card(name string) uint16 {
	if name == "" {
		return 0
	}
	if _, known := c.cards.numbers[name]; !known && len(c.cards.values) == tooManyCards-1 {
		return tooManyCards
	}
	return uint16(c.cards.of(name) + 1)
}

// addActivityGrants takes what an issuance gave by activities.
func (c *recount) addActivityGrants(i *benefit.Issuance) {
	last, version := lastIssue(i)
	for l := range linesOf(i) {
		if l.Activity == 0 {
			continue
		}
		add := func(g activityGrant) {
			g.user, g.issuance, g.activity = i.User, i.ID, c.activities.of(l.Activity)
			g.flags = guarded.when(scope.IsRelation(i.Scope)) | boxDone.when(i.BoxDone) |
				settled.when(g.at == last) | continued.when(g.at != i.At())
			c.activityGrants.add(g)
		}
		everBox := c.rules.everBox(l.Activity)
		if l.Issued > 0 {
			g := activityGrant{at: l.At, version: int32(l.Catalogue), vouchers: small(l.Issued * l.Quantity), sends: small(l.Issued)}
			if everBox {
				g.card = c.card(i.Params.Card)
			}
			add(g)
		}
		if (l.Issued == 0 || l.At != last) && (everBox || i.BoxDone) {
			add(activityGrant{at: last, version: version})
		}
	}
}

func small(n int) uint16 { return uint16(min(max(n, 0), math.MaxUint16)) }

// lastIssue returns when an issuance was last issued, and the version of the catalogue that this was under.
func lastIssue(i *benefit.Issuance) (last benefit.Instant, version int32) {
	for k := range i.Lines {
		l := &i.Lines[k]
		if l.At > last {
			last, version = l.At, 0
		}
		if l.At == last && last > 0 {
			version = max(version, int32(l.Catalogue))
		}
	}
	return last, version
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
	slices.SortFunc(c.activityGrants.rows, func(a, b activityGrant) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.at, b.at), cmp.Compare(a.issuance, b.issuance),
			cmp.Compare(c.activities.values[a.activity], c.activities.values[b.activity]), cmp.Compare(b.sends, a.sends))
	})
	order := func(want *participationTotals, got benefit.Participation) int {
		return cmp.Or(cmp.Compare(want.User, got.User), cmp.Compare(want.Activity, got.Activity))
	}
	rows := store.All(ctx, c.r, benefit.Participations)
	return compareRows("participations", c.played, rows, order, func(want *participationTotals, got benefit.Participation, have sides) error {
		if have == rowOnly && !c.activityGrants.holds(uint64(got.User)) {
			return nil
		}
		if have != countedOnly {
			c.report.Checked.Participations++
		}
		switch have {
		case countedOnly:
			c.find(participationFinding(want, nil))
		case rowOnly:
			c.find(participationFinding(nil, &got))
		case both:
			c.sameParticipation(want, &got)
		}
		return nil
	})
}

// participationFinding returns the finding that a participation is not what was counted; one of them may be nil.
func participationFinding(want *participationTotals, got *benefit.Participation) Finding {
	f := Finding{Participations, "", "nothing, by the vouchers", "no row"}
	var key benefit.ParticipationKey
	if got != nil {
		key, f.Got = got.ParticipationKey, showParticipation(got, len(got.Cards))+", by the row"
	}
	if want != nil {
		key, f.Want = want.ParticipationKey, showParticipation(&want.Participation, len(want.cards))+", by the vouchers"
	}
	f.Row = fmt.Sprintf("user %d, activity %d", key.User, key.Activity)
	return f
}

// played iterates over what was done in activities, in the order of users and activities, and holds it to the guard and
// the boxes.
func (c *recount) played(yield func(*participationTotals) bool) {
	for all := range runs(c.activityGrants.rows, func(a, b *activityGrant) bool { return a.user == b.user }) {
		states := map[benefit.ActivityID]*participationTotals{}
		for same := range runs(all, func(a, b *activityGrant) bool { return a.at == b.at }) {
			unordered := same[0].issuance != same[len(same)-1].issuance &&
				slices.ContainsFunc(same, func(g activityGrant) bool { return g.flags&continued != 0 })
			for one := range runs(same, func(a, b *activityGrant) bool { return a.issuance == b.issuance }) {
				c.commit(one, states, unordered)
			}
		}
		for _, a := range slices.Sorted(maps.Keys(states)) {
			if !yield(states[a]) {
				return
			}
		}
	}
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
		a := c.activities.values[l.activity]
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
	c.judge(sure, doubtKey{activity: c.activities.values[lines[0].activity], rule: "a treasure box that is done"}, Finding{
		Boxes, fmt.Sprintf("issuance %d: a treasure box is done", lines[0].issuance), fmt.Sprint(want), fmt.Sprint(got),
	})
}

// countGrant counts one line.
func (c *recount) countGrant(l *activityGrant, states map[benefit.ActivityID]*participationTotals, unordered bool) {
	a := c.activities.values[l.activity]
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
	s.Done = s.Done || reached >= int64(act.Box.DoneAfter)
}

// apart is the interval of the one-second guard, in milliseconds.
const apart = 1000

func (c *recount) guard(l *activityGrant, s *participationTotals, sure bool) {
	gap := l.at - s.before.at
	//guard:TestStage$ apart -> apart-1
	if s.before.at == 0 || gap >= apart || gap == 0 && (s.before.continued || s.now.continued) { // then the order is not known
		return
	}
	c.judge(sure, doubtKey{activity: s.Activity, rule: "one-second guard"}, Finding{
		Guard, fmt.Sprintf("issuances %d and %d, activity %d", s.before.issuance, l.issuance, s.Activity),
		fmt.Sprintf("%d ms between them or more", apart), fmt.Sprintf("%d ms", gap),
	})
}

// sameParticipation compares what was counted with the row.
func (c *recount) sameParticipation(want *participationTotals, got *benefit.Participation) {
	cards := make([]string, len(want.cards))
	for k, n := range want.cards {
		if n != tooManyCards {
			cards[k] = c.cards.values[n-1]
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
	f := participationFinding(want, got)
	if counts && want.Done == got.Done && len(cards) == len(stored) {
		f.Want, f.Got = "the cards that were played, in their order", "others"
	}
	c.judge(!counts || !want.unsure, doubtKey{activity: want.Activity, rule: "cards and done"}, f)
}

func showParticipation(p *benefit.Participation, cards int) string {
	return fmt.Sprintf("%d vouchers, the last at %d; on its day %d vouchers by %d sends, %d cards, done %v",
		p.Total, int64(p.At), p.DayTotal, p.DaySends, cards, p.Done)
}
