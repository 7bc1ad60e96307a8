package sim

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"faquan/internal/benefit"
)

// rule is a rule as the simulation writes them: one comparison, of one of these with a number.
//
//	level          the recipient's attribute; without one the rule cannot be evaluated
//	known          1 when the recipient was known before, else 0
//	issued(t1)     the vouchers of the template that the recipient received, or issuedToday(t1)
//	joined(a1)     the vouchers that the recipient received from the activity, or joinedToday(a1)
type rule struct {
	what, name string
	below      bool // <, otherwise >=
	bound      int64
}

func parseRule(text string) rule {
	at := strings.IndexAny(text, "<>")
	left, right := text[:at], strings.TrimLeft(text[at:], "<>=")
	what, name, _ := strings.Cut(strings.TrimSuffix(left, ")"), "(")
	bound, err := strconv.ParseInt(right, 10, 64)
	must(err)
	return rule{what, name, text[at] == '<', bound}
}

func (r rule) holds(value int64) bool { return (value < r.bound) == r.below }

var errNoLevel = errors.New("the user has no level")

// levelOf reads the attribute.
func levelOf(attributes []byte) (int64, error) {
	var all struct{ Level *int64 }
	if len(attributes) == 0 || json.Unmarshal(attributes, &all) != nil || all.Level == nil {
		return 0, errNoLevel
	}
	return *all.Level, nil
}

// rules evaluates them for the core.
type rules struct{}

// References lists the name that the rule compares.
func (rules) References(text string) (templates, activities []string) {
	switch r := parseRule(text); r.what {
	case "issued", "issuedToday":
		return []string{r.name}, nil
	case "joined", "joinedToday":
		return nil, []string{r.name}
	}
	return nil, nil
}

// Holds evaluates the rule.
func (rules) Holds(text string, in *benefit.RuleInput) (bool, error) {
	r := parseRule(text)
	switch r.what {
	case "level":
		level, err := levelOf(in.Attributes)
		return err == nil && r.holds(level), err
	case "known":
		return in.Known == r.holds(1), nil
	case "issued":
		return r.holds(in.OfTemplate(r.name).Total), nil
	case "issuedToday":
		return r.holds(in.OfTemplate(r.name).Today), nil
	case "joined":
		return r.holds(in.InActivity(r.name).Total), nil
	}
	return r.holds(in.InActivity(r.name).Today), nil
}
