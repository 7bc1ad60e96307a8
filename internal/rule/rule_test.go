package rule

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/benefit"
)

func input() *benefit.RuleInput {
	none := func(string) benefit.Past { return benefit.Past{} }
	return &benefit.RuleInput{
		Now: 1_700_000_000_000, Known: true, Attributes: []byte(`{"city":"杭州","level":3}`),
		Request: &benefit.Request{
			Scope: "b/1/XXXX", Key: "r-1", Recipient: benefit.Identifier{Type: "ALIPAY", Value: "2088302001456115"},
			Params: benefit.Params{BizCode: "XXXX", SceneCode: "1512AINNA61", ActCodes: []string{"a1", "a2"}},
		},
		OfTemplate: none, InActivity: none,
	}
}

// holds evaluates with a cache that has seen everything that a test ran before.
func holds(t *testing.T, rules *Rules, text string, in *benefit.RuleInput) bool {
	t.Helper()
	got, err := rules.Holds(text, in)
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return got
}

func TestWhatARuleSees(t *testing.T) {
	rules := New()
	in := input()
	in.Attributes = []byte(`{"city":"杭州","level":3,"score":2.5,"whole":2.0,"large":9007199254740993,"vip":true,"none":null,
		"tags":["a","b"],"address":{"street":"x","floors":[1,2]},"people":[{"age":7},{"age":70}]}`)
	in.OfTemplate = func(name string) benefit.Past {
		return map[string]benefit.Past{"cinema": {Total: 5, Today: 2}}[name]
	}
	in.InActivity = func(name string) benefit.Past {
		return map[string]benefit.Past{"spring": {Total: 7, Today: 4}}[name]
	}
	for _, text := range []string{
		`user.city == "杭州"`, `user.level == 3`, `user.level >= 2.5`, `user.score > 2`, `user.whole == 2 && type(user.whole) == int`,
		`user.large == 9007199254740993`, `user.vip == true`, `user.vip && known`, `user.none == null`, `"b" in user.tags`,
		`user.tags.exists(x, x == "a")`, `user.address.street == "x"`, `user.address["floors"][1] == 2`, `user.people.exists(p, p.age > 60)`,
		`has(user.level) && !has(user.size)`, `!has(user.size) || user.size > 3`, `"level" in user`, `size(user) == 10`, `user == user`,
		`user.city.startsWith("杭")`, `user.city.matches("^杭.$")`, `user.tags.map(x, x + "!") == ["a!", "b!"]`,
		`known`,
		`request.scene_code == "1512AINNA61"`, `request.biz_code == "XXXX"`, `"a2" in request.act_codes && size(request.act_codes) == 2`,
		`request.user_type == "ALIPAY" && request.user_id.endsWith("115")`, `request.request_id == "r-1"`,
		`issuedOf("cinema") == 5`, `issuedTodayOf("cinema") == 2`, `issuedIn("spring") == 7`, `issuedTodayIn("spring") == 4`,
		`issuedOf("other") == 0`, `issuedIn("cinema") == 0`,
	} {
		if !holds(t, rules, text, in) {
			t.Errorf("does not hold: %s", text)
		}
	}
}

// TestOrderOfAttributes has so many keys that Go's own order is this one less than once in a million: it would have to
// put each of 26 keys beside its neighbour.
func TestOrderOfAttributes(t *testing.T) {
	const keys = "abcdefghijklmnopqrstuvwxyz"
	var object, list []string
	for _, key := range keys {
		object = append(object, fmt.Sprintf(`"%c":1`, key))
		list = append(list, fmt.Sprintf(`"%c"`, key))
	}
	sorted := "{" + strings.Join(object, ",") + "}"
	slices.Reverse(object)
	reversed := "{" + strings.Join(object, ",") + "}"
	want := " == [" + strings.Join(list, ",") + "]"
	for _, attributes := range []string{sorted, reversed} {
		in := input()
		in.Attributes = []byte(`{"inner":` + attributes + "," + attributes[1:])
		for _, text := range []string{`user.filter(k, k != "inner")` + want, `user.inner.map(k, k)` + want} {
			if !holds(t, New(), text, in) {
				t.Errorf("does not hold: %s with %s", text, attributes)
			}
		}
	}
}

func TestTime(t *testing.T) {
	rules := New()
	for _, c := range []struct {
		now  string // at +08:00
		text string
	}{
		{"2026-11-22 00:00:00", `day == "2026-11-22" && hour == 0 && weekday == 7`},
		{"2026-11-22 23:59:59", `day == "2026-11-22" && hour == 23 && weekday == 7`},
		{"2026-11-23 07:30:00", `day == "2026-11-23" && hour == 7 && weekday == 1`},
		{"1970-01-01 08:00:00", `day == "1970-01-01" && hour == 8 && weekday == 4`},
		{"2026-11-22 23:59:59", `now < timestamp("2026-11-23T00:00:00+08:00")`},
		{"2026-11-23 00:00:00", `now == timestamp("2026-11-22T16:00:00Z")`},
		{"2026-11-23 01:00:00", `now - timestamp("2026-11-23T00:00:00+08:00") == duration("1h")`},
		{"2026-11-23 01:00:00", `now.getHours("+08:00") == 1 && now.getHours() == 17 && now.getHours("-02:30") == 14`},
	} {
		in := input()
		at, err := parseTime(c.now)
		if err != nil {
			t.Fatal(err)
		}
		in.Now = at
		if !holds(t, rules, c.text, in) {
			t.Errorf("at %s does not hold: %s", c.now, c.text)
		}
	}
}

func TestARuleThatCannotBeEvaluatedDoesNotHold(t *testing.T) {
	rules := New()
	for _, c := range []struct{ text, attributes, reason string }{
		{`user.size > 2`, `{"level":3}`, "no such key: size"},
		{`!(user.size > 2)`, ``, "no such key: size"},
		{`user.address.street == "x"`, `{"level":3}`, "no such key: address"},
		{`user.level > "2"`, `{"level":3}`, "no such overload"},
		{`user.level && true`, `{"level":3}`, "no such overload"},
		{`user.tags[5] == "a"`, `{"tags":["a"]}`, "index out of bounds"},
		{`1 / user.level == 1`, `{"level":0}`, "division by zero"},
		{`user.level`, `{"level":true}`, "Compare it"},
		{`known`, `[]`, "the attributes"},
		{`known`, `{"a":"` + strings.Repeat("x", MaxAttributes) + `"}`, "the attributes have 8200 bytes"},
	} {
		in := input()
		in.Attributes = []byte(c.attributes)
		got, err := rules.Holds(c.text, in)
		if got || err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s with %.40s: %v, %v; want an error with %q", c.text, c.attributes, got, err, c.reason)
		}
	}
	// What is missing does no harm where the rest decides.
	if !holds(t, rules, `user.size > 2 || known`, input()) {
		t.Error("true or an error is not true")
	}
}

func TestAnInputThatIsTooLarge(t *testing.T) {
	rules := New()
	for name, spoil := range map[string]func(r *benefit.Request){
		"key":  func(r *benefit.Request) { r.Key = strings.Repeat("x", MaxText+1) },
		"biz":  func(r *benefit.Request) { r.Params.BizCode = strings.Repeat("x", MaxText+1) },
		"id":   func(r *benefit.Request) { r.Recipient.Value = strings.Repeat("x", MaxText+1) },
		"acts": func(r *benefit.Request) { r.Params.ActCodes = make([]string, MaxActCodes+1) },
	} {
		in := input()
		spoil(in.Request)
		if got, err := rules.Holds(`known`, in); got || err == nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// long is a loop over a list that is longer than the estimate thought.
const long = `user.list.exists(x, user.list.exists(y, x == -y))`

func listOf(n int) []byte {
	return []byte(`{"list":[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]}`)
}

func TestALoopEndsAtItsCost(t *testing.T) {
	rules := New()
	in := input()
	in.Attributes = listOf(50)
	if holds(t, rules, long, in) {
		t.Error("the short list holds")
	}
	in.Attributes = listOf(1000)
	if got, err := rules.Holds(long, in); got || err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("%v, %v; want the limit", got, err)
	}
}

// A pattern costs what it takes, and not what it is long.
func TestAPatternEndsAtItsCost(t *testing.T) {
	rules := New()
	const text = `user.a.matches("(x?){45}y$") || user.a.matches("(x?){46}y$")`
	in := input()
	in.Attributes = []byte(`{"a":"xxxxy"}`)
	if !holds(t, rules, text, in) {
		t.Error("the short text does not match")
	}
	in.Attributes = []byte(`{"a":"` + strings.Repeat("x", 8000) + `"}`)
	began := time.Now()
	if got, err := rules.Holds(text, in); got || err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("%v, %v; want the limit", got, err)
	}
	t.Log(time.Since(began))
}

// One cache and its scopes see inputs in any order; nothing of one input is left for the next.
func TestNothingIsLeftOfTheLastInput(t *testing.T) {
	rules := New()
	text := `user.level == 1 && request.biz_code == "b1" && request.user_id == "u1" && request.request_id == "k1"
		&& "a1" in request.act_codes && hour == 1 && issuedOf("t") == 1 && request.user_type == "T1" && request.scene_code == "s1"`
	make1 := func(n int) *benefit.RuleInput {
		return &benefit.RuleInput{
			Now: benefit.Instant(n-8) * 3_600_000, Known: true, Attributes: fmt.Appendf(nil, `{"level":%d}`, n),
			Request: &benefit.Request{
				Key: fmt.Sprint("k", n), Recipient: benefit.Identifier{Type: fmt.Sprint("T", n), Value: fmt.Sprint("u", n)},
				Params: benefit.Params{BizCode: fmt.Sprint("b", n), SceneCode: fmt.Sprint("s", n), ActCodes: []string{fmt.Sprint("a", n)}},
			},
			OfTemplate: func(string) benefit.Past { return benefit.Past{Total: int64(n)} },
			InActivity: func(string) benefit.Past { return benefit.Past{} },
		}
	}
	parts := strings.Split(text, "&&")
	for range 3 {
		for _, part := range append(parts, text) {
			if !holds(t, rules, part, make1(1)) || holds(t, rules, part, make1(2)) {
				t.Errorf("%s: must hold for the first and not for the second", part)
			}
		}
	}
	// The caller may use its memory again.
	in := make1(1)
	if !holds(t, rules, text, in) {
		t.Error("does not hold")
	}
	copy(in.Attributes, `{"level":2}`)
	in.Request.Params.ActCodes[0] = "a2"
	if holds(t, rules, `user.level == 1`, in) || holds(t, rules, `"a1" in request.act_codes`, in) {
		t.Error("the last input is still there")
	}
}

func TestManyAtOnce(t *testing.T) {
	rules := New()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			in := input()
			in.Attributes = fmt.Appendf(nil, `{"level":%d,"tags":["a","b"]}`, g)
			for k := range 200 {
				level := k % 8
				got, err := rules.Holds(fmt.Sprintf(`user.level == %d && user.tags.exists(x, x == "b")`, level), in)
				if err != nil || got != (level == g) {
					t.Errorf("level %d of %d: %v, %v", g, level, got, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestTheCacheIsBounded(t *testing.T) {
	rules := New()
	for k := range maxKept + 10 {
		rules.kept.Store(fmt.Sprint(k), &compiled{})
		rules.size.Add(1)
	}
	if !holds(t, rules, `known`, input()) {
		t.Error("does not hold")
	}
	n := 0
	rules.kept.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d rules are kept", n)
	}
}

func TestTextThatIsNoRule(t *testing.T) {
	if got, err := New().Holds(`foo`, input()); got || err == nil || err.Error() != "1:1: unknown name 'foo'" {
		t.Errorf("%v, %v", got, err)
	}
}
