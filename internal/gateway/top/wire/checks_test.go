package wire

import (
	"strings"
	"testing"
	"time"
)

func check1(p map[string]string) *Error {
	req, bad := Parse(post("", encode(p)), Limits{})
	if bad == nil {
		_, bad = testPolicy().Check(req)
	}
	return bad
}

func TestChecks(t *testing.T) {
	for _, test := range []struct {
		name string
		p    map[string]string
		want *Error
	}{
		{"good", signed(params()), nil},
		{"good by hmac", signed(with("sign_method", "hmac")), nil},
		{"good by hmac-sha256", signed(with("sign_method", "hmac-sha256")), nil},
		{"no sign_method is md5", signed(with("sign_method", "-")), nil},
		{"unknown parameters are signed and let be", signed(with("partner_id", "top-sdk", "x", "")), nil},
		{"no method", with("method", "-"), ErrMissingMethod},
		{"unknown method", with("method", "taobao.time.get"), ErrInvalidMethod},
		{"no app_key", with("app_key", "-"), ErrMissingAppKey},
		{"no timestamp", with("timestamp", "-"), ErrMissingTimestamp},
		{"timestamp in words", with("timestamp", "now"), ErrInvalidTimestamp},
		{"no version", with("v", ""), ErrMissingVersion},
		{"old version", with("v", "1.0"), ErrUnsupportedVersion},
		{"no such version", with("v", "2"), ErrInvalidVersion},
		{"no such format", with("format", "json2"), ErrInvalidFormat},
		{"no such sign_method", with("sign_method", "MD5"), Invalid("sign_method", "")},
		{"no sign", params(), ErrMissingSignature},
		{"no such app", signed(with("app_key", "1")), ErrInvalidAppKey},
		{"endless app_key", signed(with("app_key", strings.Repeat("1", 65))), ErrInvalidAppKey},
		{"wrong signature", with("sign", strings.Repeat("0", 32)), ErrInvalidSignature},
		{"no hex", with("sign", strings.Repeat("x", 32)), ErrInvalidSignature},
		{"too short", with("sign", "00"), ErrInvalidSignature},
		{"too long", with("sign", strings.Repeat("0", 66)), ErrInvalidSignature},
	} {
		if got := check1(test.p); !same(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	// An app without a secret must not be open to all: anyone can sign under "".
	open := with("app_key", "no-secret")
	open["sign"] = Sign(textOfParams(open), "", MD5)
	if got := check1(open); !same(got, ErrInvalidSignature) {
		t.Errorf("no secret: got %v", got)
	}
}

// The first wrong of the documented order wins: things are put right one after the other.
func TestOrder(t *testing.T) {
	p := map[string]string{"sign_method": "x", "format": "x"}
	for _, step := range []struct {
		name, value string
		want        *Error
	}{
		{"", "", ErrMissingMethod}, {"method", "x", ErrInvalidMethod},
		{"method", "tmall.nrt.certificate.send", ErrMissingAppKey},
		{"app_key", "1", ErrMissingTimestamp}, {"timestamp", "x", ErrInvalidTimestamp},
		{"timestamp", "2016-01-01 12:00:00", ErrMissingVersion}, {"v", "x", ErrInvalidVersion},
		{"v", "2.0", ErrInvalidFormat}, {"format", "xml", Invalid("sign_method", "")},
		{"sign_method", "md5", ErrMissingSignature}, {"sign", "x", ErrInvalidAppKey},
		{"app_key", "12345678", ErrInvalidSignature},
	} {
		if step.name != "" {
			p[step.name] = step.value
		}
		if got := check1(p); !same(got, step.want) {
			t.Errorf("%v: got %v, want %v", p, got, step.want)
		}
	}
	if got := check1(signed(p)); got != nil {
		t.Errorf("all put right: got %v", got)
	}
}

func TestTimestamp(t *testing.T) {
	pacific := time.FixedZone("", -8*60*60)
	for _, test := range []struct {
		text      string
		zones     []*time.Location
		tolerance time.Duration
		ok        bool
	}{
		{"2016-01-01 12:00:00", nil, 0, true},
		{"2016-01-01 12:10:00", nil, 0, true},
		{"2016-01-01 11:50:00", nil, 0, true},
		{"2016-01-01 12:10:01", nil, 0, false},
		{"2016-01-01 11:49:59", nil, 0, false},
		{"2016-01-01 11:49:59", nil, time.Hour, true},
		{"2016-01-01 04:00:00", nil, 0, false}, // UTC
		{"2016-01-01 04:00:00", []*time.Location{time.UTC}, 0, true},
		{"2016-01-01 12:00:00", []*time.Location{time.UTC}, 0, false},
		{"2015-12-31 20:00:00", []*time.Location{beijing, time.UTC, pacific}, 0, true},
		{"2011-01-01 12:00:00", nil, -1, true},
		{"1451620800000", nil, 0, true}, // the official Python SDK
		{"1451621400000", nil, 0, true},
		{"1451621400001", nil, 0, false},
		{"1451620800000", []*time.Location{pacific}, 0, true}, // an instant has no zone
		{"1451620800", nil, 0, true},
		{"1451621401", nil, 0, false},
		{"1451649600", nil, 0, true}, // go-opentaobao: eight hours later
		{"1451649600", []*time.Location{pacific}, 0, false},
		{"145162080", nil, -1, false},
		{"14516208000000", nil, -1, false},
		{"-451620800000", nil, -1, false},
		{"2016-01-01T12:00:00", nil, -1, false},
		{"2016-01-01 12:00:00.5", nil, -1, false},
		{"2016-01-01 2:00:00", nil, -1, false},
		{"2016-02-30 12:00:00", nil, -1, false},
		{" 2016-01-01 12:00:00", nil, -1, false},
	} {
		policy := testPolicy()
		policy.Zones, policy.Tolerance = test.zones, test.tolerance
		req, _ := Parse(post("", encode(signed(with("timestamp", test.text)))), Limits{})
		if _, bad := policy.Check(req); (bad == nil) != test.ok || bad != nil && !same(bad, ErrInvalidTimestamp) {
			t.Errorf("%s in %v, tolerance %s: got %v", test.text, test.zones, test.tolerance, bad)
		}
	}
}

// A refusal names the zone in which the timestamp would fit.
func TestTimestampOfAnotherZone(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"2016-01-01 04:00:00", "+00:00"},
		{"2016-01-01 04:09:00", "+00:00"},
		{"2015-12-31 20:00:00", "-08:00"},
		{"2016-01-01 11:40:00", ""}, // a clock that is wrong
		{"2016-01-03 12:00:00", ""},
		{"1451606400000", ""}, // an instant has no zone
	} {
		req, _ := Parse(post("", encode(signed(with("timestamp", test.text)))), Limits{})
		_, bad := testPolicy().Check(req)
		if !same(bad, ErrInvalidTimestamp) {
			t.Fatalf("%s: %v", test.text, bad)
		}
		if _, zone, found := strings.Cut(bad.SubMsg, "按"); found != (test.want != "") || !strings.HasPrefix(zone, test.want) {
			t.Errorf("%s: %s", test.text, bad.SubMsg)
		}
	}
}

// What the signature does not cover is gone after the check: else anyone could add it to a call that he has seen.
func TestUncoveredParametersAreDropped(t *testing.T) {
	for _, test := range []struct {
		name, value string
		want        Variant
	}{{"x", "@file", WithoutFiles}, {"x", "  ", WithoutBlanks}, {"x", "", WithoutBlanks}} {
		p := signed(params())
		p[test.name] = test.value
		req, _ := Parse(post("", encode(p)), Limits{})
		v, bad := testPolicy().Check(req)
		if _, there := values(req)[test.name]; bad != nil || v != test.want || there {
			t.Errorf("%q: %v, %s, still there: %t", test.value, bad, v, there)
		}
	}
	p := params()
	p["x"] = "@file"
	req, _ := Parse(post("", encode(signed(p))), Limits{})
	if v, bad := testPolicy().Check(req); bad != nil || v != AsSent || req.Get("x") != "@file" {
		t.Errorf("signed as sent: %v, %s, %q", bad, v, req.Get("x"))
	}
}

// why returns the refusal of a wrong signature, explained.
func why(t *testing.T, p map[string]string) *Error {
	t.Helper()
	req, bad := Parse(post("", encode(p)), Limits{})
	if bad == nil {
		_, bad = testPolicy().Check(req)
	}
	if bad != ErrInvalidSignature {
		t.Fatalf("got %v", bad)
	}
	return testPolicy().Why(req)
}

func TestExplain(t *testing.T) {
	p := with("app_key", "explain", "memo", "优<&>")
	p["sign"] = signText("hmac", textOfParams(p))
	got := why(t, p)
	if got.Code != 25 || got.SubCode != "isv.invalid-signature" ||
		!strings.Contains(got.SubMsg, "sign_method为md5，而签名是按hmac生成的") {
		t.Fatalf("got %+v", got)
	}
	if strings.Contains(got.SubMsg, secret) || !strings.Contains(got.SubMsg, "：***app_keyexplainformatjsonmemo优<&>") {
		t.Errorf("got %s", got.SubMsg)
	}
	for sign, want := range map[string]string{"00": "md5的签名应为32位十六进制字符", strings.Repeat("0", 32): "请检查待签名字符串和应用的密钥"} {
		if got := why(t, with("app_key", "explain", "sign", sign)); !strings.Contains(got.SubMsg, want) {
			t.Errorf("%s: got %s", sign, got.SubMsg)
		}
	}
	long := why(t, with("app_key", "explain", "sign", "00", "x", strings.Repeat("优", 4000)))
	if len(long.SubMsg) > maxEcho+300 || !strings.Contains(long.SubMsg, "…（共") {
		t.Errorf("%d bytes of explanation", len(long.SubMsg))
	}
	if got := why(t, with("sign", "00")); got.SubMsg != "" || got.SubCode != "" {
		t.Errorf("explained to an app for which it is off: %+v", got)
	}
}

// Whether a guess among the parameters is the secret makes no difference to the explanation: not in the text, and not in
// the length that stands for what was cut.
func TestExplainAnswersNoGuess(t *testing.T) {
	wrong := strings.Repeat("g", len(secret))
	for _, filler := range []string{"", strings.Repeat("x", maxEcho)} {
		explain := func(guess string) string {
			return why(t, with("app_key", "explain", "sign", "00", "a", filler, "guess", guess)).SubMsg
		}
		if right := explain(secret); strings.Replace(right, secret, wrong, 1) != explain(wrong) {
			t.Errorf("the explanation tells the right guess: %s", right)
		}
	}
}

func FuzzParseTimestamp(f *testing.F) {
	for _, seed := range []string{"2016-01-01 12:00:00", "1451620800000", "1451620800", "2016-02-29 24:00:00", "0000-01-01 00:00:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stamp, ok := ParseTimestamp(text)
		if ok && !stamp.instant && stamp.at.Format(timestampLayout) != text {
			t.Errorf("%q is read as %s", text, stamp.at)
		}
		if ok && stamp.instant && len(text) != 10 && len(text) != 13 {
			t.Errorf("%q is read as %s", text, stamp.at)
		}
	})
}
