package wire

import (
	"maps"
	"net/url"
	"strings"
	"testing"
)

// published returns the platform's own example, whose secret is "helloworld". The md5 value is published with it; the
// others follow from the same rule.
func published(m SignMethod) map[string]string {
	return map[string]string{
		"app_key": "12345678", "fields": "num_iid,title,nick,price,num", "format": "json",
		"method": "taobao.item.seller.get", "num_iid": "11223344", "session": "test", "sign_method": string(m),
		"timestamp": "2016-01-01 12:00:00", "v": "2.0",
	}
}

func TestPublishedVector(t *testing.T) {
	text := "app_key12345678fieldsnum_iid,title,nick,price,numformatjsonmethodtaobao.item.seller.get" +
		"num_iid11223344sessiontestsign_methodmd5timestamp2016-01-01 12:00:00v2.0"
	if got := StringToSign(published(MD5), "", AsSent); got != text {
		t.Errorf("string to sign:\n got %s\nwant %s", got, text)
	}
	for m, want := range map[SignMethod]string{
		MD5:        "66987CB115214E59E6EC978214934FB8",
		HMAC:       "D56D7858309C31B6251083A874D48273",
		HMACSHA256: "04DB15AD0774D5CFCE2C837DE43E3FCEA9011ED74F3038FB6AB5F3C4CEA119E8",
	} {
		if got := Sign(StringToSign(published(m), "", AsSent), "helloworld", m); got != want {
			t.Errorf("%s: got %s, want %s", m, got, want)
		}
	}
}

// Each SDK's way to build the string is accepted, and said.
func TestVariants(t *testing.T) {
	params := published(HMAC)
	params["empty"], params["blank"], params["file"] = "", "  ", "@/tmp/x"
	for _, v := range []Variant{AsSent, WithoutBlanks, WithoutFiles} {
		t.Run(v.String(), func(t *testing.T) {
			params["sign"] = Sign(StringToSign(params, "", v), "helloworld", HMAC)
			if got := Verify(params, "", "helloworld", HMAC); got.Variant != v || !got.OK() {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestBodyIsSigned(t *testing.T) {
	params := published(MD5)
	params["sign"] = Sign(StringToSign(params, "", AsSent)+`{"a":1}`, "helloworld", MD5)
	if !Verify(params, `{"a":1}`, "helloworld", MD5).OK() {
		t.Error("a call with a body does not verify")
	}
	if Verify(params, `{"a":2}`, "helloworld", MD5).OK() {
		t.Error("a call with another body verifies")
	}
}

func TestTampered(t *testing.T) {
	params := published(MD5)
	params["sign"] = Sign(StringToSign(params, "", AsSent), "helloworld", MD5)
	for name := range params {
		changed := maps.Clone(params)
		changed[name] += "x"
		if v := Verify(changed, "", "helloworld", MD5); v.OK() || v.Other != "" {
			t.Errorf("with another %s it verifies: %+v", name, v)
		}
	}
	if Verify(params, "", "HelloWorld", MD5).OK() {
		t.Error("it verifies under another secret")
	}
	params["sign"] = strings.ToLower(params["sign"])
	if !Verify(params, "", "helloworld", MD5).OK() {
		t.Error("lower-case hex is refused")
	}
}

func TestOtherMethodIsNamed(t *testing.T) {
	params := published(MD5)
	params["sign"] = Sign(StringToSign(params, "", AsSent), "helloworld", HMACSHA256)
	if got, want := Verify(params, "", "helloworld", MD5), (Verdict{Other: HMACSHA256}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSignMethodNames(t *testing.T) {
	for name, want := range map[string]SignMethod{"": MD5, "md5": MD5, "hmac": HMAC, "hmac-sha256": HMACSHA256} {
		if got, ok := ParseSignMethod(name); got != want || !ok {
			t.Errorf("%q: got %q, %t", name, got, ok)
		}
	}
	for _, name := range []string{"MD5", "sha1", "hmac-sha256 "} {
		if _, ok := ParseSignMethod(name); ok {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestSignRequest(t *testing.T) {
	params := published(MD5)
	params["blank"], params["memo"] = " ", "生日快乐&=+"
	for _, m := range SignMethods() {
		form, err := url.ParseQuery(SignRequest(params, "helloworld", m))
		if err != nil {
			t.Fatal(err)
		}
		sent := map[string]string{}
		for name := range form {
			sent[name] = form.Get(name)
		}
		if _, there := sent["blank"]; there || sent["memo"] != params["memo"] || sent["sign_method"] != string(m) {
			t.Errorf("%s: sent %v", m, sent)
		}
		if got := Verify(sent, "", "helloworld", m); got.Variant != AsSent {
			t.Errorf("%s: got %+v", m, got)
		}
	}
}

// Only the variant under which the signature is right covers it, whatever stands in the parameters.
func FuzzVerify(f *testing.F) {
	f.Add("a", "1", "b", "@x", "", uint8(0), uint8(0))
	f.Add("a", "", "b", " ", "body", uint8(1), uint8(1))
	f.Add("sign", "@", "ab", "c", "", uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, body string, method, variant uint8) {
		m := SignMethods()[method%3]
		v := []Variant{AsSent, WithoutBlanks, WithoutFiles}[variant%3]
		params := map[string]string{name1: value1, name2: value2}
		params["sign"] = Sign(StringToSign(params, body, v), secret, m)
		got := Verify(params, body, secret, m)
		if !got.OK() || StringToSign(params, body, got.Variant) != StringToSign(params, body, v) {
			t.Fatalf("%q signed as %s: got %+v", params, v, got)
		}
		if Verify(params, body+"x", secret, m).OK() || Verify(params, body, secret+"x", m).OK() {
			t.Fatalf("%q: it verifies with another body or secret", params)
		}
		params["sign"] = value1
		if len(value1) < 32 && Verify(params, body, secret, m).OK() {
			t.Fatalf("%q verifies", params)
		}
	})
}
