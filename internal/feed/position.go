package feed

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"faquan/internal/store"
)

// Position is a place in the sequence of events: behind an event, or before all.
type Position struct {
	store.Place
	// Events is how many events of the place's own commit lie before the position; 0: all of them.
	Events int
}

// String returns the position as text: SEQ-CHECK, or SEQ.EVENTS-CHECK inside a commit.
func (p Position) String() string {
	inside := ""
	if p.Events != 0 {
		inside = fmt.Sprintf(".%d", p.Events)
	}
	return fmt.Sprintf("%d%s-%x", p.Seq, inside, p.Check)
}

// ParsePosition reads what String wrote, and nothing else.
func ParsePosition(text string) (p Position, err error) {
	number, check, _ := strings.Cut(text, "-")
	seq, events, _ := strings.Cut(number, ".")
	if p.Seq, err = strconv.ParseInt(seq, 10, 64); err == nil && events != "" {
		p.Events, err = strconv.Atoi(events)
	}
	sum, badCheck := hex.DecodeString(check)
	copy(p.Check[:], sum)
	//guard:TestPositions without p.String() != text
	if err != nil || badCheck != nil || p.Seq < 0 || p.Events < 0 || p.Seq == 0 && p.Events != 0 || p.String() != text {
		return Position{}, fmt.Errorf("%.64q is not a position: it must be one that an event or a page had, such as 1234-5f2a9c01", text)
	}
	return p, nil
}
