package benefit

import (
	"encoding/binary"
	"fmt"
	"slices"

	"faquan/internal/table"
)

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

var errCounts = fmt.Errorf("%w: counts of a participation", table.ErrMalformed)

// AppendCounts appends the stored form of everything but the key: varints, and the cards behind their lengths.
func (p *Participation) AppendCounts(b []byte) []byte {
	for _, n := range [...]int64{p.Total, int64(p.At), p.DayTotal, p.DaySends} {
		b = binary.AppendVarint(b, n)
	}
	done := byte(0)
	if p.Done {
		done = 1
	}
	b = binary.AppendUvarint(append(b, done), uint64(len(p.Cards)))
	for _, c := range p.Cards {
		b = append(binary.AppendUvarint(b, uint64(len(c))), c...)
	}
	return b
}

// ReadCounts reads what AppendCounts wrote, and returns what follows it.
func (p *Participation) ReadCounts(b []byte) (rest []byte, err error) {
	for _, to := range [...]*int64{&p.Total, (*int64)(&p.At), &p.DayTotal, &p.DaySends} {
		n, width := binary.Varint(b)
		if width <= 0 {
			return nil, errCounts
		}
		*to, b = n, b[width:]
	}
	if len(b) == 0 {
		return nil, errCounts
	}
	p.Done, b = b[0] != 0, b[1:]
	cards, width := binary.Uvarint(b)
	if width <= 0 || cards > uint64(len(b)) { // each takes a byte at least
		return nil, errCounts
	}
	b, p.Cards = b[width:], nil
	for range cards {
		n, width := binary.Uvarint(b)
		if width <= 0 || n > uint64(len(b)-width) {
			return nil, errCounts
		}
		end := width + int(n)
		p.Cards, b = append(p.Cards, string(b[width:end])), b[end:]
	}
	return b, nil
}
