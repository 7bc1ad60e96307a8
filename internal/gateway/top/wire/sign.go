package wire

import (
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/url"
	"slices"
	"strings"
)

// SignMethod is how the string to sign becomes the signature.
type SignMethod string

// The sign methods of the platform.
const (
	MD5        SignMethod = "md5"
	HMAC       SignMethod = "hmac" // HMAC-MD5
	HMACSHA256 SignMethod = "hmac-sha256"
)

// SignMethods returns all of them.
func SignMethods() []SignMethod { return []SignMethod{MD5, HMAC, HMACSHA256} }

// ParseSignMethod reads the parameter sign_method. Callers that send none mean md5, the platform's first one; ok is
// false for every other name.
func ParseSignMethod(name string) (m SignMethod, ok bool) {
	m = SignMethod(cmp.Or(name, string(MD5)))
	return m, slices.Contains(SignMethods(), m)
}

// size returns the length of a signature in bytes, before it is written as hex.
func (m SignMethod) size() int {
	if m == HMACSHA256 {
		return sha256.Size
	}
	return md5.Size
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

var variantNames = [...]string{
	NoMatch: "no match", AsSent: "as sent", WithoutBlanks: "without blank values",
	WithoutFiles: "without values that begin with @ (PHP)",
}

// String names the variant in logs and on the command line.
func (v Variant) String() string { return variantNames[v] }

func (v Variant) leavesOut(p Param) bool {
	switch v {
	case WithoutBlanks:
		return strings.TrimSpace(p.Name) == "" || strings.TrimSpace(p.Value) == ""
	case WithoutFiles:
		return strings.HasPrefix(p.Value, "@")
	}
	return false
}

// StringToSign builds the text of one variant.
func (r *Request) StringToSign(v Variant) string { return string(r.appendText(nil, v)) }

func (r *Request) appendText(dst []byte, v Variant) []byte {
	for _, p := range r.Params {
		if p.Name != "sign" && !v.leavesOut(p) {
			dst = append(append(dst, p.Name...), p.Value...)
		}
	}
	return append(dst, r.Body...)
}

// Sign signs a string under an app's secret, as upper-case hex. The method must be one of SignMethods.
func Sign(text, secret string, m SignMethod) string {
	return strings.ToUpper(hex.EncodeToString(m.sum([]byte(text), []byte(secret))))
}

func (m SignMethod) sum(text, secret []byte) []byte {
	switch m {
	case MD5:
		return digest(md5.New(), secret, text, secret)
	case HMAC:
		return digest(hmac.New(md5.New, secret), text)
	case HMACSHA256:
		return digest(hmac.New(sha256.New, secret), text)
	}
	panic("wire: no sign method " + string(m))
}

func digest(h hash.Hash, parts ...[]byte) []byte {
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// SignRequest signs a call as the Java SDK does and returns it as a URL-encoded form, for a query or a body. It sets
// sign_method and sign itself; blank values are left out.
func SignRequest(params map[string]string, secret string, m SignMethod) string {
	return signForm(params, "", secret, m)
}

func signForm(params map[string]string, body, secret string, m SignMethod) string {
	sent := map[string]string{"sign_method": string(m)}
	for name, value := range params {
		if name != "sign" && name != "sign_method" && !WithoutBlanks.leavesOut(Param{name, value}) {
			sent[name] = value
		}
	}
	sent["sign"] = Sign(NewRequest(sent, body).StringToSign(AsSent), secret, m)
	return encode(sent)
}

// encode returns parameters as a URL-encoded form.
func encode(params map[string]string) string {
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	return form.Encode()
}

// Verdict is the result of Verify.
type Verdict struct {
	// Variant is the string under which the signature is right by the method asked for; NoMatch when there is none.
	Variant Variant
	// Other is set when nothing matched and the signature is right by this other method: sign_method is wrong, or it
	// was set after signing.
	Other SignMethod
}

// OK reports whether the signature is good.
func (v Verdict) OK() bool { return v.Variant != NoMatch }

// Verify checks the parameter sign under an app's secret. Hex in lower case is accepted. It tries each string that
// differs, at most three, then the other methods whose signatures have this length.
func (r *Request) Verify(secret string, m SignMethod) Verdict {
	if v := r.match(secret, m); v != NoMatch {
		return Verdict{Variant: v}
	}
	for _, other := range SignMethods() {
		if other != m && r.match(secret, other) != NoMatch {
			return Verdict{Other: other}
		}
	}
	return Verdict{}
}

// match finds the first variant that gives the signature.
func (r *Request) match(secret string, m SignMethod) Variant {
	theirs, err := hex.DecodeString(r.Get("sign"))
	if err != nil || len(theirs) != m.size() {
		return NoMatch // whatever the text is: no need to hash it
	}
	text := make([]byte, 0, 1024)
	for _, v := range [...]Variant{AsSent, WithoutBlanks, WithoutFiles} {
		if v != AsSent && !slices.ContainsFunc(r.Params, v.leavesOut) {
			continue
		}
		text = r.appendText(text[:0], v)
		if subtle.ConstantTimeCompare(m.sum(text, []byte(secret)), theirs) == 1 {
			return v
		}
	}
	return NoMatch
}

// dropUncovered removes the parameters that the variant's text leaves out. They are not authenticated: anyone who
// saw a call of the PHP SDK could add "name=@value" to it and keep its signature.
func (r *Request) dropUncovered(v Variant) {
	r.Params = slices.DeleteFunc(r.Params, func(p Param) bool { return p.Name != "sign" && v.leavesOut(p) })
}
