package rule

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"faquan/internal/docpages"
)

// The page is read by people who then write rules. What it shows must be so.

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheExamplesOfThePagesAreRules(t *testing.T) {
	pages, err := docpages.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range pages {
		blocks, _, err := page.Blocks()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if b.Language != "cel" || b.NotRun != "" {
				continue
			}
			n++
			if _, err := Compile(b.Text); err != nil {
				t.Errorf("%s:%d: %v", page.Name, b.Line, err)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d examples", n)
	}
}

func TestThePageHasAllNamesAndBounds(t *testing.T) {
	text := page(t)
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range env.Variables() {
		name := v.Name()
		if env, std := strings.CutPrefix(name, "@"); std {
			name = env + `("`
		}
		if strings.Contains(text, "`"+name) {
			n++
		} else if !standard[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if n < 16 {
		t.Errorf("%d names are there", n)
	}
	for _, bound := range []int{MaxRule, MaxAttributes, MaxText, MaxActCodes, usualSize} {
		if !strings.Contains(text, fmt.Sprint(bound)) {
			t.Errorf("%d is missing", bound)
		}
	}
	if MaxCost != 100_000 || !strings.Contains(text, "100,000 units") {
		t.Error("the bound of the cost is missing")
	}
}

// standard are CEL's own names, which are types.
var standard = map[string]bool{
	"bool": true, "bytes": true, "double": true, "int": true, "list": true, "map": true, "null_type": true,
	"string": true, "type": true, "uint": true, "google.protobuf.Duration": true, "google.protobuf.Timestamp": true,
	"optional_type": true, "dyn": true,
}

// The texts that the page says a mistake is answered with.
func TestThePageQuotesMistakes(t *testing.T) {
	text := page(t)
	for rule, want := range map[string]string{
		`known && foo`:            `1:10: unknown name 'foo'`,
		`request.code == "a"`:     `1:8: unknown name 'request.code' (did you mean 'request.biz_code'?)`,
		`1 == "a"`:                `1:3: operator == does not take int and string`,
		`user.level`:              `1:1: the result must be true or false, `,
		`issuedOf(user.t) == 0`:   `1:14: issuedOf takes the name of the template in quotes, `,
		`user.a.contains(user.b)`: `1:1: the rule could cost `,
		`user.level >`:            `1:13: the rule ends too early: `,
		`user.size > 3`:           `no such key: size`,
		`user.city > 3`:           `no such overload`,
	} {
		_, err := New().Holds(rule, input())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; the page says %s", rule, err, want)
		}
		if !strings.Contains(text, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}
