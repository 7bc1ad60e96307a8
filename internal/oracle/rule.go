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
	What  Subject
	Name  string // of the template, activity or attribute, or the text
	Today bool
	Bound int64
}

// Subject is what a term is about.
type Subject int

// The subjects.
const (
	Broken Subject = iota
	Never
	Known
	Text
	Attribute
	OfTemplate
	InActivity
)

// ParseRule returns the terms of a rule.
func ParseRule(rule string) (terms []Term) {
	for text := range strings.FieldsSeq(rule) {
		terms = append(terms, parseTerm(text))
	}
	return terms
}

func parseTerm(text string) (t Term) {
	text, t.Not = strings.CutPrefix(text, "!")
	left, right, compares := strings.Cut(text, "<")
	switch {
	case text == "known":
		t.What = Known
	case text == "never":
		t.What = Never
	case strings.HasPrefix(text, "attr:"):
		t.What, t.Name = Text, text[len("attr:"):]
	case compares:
		bound, err := strconv.ParseInt(right, 10, 64)
		if err != nil {
			return Term{}
		}
		t.Bound, t.What = bound, OfTemplate
		t.Name, t.Today = strings.CutSuffix(left, "/day")
		if name, ok := strings.CutPrefix(t.Name, "@"); ok {
			t.What, t.Name = InActivity, name
		} else if name, ok := strings.CutPrefix(t.Name, "user."); ok {
			t.What, t.Name = Attribute, name
		}
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
		below := false
		switch term.What {
		case Broken:
			return false
		case Known:
			below = !t.fresh
		case Text:
			below = strings.Contains(string(t.user.Attributes), term.Name)
		case Attribute:
			n, ok := Number(t.user.Attributes, term.Name)
			if !ok {
				return false
			}
			below = n < term.Bound
		case OfTemplate, InActivity:
			below = t.received(term) < term.Bound
		}
		holds = holds && below != term.Not
	}
	return holds
}

// received counts what the recipient has received of the template, or from the activity, that a term names.
func (t *trial) received(term Term) (n int64) {
	for _, s := range t.sends {
		name := t.Catalogue.Templates[s.template].Name
		if term.What == InActivity {
			name = ""
			if act := t.Catalogue.Activities[s.activity]; act != nil {
				name = act.Name
			}
		}
		if s.user == t.user.ID && name == term.Name && (!term.Today || s.day == t.now.Day()) {
			n += s.vouchers
		}
	}
	return n
}
