package rule

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileRefuses(t *testing.T) {
	for _, c := range []struct {
		text         string
		line, column int
		reason       string // a part
	}{
		{``, 1, 1, "the rule ends too early: a value is missing"},
		{`user.level >`, 1, 13, "the rule ends too early: a value is missing"},
		{"known &&\n  user..x", 2, 8, "unexpected ."},
		{`"杭州" == user.city &&`, 1, 21, "the rule ends too early"},
		{`foo`, 1, 1, "unknown name 'foo'"},
		{"known &&\n  foo > 1", 2, 3, "unknown name 'foo'"},
		{`request.code == "a"`, 1, 8, "unknown name 'request.code' (did you mean 'request.biz_code'?)"},
		{`request.foo`, 1, 1, "request has the fields scene_code"},
		{`has(request.biz_code)`, 1, 5, "each is always there"},
		{`user.s.split(",")[0] == "a"`, 1, 13, "unknown name 'split'"},
		{`@issuedOf["a"] == 1`, 1, 1, "unexpected character @"},
		{`1 == "a"`, 1, 3, "operator == does not take int and string"},
		{`issuedOf("a") == "b"`, 1, 15, "operator == does not take int and string"},
		{`user.level`, 1, 1, "Compare it"},
		{`user.level + 1`, 1, 1, "has type int"},
		{`"yes"`, 1, 1, "has type string"},
		{`issuedOf(user.name) == 0`, 1, 14, "issuedOf takes the name of the template in quotes, not a computed one"},
		{`issuedTodayIn("a" + "b") == 0`, 1, 19, "issuedTodayIn takes the name of the activity in quotes"},
		{`issuedIn("") == 0`, 1, 10, "the name of the activity in quotes"},
		{`known && issuedTodayOf() == 0`, 1, 23, "issuedTodayOf takes one argument"},
		{`issuedOf("a", "b") == 0`, 1, 9, "issuedOf takes one argument"},
		{`now.getHours("Asia/Shanghai") == 3`, 1, 14, `getHours: the time zone must be an offset in quotes`},
		{`now.getFullYear(user.zone) == 3`, 1, 21, "getFullYear: the time zone must be an offset"},
		{`timestamp("2026-02-30T00:00:00Z") < now`, 1, 11, "invalid timestamp"},
		{`duration("1y") < duration("1h")`, 1, 10, "invalid duration"},
		{`user.a.matches("(")`, 1, 16, "invalid pattern for matches"},
		{`user.a.matches("(a{1000}){100}")`, 1, 16, "invalid pattern for matches"},
		{`user.a.matches("(x?){240}")`, 1, 16, "regex program size 962 exceeds limit of 250"},
		{`user.a.exists(x, x.matches("(a{1,9}b?){9}"))`, 1, 1, "the rule could cost"},
		{`user.a.matches(user.b)`, 1, 15, "the pattern of matches must be a text in quotes"},
		{`{"a": 1}.size() == 1`, 1, 1, "a rule cannot create maps or messages"},
		{`google.protobuf.Int32Value{value: 1} == 1`, 1, 27, "a rule cannot create maps or messages"},
		{`user.a.exists(x, x.exists(y, y.exists(z, z == 1)))`, 1, 38, "nesting limit"},
		{`user.a.contains(user.b)`, 1, 1, "the rule could cost"},
		{`user.a.filter(x, x != 1).exists(y, user.b.filter(z, z != y).size() > 2)`, 1, 1, "the rule could cost"},
		{strings.Repeat(" ", MaxRule) + "known", 1, 1, "the rule has 4101 characters, at most 4096 are allowed"},
		{strings.Repeat("(", 300) + "known" + strings.Repeat(")", 300), 1, 1, "recursion"},
	} {
		_, err := Compile(c.text)
		var wrong *Error
		switch {
		case !errors.As(err, &wrong):
			t.Errorf("%s: %v; want an Error", c.text, err)
		case wrong.Line != c.line || wrong.Column != c.column || !strings.Contains(wrong.Reason, c.reason):
			t.Errorf("%s: %v; want %d:%d: … %s …", c.text, err, c.line, c.column, c.reason)
		}
	}
}

// What CEL says is put into plain words; nobody needs to know its grammar.
func TestPlainMessages(t *testing.T) {
	for text, want := range map[string]string{
		`user.level >= 2 &&`:               "1:19: the rule ends too early: a value is missing",
		`user.`:                            "1:6: the rule ends too early: a value is missing",
		`(known`:                           "1:7: the rule ends too early: ) is missing",
		`known ? true`:                     "1:13: the rule ends too early: : is missing",
		`known)`:                           "1:6: unexpected )",
		`known known`:                      "1:7: unexpected known",
		`user.level >> 2`:                  "1:13: unexpected >",
		`known and hour > 3`:               "1:7: unexpected and; and, or, not are written &&, ||, !",
		`#`:                                "1:1: unexpected character #",
		`user.level = 2`:                   "1:12: unexpected =; two values are compared with ==",
		`user.level == "abc`:               "1:15: the text that begins here has no closing quote",
		`!3`:                               "1:1: operator ! does not take int",
		`3 in "a"`:                         "1:3: operator in does not take int and string",
		`-"a" == 1`:                        "1:1: operator - does not take string",
		`hour["a"] == 1`:                   "1:5: int has no elements that are found by string",
		`"a".contains(1)`:                  "1:13: there is no function string.contains(int)",
		`size(1) == 1`:                     "1:5: there is no function size(int)",
		`known && 1`:                       "1:10: must have type bool, but has type int",
		`hour.x == 1`:                      "1:5: a value of type int has no fields",
		`duration("x") == duration("36h")`: `1:10: invalid duration; it is written like "36h" or "90m"`,
		`9223372036854775808 == 1`:         "1:1: the number is out of range for an int",
	} {
		if _, err := Compile(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}

func TestCompileTellsWhatARuleAsks(t *testing.T) {
	r, err := Compile(`issuedOf("b") + issuedTodayOf("a") < 3 && issuedOf("b") == 0 && (issuedIn("x") == 0 || [1].exists(i, issuedTodayIn("y") == i))`)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([2][]string{{"a", "b"}, {"x", "y"}}, [2][]string{r.Templates, r.Activities}); d != "" {
		t.Error(d)
	}
	if r, err := Compile(`user.issuedOf == "a"`); err != nil || r.Templates != nil || r.Activities != nil {
		t.Errorf("a rule that asks nothing: %+v, %v", r, err)
	}
}

func TestAsks(t *testing.T) {
	rules := New()
	for range 2 {
		templates, activities := rules.References(`issuedOf("a") == 0 && issuedIn("x") == 0`)
		if d := cmp.Diff([2][]string{{"a"}, {"x"}}, [2][]string{templates, activities}); d != "" {
			t.Error(d)
		}
	}
	if templates, activities := rules.References(`issuedOf("a")`); templates != nil || activities != nil {
		t.Errorf("a text that is no rule asks for %v and %v", templates, activities)
	}
}
