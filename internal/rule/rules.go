package rule

import (
	"errors"
	"sync"
	"sync/atomic"

	"cel.dev/cel-go/common/types"

	"faquan/internal/benefit"
)

// maxKept is how many rules are kept compiled. A catalogue with more would compile some at each decision.
const maxKept = 8192

// Rules keeps compiled rules by their text, and so implements benefit.Rules. It is safe for concurrent use.
type Rules struct {
	kept sync.Map // text to *compiled
	size atomic.Int64
}

// compiled is a compiled rule, or the error of its text.
type compiled struct {
	rule *Rule
	err  error
}

var _ benefit.Rules = (*Rules)(nil)

// New returns a cache with nothing in it.
func New() *Rules { return &Rules{} }

// find compiles a text the first time it is seen.
func (r *Rules) find(text string) *compiled {
	if c, ok := r.kept.Load(text); ok {
		return c.(*compiled)
	}
	c := &compiled{}
	c.rule, c.err = Compile(text)
	if r.size.Add(1) > maxKept {
		// Everything goes: rules are few, and what is still in use is compiled again at once.
		r.kept.Clear()
		r.size.Store(1)
	}
	r.kept.Store(text, c)
	return c
}

// References lists what the rule asks of the past, by name; nothing for a text that is no rule. The lists are not to be
// changed.
func (r *Rules) References(text string) (templates, activities []string) {
	c := r.find(text)
	if c.err != nil {
		return nil, nil
	}
	return c.rule.Templates, c.rule.Activities
}

// Holds evaluates the rule. A text that is no rule does not hold; the error is that of Compile.
func (r *Rules) Holds(text string, in *benefit.RuleInput) (bool, error) {
	c := r.find(text)
	if c.err != nil {
		return false, c.err
	}
	return c.rule.Holds(in)
}

var scopes = sync.Pool{New: func() any {
	s := &scope{}
	for _, p := range []*past{&s.ofTemplate, &s.ofTemplateToday, &s.inActivity, &s.inActivityToday} {
		p.Mapper, p.scope = noMap, s
	}
	s.ofTemplateToday.today, s.inActivityToday.today = true, true
	s.inActivity.activity, s.inActivityToday.activity = true, true
	return s
}}

// Holds evaluates the rule. It does not hold when it cannot be evaluated: it asks for an attribute that the user does
// not have, compares what cannot be compared, looks at more than MaxAttributes or MaxText, or costs more than
// MaxCost.
func (r *Rule) Holds(in *benefit.RuleInput) (bool, error) {
	s := scopes.Get().(*scope)
	defer scopes.Put(s)
	if err := s.begin(in); err != nil {
		return false, err
	}
	defer func() { s.in = nil }()
	out, _, err := r.program.Eval(s)
	if err != nil {
		return false, err
	}
	holds, ok := out.(types.Bool)
	if !ok {
		return false, errors.New("rule: the result is neither true nor false")
	}
	return bool(holds), nil
}
