package storetest

import (
	"errors"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/oracle"
)

// Rules evaluates rules for the core, in the language of [oracle.Term].
type Rules struct{}

var _ benefit.Rules = Rules{}

var errBroken = errors.New("the rule is broken")

// References lists the names that the rule compares.
func (Rules) References(rule string) (templates, activities []string) {
	for _, term := range oracle.ParseRule(rule) {
		switch term.What {
		case "template":
			templates = append(templates, term.Name)
		case "activity":
			activities = append(activities, term.Name)
		}
	}
	return templates, activities
}

// Holds evaluates the rule.
func (Rules) Holds(rule string, in *benefit.RuleInput) (bool, error) {
	all := true
	for _, term := range oracle.ParseRule(rule) {
		one, err := holds(term, in)
		if err != nil {
			return false, err
		}
		all = all && one != term.Not
	}
	return all, nil
}

// holds evaluates a term without its negation.
func holds(term oracle.Term, in *benefit.RuleInput) (bool, error) {
	var past benefit.Past
	switch term.What {
	case "known":
		return in.Known, nil
	case "never":
		return false, nil
	case "text":
		return strings.Contains(string(in.Attributes), term.Name), nil
	case "attribute":
		n, ok := oracle.Number(in.Attributes, term.Name)
		if !ok {
			return false, errBroken
		}
		return n < term.Bound, nil
	case "template":
		past = in.OfTemplate(term.Name)
	case "activity":
		past = in.InActivity(term.Name)
	default:
		return false, errBroken
	}
	if term.Today {
		return past.Today < term.Bound, nil
	}
	return past.Total < term.Bound, nil
}
