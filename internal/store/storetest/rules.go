package storetest

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"faquan/internal/benefit"
)

// Rules evaluates rules in a small language of its own, so that tests of the core need no real one. A rule is terms
// with spaces between, and holds when all of them do:
//
//	known      the recipient was known before
//	never      does not hold
//	broken     cannot be evaluated
//	attr:TEXT  the recipient's attributes contain the text
//	t1<3       fewer than 3 vouchers of the template t1 were received before; t1/day<3: today
//	@a1<3      the same of the activity a1; @a1/day<3: today
type Rules struct{}

var _ benefit.Rules = Rules{}

var errBroken = errors.New("the rule is broken")

// References lists the names that the rule compares.
func (Rules) References(rule string) (templates, activities []string) {
	for term := range strings.FieldsSeq(rule) {
		name, _, ok := strings.Cut(term, "<")
		name = strings.TrimSuffix(name, "/day")
		activity, is := strings.CutPrefix(name, "@")
		switch {
		case !ok:
		case is:
			activities = append(activities, activity)
		default:
			templates = append(templates, name)
		}
	}
	return templates, activities
}

// Holds evaluates the rule.
func (r Rules) Holds(rule string, in *benefit.RuleInput) (bool, error) {
	holds := true
	for term := range strings.FieldsSeq(rule) {
		one, err := r.term(term, in)
		if err != nil {
			return false, err
		}
		holds = holds && one
	}
	return holds, nil
}

func (Rules) term(term string, in *benefit.RuleInput) (bool, error) {
	if text, ok := strings.CutPrefix(term, "attr:"); ok {
		return bytes.Contains(in.Attributes, []byte(text)), nil
	}
	name, bound, ok := strings.Cut(term, "<")
	switch {
	case term == "known":
		return in.Known, nil
	case term == "never":
		return false, nil
	case !ok:
		return false, errBroken
	}
	most, err := strconv.ParseInt(bound, 10, 64)
	if err != nil {
		return false, err
	}
	name, today := strings.CutSuffix(name, "/day")
	past := in.OfTemplate
	name, of := strings.CutPrefix(name, "@")
	if of {
		past = in.InActivity
	}
	if today {
		return past(name).Today < most, nil
	}
	return past(name).Total < most, nil
}
