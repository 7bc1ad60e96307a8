package form

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseObject(t *testing.T) {
	got, bad := ParseObject(` {"s":"优\u4f18\/\ud83d\ude00","n":-1.50e3,"b":true,"z":null,"o":{"a":[1, 2]},"l":[ "x" ]} `)
	want := []Member{{"s", String, "优优/😀"}, {"n", Number, "-1.50e3"}, {"b", Bool, "true"}, {"z", Null, "null"},
		{"o", Object, `{"a":[1, 2]}`}, {"l", Array, `[ "x" ]`}}
	if diff := cmp.Diff(want, got); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
}

func TestParseObjectRefuses(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	for _, text := range []string{
		``, `null`, `[]`, `{`, `{"a"}`, `{"a":1,}`, `{a:1}`, `{"a":1}{}`, "{}\x00", `{"a":01}`, `{"a":.5}`, `{"a":NaN}`,
		`{"a":True}`, `{"a":"\x"}`, `{"a":"\ud83d"}`, `{"a":"\ude00\ud83d"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xFF\"}",
		`{"a":[1,]}`, `{"a":[` + deep + `]}`, `{"a":` + strings.Replace(deep, "[]", "[1]", 1) + `}`, `{"a":1},`, "\uFEFF\uFEFF{}", " \uFEFF{}",
		"{\uFEFF}",
	} {
		if _, bad := ParseObject(text); bad == nil || bad.Name != "" {
			t.Errorf("%q: got %v", text, bad)
		}
	}
	if _, bad := ParseObject(`{"a":` + deep + `}`); bad != nil {
		t.Errorf("%d levels: %v", maxDepth, bad)
	}
	var many []string
	for i := range 100 {
		many = append(many, `"m`+strings.Repeat("x", i)+`":1`)
	}
	for _, text := range []string{`{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{` + strings.Join(many, ",") + `,"mx":1}`} {
		if _, bad := ParseObject(text); bad == nil || bad.Name == "" || bad.Text != "重复" {
			t.Errorf("%.40s: got %v", text, bad)
		}
	}
}

func TestByteOrderMark(t *testing.T) {
	got, bad := ParseObject("\uFEFF {\"a\":\"\uFEFFx\"}")
	if diff := cmp.Diff([]Member{{"a", String, "\uFEFFx"}}, got); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
}

func TestElements(t *testing.T) {
	var got []string
	bad := Elements(`[1,"优",{"a":2},null] `, func(_ Kind, text string) bool { got = append(got, text); return true })
	if diff := cmp.Diff([]string{"1", "优", `{"a":2}`, "null"}, got); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
	got = nil
	bad = Elements(`[1,2,broken`, func(_ Kind, text string) bool { got = append(got, text); return len(got) < 2 })
	if bad != nil || len(got) != 2 {
		t.Errorf("it does not stop: %v, %v", got, bad)
	}
	for _, text := range []string{``, `{}`, `[1`, `[1]x`, `[1 2]`} {
		if bad := Elements(text, func(Kind, string) bool { return true }); bad == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// FuzzParseObject compares with encoding/json, which is looser: what we accept it reads to the same values.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"a":9.90,"b":"优\u4f18\ud83d\ude00"}`, `{"a":[1,{"b":null}],"c":true}`, `{"a":1,"a":2}`,
		`{"a":"\ud83d"}`, `{"a":1e5}`, "\uFEFF{}", "{\"a\":\"\xFF\"}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, bad := ParseObject(text)
		if bad != nil {
			return
		}
		var reference map[string]json.RawMessage
		if err := json.Unmarshal([]byte(WithoutBOM(text)), &reference); err != nil || len(reference) != len(members) {
			t.Fatalf("accepted %q, encoding/json: %v, %d members of %d", text, err, len(members), len(reference))
		}
		for _, m := range members {
			source, want := reference[m.Name], ""
			if m.Kind != String {
				want = string(source)
			} else if err := json.Unmarshal(source, &want); err != nil {
				t.Fatal(err)
			}
			if m.Text != want {
				t.Errorf("%q: got %q, encoding/json %q", m.Name, m.Text, want)
			}
		}
	})
}
