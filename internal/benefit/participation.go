package benefit

import "slices"

// ParticipationKey names what one user has done in one activity.
type ParticipationKey struct {
	User     UserID
	Activity ActivityID
}

// Participation counts what one user has received from one activity. It exists once something was issued.
type Participation struct {
	ParticipationKey
	Total int64   // vouchers
	At    Instant // the now of the last commit that issued; the one-second guard counts from it

	// What follows is of the day of At.

	DayTotal int64    // vouchers
	DaySends int64    // sends
	Cards    []string // the different cards of a treasure box, in the order in which they came
	Done     bool     // the task of the treasure box is done
}

// today returns the participation on the day of now: the counters of an earlier day are reset.
func (p Participation) today(now Instant) Participation {
	if p.At.Day() != now.Day() {
		//guard:TestBoxAtMidnight p.DaySends, p.Cards, p.Done = 0, 0, nil, false -> p.DaySends = 0, 0
		p.DayTotal, p.DaySends, p.Cards, p.Done = 0, 0, nil, false
	}
	return p
}

// guardMillis is how long after an issue the one-second guard refuses the user's other keys, in milliseconds.
const guardMillis = 1000

// guards reports whether the one-second guard refuses at now.
func (p *Participation) guards(now Instant) bool { return p.At != 0 && now < p.At+guardMillis } //guard:TestGuardHoldsForASecond now < p.At+guardMillis -> now <= p.At+guardMillis

// record adds a send of n vouchers to a participation of today.
func (p *Participation) record(box *Box, card string, vouchers int64, now Instant) {
	p.At = now
	p.Total += vouchers
	p.DayTotal += vouchers
	p.DaySends++
	if box == nil {
		return
	}
	if card != "" && !slices.Contains(p.Cards, card) { //guard:TestBoxOfDifferentCards without !slices.Contains(p.Cards, card)
		p.Cards = append(p.Cards[:len(p.Cards):len(p.Cards)], card) // the state's own is not changed in place
	}
	done := int64(len(p.Cards))
	if box.CountSends {
		done = p.DaySends
	}
	p.Done = p.Done || done >= int64(box.DoneAfter) //guard:TestBoxThatIsChanged p.Done || done >= int64(box.DoneAfter) -> done >= int64(box.DoneAfter)
}
