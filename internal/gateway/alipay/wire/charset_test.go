package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestParseCharset(t *testing.T) {
	for name, want := range map[string]Charset{
		"utf-8": UTF8, "UTF-8": UTF8, "Utf8": UTF8, "gbk": GBK, "GBK": GBK,
		"GB2312": GB2312, "gb2312": GB2312, "GB18030": GB18030, "gb18030": GB18030,
	} {
		if got, ok := ParseCharset(name); !ok || got != want {
			t.Errorf("%s: got %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "latin1", "utf-16", "gbk ", "big5"} {
		if _, ok := ParseCharset(name); ok {
			t.Errorf("%q is accepted", name)
		}
	}
}

// Vectors from the published tables, not from the library.
func TestDecode(t *testing.T) {
	tests := []struct {
		charset   Charset
		raw, want string
		ok        bool
	}{
		{UTF8, "\xE4\xBC\x98", "优", true},
		{UTF8, "\xE4\xBC", "", false},
		{UTF8, "\xED\xA0\x80", "", false}, // a surrogate
		{UTF8, "\xEF\xBF\xBD", "\uFFFD", true},
		{GBK, "\xD3\xC5\xBF\xE1", "优酷", true},
		{GBK, "\xD6\xD0\xCE\xC4abc", "中文abc", true},
		{GBK, "\x81\x5C", "乗", true}, // second byte is a backslash
		{GBK, "\x80", "€", true},
		{GBK, "\xD3", "", false},
		{GBK, "\xFF\xFF", "", false},
		{GB2312, "\xD3\xC5\x81\x5C", "优乗", true}, // GBK's additions are read too
		{GB18030, "\xD3\xC5", "优", true},
		{GB18030, "\x94\x39\xFC\x36", "😀", true},
		{GB18030, "\x84\x31\xA4\x37", "\uFFFD", true}, // spelled out, not a failure
		{GB18030, "\x84\x31\xA4", "", false},
		{GB18030, "\x83\x38\x98\x37", "\uF014", true},
		{GB18030, "\xAA\xA1", "", false}, // private use in two bytes
		{GBK, "\xAA\xA1", "", false},
	}
	for _, test := range tests {
		got, ok := test.charset.decode(test.raw)
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%v %q: got %q, %v, want %q, %v", test.charset, test.raw, got, ok, test.want, test.ok)
		}
	}
}

func TestEncodeRefusesWhatWouldChange(t *testing.T) {
	for _, test := range []struct {
		charset Charset
		text    string
	}{{GBK, "😀"}, {GBK, "\uE000"}, {GBK, "a\xFFb"}, {GB18030, "\uE000"}, {GB18030, "a\xFFb"}, {UTF8, "a\xFFb"}} {
		if raw, ok := test.charset.encode(test.text); ok {
			t.Errorf("%v: %q becomes %q", test.charset, test.text, raw)
		}
	}
}

func TestEncodeDecodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := rapid.SampledFrom([]Charset{UTF8, GBK, GB2312, GB18030}).Draw(t, "charset")
		text := rapid.String().Draw(t, "text")
		raw, ok := cs.encode(text)
		if !ok {
			return
		}
		if back, ok := cs.decode(raw); !ok || back != text {
			t.Fatalf("%v: %q became %q", cs, text, back)
		}
	})
}

// Values are decoded by the charset that is signed: the one of the query or of the body, and never that of the
// Content-Type. Where query and body differ, both must give the same text.
func TestCharsetThatDecodes(t *testing.T) {
	const gbk, utf = "memo=%D3%C5%BF%E1", "memo=%E4%BC%98%E9%85%B7"
	tests := []struct {
		query, contentType, body string
		memo                     string // "": isv.invalid-charset
		answer                   Charset
	}{
		{"charset=GBK", "", gbk, "优酷", GBK},
		{"charset=GBK", "charset=utf-8", gbk, "优酷", GBK}, // alipay-sdk 4 always writes utf-8 there
		{"", "charset=utf-8", gbk + "&charset=gbk", "优酷", GBK},
		{"", "charset=ISO-8859-1", gbk + "&charset=gbk", "优酷", GBK},
		{"charset=%67bk", "", gbk, "优酷", GBK},
		{"charset=gb18030", "", gbk + "&charset=GB18030", "优酷", GB18030},
		{"", "", utf, "优酷", UTF8},
		{"", "charset=gbk", utf, "优酷", UTF8},
		{"", "charset=big5", utf + "&charset=utf-8", "优酷", UTF8},
		{"charset=", "", utf + "&charset=utf-8", "优酷", UTF8},
		{"charset=utf-8", "charset=gbk", utf, "优酷", UTF8},
		// gopay writes utf-8 into the query, whatever it was told to use.
		{"charset=utf-8", "", "memo=x&charset=GBK", "x", UTF8},
		{"charset=gb2312", "", gbk + "&charset=gbk", "优酷", GB2312},
		{"charset=utf-8", "", utf + "&charset=GBK", "", 0},
		{"charset=gbk", "", utf + "&charset=utf-8", "", 0},
		{"charset=gbk", "", utf + "&charset=", "", 0},
		{"charset=utf-8", "", gbk + "&charset=gbk", "", 0},
		{"charset=gb18030", "", "memo=%84%31%A4%37&charset=gbk", "", 0},
	}
	for _, test := range tests {
		r := post(test.query, test.body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; "+test.contentType)
		req, bad := Parse(r, 0)
		if bad != nil {
			t.Fatal(bad)
		}
		if test.memo == "" {
			if !same(req.charsetProblem, ErrInvalidCharset) {
				t.Errorf("%v: got %q, %v", test, req.Get("memo"), req.charsetProblem)
			}
		} else if req.charsetProblem != nil || req.Get("memo") != test.memo || req.Charset != test.answer {
			t.Errorf("%v: got %q, %v, answered in %v", test, req.Get("memo"), req.charsetProblem, req.Charset)
		}
	}
}

func TestWrongBytesForTheCharset(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"memo=%D3%C5&charset=utf-8", "参数memo的内容不是合法的utf-8编码"},
		{"memo=%FF%FF&charset=gbk", "参数memo的内容不是合法的GBK编码"},
		{"memo=x&charset=big5", ErrInvalidCharset.SubMsg},
	} {
		req, bad := Parse(post("", test.body), 0)
		if bad != nil || !same(req.charsetProblem, ErrInvalidCharset) || req.charsetProblem.SubMsg != test.want {
			t.Errorf("%s: got %v, %v", test.body, bad, req.charsetProblem)
		}
		node := NewNode(req.Charset)
		node.Failure(req.charsetProblem)
		if !isASCII(string(node.buf)) {
			t.Errorf("%s: the answer is not ASCII: %s", test.body, node.buf)
		}
	}
}

// A charset that does not exist is refused wherever it stands, also when another tells how to decode.
func TestUnknownCharset(t *testing.T) {
	for _, test := range []struct{ query, body string }{
		{"charset=latin-1", ""}, {"", "charset=latin-1"}, {"charset=utf-8", "charset=latin-1"},
	} {
		req, bad := Parse(post(test.query, test.body), 0)
		if bad != nil || !same(req.charsetProblem, ErrInvalidCharset) {
			t.Errorf("%v: got %v, %v", test, bad, req.charsetProblem)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "abc", "\xD3\xC5\xBF\xE1", "\x80", "\x84\x31\xA4\x37", "\xE4\xBC\x98", "\x94\x39\xFC\x36", "\xFE\x59"} {
		for cs := range uint8(4) {
			f.Add(cs, seed)
		}
	}
	f.Fuzz(func(t *testing.T, c uint8, raw string) {
		cs := Charset(c % 4)
		text, ok := cs.decode(raw)
		if !ok {
			return
		}
		if !utf8.ValidString(text) {
			t.Errorf("%v: %q decodes to broken %q", cs, raw, text)
		}
		if cs != GB18030 && cs != UTF8 && strings.ContainsRune(text, utf8.RuneError) {
			t.Errorf("%v: %q decodes to a replacement", cs, raw)
		}
		if again, ok := cs.encode(text); ok {
			if back, ok := cs.decode(again); !ok || back != text {
				t.Errorf("%v: %q does not come back", cs, text)
			}
		}
	})
}

// The texts of the gateway itself need no \uXXXX with letters, which Java SDKs misread, in any charset.
func TestOwnTextsNeedNoEscape(t *testing.T) {
	found := 0
	for _, dir := range []string{".", "..", "../../form"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			must(t, err)
			ast.Inspect(file, func(node ast.Node) bool {
				lit, ok := node.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING || isASCII(lit.Value) {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				must(t, err)
				found++
				for _, cs := range []Charset{UTF8, GBK, GB2312, GB18030} {
					n := NewNode(cs)
					if n.string(text); misread(string(n.buf)) != "" {
						t.Errorf("%s, %v: %q needs %s", name, cs, text, misread(string(n.buf)))
					}
				}
				return true
			})
		}
	}
	if found < 50 {
		t.Errorf("only %d texts were found", found)
	}
}
