package rule

import (
	"regexp"
	"strings"

	"cel.dev/cel-go/common/operators"
)

// rewrite puts what CEL says about a rule into plain words.
type rewrite struct {
	pattern *regexp.Regexp
	plain   func(part []string) string
}

// rewrites are tried in order; the first that matches is used.
var rewrites = []rewrite{
	{regexp.MustCompile(`^Syntax error: mismatched input '<EOF>' expecting '(.)'$`), func(part []string) string {
		return "the rule ends too early: " + part[1] + " is missing"
	}},
	{regexp.MustCompile(`^Syntax error: (?:mismatched input '<EOF>'|no viable alternative at input '\.'$)`), func([]string) string {
		return "the rule ends too early: a value is missing"
	}},
	{regexp.MustCompile(`^Syntax error: missing '(.+)' at '(.+)'$`), func(part []string) string {
		if part[2] == "<EOF>" {
			return "the rule ends too early: " + part[1] + " is missing"
		}
		return part[1] + " is missing before " + part[2]
	}},
	{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(and|or|not)'`), func(part []string) string {
		return "unexpected " + part[1] + "; and, or, not are written &&, ||, !"
	}},
	{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(.+)' expecting`), func(part []string) string {
		return "unexpected " + part[1]
	}},
	{regexp.MustCompile(`^Syntax error: no viable alternative at input '(.+)'$`), func(part []string) string {
		return "unexpected " + part[1]
	}},
	{regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '(["'].*)'$`), func(part []string) string {
		return "the text that begins here has no closing quote"
	}},
	{regexp.MustCompile(`^Syntax error: token recognition error at: '=`), func([]string) string {
		return "unexpected =; two values are compared with =="
	}},
	{regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '(.)`), func(part []string) string {
		return "unexpected character " + part[1]
	}},
	{regexp.MustCompile(`(?s)^Syntax error: (.*)$`), func(part []string) string { return "the rule cannot be read: " + part[1] }},
	{regexp.MustCompile(`^found no matching overload for '(.+?)' applied to '(?:(.+)\.)?\((.*)\)'`), func(part []string) string {
		name, target, args := part[1], part[2], part[3]
		if symbol, ok := operators.FindReverse(name); ok && name != operators.Index {
			return "operator " + symbol + " does not take " + strings.ReplaceAll(args, ", ", " and ")
		} else if name == operators.Index {
			container, index, _ := strings.Cut(args, ", ")
			return container + " has no elements that are found by " + index
		}
		if target != "" {
			name = target + "." + name
		}
		return "there is no function " + name + "(" + args + ")"
	}},
	{regexp.MustCompile(`^undeclared reference to 'request'`), func([]string) string {
		return "request has the fields scene_code, biz_code, act_codes, user_type, user_id and request_id, and each is always there"
	}},
	{regexp.MustCompile(`^undeclared reference to (.*)$`), func(part []string) string {
		return "unknown name " + part[1] // and perhaps (did you mean …?)
	}},
	{regexp.MustCompile(`^expected type '(.+)' but found '(.+)'$`), func(part []string) string {
		return "must have type " + part[1] + ", but has type " + part[2]
	}},
	{regexp.MustCompile(`^type '(.+)' does not support field selection$`), func(part []string) string {
		return "a value of type " + part[1] + " has no fields"
	}},
	{regexp.MustCompile(`^invalid (\w+) argument$`), func(part []string) string {
		switch part[1] {
		case "duration":
			return `invalid duration; it is written like "36h" or "90m"`
		case "timestamp":
			return `invalid timestamp; it is written like "2027-01-01T00:00:00+08:00"`
		}
		return "invalid pattern for " + part[1]
	}},
	{regexp.MustCompile(`^invalid int literal$`), func([]string) string {
		return "the number is out of range for an int"
	}},
}

// plainMessage returns what CEL says in plain words; what is not known stays as it is.
func plainMessage(message string) string {
	for _, r := range rewrites {
		if part := r.pattern.FindStringSubmatch(message); part != nil {
			return r.plain(part)
		}
	}
	return message
}
