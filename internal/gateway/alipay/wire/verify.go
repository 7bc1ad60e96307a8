package wire

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"faquan/internal/gateway/form"
)

// SignType is the algorithm of a signature, RSA PKCS#1 v1.5 over a digest.
type SignType string

// The algorithms of the platform.
const (
	RSA2 SignType = "RSA2" // SHA-256
	RSA  SignType = "RSA"  // SHA-1; old callers still use it
)

// digest hashes text and names the hash.
func (t SignType) digest(text []byte) (crypto.Hash, []byte) {
	if t == RSA {
		sum := sha1.Sum(text)
		return crypto.SHA1, sum[:]
	}
	sum := sha256.Sum256(text)
	return crypto.SHA256, sum[:]
}

func (t SignType) other() SignType {
	if t == RSA {
		return RSA2
	}
	return RSA
}

// Variant is one way to build the string to sign. All of them leave out "sign", sort by name and join "name=value" with
// "&".
type Variant uint8

// The variants, in the order in which they are tried. One that gives the same text as an earlier one is not tried.
const (
	// NoMatch: no variant gave the signature.
	NoMatch Variant = iota
	// WithoutEmpties leaves out empty values, as the documentation demands and the .NET and gopay SDKs do.
	WithoutEmpties
	// WithEmpties keeps them, as the Python, Node and smartwalle SDKs do.
	WithEmpties
	// PHP leaves out blank values, the value "0" (PHP's array_filter takes it for false) and values that begin with "@"
	// (an old notation for files), as the PHP SDK does.
	PHP
	// WithoutBlanks leaves out empty values and those of blanks alone, which the Java SDK takes for empty.
	WithoutBlanks
)

// There is no variant for a caller who sends one encoding and signs another: the bytes that it signed, sent as they are,
// would be another request under the same signature.

// String names the variant in logs, metrics and on the command line.
func (v Variant) String() string {
	return [...]string{"no-match", "without-empties", "with-empties", "php", "without-blanks"}[v]
}

// covers reports whether the variant's text holds the parameter.
func (v Variant) covers(p *Param) bool {
	switch {
	case p.Name == "sign":
		return false
	case v == WithoutEmpties:
		return p.raw != ""
	case v == WithoutBlanks:
		return !isBlank(p.raw)
	case v == PHP:
		return !isBlank(p.raw) && p.raw != "0" && p.raw[0] != '@'
	}
	return true
}

// StringToSign builds the text of one variant, in the bytes that the caller sent: only the caller can encode a GBK text
// exactly as the caller did.
func (r *Request) StringToSign(v Variant) []byte {
	size := 0
	for i := range r.Params {
		size += len(r.Params[i].Name) + len(r.Params[i].raw) + 2
	}
	text := make([]byte, 0, size)
	for i := range r.Params {
		p := &r.Params[i]
		if !v.covers(p) {
			continue
		}
		if len(text) > 0 {
			text = append(text, '&')
		}
		text = append(append(append(text, p.Name...), '='), p.raw...)
	}
	return text
}

// variants lists those whose texts differ for this request.
func (r *Request) variants() []Variant {
	var empty, blank, falsy bool
	for i := range r.Params {
		p := &r.Params[i]
		empty = empty || p.raw == ""
		blank = blank || !WithoutBlanks.covers(p) && WithoutEmpties.covers(p)
		falsy = falsy || !PHP.covers(p) && WithoutBlanks.covers(p)
	}
	list := append(make([]Variant, 0, 4), WithoutEmpties)
	if blank {
		list = append(list, WithoutBlanks)
	}
	if empty {
		list = append(list, WithEmpties)
	}
	if falsy {
		list = append(list, PHP)
	}
	return list
}

// Verdict is the result of Verify.
type Verdict struct {
	// Variant is the string to sign under which the signature verifies by the algorithm asked for; NoMatch when there is
	// none.
	Variant Variant
	// Other is set when nothing matched and the signature verifies by this other algorithm: the caller's sign_type is
	// wrong.
	Other SignType
	// Hint is what is wrong, in Chinese, if that is known: the text of sign is no signature, or it signs another encoding
	// than was sent; else "".
	Hint string
}

// OK reports whether the signature is good.
func (v Verdict) OK() bool { return v.Variant != NoMatch }

// Verify checks the parameter sign under the key. It tries each distinct string once, at most four, then looks for what
// may be wrong: whether the signature fits the other algorithm, or the same text in UTF-8. That costs at most twelve RSA
// verifications, one for a good call from most SDKs.
func (r *Request) Verify(key *rsa.PublicKey, t SignType) Verdict {
	signature, hint := decodeSignature(r.Get("sign"), key)
	if hint != "" {
		return Verdict{Hint: hint}
	}
	if v := r.match(key, t, signature); v != NoMatch {
		return Verdict{Variant: v}
	}
	if r.match(key, t.other(), signature) != NoMatch {
		return Verdict{Other: t.other()}
	}
	if r.Charset != UTF8 && r.recoded().match(key, t, signature) != NoMatch {
		//guard:TestVerifyVariants Verdict{Hint: -> Verdict{Variant: WithEmpties, Hint:
		return Verdict{Hint: "签名是按utf-8编码计算的，而charset为" + r.Charset.String() + "，请按charset编码后再签名"}
	}
	return Verdict{}
}

// recoded returns the request as if it had been sent in UTF-8.
func (r *Request) recoded() *Request {
	other := &Request{Params: slices.Clone(r.Params)}
	for i := range other.Params {
		other.Params[i].raw = other.Params[i].Value
	}
	return other
}

func (r *Request) match(key *rsa.PublicKey, t SignType, signature []byte) Variant {
	for _, v := range r.variants() {
		if verifyBytes(key, t, r.StringToSign(v), signature) {
			return v
		}
	}
	return NoMatch
}

func verifyBytes(key *rsa.PublicKey, t SignType, text, signature []byte) bool {
	hash, sum := t.digest(text)
	return rsa.VerifyPKCS1v15(key, hash, sum, signature) == nil
}

// decodeSignature reads the base64 of a signature. The hint is for the caller.
func decodeSignature(sign string, key *rsa.PublicKey) (signature []byte, hint string) {
	signature, err := base64.StdEncoding.DecodeString(sign) // which passes over line breaks
	switch inner := strings.Trim(sign, blanks); {
	case err != nil && len(inner) < len(sign) && base64.StdEncoding.EncodedLen(key.Size()) == len(inner):
		// Without them the length is right, so no plus sign stood in their place.
		return nil, "sign的首尾有空格或换行，请去掉"
	case err != nil && strings.Contains(sign, " "):
		return nil, "sign中的加号未做URL编码，被解析为空格"
	case err != nil:
		return nil, "sign不是合法的Base64"
	case len(signature) != key.Size():
		return nil, "sign的长度与应用公钥不符"
	}
	return signature, ""
}

// decisive are the parameters that decide what a call asks for, and for whom, with what their values begin with; nil:
// anything. Those that only make a call refused need to be found in parameters before them alone.
var decisive = []struct {
	name   string
	value  *regexp.Regexp
	before bool
}{
	{"alipay_root_cert_sn", nil, true},
	{"app_auth_token", nil, false},
	{"app_cert_sn", nil, true},
	{"app_id", nil, true},
	{"biz_content", nil, false},
	{"charset", nil, false},
	{"encrypt_type", nil, true},
	{"format", nil, true},
	{"method", aMethod, false},
	{"timestamp", regexp.MustCompile(`^[0-9]{4}-`), false},
}

var aMethod = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

// hidden finds a decisive parameter that may have been moved into another value, where it can come from since "a=1" and
// "charset=gbk" are signed as "a=1&charset=gbk", and so is one a with the value "1&charset=gbk". Of two such requests it
// cannot be known which was signed. biz_content ends where its JSON ends, so it can hold anything but the method of
// another call, which it would have taken up.
func (r *Request) hidden() *Error {
	for i := range r.Params {
		p := &r.Params[i]
		if !strings.Contains(p.raw, "&") {
			continue
		}
		for _, d := range decisive {
			//guard:TestHiddenParameters without d.before
			if p.Name == "biz_content" && d.name != "method" || d.before && p.Name >= d.name {
				continue
			}
			if form.Holds(p.raw, "&"+d.name+"=", d.value) {
				return ErrInvalidParameter.With("参数" + p.Name + "的值含有“&" + d.name + "=”，签名无法区分它与参数" + d.name)
			}
		}
	}
	return nil
}

// dropUncovered removes the parameters that the variant's text leaves out. They are not authenticated: anyone who saw a
// call of the PHP SDK could add "name=@value" to it and keep its signature. A blank value has no meaning either, covered
// or not: see Get.
func (r *Request) dropUncovered(v Variant) {
	r.Params = slices.DeleteFunc(r.Params, func(p Param) bool { return p.Name != "sign" && !v.covers(&p) })
}
