package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/gateway/form"
)

// argsOf returns the members of an object parameter named dto.
func argsOf(object string) *Args {
	return NewRequest(map[string]string{"dto": object}, "").Args().Object("dto")
}

// The same values as bare and as quoted members, and as parameters.
func TestArgs(t *testing.T) {
	top := NewRequest(map[string]string{"text": "优", "int": "2203102002536848287", "texts": "a,b",
		"object": `{"a":1}`, "objects": `[{"a":1},{"a":2}]`, "empty": "", "nulls": ""}, "").Args()
	for name, args := range map[string]*Args{
		"bare": argsOf(`{"text":"优","int":2203102002536848287,"texts":["a","b"],
			"object":{"a":1},"objects":[{"a":1},{"a":2}],"empty":"","nulls":null,"unknown":{"x":[1]}}`),
		"quoted": argsOf(`{"text":"优","int":"2203102002536848287","texts":"a,b",
			"object":"{\"a\":\"1\"}","objects":"[{\"a\":\"1\"},{\"a\":\"2\"}]","empty":"","nulls":null}`),
		"lists as text":   top,
		"arrays as texts": argsOf(`{"text":"优","int":2203102002536848287,"texts":"[\"a\",\"b\"]","object":{"a":1},"objects":[{"a":1},{"a":2}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			number := args.RequiredInt("int")
			if args.RequiredText("text", 1) != "优" || number != 2203102002536848287 {
				t.Error(number)
			}
			if diff := cmp.Diff([]string{"a", "b"}, args.Texts("texts", 2, 1)); diff != "" {
				t.Error(diff)
			}
			one := args.Object("object").RequiredInt("a")
			list := args.Objects("objects", 2)
			if one != 1 || len(list) != 2 {
				t.Fatalf("%d, %d objects", one, len(list))
			}
			if two, _ := list[1].Int("a"); two != 2 {
				t.Errorf("the second has %d", two)
			}
			for _, absent := range []string{"empty", "nulls", "none"} {
				_, ok := args.Int(absent)
				if args.Text(absent, 1) != "" || ok || args.Has(absent) || args.Texts(absent, 1, 1) != nil || args.Objects(absent, 1) != nil {
					t.Errorf("%s is not absent", absent)
				}
			}
			if bad := args.Err(); bad != nil {
				t.Error(bad, bad.SubMsg)
			}
		})
	}
}

func TestTextOfANumber(t *testing.T) {
	if got := argsOf(`{"unique_id":12345678901234567890123}`).RequiredText("unique_id", 64); got != "12345678901234567890123" {
		t.Errorf("got %s", got)
	}
}

func TestArgsRefuse(t *testing.T) {
	text := func(a *Args) { a.Text("x", 3) }
	required := func(a *Args) { a.RequiredText("x", 3) }
	number := func(a *Args) { a.Int("x") }
	texts := func(a *Args) { a.Texts("x", 2, 3) }
	object := func(a *Args) { a.Object("x").RequiredInt("y") }
	objects := func(a *Args) { a.Objects("x", 2) }
	missing, invalid := Missing("x"), Invalid("x", "")
	for _, test := range []struct {
		read func(*Args)
		x    string // the member, "" for none
		want *Error
		rule string
	}{
		{text, `"优优优"`, nil, ""},
		{text, `"优优优优"`, invalid, "参数x最多3个字符"},
		{text, `"\u0000"`, invalid, "参数x含有控制字符"},
		{text, `"\u007f"`, invalid, "参数x含有控制字符"},
		{text, `"\n"`, nil, ""},
		{text, `12`, nil, ""},
		{text, `1.5`, invalid, "参数x应为字符串"},
		{text, `true`, invalid, "参数x应为字符串"},
		{text, `{}`, invalid, "参数x应为字符串"},
		{required, ``, missing, "缺少必填参数x"},
		{required, `""`, missing, "缺少必填参数x"},
		{required, `null`, missing, "缺少必填参数x"},
		{number, `9223372036854775807`, nil, ""},
		{number, `"-9223372036854775808"`, nil, ""},
		{number, `"007"`, nil, ""},
		{number, `1.0`, nil, ""},
		{number, `9223372036854775808`, invalid, "参数x超出范围，应为-9223372036854775808至9223372036854775807之间的整数"},
		{number, `1.5`, invalid, "参数x应为整数"},
		{number, `true`, invalid, "参数x应为整数"},
		{texts, `["a","b","c"]`, invalid, "参数x最多2个元素"},
		{texts, `"a,b,c"`, invalid, "参数x最多2个元素"},
		{texts, `["aaaa"]`, invalid, "参数x的元素最多3个字符"},
		{texts, `"aaaa"`, invalid, "参数x的元素最多3个字符"},
		{texts, `[1.5]`, invalid, "参数x的元素应为字符串"},
		{texts, `["a",""]`, invalid, "参数x的元素不能为空"},
		{texts, `"a,"`, invalid, "参数x的元素不能为空"},
		{texts, `[["a"]]`, invalid, "参数x的元素类型有误"},
		{texts, `{"string":["a"]}`, invalid, "参数x应为数组"},
		{texts, `"[1"`, invalid, "参数x不是合法的JSON数组：第2字节处不是合法的值"},
		{object, ``, missing, "缺少必填参数x"},
		{object, `{"y":1}`, nil, ""},
		{object, `{}`, Missing("y"), "缺少必填参数y"},
		{object, `[]`, invalid, "参数x应为JSON对象"},
		{object, `"{"`, invalid, "参数x不是合法的JSON对象：第1字节处格式有误"},
		{object, `{"y":1,"y":1}`, invalid, "参数x的成员y重复"},
		{object, `"[object Object]"`, invalid, "参数x不是合法的JSON对象：第0字节处应为'{'"},
		{objects, `[{},{},{}]`, invalid, "参数x最多2个元素"},
		{objects, `[1]`, invalid, "参数x的元素类型有误"},
		{objects, `[{"a":1,"a":2}]`, invalid, "参数x的成员a重复"},
		{objects, `{}`, invalid, "参数x应为JSON数组"},
	} {
		dto := `{"z":1}`
		if test.x != "" {
			dto = `{"x":` + test.x + `}`
		}
		args := argsOf(dto)
		test.read(args)
		got := args.Err()
		if !same(got, test.want) || got != nil && got.SubMsg != test.rule {
			t.Errorf("%s: got %+v, want %s", dto, got, test.rule)
		}
	}
}

// The first broken rule wins, wherever in the call it stands.
func TestFirstRefusalWins(t *testing.T) {
	args := NewRequest(map[string]string{"dto": `{"a":"x"}`}, "").Args()
	dto := args.Object("dto")
	dto.Int("a")
	args.RequiredText("b", 1)
	dto.Fail(ErrInvalidFormat)
	if got := args.Err(); !same(got, Invalid("a", "")) || got.Msg != "Invalid arguments:a" || dto.Err() != got {
		t.Errorf("got %v", got)
	}
}

// FuzzArgs compares with encoding/json, which is looser: what we accept it reads to the same values.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"1"}`, `{"a":[1,"2"]}`, `{"a":"1,2"}`, `{"a":{"a":1}}`, `{"a":"{\"a\":1}"}`,
		`{"a":true}`, `{"a":null}`, `{"a":1,"a":2}`, `{"a":[{"a":1}]}`, `{"a":9223372036854775808}`, `{"a":"\ud83d"}`, "\uFEFF{}", `[1]`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := argsOf(text)
		if bad := args.Err(); bad != nil {
			if utf8.ValidString(text) && !utf8.ValidString(bad.SubMsg) {
				t.Errorf("broken message %q", bad.SubMsg)
			}
			return
		}
		var reference struct{ A any }
		d := json.NewDecoder(strings.NewReader(form.WithoutBOM(text)))
		d.UseNumber()
		if err := d.Decode(&reference); err != nil && text != "" {
			t.Fatalf("accepted %q: %v", text, err)
		}
		number, ok := args.Int("A")
		if n, isNumber := reference.A.(json.Number); ok && isNumber {
			if exact, err := n.Int64(); err != nil || exact != number {
				t.Errorf("%q: got %d, encoding/json %s", text, number, n)
			}
		}
		args.Text("a", 3)
		args.Texts("a", 3, 3)
		args.Object("a").Object("a")
		args.Objects("a", 3)
	})
}
