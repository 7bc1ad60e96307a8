package rule

import (
	"regexp"
	"strings"

	"cel.dev/cel-go/common/operators"
)

// rewrites put what CEL reports about a rule into plain words. The first whose pattern matches is used; plain is a template
// for regexp.Expand.
var rewrites = []struct {
	pattern *regexp.Regexp
	plain   string
}{
	{regexp.MustCompile(`^Syntax error: mismatched input '<EOF>' expecting '(.)'$`), "the rule ends too early: $1 is missing"},
	{
		regexp.MustCompile(`^Syntax error: (?:mismatched input '<EOF>'|no viable alternative at input '\.'$)`),
		"the rule ends too early: a value is missing",
	},
	{regexp.MustCompile(`^Syntax error: missing '(.+)' at '<EOF>'$`), "the rule ends too early: $1 is missing"},
	{regexp.MustCompile(`^Syntax error: missing '(.+)' at '(.+)'$`), "$1 is missing before $2"},
	{
		regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(and|or|not)'`),
		"unexpected $1; and, or, not are written &&, ||, !",
	},
	{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(.+)' expecting`), "unexpected $1"},
	{regexp.MustCompile(`^Syntax error: no viable alternative at input '(.+)'$`), "unexpected $1"},
	{regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '["'].*'$`), "the text that begins here has no closing quote"},
	{regexp.MustCompile(`^Syntax error: token recognition error at: '=`), "unexpected =; two values are compared with =="},
	{regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '(.)`), "unexpected character $1"},
	{regexp.MustCompile(`(?s)^Syntax error: (.*)$`), "the rule cannot be read: $1"},
	{
		regexp.MustCompile(`^undeclared reference to 'request'`),
		"request has the fields scene_code, biz_code, act_codes, user_type, user_id and request_id, and each is always there",
	},
	{regexp.MustCompile(`^undeclared reference to (.*)$`), "unknown name $1"}, // and perhaps (did you mean …?)
	{regexp.MustCompile(`^expected type '(.+)' but found '(.+)'$`), "must have type $1, but has type $2"},
	{regexp.MustCompile(`^type '(.+)' does not support field selection$`), "a value of type $1 has no fields"},
	{regexp.MustCompile(`^invalid duration argument$`), `invalid duration; it is written like "36h" or "90m"`},
	{regexp.MustCompile(`^invalid timestamp argument$`), `invalid timestamp; it is written like "2027-01-01T00:00:00+08:00"`},
	{regexp.MustCompile(`^invalid (\w+) argument$`), "invalid pattern for $1"},
	{regexp.MustCompile(`^invalid int literal$`), "the number is out of range for an int"},
}

// noOverload matches a call of a function or an operator with wrong types: the name, the type of the target and those of
// the arguments.
var noOverload = regexp.MustCompile(`^found no matching overload for '(.+?)' applied to '(?:(.+)\.)?\((.*)\)'`)

// plainMessage returns what CEL reports in plain words; what is not known stays as it is.
func plainMessage(message string) string {
	if part := noOverload.FindStringSubmatch(message); part != nil {
		return plainOverload(part[1], part[2], part[3])
	}
	for _, r := range rewrites {
		if part := r.pattern.FindStringSubmatchIndex(message); part != nil {
			return string(r.pattern.ExpandString(nil, r.plain, message, part))
		}
	}
	return message
}

func plainOverload(name, target, args string) string {
	if name == operators.Index {
		container, index, _ := strings.Cut(args, ", ")
		return container + " has no elements that are found by " + index
	}
	if symbol, ok := operators.FindReverse(name); ok {
		return "operator " + symbol + " does not take " + strings.ReplaceAll(args, ", ", " and ")
	}
	if target != "" {
		name = target + "." + name
	}
	return "there is no function " + name + "(" + args + ")"
}
