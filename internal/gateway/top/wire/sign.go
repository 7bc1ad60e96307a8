// Package wire speaks the bytes of the TOP protocol (/router/rest, version 2.0). It knows nothing of vouchers,
// stores or the issuing core. So far it has the signature.
//
// # Signature
//
// The string to sign is every parameter of query and body but sign, sorted by name in byte order, as name and value
// one after the other with nothing between, values not URL-encoded; a body that is no form (JSON, XML, a batch)
// follows as it was sent. What is done with it depends on sign_method:
//
//	md5          MD5(secret + string + secret)
//	hmac         HMAC-MD5 under the secret
//	hmac-sha256  HMAC-SHA256 under the secret
//
// and the result travels as upper-case hex. The official SDKs for Java, .NET, PHP, Python and Node all do this; what
// they do differently is in type Variant.
package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// SignMethod is how the string to sign becomes the signature.
type SignMethod string

// The sign methods of the platform.
const (
	MD5        SignMethod = "md5"
	HMAC       SignMethod = "hmac"
	HMACSHA256 SignMethod = "hmac-sha256"
)

// SignMethods are all of them.
func SignMethods() []SignMethod { return []SignMethod{MD5, HMAC, HMACSHA256} }

// ParseSignMethod reads the parameter sign_method. Callers that send none mean md5, the platform's first one; ok is
// false for every other name.
func ParseSignMethod(name string) (m SignMethod, ok bool) {
	if name == "" {
		return MD5, true
	}
	m = SignMethod(name)
	return m, slices.Contains(SignMethods(), m)
}

// Variant is one way to build the string to sign.
type Variant uint8

const (
	// NoMatch: no variant gave the signature.
	NoMatch Variant = iota
	// AsSent has every parameter that was sent, empty ones too. It serves the Python, Node and Go SDKs, and those
	// for Java and .NET, which do not send empty ones at all.
	AsSent
	// WithoutBlanks leaves out names and values of nothing but white space.
	WithoutBlanks
	// WithoutFiles leaves out values that begin with "@", an old notation for files, as the PHP SDK does.
	WithoutFiles
)

// variants are tried in this order.
var variants = []Variant{AsSent, WithoutBlanks, WithoutFiles}

// String names the variant in logs and on the command line.
func (v Variant) String() string {
	switch v {
	case AsSent:
		return "as sent"
	case WithoutBlanks:
		return "without blank values"
	case WithoutFiles:
		return "without values that begin with @ (PHP)"
	}
	return "no match"
}

func (v Variant) leavesOut(name, value string) bool {
	switch v {
	case WithoutBlanks:
		return strings.TrimSpace(name) == "" || strings.TrimSpace(value) == ""
	case WithoutFiles:
		return strings.HasPrefix(value, "@")
	}
	return false
}

// StringToSign builds the text of one variant. Body is that of a call whose body is no form, else "".
func StringToSign(params map[string]string, body string, v Variant) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if value := params[name]; name != "sign" && !v.leavesOut(name, value) {
			b.WriteString(name)
			b.WriteString(value)
		}
	}
	b.WriteString(body)
	return b.String()
}

// Sign signs a string under an app's secret. The method must be one of SignMethods.
func Sign(text, secret string, m SignMethod) string {
	var sum []byte
	switch m {
	case MD5:
		all := md5.Sum([]byte(secret + text + secret))
		sum = all[:]
	case HMAC:
		mac := hmac.New(md5.New, []byte(secret))
		mac.Write([]byte(text))
		sum = mac.Sum(nil)
	case HMACSHA256:
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		sum = mac.Sum(nil)
	default:
		panic("wire: no sign method " + string(m))
	}
	return strings.ToUpper(hex.EncodeToString(sum))
}

// SignRequest signs a call as the Java SDK does and returns it as a URL-encoded form. It sets sign_method and sign
// itself; blank values are left out.
func SignRequest(params map[string]string, secret string, m SignMethod) string {
	form := url.Values{}
	sent := map[string]string{"sign_method": string(m)}
	for name, value := range params {
		if name != "sign" && name != "sign_method" && !WithoutBlanks.leavesOut(name, value) {
			sent[name] = value
		}
	}
	for name, value := range sent {
		form.Set(name, value)
	}
	form.Set("sign", Sign(StringToSign(sent, "", AsSent), secret, m))
	return form.Encode()
}

// Verdict is what Verify found.
type Verdict struct {
	// Variant is the string under which the signature is right by the method asked for; NoMatch when there is none.
	Variant Variant
	// Other is set when nothing matched and the signature is right by this other method: sign_method is wrong, or it
	// was set after signing.
	Other SignMethod
}

// OK tells whether the signature is good.
func (v Verdict) OK() bool { return v.Variant != NoMatch }

// Verify checks the parameter sign under an app's secret. Hex in lower case is accepted. Body is as for
// StringToSign.
func Verify(params map[string]string, body, secret string, m SignMethod) Verdict {
	if v := match(params, body, secret, m); v != NoMatch {
		return Verdict{Variant: v}
	}
	for _, other := range SignMethods() {
		if other != m && match(params, body, secret, other) != NoMatch {
			return Verdict{Other: other}
		}
	}
	return Verdict{}
}

// match finds the first variant that gives the signature.
func match(params map[string]string, body, secret string, m SignMethod) Variant {
	theirs := []byte(strings.ToUpper(params["sign"]))
	for _, v := range variants {
		ours := []byte(Sign(StringToSign(params, body, v), secret, m))
		if subtle.ConstantTimeCompare(ours, theirs) == 1 {
			return v
		}
	}
	return NoMatch
}
