package rule

import (
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"pgregory.net/rapid"

	"faquan/internal/benefit"
)

func parseTime(s string) (benefit.Instant, error) {
	t, err := time.ParseInLocation(time.DateTime, s, benefit.Shanghai)
	return benefit.InstantOf(t), err
}

// cost is what one run of a rule costs, counted by CEL whether the rule has loops or not.
func costOf(t testing.TB, r *Rule, text string, in *benefit.RuleInput) (uint64, bool) {
	t.Helper()
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(counter{r.patterns}), cel.CostLimit(MaxCost))
	if err != nil {
		t.Fatal(err)
	}
	s := scopes.Get().(*scope)
	defer scopes.Put(s)
	if s.begin(in) != nil {
		return 0, false
	}
	defer func() { s.in = nil }()
	_, details, err := program.Eval(s)
	over := err != nil && strings.Contains(err.Error(), "cost limit exceeded")
	return *details.ActualCost(), over
}

// FuzzRule: whatever compiles runs without a panic, costs no more than MaxCost or is ended, and says the same twice.
func FuzzRule(f *testing.F) {
	for _, text := range []string{
		`user.level >= 2 && request.biz_code == "XXXX"`, `issuedOf("a") == 0 || issuedTodayIn("b") < 3`, long,
		`user.map(k, k + "!")[0] == "list!"`, `"a" in request.act_codes ? hour < 3 : weekday == 7`,
		`now.getHours("+08:00") > 3 && now > timestamp("2026-01-01T00:00:00Z") - duration("24h")`,
		`user.city.matches("^[a-z]{1,20}$") || size(user.list) > 3`, `user.list.all(x, x > 0) && user.list.exists_one(x, x == 1)`,
		`user.list.filter(x, x > 0).map(x, string(x)) == ["1"]`, `dyn(user.level) == 3u || double(user.level) == 3.0`,
		`bytes(user.city).size() == 6 && string(b"a") == "a"`, `type(user) == map`, `known ? true : 1 / 0 == 1`, `user.city.matches("(x?){45}y$") || matches(user.city, "杭")`, `{`, `@`, `user..`,
	} {
		f.Add(text, `{"city":"杭州","level":3,"list":[1,2,3]}`)
	}
	f.Add(long, string(listOf(2000)))
	f.Add(`user.a.b.c == [[]]`, `{"a":{"b":{"c":[[]]}}}`)
	f.Fuzz(func(t *testing.T, text, attributes string) {
		r, err := Compile(text)
		if err != nil {
			return
		}
		in := input()
		in.Attributes = []byte(attributes)
		first, err := r.Holds(in)
		again, errAgain := r.Holds(in)
		if first != again || (err == nil) != (errAgain == nil) || first && err != nil {
			t.Errorf("%v, %v and then %v, %v", first, err, again, errAgain)
		}
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Errorf("a panic inside: %v", err)
		}
		if cost, over := costOf(t, r, text, in); over && !r.counted {
			t.Errorf("a rule that is not counted costs %d, and was thought to cost %d", cost, r.Cost)
		} else if over && err == nil {
			t.Errorf("a rule that costs %d was not ended", cost)
		}
	})
}

// A rule is a function of its input: a fresh cache says what a used one says, whatever ran before.
func TestPure(t *testing.T) {
	used := New()
	texts := []string{
		`user.level >= 2`, `user.map(k, k)[0] == "a"`, `user.map(k, user[k])[0] == 1`, `issuedOf("x") > 2`, `hour < 12 && weekday < 5`,
		`request.biz_code == "b"`, `user.a == user.b`, `"c" in request.act_codes`, `user.exists(k, user[k] == 3)`, `day > "2020-01-01"`,
		`has(user.a) && user.a > 1`, `user == user`, `user.a in [1, 2] || user.b == "x"`,
	}
	rapid.Check(t, func(rt *rapid.T) {
		in := input()
		in.Now = benefit.Instant(rapid.Int64Range(0, 4_000_000_000_000).Draw(rt, "now"))
		in.Known = rapid.Bool().Draw(rt, "known")
		in.Attributes = []byte(rapid.SampledFrom([]string{
			``, `{}`, `{"a":1,"b":2}`, `{"b":1,"a":3,"level":2}`, `{"level":1.5,"b":"x"}`, `{"a":1,"b":1,"c":1,"d":3}`, `{"a":[1]}`,
		}).Draw(rt, "attributes"))
		in.Request.Params.BizCode = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "biz")
		in.Request.Params.ActCodes = rapid.SliceOfN(rapid.SampledFrom([]string{"c", "d"}), 0, 2).Draw(rt, "acts")
		n := rapid.Int64Range(0, 5).Draw(rt, "past")
		in.OfTemplate = func(string) benefit.Past { return benefit.Past{Total: n} }
		text := rapid.SampledFrom(texts).Draw(rt, "text")
		fresh, err := Compile(text)
		if err != nil {
			rt.Fatal(err)
		}
		want, wantErr := fresh.Holds(in)
		got, gotErr := used.Holds(text, in)
		if got != want || (gotErr == nil) != (wantErr == nil) {
			rt.Errorf("%s: %v, %v; a fresh rule says %v, %v", text, got, gotErr, want, wantErr)
		}
	})
}
