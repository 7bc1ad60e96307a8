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
		{``, 1, 1, "Syntax error"},
		{`user.level >`, 1, 13, "Syntax error: mismatched input '<EOF>'"},
		{"known &&\n  user..x", 2, 8, "Syntax error"},
		{`"杭州" == user.city &&`, 1, 21, "Syntax error"},
		{`foo`, 1, 1, "unknown name 'foo'"},
		{"known &&\n  foo > 1", 2, 3, "unknown name 'foo'"},
		{`request.code == "a"`, 1, 8, "unknown name 'request.code' (did you mean 'request.biz_code'?)"},
		{`request.foo`, 1, 1, "request has the fields scene_code"},
		{`has(request.biz_code)`, 1, 5, "each is always there"},
		{`user.s.split(",")[0] == "a"`, 1, 13, "unknown name 'split'"},
		{`@issuedOf["a"] == 1`, 1, 1, "Syntax error"},
		{`1 == "a"`, 1, 3, "no matching overload for '_==_' applied to '(int, string)'"},
		{`issuedOf("a") == "b"`, 1, 15, "no matching overload"},
		{`user.level`, 1, 1, "compare it"},
		{`user.level + 1`, 1, 1, "of type int"},
		{`"yes"`, 1, 1, "of type string"},
		{`issuedOf(user.name) == 0`, 1, 14, "issuedOf takes the name of the template in quotes, nothing that is computed"},
		{`issuedTodayIn("a" + "b") == 0`, 1, 19, "issuedTodayIn takes the name of the activity in quotes"},
		{`issuedIn("") == 0`, 1, 10, "the name of the activity in quotes"},
		{`known && issuedTodayOf() == 0`, 1, 23, "issuedTodayOf takes one argument"},
		{`issuedOf("a", "b") == 0`, 1, 9, "issuedOf takes one argument"},
		{`now.getHours("Asia/Shanghai") == 3`, 1, 14, `getHours: a time zone is written as an offset in quotes`},
		{`now.getFullYear(user.zone) == 3`, 1, 21, "getFullYear: a time zone is written as an offset"},
		{`timestamp("2026-02-30T00:00:00Z") < now`, 1, 11, "invalid timestamp"},
		{`duration("1y") < duration("1h")`, 1, 10, "invalid duration"},
		{`user.a.matches("(")`, 1, 16, "invalid matches argument"},
		{`user.a.matches("(a{1000}){100}")`, 1, 16, "invalid matches argument"},
		{`user.a.matches("(x?){240}")`, 1, 16, "regex program size 962 exceeds limit of 250"},
		{`user.a.exists(x, x.matches("(a{1,9}b?){9}"))`, 1, 1, "the rule could cost"},
		{`user.a.matches(user.b)`, 1, 15, "matches takes its pattern in quotes"},
		{`{"a": 1}.size() == 1`, 1, 1, "maps and messages cannot be made"},
		{`google.protobuf.Int32Value{value: 1} == 1`, 1, 27, "maps and messages cannot be made"},
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
		templates, activities := rules.Asks(`issuedOf("a") == 0 && issuedIn("x") == 0`)
		if d := cmp.Diff([2][]string{{"a"}, {"x"}}, [2][]string{templates, activities}); d != "" {
			t.Error(d)
		}
	}
	if templates, activities := rules.Asks(`issuedOf("a")`); templates != nil || activities != nil {
		t.Errorf("a text that is no rule asks for %v and %v", templates, activities)
	}
}
