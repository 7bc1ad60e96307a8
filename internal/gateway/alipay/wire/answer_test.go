package wire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"faquan/internal/gateway/form"
)

const voucherSend = "alipay.marketing.voucher.send"

// fixed is a signer whose signatures can stand in a golden text.
type fixed struct{ err error }

func (f fixed) Sign(t SignType, _ []byte) ([]byte, error) { return []byte("SIGN" + string(t)), f.err }

func seal(t *testing.T, method string, n *Node) string {
	t.Helper()
	body, err := Seal(method, n, RSA2, fixed{})
	must(t, err)
	return string(body)
}

func TestSealGolden(t *testing.T) {
	n := NewNode(UTF8)
	n.Success()
	n.Text("voucher_id", "20160906000730020020002U8CBS")
	n.Text("odd", "\"\\/<&>\n\x01优😀\u2028\xFF\x7F")
	n.Text("word", "sign")
	want := `{"alipay_marketing_voucher_send_response":{"code":"10000","msg":"Success","voucher_id":"20160906000730020020002U8CBS",` +
		`"odd":"\"\\/<&>\n\u0001优😀` + "\u2028\uFFFD\x7F" + `","word":"\u0073ign"},"sign":"SIGNRSA2"}`
	if diff := cmp.Diff(want, seal(t, voucherSend, n)); diff != "" {
		t.Error(diff)
	}
	n = NewNode(UTF8)
	n.Failure(ErrInvalidAppID)
	want = `{"a_b_response":{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.invalid-app-id","sub_msg":"无效的AppID参数"},"sign":"SIGNRSA2"}`
	if diff := cmp.Diff(want, seal(t, "a.b", n)); diff != "" {
		t.Error(diff)
	}
	if body := seal(t, "a.b", NewNode(UTF8)); body != `{"a_b_response":{},"sign":"SIGNRSA2"}` {
		t.Error(body)
	}
}

// The words that SDKs search for are escaped in a way that Java SDKs, which misread the letters of \uXXXX, read too.
func TestEscapesThatJavaReads(t *testing.T) {
	for text, want := range map[string]string{
		"x_response":        `x_\u0072esponse`,
		"error_response":    `error_\u0072esponse`,
		"response":          `response`,
		"sign":              `\u0073ign`,
		"alipay_cert_sn":    `\u0061lipay_cert_sn`,
		"\b\t\n\f\r":        `\b\t\n\f\r`,
		"\x00\x09\x19\x7f":  "\\u0000\\t\\u0019\x7f",
		"\x0b\x0e\x1a\x1b!": "\uFFFD\uFFFD\uFFFD\uFFFD!",
	} {
		n := NewNode(UTF8)
		n.string(text)
		if got := string(n.buf[1:]); got != `"`+want+`"` {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	n := NewNode(GBK)
	n.string("\x1f\xff")
	if got := string(n.buf[1:]); got != `"??"` {
		t.Errorf("GBK: got %s", got)
	}
}

// Where the charset of the request is unknown, the whole answer is ASCII that needs no escape.
func TestAnswerInASCII(t *testing.T) {
	for _, test := range []struct {
		name, value, want string // value is as sent
		params            map[string]string
	}{
		{"charset", "big5", "charset must be utf-8, gbk, gb2312 or gb18030", nil},
		{"memo", "\xD3\xC5", "the value of memo is not valid utf-8", nil},
		{"charset", "big5", "Missing Required Arguments: isv.missing-method", map[string]string{"method": ""}},
		{"charset", "big5", "Invalid Arguments: isv.invalid-signature-type", map[string]string{"sign_type": "SM2"}},
	} {
		p := with(test.name, test.value)
		for name, value := range test.params {
			p[name] = value
		}
		p["sign"] = "x"
		req, bad := Parse(post("", encode(p)), 0)
		if bad == nil {
			_, bad = testPolicy().Check(req)
		}
		if bad == nil {
			t.Fatalf("%s=%q is accepted", test.name, test.value)
		}
		n := NewNode(req.Charset)
		n.Failure(bad)
		body := seal(t, voucherSend, n)
		var v map[string]json.RawMessage
		must(t, json.Unmarshal([]byte(body), &v))
		var node struct {
			SubMsg string `json:"sub_msg"`
		}
		must(t, json.Unmarshal(v[RootName(voucherSend)], &node))
		if node.SubMsg != test.want || !isASCII(body) || misread(body) != "" {
			t.Errorf("%s=%q: got %s, want %s", test.name, test.value, body, test.want)
		}
	}
}

func TestSealReportsTheSigner(t *testing.T) {
	broken := errors.New("no key")
	if _, err := Seal("a.b", NewNode(UTF8), RSA2, fixed{err: broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestRootName(t *testing.T) {
	for method, want := range map[string]string{
		voucherSend:              "alipay_marketing_voucher_send_response",
		"alipay.no.Such_2":       "alipay_no_Such_2_response",
		"":                       "error_response",
		"a..b":                   "error_response",
		".a":                     "error_response",
		"a.":                     "error_response",
		"1a":                     "error_response",
		`a"b`:                    "error_response",
		"a b":                    "error_response",
		"优":                      "error_response",
		strings.Repeat("a", 128): strings.Repeat("a", 128) + "_response",
		strings.Repeat("a", 129): "error_response",
	} {
		if got := RootName(method); got != want {
			t.Errorf("%q: got %s", method, got)
		}
	}
}

// What a charset lacks, or what its tables disagree on, travels as an escape.
func TestAnswerCharsets(t *testing.T) {
	const text = "优酷，《券》“好”…乗龥€·—😀é"
	gbk := "\"\xD3\xC5\xBF\xE1\xA3\xAC\xA1\xB6\xC8\xAF\xA1\xB7\xA1\xB0\xBA\xC3\xA1\xB1\xA1\xAD"
	tests := []struct {
		charset Charset
		want    string
	}{
		{UTF8, `"` + text + `"`},
		{GBK, gbk + `\u4e57` + "\xFD\x9B" + `\u20ac\u00b7\u2014\ud83d\ude00\u00e9"`},
		{GB2312, gbk + `\u4e57\u9fa5\u20ac\u00b7\u2014\ud83d\ude00\u00e9"`},
		{GB18030, gbk + `\u4e57` + "\xFD\x9B" + `\u20ac\u00b7\u2014\ud83d\ude00\u00e9"`},
		{escaped, `"\u4f18\u9177\uff0c\u300a\u5238\u300b\u201c\u597d\u201d\u2026\u4e57\u9fa5\u20ac\u00b7\u2014\ud83d\ude00\u00e9"`},
	}
	for _, test := range tests {
		n := NewNode(test.charset)
		n.string(text)
		if got := string(n.buf[1:]); got != test.want {
			t.Errorf("%v: got %q\nwant %q", test.charset, got, test.want)
		}
	}
}

// TestAnswerHoldsNoCutWord is the property that the SDKs' cuts rest on: whatever the
// texts, the words that they search for occur only where they should, bytes of one
// character never look like another, and a JSON parser reads the texts unchanged.
func TestAnswerHoldsNoCutWord(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"sign", `"sign"`, `,"sign":"x"}`, "alipay_cert_sn", "error_response",
		"alipay_marketing_voucher_send_response", "_response_response", "}", "{", `\`, `"`, "/", "优", "€", "😀", "乗", "a", "\x00", "<"})
	rapid.Check(t, func(t *rapid.T) {
		cs := rapid.SampledFrom([]Charset{UTF8, GBK, GB2312, GB18030, escaped}).Draw(t, "charset")
		text := rapid.OneOf(rapid.String(), pieces, rapid.Map(rapid.SliceOf(pieces), func(s []string) string { return strings.Join(s, "") }))
		name, value, list := text.Draw(t, "name"), text.Draw(t, "value"), rapid.SliceOf(text).Draw(t, "list")
		n := NewNode(cs)
		n.Text(name, value)
		for k, text := range list {
			n.Text(fmt.Sprint("text_", k), text)
		}
		body, err := Seal(voucherSend, n, RSA2, fixed{})
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{`"sign"`, "_response"} {
			if strings.Count(string(body), word) != 1 {
				t.Fatalf("%s is %d times in %q", word, strings.Count(string(body), word), body)
			}
		}
		if strings.Contains(string(body), `"alipay_cert_sn"`) {
			t.Fatalf("%q", body)
		}
		if escape := misread(string(body)); escape != "" && (cs == UTF8 || escape < `\u0080`) {
			t.Fatalf("Java reads %s wrongly in %q", escape, body)
		}
		checkReads(t, cs, body, value, list)
	})
}

// misread returns the first \uXXXX that the Java SDKs read wrongly, "" when there is none.
func misread(body string) string {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		if i++; body[i] == 'u' && strings.ContainsAny(body[i:i+5], "abcdef") {
			return body[i-1 : i+5]
		}
	}
	return ""
}

// shown returns what a reader sees of a text: what cannot be written is replaced.
func shown(cs Charset, text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && form.ControlEscape(r) == "" {
			r = utf8.RuneError
		}
		if r == utf8.RuneError && cs != UTF8 && cs != escaped {
			r = '?'
		}
		return r
	}, text)
}

func checkReads(t *rapid.T, cs Charset, body []byte, value string, list []string) {
	decoded := string(body)
	if cs == GBK || cs == GB2312 || cs == GB18030 {
		var err error
		if decoded, err = simplifiedchinese.GB18030.NewDecoder().String(decoded); err != nil {
			t.Fatal(err)
		}
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(decoded), &answer); err != nil {
		t.Fatalf("%v: %s", err, decoded)
	}
	var node map[string]any
	if err := json.Unmarshal(answer[RootName(voucherSend)], &node); err != nil {
		t.Fatal(err)
	}
	for k, text := range list {
		member := fmt.Sprint("text_", k)
		if got := node[member]; got != shown(cs, text) {
			t.Fatalf("%q became %q", text, got)
		}
		delete(node, member)
	}
	for _, got := range node {
		if got != shown(cs, value) {
			t.Fatalf("%q became %q", value, got)
		}
	}
}

func TestSend(t *testing.T) {
	w := httptest.NewRecorder()
	must(t, Send(w, GBK, []byte("{}"), "trace-1"))
	h := w.Result().Header
	if w.Code != 200 || h.Get("Content-Type") != "text/html;charset=GBK" || h.Get("trace_id") != "trace-1" ||
		h.Get("Content-Length") != "2" || h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || w.Body.String() != "{}" {
		t.Errorf("%d %v %s", w.Code, h, w.Body)
	}
}

func TestVerifyAnswer(t *testing.T) {
	signer, err := NewKeySigner(platformKey())
	must(t, err)
	for _, cs := range []Charset{UTF8, GBK, GB2312, GB18030} {
		for _, signType := range []SignType{RSA2, RSA} {
			n := NewNode(cs)
			n.Failure(Business("USER_NOT_EXIST", "用户“sign”不存在😀alipay_marketing_voucher_send_response"))
			body, err := Seal(voucherSend, n, signType, signer)
			must(t, err)
			answer, err := VerifyAnswer(body, cs, voucherSend, &platformKey().PublicKey, signType)
			if err != nil || answer.OK() || answer.SubMsg != "用户“sign”不存在😀alipay_marketing_voucher_send_response" {
				t.Errorf("%v %s: %+v, %v", cs, signType, answer, err)
			}
			body[len(`{"alipay_marketing_voucher_send_response":{"code":"4`)]++
			if _, err := VerifyAnswer(body, cs, voucherSend, &platformKey().PublicKey, signType); err == nil || !strings.HasSuffix(err.Error(), "the signature does not verify") {
				t.Errorf("a changed byte: %v", err)
			}
		}
	}
}

func TestVerifyAnswerRefusesLayouts(t *testing.T) {
	node := `{"code":"10000","msg":"Success"}`
	sign := func(node string) string {
		signer, err := NewKeySigner(platformKey())
		must(t, err)
		s, err := signer.Sign(RSA2, []byte(node))
		must(t, err)
		return string(s)
	}
	tests := []struct{ name, body, want string }{
		{"sign first", `{"sign":"` + sign(node) + `","a_b_response":` + node + `}`, "does not begin with"},
		{"white space", `{"a_b_response": ` + node + `,"sign":"` + sign(node) + `"}`, "not an object"},
		{"white space at the end", `{"a_b_response":` + node + `,"sign":"` + sign(node) + "\"}\n", "does not end with"},
		{"unsigned", `{"a_b_response":` + node + `}`, "not signed"},
		{"other root", `{"error_response":` + node + `,"sign":"` + sign(node) + `"}`, "does not begin with"},
		{"root again", `{"a_b_response":{"m":"a_b_response"},"sign":"` + sign(`{"m":"a_b_response"}`) + `"}`, "twice"},
		{"sign inside", `{"a_b_response":{"m":["sign"]},"sign":"` + sign(`{"m":["sign"]}`) + `"}`, "in the wrong place"},
		{"not base64", `{"a_b_response":{},"sign":"%"}`, "base64"},
		{"no node", `{"a_b_response":,"sign":""}`, "not an object"},
		{"not an object", `{"a_b_response":"x","sign":"` + sign(`"x"`) + `"}`, "not an object"},
	}
	for _, test := range tests {
		_, err := VerifyAnswer([]byte(test.body), UTF8, "a.b", &platformKey().PublicKey, RSA2)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	if _, err := VerifyAnswer([]byte(`{"a_b_response":`+node+`,"sign":"`+sign(node)+`"}`), UTF8, "a.b", &platformKey().PublicKey, RSA2); err != nil {
		t.Errorf("the good layout: %v", err)
	}
}

func TestSignRequestRoundTrip(t *testing.T) {
	for _, cs := range []Charset{UTF8, GBK, GB2312, GB18030} {
		for _, signType := range []SignType{RSA2, RSA} {
			form, err := SignRequest(with("notify_url", "", "sign", "junk"), testKey(), signType, cs)
			must(t, err)
			for _, inQuery := range []bool{true, false} {
				r := post("", form)
				if inQuery {
					r = post(form, "")
				}
				req, bad := Parse(r, 0)
				if bad == nil {
					_, bad = testPolicy().Check(req)
				}
				if bad != nil || req.Charset != cs || req.Get("biz_content") != params()["biz_content"] {
					t.Errorf("%v %s: %v %q", cs, signType, bad, req.Get("biz_content"))
				}
			}
		}
	}
	if _, err := SignRequest(with("memo", "😀"), testKey(), RSA2, GBK); err == nil || !strings.Contains(err.Error(), "memo") {
		t.Errorf("a character that GBK lacks: %v", err)
	}
}

// counting counts the signatures that are really made.
type counting struct{ made int }

func (c *counting) Sign(t SignType, node []byte) ([]byte, error) {
	c.made++
	return []byte(base64.StdEncoding.EncodeToString(node) + string(t)), nil
}

func TestFailureCache(t *testing.T) {
	inner := &counting{}
	cache := NewFailureCache(inner, 2)
	sign := func(signType SignType, node string) {
		t.Helper()
		want, _ := (&counting{}).Sign(signType, []byte(node))
		if got, err := cache.Sign(signType, []byte(node)); err != nil || string(got) != string(want) {
			t.Errorf("%s: got %s, %v", node, got, err)
		}
	}
	steps := []struct {
		node string
		made int
	}{
		{"a", 1}, {"a", 1}, {"b", 2}, {"a", 2}, {"b", 2},
		{"c", 3}, // a and b become the last generation
		{"a", 3}, // and are still found
		{"d", 4}, // c and a become the last
		{"b", 5}, // b is forgotten
		{`{"code":"10000","msg":"Success"}`, 6}, {`{"code":"10000","msg":"Success"}`, 7},
		{strings.Repeat("x", maxCachedNode), 8}, {strings.Repeat("x", maxCachedNode), 8},
		{strings.Repeat("x", maxCachedNode+1), 9}, {strings.Repeat("x", maxCachedNode+1), 10},
	}
	for i, step := range steps {
		if sign(RSA2, step.node); inner.made != step.made {
			t.Errorf("step %d: %d signatures made, want %d", i, inner.made, step.made)
		}
	}
	before := inner.made
	sign(RSA, strings.Repeat("x", maxCachedNode))
	if inner.made != before+1 {
		t.Error("a signature of one algorithm was given for the other")
	}
	if n := len(cache.now) + len(cache.last); n > 4 {
		t.Errorf("%d entries are kept", n)
	}
}

func BenchmarkSealSuccess(b *testing.B) {
	signer, err := NewKeySigner(platformKey())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sealOne(b, NewFailureCache(signer, 1), true)
	}
}

func BenchmarkSealCachedFailure(b *testing.B) {
	signer, err := NewKeySigner(platformKey())
	if err != nil {
		b.Fatal(err)
	}
	cache := NewFailureCache(signer, 10)
	b.ReportAllocs()
	for b.Loop() {
		sealOne(b, cache, false)
	}
}

func sealOne(b *testing.B, s Signer, success bool) {
	n := NewNode(UTF8)
	if success {
		n.Success()
		n.Text("voucher_id", "20160906000730020020002U8CBS")
	} else {
		n.Failure(ErrInvalidAppID)
	}
	if _, err := Seal(voucherSend, n, RSA2, s); err != nil {
		b.Fatal(err)
	}
}

// Signer and cache serve all calls at once; run with -race.
func TestFailureCacheConcurrently(t *testing.T) {
	signer, err := NewKeySigner(platformKey())
	must(t, err)
	cache := NewFailureCache(signer, 2)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 8 {
				node := []byte(`{"code":"` + strconv.Itoa((i+j)%5) + `"}`)
				sign, err := cache.Sign(RSA2, node)
				if err != nil {
					t.Error(err)
					continue
				}
				signature, err := base64.StdEncoding.DecodeString(string(sign))
				if err != nil || !verifyBytes(&platformKey().PublicKey, RSA2, node, signature) {
					t.Errorf("%s has a wrong signature", node)
				}
			}
		})
	}
	wait.Wait()
}
