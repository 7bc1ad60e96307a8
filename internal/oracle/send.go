package oracle

import (
	"slices"

	"faquan/internal/benefit"
)

// send is one send that was issued; or a voucher that a void has returned, as one of a negative number of vouchers on the day
// of its issue, of no activity. All counters are counted from the list of them.
type send struct {
	user     benefit.UserID
	template benefit.TemplateID
	activity benefit.ActivityID
	at       benefit.Instant
	day      benefit.Day
	vouchers int64
	fen      int64
	card     string // where the activity was a treasure box at that moment
	done     bool   // with it the task of the treasure box was done for the day
}

// give returns the list with one more send of a line.
func (o *Oracle) give(sends []send, user benefit.UserID, card string, l *benefit.IssuedLine, n int, at benefit.Instant) []send {
	s := send{user: user, template: l.Template, activity: l.Activity, at: at, day: at.Day(), vouchers: int64(l.Quantity), fen: worth(l, n)}
	act := o.Catalogue.Activities[l.Activity]
	if act == nil || act.Box == nil {
		return append(sends, s)
	}
	s.card = card
	sends = append(sends, s)
	p := participation(sends, benefit.ParticipationKey{User: user, Activity: l.Activity}, s.day)
	have := len(p.Cards)
	if act.Box.CountSends {
		have = int(p.DaySends)
	}
	sends[len(sends)-1].done = have >= act.Box.DoneAfter
	return sends
}

// worth returns the amount of the vouchers of a line's send together.
func worth(l *benefit.IssuedLine, n int) (fen int64) {
	for _, amount := range l.Amounts[n*l.Quantity : (n+1)*l.Quantity] {
		fen += int64(amount)
	}
	return fen
}

// participation returns what a user has received from an activity, in total and on a day.
func participation(sends []send, k benefit.ParticipationKey, day benefit.Day) benefit.Participation {
	p := benefit.Participation{ParticipationKey: k}
	for _, s := range sends {
		if s.user != k.User || s.activity != k.Activity {
			continue
		}
		p.At = max(p.At, s.at)
		p.Total += s.vouchers
		if s.day != day {
			continue
		}
		p.DayTotal += s.vouchers
		p.DaySends++
		p.Done = p.Done || s.done // done is done for the day, even when more is asked for later
		if s.card != "" && !slices.Contains(p.Cards, s.card) {
			p.Cards = append(p.Cards, s.card)
		}
	}
	return p
}
