package rule

import (
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of a rule and of what it looks at.
const (
	// MaxRule is the longest rule, in characters.
	MaxRule = 4096
	// MaxCost is the most that a rule may cost, in CEL's units: about one for each step, and one for ten bytes of
	// text looked at. It takes some milliseconds at worst.
	MaxCost = 100_000
	// MaxAttributes is the most JSON of attributes, MaxText the longest text of a request that a rule looks at, in
	// bytes, and MaxActCodes the most act_codes. A rule does not hold for an input with more.
	MaxAttributes = 8192
	MaxText       = 1024
	MaxActCodes   = 4096
	// maxNesting is the maximum nesting depth of loops.
	maxNesting = 2
	// maxProgram bounds what a regular expression compiles to, in instructions.
	maxProgram = 250
)

// The variables of past issues. They begin with a character that no rule can write: only the functions below make
// them.
const (
	issuedOf      = "@issuedOf"
	issuedTodayOf = "@issuedTodayOf"
	issuedIn      = "@issuedIn"
	issuedTodayIn = "@issuedTodayIn"
)

// environment is the CEL environment of all rules.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	numbers := cel.MapType(cel.StringType, cel.IntType)
	return cel.NewEnv(
		cel.CustomTypeAdapter(adapter{}),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(MaxRule),
		cel.ParserRecursionLimit(100),
		cel.RegexProgramSizeLimit(maxProgram),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateComprehensionNestingLimit(maxNesting),
		),
		cel.Variable("user", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("known", cel.BoolType),
		// Not the fields of one variable: a name with dots is found in one step, and one that is not declared is
		// refused when the rule is compiled.
		cel.Variable("request.scene_code", cel.StringType),
		cel.Variable("request.biz_code", cel.StringType),
		cel.Variable("request.act_codes", cel.ListType(cel.StringType)),
		cel.Variable("request.user_type", cel.StringType),
		cel.Variable("request.user_id", cel.StringType),
		cel.Variable("request.request_id", cel.StringType),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("day", cel.StringType),
		cel.Variable("hour", cel.IntType),
		cel.Variable("weekday", cel.IntType),
		cel.Variable(issuedOf, numbers), cel.Variable(issuedTodayOf, numbers),
		cel.Variable(issuedIn, numbers), cel.Variable(issuedTodayIn, numbers),
		cel.Macros(
			lookUp(issuedOf, "template"), lookUp(issuedTodayOf, "template"),
			lookUp(issuedIn, "activity"), lookUp(issuedTodayIn, "activity"),
		),
	)
})

// lookUp makes f("name") a look-up of the name in the variable @f, while the rule is parsed. So the name is known
// before the rule ever runs, and what is past is loaded with the user.
func lookUp(variable, kind string) cel.Macro {
	function := variable[1:]
	return cel.GlobalVarArgMacro(function, func(eh cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		if len(args) != 1 {
			return nil, eh.NewError(eh.NewIdent(variable).ID(), fmt.Sprintf("%s takes one argument, the name of the %s in quotes", function, kind))
		}
		name, ok := literal(args[0])
		if !ok || name == "" {
			return nil, eh.NewError(args[0].ID(), fmt.Sprintf("%s takes the name of the %s in quotes, not a computed one", function, kind))
		}
		return eh.NewCall(operators.Index, eh.NewIdent(variable), args[0]), nil
	})
}

// literal returns the text of a string literal.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// adapter hands on values that are CEL's own already, which all of ours are. CEL's looks through forty types first.
type adapter struct{}

func (adapter) NativeToValue(v any) ref.Val {
	if own, ok := v.(ref.Val); ok {
		return own
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}
