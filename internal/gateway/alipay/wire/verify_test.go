package wire

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// gbkBytes returns the text of a map in GBK, made by the library and not by the package.
func gbkBytes(p map[string]string) map[string]string {
	raw := map[string]string{}
	for name, value := range p {
		text, err := simplifiedchinese.GBK.NewEncoder().String(value)
		if err != nil {
			panic(err)
		}
		raw[name] = text
	}
	return raw
}

// TestVerifyVariants signs as each SDK does.
func TestVerifyVariants(t *testing.T) {
	odd := []string{"notify_url", "", "prod_code", "0", "terminal_info", "@x"}
	blank := append([]string{"alipay_sdk", " \t\r\n"}, odd...)
	gbk := gbkBytes(with("charset", "GBK"))
	tests := []struct {
		name string
		sent map[string]string
		text string // what the SDK signs
		want Variant
	}{
		{"gopay, .net", with(odd...), signedString(with(odd...), notEmpty), WithoutEmpties},
		{"gopay, .net, a blank value", with(blank...), signedString(with(blank...), notEmpty), WithoutEmpties},
		{"java, a blank value", with(blank...), signedString(with(blank...), notBlank), WithoutBlanks},
		{"python, node, smartwalle, a blank value", with(blank...), signedString(with(blank...), all), WithEmpties},
		{"php, a blank value", with(blank...), signedString(with(blank...), notFalsy), PHP},
		{"one of two blank values signed", with("a", " ", "b", "  "), signedString(with("a", " "), all), NoMatch},
		{"python, node, smartwalle", with(odd...), signedString(with(odd...), all), WithEmpties},
		{"php", with(odd...), signedString(with(odd...), notFalsy), PHP},
		{"java in GBK", gbk, signedString(gbk, notEmpty), WithoutEmpties},
		{"UTF-8 signed, GBK sent", gbk, signedString(with("charset", "GBK"), all), NoMatch},
		{"unknown parameters are signed", with("x_new", "1"), signedString(with("x_new", "1"), all), WithoutEmpties},
		{"not signed: unknown parameter", with("x_new", "1"), signedString(params(), all), NoMatch},
		{"changed value", with("version", "2.0"), signedString(params(), all), NoMatch},
		{"value signed in capitals", params(), strings.ToUpper(signedString(params(), all)), NoMatch},
		{"sign_type left out", params(), signedString(with("sign_type", "-"), all), NoMatch},
	}
	for _, signType := range []SignType{RSA2, RSA} {
		for _, test := range tests {
			test.sent["sign"] = signText(signType, test.text)
			r := post("", encode(test.sent))
			req, bad := Parse(r, 0)
			if bad != nil || req.charsetProblem != nil {
				t.Fatal(bad, req.charsetProblem)
			}
			if got := req.Verify(&testKey().PublicKey, signType); got.Variant != test.want || got.OK() != (test.want != NoMatch) {
				t.Errorf("%s, %s: got %+v, want %v", test.name, signType, got, test.want)
			}
		}
	}
}

func TestVerifyNamesTheOtherAlgorithm(t *testing.T) {
	for _, signType := range []SignType{RSA2, RSA} {
		p := with("notify_url", "")
		p["sign"] = signText(signType.other(), signedString(p, all))
		v := parse(t, encode(p)).Verify(&testKey().PublicKey, signType)
		if v.OK() || v.Other != signType.other() {
			t.Errorf("%s: got %+v", signType, v)
		}
	}
}

func TestVerifyHints(t *testing.T) {
	good, wrong := signText(RSA2, signedString(params(), all)), signText(RSA2, "something else")
	tests := []struct{ sign, want string }{
		{"", "长度"}, // Policy.Check says that it is missing
		{"%%%", "不是合法的Base64"},
		{"a b=", "加号未做URL编码"},
		{"AAAA", "长度与应用公钥不符"},
		{" " + good + "\r\n", "首尾有空格或换行"},
		{good + "\t", "首尾有空格或换行"},
		{"\n" + wrong + " ", "首尾有空格或换行"},
		{" " + good[1:], "加号未做URL编码"},
		{strings.Replace(good, "==", " =", 1), "加号未做URL编码"},
		{wrong, ""},
	}
	for _, test := range tests {
		p := params()
		p["sign"] = test.sign
		v := parse(t, encode(p)).Verify(&testKey().PublicKey, RSA2)
		if v.OK() || !strings.Contains(v.Hint, test.want) || test.want == "" && v.Hint != "" {
			t.Errorf("%q: got %+v", test.sign, v)
		}
	}
}

// explainedCheck is Check, and for a wrong signature the reason.
func explainedCheck(req *Request) *Error {
	_, bad := testPolicy().Check(req)
	if bad == ErrInvalidSignature {
		bad = req.Why(&testKey().PublicKey)
	}
	return bad
}

// Each string is verified once: a variant that gives no new text is not tried.
func TestVariantsAreDistinct(t *testing.T) {
	tests := []struct {
		changes []string
		want    int
	}{
		{nil, 1},
		{[]string{"a", ""}, 2},
		{[]string{"a", "0"}, 2},
		{[]string{"a", "", "b", "@x"}, 3},
		{[]string{"a", " "}, 2},
		{[]string{"a", " ", "b", "\n"}, 2},
		{[]string{"a", " ", "b", "@x"}, 3},
		{[]string{"a", " ", "b", ""}, 3},
		{[]string{"a", " ", "b", "", "c", "0"}, 4},
	}
	for _, test := range tests {
		req := parse(t, encode(with(test.changes...)))
		seen := map[string]bool{}
		for _, v := range req.variants() {
			seen[string(req.StringToSign(v))] = true
		}
		if n := len(req.variants()); n != test.want || len(seen) != n {
			t.Errorf("%v: got %d variants, %d texts, want %d", test.changes, n, len(seen), test.want)
		}
	}
}

// Someone who saw a call of the PHP SDK can add a value that it does not sign. The
// handler must not see it.
func TestUnsignedParametersAreDropped(t *testing.T) {
	p := signed(params())
	p["app_auth_token"], p["prod_code"], p["auth_token"] = "@stolen", "0", ""
	req := parse(t, encode(p))
	variant, bad := testPolicy().Check(req)
	if bad != nil || variant != PHP {
		t.Fatalf("got %v, %v", variant, bad)
	}
	for _, name := range []string{"app_auth_token", "prod_code", "auth_token"} {
		delete(p, name)
	}
	if diff := cmp.Diff(p, values(req)); diff != "" || len(req.Params) != len(p) {
		t.Errorf("%d parameters are left, want %d:\n%s", len(req.Params), len(p), diff)
	}
}

// A value of blanks alone may be added to a call that was signed without it. It says nothing, and so does one that was
// signed.
func TestBlankParametersSayNothing(t *testing.T) {
	for name, want := range map[string]*Error{
		"method": ErrMissingMethod, "app_id": ErrMissingAppID, "sign_type": ErrMissingSignatureType, "sign": ErrMissingSignature,
		"timestamp": ErrMissingTimestamp, "version": ErrMissingVersion, "biz_content": nil, "charset": nil, "format": nil,
		"app_auth_token": nil, "encrypt_type": nil, "app_cert_sn": nil, "alipay_root_cert_sn": nil,
	} {
		for _, keep := range []func(string, string) bool{all, notBlank} {
			p := with(name, " \n")
			if name != "sign" {
				p["sign"] = signText(RSA2, signedString(p, keep))
			}
			req := parse(t, encode(p))
			if _, bad := testPolicy().Check(req); !same(bad, want) {
				t.Errorf("%s: got %v, want %v", name, bad, want)
			}
			if req.Get(name) != "" || req.Charset != UTF8 {
				t.Errorf("%s is %q, the charset %v", name, req.Get(name), req.Charset)
			}
		}
	}
	query := post("charset=+", encode(gbkBytes(with("charset", "GBK"))))
	if req, bad := Parse(query, 0); bad != nil || req.charsetProblem != nil || req.Charset != GBK {
		t.Errorf("a blank charset in the query: %v, %+v", bad, req)
	}
}

func TestInvalidSignatureSubMsg(t *testing.T) {
	p := signed(params())
	p["biz_content"] = `{"memo":"<优酷>"}`
	bad := explainedCheck(parse(t, encode(p)))
	want := `网关生成的验签字符串为：app_id=2014072300007148&amp;biz_content={&quot;memo&quot;:&quot;&lt;优酷&gt;&quot;}&amp;` +
		`charset=utf-8&amp;format=JSON&amp;method=alipay.marketing.voucher.send&amp;sign_type=RSA2&amp;timestamp=2014-07-24 03:07:50&amp;version=1.0"`
	node := NewNode(UTF8)
	if node.Failure(bad); !same(bad, ErrInvalidSignature) || !strings.HasSuffix(string(node.buf), want) {
		t.Errorf("got %s", node.buf)
	}
	p = params()
	p["sign"] = signText(RSA, signedString(p, all))
	bad = explainedCheck(parse(t, encode(p)))
	if want := "sign_type为RSA2，而签名是按RSA生成的"; bad == nil || !strings.Contains(bad.SubMsg, want) {
		t.Errorf("got %v, want %s", bad, want)
	}
	if text := bad.Error(); strings.Contains(text, "app_id") {
		t.Errorf("the text for the log holds the request: %s", text)
	}
}

func TestSubMsgIsBounded(t *testing.T) {
	p := signed(with("biz_content", strings.Repeat("优", 20000)))
	p["version"] = "1.0 "
	msg := parse(t, encode(p)).Explain(Verdict{}, RSA2)
	if len(msg) > maxEcho+500 || !strings.Contains(msg, "…（共60") || strings.Contains(msg, "\uFFFD") {
		t.Errorf("%d bytes: %s", len(msg), msg[len(msg)-60:])
	}
}

func TestExplainInGBK(t *testing.T) {
	r := post("", encode(gbkBytes(with("charset", "GBK", "sign", "AAAA"))))
	req, bad := Parse(r, 0)
	if bad != nil {
		t.Fatal(bad)
	}
	v := req.Verify(&testKey().PublicKey, RSA2)
	if text := req.Explain(v, RSA2); !strings.Contains(text, "优酷3个月") || v.Hint == "" || !strings.Contains(text, v.Hint) {
		t.Errorf("got %+v, %s", v, text)
	}
}

func TestCompare(t *testing.T) {
	const ours = "a=1&memo=优酷&z=1"
	tests := []struct {
		theirs string
		want   Difference
		differ bool
	}{
		{"a=1&memo=优酷&z=1", Difference{}, false},
		{"a=1&amp;memo=优酷&amp;z=1", Difference{}, false},
		{"a=1&memo=优先&z=1", Difference{Offset: 12, Ours: "酷&z=1", Theirs: "先&z=1"}, true},
		{"a=1&memo=优酷", Difference{Offset: 15, Ours: "&z=1", Theirs: ""}, true},
		{"", Difference{Offset: 0, Ours: "a=1&memo=优酷&z=1", Theirs: ""}, true},
		{"b", Difference{Offset: 0, Ours: "a=1&memo=优酷&z=1", Theirs: "b"}, true},
	}
	for _, test := range tests {
		got, differ := Compare(ours, test.theirs)
		if got != test.want || differ != test.differ {
			t.Errorf("%q: got %+v, %v, want %+v", test.theirs, got, differ, test.want)
		}
	}
	if d, _ := Compare(strings.Repeat("优", 100), "x"); d.Ours != strings.Repeat("优", 40) {
		t.Errorf("the excerpt has %d bytes", len(d.Ours))
	}
}

func TestErrorIdentity(t *testing.T) {
	if !same(ErrInvalidSignature.With("x"), ErrInvalidSignature) {
		t.Error("With changed the codes")
	}
	if ErrInvalidSignature.SubMsg == "x" {
		t.Error("With changed the original")
	}
	for _, e := range []*Error{ErrUnknown, ErrMissingMethod, ErrInvalidCharset, ErrAppCallLimited, ErrSM2, ErrCertificateMode, ErrInvalidAppAuthToken, ErrInsufficientPermissions, Business("", "")} {
		if e.Code == "" || e.Code == "10000" || e.Msg == "" || e.SubCode == "" {
			t.Errorf("an SDK would take this for a success: %+v", e)
		}
	}
}

func BenchmarkParseAndCheck(b *testing.B) {
	body := encode(signed(params()))
	policy := testPolicy()
	b.ReportAllocs()
	for b.Loop() {
		req, bad := Parse(post("", body), 0)
		if bad != nil {
			b.Fatal(bad)
		}
		if _, bad = policy.Check(req); bad != nil {
			b.Fatal(bad)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	r := post("", encode(signed(params())))
	body := encode(signed(params()))
	reader := strings.NewReader(body)
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		r.Body = readCloser{reader}
		r.ContentLength = int64(len(body))
		if _, bad := Parse(r, 0); bad != nil {
			b.Fatal(bad)
		}
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// A parameter that says what a call asks for cannot be moved into the value of another, nor be taken out of one.
func TestHiddenParameters(t *testing.T) {
	for _, test := range []struct {
		changes []string
		want    string // "": accepted
	}{
		{[]string{"charset", "-", "body", "1&charset=gbk"}, "参数body的值含有“&charset=”"},
		{[]string{"alipay_sdk", "java&app_auth_token=T"}, "参数alipay_sdk的值含有“&app_auth_token=”"},
		{[]string{"alipay_sdk", "java&app_auth_token=T", "app_auth_token", "U"}, "参数alipay_sdk的值含有“&app_auth_token=”"},
		{[]string{"format", "-", "extra", "&a=1&format=xml"}, "参数extra的值含有“&format=”"},
		{[]string{"charset", "-", "biz_content", `{"memo":"&charset=gbk"}`}, ""},
		{[]string{"notify_url", "http://shop/?a=1&method=x&app_id=1&timestamp=2&format=json"}, ""},
		{[]string{"notify_url", "http://shop/?a=1&charset=gbk"}, "参数notify_url的值含有“&charset=”"},
		// What another call was signed with, in a value behind its place.
		{[]string{"n", "&charset=utf-8&method=alipay.user.info.share"}, "参数n的值含有“&charset=”"},
		{[]string{"n", "&x=1&method=alipay.user.info.share"}, "参数n的值含有“&method=”"},
		{[]string{"tz", "&timestamp=2026-11-01 00:00:00"}, "参数tz的值含有“&timestamp=”"},
		{[]string{"biz_d", `&biz_content={"a":1}`}, "参数biz_d的值含有“&biz_content=”"},
		{[]string{"biz_d", "&biz_content=\uFEFF{}"}, "参数biz_d的值含有“&biz_content=”"},
		{[]string{"biz_content", `{"x":"&method=alipay.user.info.share&notify_url="}`}, "参数biz_content的值含有“&method=”"},
		{[]string{"biz_content", `{"memo":"http://shop/?a=1&method=post&charset=gbk"}`}, ""},
		{[]string{"alipay_sdk", "app_auth_token=T&b=1&app_auth_token"}, ""},
	} {
		bad := explainedCheck(parse(t, encode(signed(with(test.changes...)))))
		if test.want == "" && bad != nil || test.want != "" && (!same(bad, ErrInvalidParameter) || !strings.HasPrefix(bad.SubMsg, test.want)) {
			t.Errorf("%q: got %v", test.changes, bad)
		}
	}
}

// A caller that signs another encoding than it sends is told so.
func TestAnotherEncodingIsSigned(t *testing.T) {
	p := with("charset", "GBK")
	sent := gbkBytes(p)
	sent["sign"] = signText(RSA2, signedString(p, all))
	bad := explainedCheck(parse(t, encode(sent)))
	if want := "签名是按utf-8编码计算的，而charset为GBK"; !same(bad, ErrInvalidSignature) || !strings.Contains(bad.SubMsg, want) {
		t.Errorf("got %v, want %s", bad, want)
	}
}
