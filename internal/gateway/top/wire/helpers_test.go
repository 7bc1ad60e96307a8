package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

const secret = "helloworld"

// params returns a good call, unsigned.
func params() map[string]string {
	return map[string]string{
		"app_key": "12345678", "method": "taobao.mobile.promotion.benefit.activity.send", "format": "json", "v": "2.0",
		"sign_method": "md5", "timestamp": "2016-01-01 12:00:00", "session": "61012",
		"single_benefit_request": `{"unique_id":"AE432CBF12A012","memo":"生日 & +快乐"}`,
	}
}

// with is params with changes; a value "-" takes the parameter out.
func with(changes ...string) map[string]string {
	p := params()
	for i := 0; i < len(changes); i += 2 {
		if p[changes[i]] = changes[i+1]; changes[i+1] == "-" {
			delete(p, changes[i])
		}
	}
	return p
}

// signText signs without any code of the package.
func signText(method, text string) string {
	sum := func(h hash.Hash, text string) string {
		h.Write([]byte(text))
		return strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
	}
	switch method {
	case "hmac":
		return sum(hmac.New(md5.New, []byte(secret)), text)
	case "hmac-sha256":
		return sum(hmac.New(sha256.New, []byte(secret)), text)
	}
	return sum(md5.New(), secret+text+secret)
}

func textOfParams(p map[string]string) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name != "sign" {
			text += name + p[name]
		}
	}
	return text
}

// signed adds a good signature to p.
func signed(p map[string]string) map[string]string {
	p["sign"] = signText(p["sign_method"], textOfParams(p))
	return p
}

func post(query, body string) *http.Request {
	r := httptest.NewRequest("POST", "/router/rest?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	return r
}

// noon is when the published example was signed.
var noon = time.Date(2016, 1, 1, 12, 0, 0, 0, beijing)

func testPolicy() *Policy {
	return &Policy{
		Methods: map[string]Method{
			"taobao.mobile.promotion.benefit.activity.send": {Object: "single_benefit_request"},
			"tmall.nrt.certificate.send":                    {Object: "nrt_certificate_send_d_t_o"},
		},
		Credentials: func(appKey string) (Credentials, *Error) {
			switch appKey {
			case "12345678", strings.Repeat("1", 65): // the long one must be refused before anyone asks here
				return Credentials{Secrets: []string{"an older one", secret}}, nil
			case "explain":
				return Credentials{Secrets: []string{secret}, Explain: true}, nil
			case "no-secret":
				return Credentials{Secrets: []string{""}, Explain: true}, nil
			}
			return Credentials{}, ErrInvalidAppKey
		},
		Now: func() time.Time { return noon },
	}
}

// same compares refusals by code and sub_code; nil is no refusal.
func same(got, want *Error) bool {
	if got == nil || want == nil {
		return got == want
	}
	return errors.Is(got, want)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func values(r *Request) map[string]string {
	m := map[string]string{}
	for _, p := range r.Params {
		m[p.Name] = p.Value
	}
	return m
}

// StringToSign builds the text of one variant.
func StringToSign(params map[string]string, body string, v Variant) string {
	return NewRequest(params, body).StringToSign(v)
}

// Verify checks the parameter sign under an app's secret.
func Verify(params map[string]string, body, secret string, m SignMethod) Verdict {
	return NewRequest(params, body).Verify(secret, m)
}
