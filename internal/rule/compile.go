package rule

import (
	"cmp"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
)

// Rule is a compiled rule. It is safe for concurrent use.
type Rule struct {
	program cel.Program
	// Templates and Activities are the names whose past issues the rule asks for, sorted, each once. They are not to
	// be changed.
	Templates, Activities []string
	// Cost is the most that the rule can cost; of a rule with loops or patterns, for lists of 100 elements and texts of
	// 100 bytes. See MaxCost.
	Cost uint64
	// counted reports whether the cost is counted while the rule runs, because the rule has loops or patterns.
	counted bool
	// patterns are the regular expressions of the rule and how many instructions each takes.
	patterns map[string]uint64
}

// Error describes why a text is not a valid rule, and where.
type Error struct {
	Line, Column int // 1 is the first; the column counts characters
	Reason       string
}

// Error is line:column: reason.
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Reason) }

// Compile makes a rule of its text. An error is an *Error, about the first thing that is wrong: it does not parse, a
// name is unknown, types do not fit, the result is not true or false, a part is not allowed (see docs/rules.md), or
// it could cost too much.
func Compile(text string) (*Rule, error) {
	if n := utf8.RuneCountInString(text); n > MaxRule {
		return nil, &Error{1, 1, fmt.Sprintf("the rule has %d characters, at most %d are allowed", n, MaxRule)}
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	checked, issues := env.Compile(text)
	if err := firstOf(issues); err != nil {
		return nil, err
	}
	c := &compiler{env: env, checked: checked, tree: checked.NativeRep(), rule: &Rule{}}
	for _, step := range []func() error{c.walk, c.result, c.cost, c.plan} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.rule, nil
}

// firstOf is the first of the compiler's complaints.
func firstOf(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return nil
	}
	first := slices.MinFunc(all, func(a, b *common.Error) int {
		return cmp.Or(a.Location.Line()-b.Location.Line(), a.Location.Column()-b.Location.Column())
	})
	return at(first.Location, first.Message)
}

// at is an error at a location, whose lines count from 1 and columns from 0; both are -1 or 0 when there is none.
func at(l common.Location, message string) error {
	return &Error{max(l.Line(), 1), max(l.Column()+1, 1), plainMessage(message)}
}

// compiler turns one rule that CEL has checked into a program.
type compiler struct {
	env     *cel.Env
	checked *cel.Ast
	tree    *ast.AST
	rule    *Rule
	err     error
}

// result checks that the result of the rule is true or false.
func (c *compiler) result() error {
	switch out := c.checked.OutputType(); {
	case out.IsExactType(cel.BoolType):
		return nil
	case out.IsExactType(cel.DynType):
		return &Error{1, 1, "the result must be true or false, and the type of an attribute is not known in advance. Compare it, as in user.vip == true"}
	default:
		return &Error{1, 1, fmt.Sprintf("the result must be true or false, but has type %s", out)}
	}
}

func (c *compiler) cost() error {
	estimate, err := c.env.EstimateCost(c.checked, sizes{c.rule.counted, c.rule.patterns})
	if err != nil {
		return &Error{1, 1, err.Error()}
	}
	if c.rule.Cost = estimate.Max; c.rule.Cost > MaxCost { //guard:TestCompileRefuses
		return &Error{1, 1, fmt.Sprintf("the rule could cost %d units, at most %d are allowed. Use fewer nested loops, or shorter texts", c.rule.Cost, MaxCost)}
	}
	return nil
}

func (c *compiler) plan() (err error) {
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if c.rule.counted { //guard:TestALoopEndsAtItsCost
		options = append(options, cel.CostTracking(counter{c.rule.patterns}), cel.CostLimit(MaxCost))
	}
	if c.rule.program, err = c.env.Program(c.checked, options...); err != nil {
		return &Error{1, 1, plainMessage(err.Error())}
	}
	return nil
}

// walk looks through the tree for what is not allowed, and for what the rule asks of the past.
func (c *compiler) walk() error {
	ast.PreOrderVisit(c.tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.MapKind, ast.StructKind: //guard:TestCompileRefuses without ast.MapKind
			c.refuse(e, "a rule cannot create maps or messages")
		case ast.ComprehensionKind:
			c.rule.counted = true
		case ast.CallKind:
			c.call(e)
		}
	}))
	slices.Sort(c.rule.Templates)
	slices.Sort(c.rule.Activities)
	c.rule.Templates, c.rule.Activities = slices.Compact(c.rule.Templates), slices.Compact(c.rule.Activities)
	return c.err
}

// refuse keeps the first reason.
func (c *compiler) refuse(e ast.Expr, reason string) {
	if c.err == nil {
		c.err = at(c.tree.SourceInfo().GetStartLocation(e.ID()), reason)
	}
}

// pattern notes how large a regular expression is.
func (c *compiler) pattern(call, arg ast.Expr) {
	text, ok := literal(arg)
	if !ok {
		c.refuse(call, "the pattern of matches must be a text in quotes, not a computed one")
		return
	}
	c.rule.counted = true
	if c.rule.patterns == nil {
		c.rule.patterns = map[string]uint64{}
	}
	c.rule.patterns[text] = instructions(text)
}

// instructions returns what a regular expression compiles to; CEL has seen that it does.
func instructions(pattern string) uint64 {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return maxProgram
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return maxProgram
	}
	return uint64(len(program.Inst))
}

// zone is an offset from UTC, which means the same on every machine.
var zone = regexp.MustCompile(`^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$`)

func (c *compiler) call(e ast.Expr) {
	call := e.AsCall()
	switch name := call.FunctionName(); name {
	case operators.Index:
		c.look(call.Args())
	case overloads.Matches:
		c.pattern(e, call.Args()[len(call.Args())-1])
	case overloads.TimeGetFullYear, overloads.TimeGetMonth, overloads.TimeGetDayOfYear, overloads.TimeGetDate,
		overloads.TimeGetDayOfMonth, overloads.TimeGetDayOfWeek, overloads.TimeGetHours, overloads.TimeGetMinutes,
		overloads.TimeGetSeconds, overloads.TimeGetMilliseconds:
		for _, arg := range call.Args() {
			if text, ok := literal(arg); !ok || !zone.MatchString(text) { //guard:TestCompileRefuses
				c.refuse(arg, name+`: the time zone must be an offset in quotes, such as "+08:00"`)
			}
		}
	}
}

// look notes what a look-up of past issues asks for.
func (c *compiler) look(args []ast.Expr) {
	if args[0].Kind() != ast.IdentKind {
		return
	}
	switch variable := args[0].AsIdent(); variable {
	case issuedOf, issuedTodayOf:
		name, _ := literal(args[1])
		c.rule.Templates = append(c.rule.Templates, name)
	case issuedIn, issuedTodayIn:
		name, _ := literal(args[1])
		c.rule.Activities = append(c.rule.Activities, name)
	}
}
