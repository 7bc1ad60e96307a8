package sim

import (
	"slices"

	"faquan/internal/benefit"
)

// participationEvent is what one line issued to a user from an activity.
type participationEvent struct {
	at              benefit.Instant
	sends, vouchers int64
	card            string
	box             *benefit.Box // as the activity had it at that moment
}

// played books a line that an activity gave.
func (l *ledger) played(i *benefit.Issuance, line *benefit.IssuedLine) {
	k := benefit.ParticipationKey{User: i.User, Activity: line.Activity}
	p := participationEvent{at: line.At, sends: int64(line.Issued), vouchers: int64(line.Issued * line.Quantity), card: i.Params.Card}
	if l.cat != nil {
		p.box = l.cat.Activities[line.Activity].Box
	}
	l.participationEvents[k] = append(l.participationEvents[k], p)
}

// participation returns what a user has done in an activity, told from all that it got out of it.
func (l *ledger) participation(k benefit.ParticipationKey) benefit.Participation {
	sum := benefit.Participation{ParticipationKey: k}
	for _, p := range l.participationEvents[k] {
		sum.Total += p.vouchers
		sum.At = max(sum.At, p.at)
	}
	today := l.today(k, sum.At)
	sum.DayTotal, sum.DaySends, sum.Cards, sum.Done = today.DayTotal, today.DaySends, today.Cards, today.Done
	return sum
}

// today returns what a user has done in an activity on the day of now.
func (l *ledger) today(k benefit.ParticipationKey, now benefit.Instant) benefit.Participation {
	sum := benefit.Participation{ParticipationKey: k}
	for _, p := range l.participationEvents[k] {
		if p.at.Day() != now.Day() {
			continue
		}
		sum.DayTotal += p.vouchers
		sum.DaySends += p.sends
		if p.box == nil {
			continue
		}
		if p.card != "" && !slices.Contains(sum.Cards, p.card) {
			sum.Cards = append(sum.Cards, p.card)
		}
		have := len(sum.Cards)
		if p.box.CountSends {
			have = int(sum.DaySends)
		}
		// Done is done for the day, even when more is asked for later.
		sum.Done = sum.Done || have >= p.box.DoneAfter
	}
	return sum
}

// guarded reports whether the user received something from the activity less than a second ago.
func (l *ledger) guarded(user benefit.UserID, act *benefit.Activity, now benefit.Instant) bool {
	return act != nil && !act.NoGuard && slices.ContainsFunc(l.participationEvents[benefit.ParticipationKey{User: user, Activity: act.ID}], func(p participationEvent) bool {
		return now-p.at < 1000
	})
}

// boxDone reports whether one of the lines belongs to a treasure box whose task the user has done today.
func (l *ledger) boxDone(user *benefit.User, lines []benefit.Line, now benefit.Instant) bool {
	return user != nil && slices.ContainsFunc(lines, func(line benefit.Line) bool {
		act := l.cat.Activities[line.Activity]
		return act != nil && act.Box != nil && l.today(benefit.ParticipationKey{User: user.ID, Activity: act.ID}, now).Done
	})
}
