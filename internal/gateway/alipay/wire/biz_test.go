package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/gateway/form"
)

func parseBiz(t *testing.T, text string) *Biz {
	t.Helper()
	b, bad := ParseBiz(text)
	if bad != nil {
		t.Fatalf("%s: %v", text, bad)
	}
	return b
}

func TestBizSeedSample(t *testing.T) {
	b := parseBiz(t, ` {"template_id":"20140601000730010040000000EB",
		"login_id" : "13196215350", "user_id":null, "open_id":"", "amount":9.90, "memo":"优酷3\u4e2a月\n\ud83d\ude00\/", "count":12,
		"big":"9007199254740993", "on":true, "off":false, "codes":["a","b"], "rule":{"a":[1,{"b":null}]}, "unknown":-1.5e+3 } `)
	got := []any{b.RequiredText("template_id", 28), b.RequiredText("login_id", 128), b.Text("user_id", 16), b.Text("open_id", 16),
		b.Price("amount", 10), b.Text("memo", 128), b.Text("big", 16), b.Text("none", 1), b.Price("none", 1)}
	want := []any{"20140601000730010040000000EB", "13196215350", "", "", "9.90", "优酷3个月\n😀/",
		"9007199254740993", "", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if b.Err() != nil {
		t.Error(b.Err())
	}
}

func TestBizPriceKeepsItsText(t *testing.T) {
	for _, text := range []string{"9", "9.9", "9.90", "1e2", "-0", "0.1", "1E-5"} {
		if got := parseBiz(t, `{"amount":`+text+`}`).Price("amount", 10); got != text {
			t.Errorf("number %s became %s", text, got)
		}
		if got := parseBiz(t, `{"amount":"`+text+`"}`).Price("amount", 10); got != text {
			t.Errorf("string %s became %s", text, got)
		}
	}
}

func TestBizRules(t *testing.T) {
	tests := []struct {
		text string
		read func(b *Biz)
		want string
	}{
		{`{}`, func(b *Biz) { b.RequiredText("a", 5) }, "参数a不能为空"},
		{`{"a":null}`, func(b *Biz) { b.RequiredText("a", 5) }, "参数a不能为空"},
		{`{"a":""}`, func(b *Biz) { b.RequiredText("a", 5) }, "参数a不能为空"},
		{`{"a":12345}`, func(b *Biz) { b.Text("a", 5) }, ""},
		{`{"a":123456}`, func(b *Biz) { b.Text("a", 5) }, "参数a最多5个字符"},
		{`{"a":1.5}`, func(b *Biz) { b.Text("a", 5) }, "参数a应为字符串"},
		{`{"a":["x"]}`, func(b *Biz) { b.RequiredText("a", 5) }, "参数a应为字符串"},
		{`{"a":"优酷优酷优"}`, func(b *Biz) { b.Text("a", 5) }, ""},
		{`{"a":"优酷优酷优酷"}`, func(b *Biz) { b.Text("a", 5) }, "参数a最多5个字符"},
		{`{"a":"😀😀"}`, func(b *Biz) { b.Text("a", 2) }, ""},
		{`{"a":"x\u0000"}`, func(b *Biz) { b.Text("a", 5) }, "参数a含有控制字符"},
		{`{"a":"\u001b[m"}`, func(b *Biz) { b.Text("a", 5) }, "参数a含有控制字符"},
		{`{"a":"\u007f"}`, func(b *Biz) { b.Text("a", 5) }, "参数a含有控制字符"},
		{`{"a":"\t\r\n"}`, func(b *Biz) { b.Text("a", 5) }, ""},
		{`{"a":true}`, func(b *Biz) { b.Price("a", 5) }, "参数a应为数字或字符串"},
		{`{"a":12345.67890}`, func(b *Biz) { b.Price("a", 10) }, "参数a最多10个字符"},
		{`{}`, func(b *Biz) { b.Fail("a", "与b不符") }, "参数a与b不符"},
		{`{"b":1}`, func(b *Biz) { b.RequiredText("a", 1); b.Text("b", 1) }, "参数a不能为空"}, // the first
	}
	for _, test := range tests {
		b := parseBiz(t, test.text)
		test.read(b)
		got := ""
		if b.Err() != nil {
			got = b.Err().SubMsg
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestParseBizRefuses(t *testing.T) {
	deep := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	tests := []string{
		``, ` `, `null`, `[]`, `"x"`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`, `{"a":1}{}`, `{"a":1}x`,
		"{}\x00", `{"a":1 "b":2}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":-}`, `{"a":1e}`, `{"a":1e+}`, `{"a":NaN}`,
		`{"a":tru}`, `{"a":True}`, `{"a":"x}`, `{"a":"x\"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12"}`, `{"a":"\ud83d"}`,
		`{"a":"\ud83dx"}`, `{"a":"\ude00\ud83d"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xFF\"}", `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":{"b"}}`,
		`{"a":[` + deep + `]}`, `{"a":1]`, "\uFEFF\uFEFF{}", `{"a":"` + "\\",
	}
	for _, text := range tests {
		if _, bad := ParseBiz(text); !same(bad, ErrIllegalJSON) || !strings.HasPrefix(bad.SubMsg, "biz_content不是合法的JSON对象：") {
			t.Errorf("%q: got %v", text, bad)
		}
	}
	if _, bad := ParseBiz(`{"a":` + deep + `}`); bad != nil {
		t.Errorf("32 levels: %v", bad)
	}
}

func TestParseBizRefusesDuplicates(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, `"m`+strings.Repeat("x", i)+`":1`)
	}
	for _, text := range []string{
		`{"a":1,"a":1}`, `{"a":1,"b":2,"a":3}`, `{"a":1,"\u0061":2}`,
		`{` + strings.Join(many, ",") + `,"m":1}`, `{` + strings.Join(many, ",") + `,"mx":1}`,
	} {
		if _, bad := ParseBiz(text); bad == nil || bad.SubCode != InvalidParameter || !strings.HasPrefix(bad.SubMsg, "参数") || !strings.HasSuffix(bad.SubMsg, "重复") {
			t.Errorf("%.40s: got %v", text, bad)
		}
	}
	for _, text := range []string{`{"a":1,"A":1}`, `{` + strings.Join(many, ",") + `}`} {
		if _, bad := ParseBiz(text); bad != nil {
			t.Errorf("%.40s: %v", text, bad)
		}
	}
}

// FuzzParseBiz compares with encoding/json, which is looser: what we accept it
// reads to the same values, and what it refuses we refuse.
func FuzzParseBiz(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"a":9.90,"b":"优\u4f18\ud83d\ude00"}`, `{"a":[1,{"b":null}],"c":true}`, `{"a":1,"a":2}`,
		`{"a":"\ud83d"}`, `{"a":1e5}`, `{"amount":"9.99"} `, "{\"a\":\"\xFF\"}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, bad := ParseBiz(text)
		var reference map[string]json.RawMessage
		err := json.Unmarshal([]byte(form.WithoutBOM(text)), &reference)
		if bad != nil {
			if utf8.ValidString(text) && !utf8.ValidString(bad.SubMsg) {
				t.Errorf("broken message %q", bad.SubMsg)
			}
			return
		}
		if err != nil || len(reference) != len(b.members) {
			t.Fatalf("accepted %q, encoding/json: %v, %d members of %d", text, err, len(b.members), len(reference))
		}
		for _, m := range b.members {
			source := reference[m.Name]
			var str string
			switch {
			case m.Kind != form.String && m.Text != string(source):
				t.Errorf("%q: got %q, encoding/json %q", m.Name, m.Text, source)
			case m.Kind == form.String && (json.Unmarshal(source, &str) != nil || str != m.Text):
				t.Errorf("%q: got %q, encoding/json %q", m.Name, m.Text, str)
			}
		}
		b.Text("a", 3)
	})
}

func BenchmarkParseBiz(b *testing.B) {
	text := params()["biz_content"]
	b.ReportAllocs()
	for b.Loop() {
		biz, bad := ParseBiz(text)
		if bad != nil || biz.RequiredText("template_id", 28) == "" {
			b.Fatal(bad)
		}
	}
}
