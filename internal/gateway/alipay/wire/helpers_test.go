package wire

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// testKey is the key of the app, made once: making one takes a tenth of a second.
var testKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })

// platformKey signs the answers in tests.
var platformKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })

func newKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// signText signs without any code of the package.
func signText(t SignType, text string) string {
	hash, sum := crypto.SHA256, sha256.New().Sum(nil)
	if t == RSA2 {
		s := sha256.Sum256([]byte(text))
		sum = s[:]
	} else {
		s := sha1.Sum([]byte(text))
		hash, sum = crypto.SHA1, s[:]
	}
	signature, err := rsa.SignPKCS1v15(nil, testKey(), hash, sum)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// params returns a good call, unsigned, as the seed page shows it.
func params() map[string]string {
	return map[string]string{
		"app_id": "2014072300007148", "method": "alipay.marketing.voucher.send",
		"format": "JSON", "charset": "utf-8", "sign_type": "RSA2",
		"timestamp": "2014-07-24 03:07:50", "version": "1.0",
		"biz_content": `{"template_id":"20140601000730010040000000EB","amount":9.99,"memo":"优酷3个月兑换券 & 更多"}`,
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

// signedString joins params as the documentation says, written apart from the
// package: keep decides which parameters are in it.
func signedString(p map[string]string, keep func(name, value string) bool) string {
	var names []string
	for name, value := range p {
		if name != "sign" && keep(name, value) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = name + "=" + p[name]
	}
	return strings.Join(names, "&")
}

func all(_, _ string) bool              { return true }
func notEmpty(_, value string) bool     { return value != "" }
func notBlank(_, value string) bool     { return strings.TrimSpace(value) != "" }
func notFalsy(_, value string) bool     { return notBlank("", value) && value != "0" && value[0] != '@' }
func encode(p map[string]string) string { return urlValues(p).Encode() }
func urlValues(p map[string]string) url.Values {
	v := url.Values{}
	for name, value := range p {
		v.Set(name, value)
	}
	return v
}

// signed adds a good signature to p.
func signed(p map[string]string) map[string]string {
	p["sign"] = signText(SignType(p["sign_type"]), signedString(p, notEmpty))
	return p
}

func post(query, body string) *http.Request {
	r := httptest.NewRequest("POST", "/gateway.do?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
	return r
}

// parse reads a form body that must be readable.
func parse(t *testing.T, body string) *Request {
	t.Helper()
	req, bad := Parse(post("", body), 0)
	if bad != nil {
		t.Fatalf("Parse: %v %s", bad, bad.SubMsg)
	}
	return req
}

func testPolicy() *Policy {
	return &Policy{
		KnownMethod: func(method string) bool { return method == "alipay.marketing.voucher.send" },
		Key: func(appID string) (*rsa.PublicKey, *Error) {
			switch appID {
			case "2014072300007148":
				return &testKey().PublicKey, nil
			case strings.Repeat("1", 33): // must be refused before anyone asks here
				return &testKey().PublicKey, nil
			case "no-key":
				return nil, nil
			case "off":
				return nil, ErrInvalidAppState
			}
			return nil, ErrInvalidAppID
		},
		Now: func() time.Time { return time.Date(2014, 7, 23, 19, 7, 50, 0, time.UTC) },
	}
}

// same compares refusals by code and sub_code; nil is no refusal.
func same(got, want *Error) bool {
	if got == nil || want == nil {
		return got == want
	}
	return got.Code == want.Code && got.SubCode == want.SubCode
}
