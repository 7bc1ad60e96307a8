package oracle

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Term is one term of a rule. Tests write rules in a small language of their own, so that tests of the core need no real
// one. A rule is terms with spaces between, and holds when all of them do:
//
//	known         the recipient was known before
//	never         does not hold
//	broken        cannot be evaluated, and so is every other text that is not listed here
//	attr:TEXT     the recipient's attributes contain the text
//	user.level<3  the recipient's attribute level is a number below 3; cannot be evaluated without the attribute
//	t1<3          fewer than 3 vouchers of the template t1 were received before; t1/day<3: today
//	@a1<3         the same of the activity a1; @a1/day<3: today
//	!TERM         the term does not hold
type Term struct {
	Not   bool
	What  string // known, never, broken, text, attribute, template or activity
	Name  string // of the template, activity or attribute; or the text
	Today bool
	Bound int64
}

// ParseRule returns the terms of a rule.
func ParseRule(rule string) (terms []Term) {
	for text := range strings.FieldsSeq(rule) {
		terms = append(terms, parseTerm(text))
	}
	return terms
}

func parseTerm(text string) Term {
	text, not := strings.CutPrefix(text, "!")
	if text == "known" || text == "never" {
		return Term{Not: not, What: text}
	}
	if part, ok := strings.CutPrefix(text, "attr:"); ok {
		return Term{Not: not, What: "text", Name: part}
	}
	left, right, _ := strings.Cut(text, "<")
	bound, err := strconv.ParseInt(right, 10, 64)
	if err != nil {
		return Term{What: "broken"}
	}
	name, today := strings.CutSuffix(left, "/day")
	t := Term{Not: not, What: "template", Name: name, Today: today, Bound: bound}
	if name, ok := strings.CutPrefix(name, "@"); ok {
		t.What, t.Name = "activity", name
	} else if name, ok := strings.CutPrefix(name, "user."); ok {
		t.What, t.Name = "attribute", name
	}
	return t
}

// Number returns an attribute of a user that is a number, and whether there is one.
func Number(attributes []byte, name string) (n int64, ok bool) {
	var all map[string]any
	_ = json.Unmarshal(attributes, &all)
	f, ok := all[name].(float64)
	return int64(f), ok
}

// holds evaluates a rule by what the oracle knows.
func (t *trial) holds(rule string) bool {
	holds := true
	for _, term := range ParseRule(rule) {
		one := false
		switch term.What {
		case "broken":
			return false
		case "known":
			one = !t.fresh
		case "text":
			one = strings.Contains(string(t.user.Attributes), term.Name)
		case "attribute":
			n, ok := Number(t.user.Attributes, term.Name)
			if !ok {
				return false
			}
			one = n < term.Bound
		case "template", "activity":
			one = t.received(term) < term.Bound
		}
		holds = holds && one != term.Not
	}
	return holds
}

// received counts what the recipient has received of the template, or from the activity, that a term names.
func (t *trial) received(term Term) (n int64) {
	for _, s := range t.sends {
		named := t.Catalogue.Templates[s.template].Name == term.Name
		if term.What == "activity" {
			named = s.activity != 0 && t.Catalogue.Activities[s.activity].Name == term.Name
		}
		if s.user == t.user.ID && named && (!term.Today || s.day == t.now.Day()) {
			n += s.vouchers
		}
	}
	return n
}
