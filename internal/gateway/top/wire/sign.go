package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	switch SignMethod(name) {
	case "", MD5:
		return MD5, true
	case HMAC:
		return HMAC, true
	case HMACSHA256:
		return HMACSHA256, true
	}
	return SignMethod(name), false
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

// covers reports whether the variant's text holds the parameter.
func (v Variant) covers(p *Param) bool { return p.Name != "sign" && !v.leavesOut(p.Name, p.Value) }

// StringToSign builds the text of one variant. Body is that of a call whose body is no form, else "".
func StringToSign(params map[string]string, body string, v Variant) string {
	return NewRequest(params, body).StringToSign(v)
}

// StringToSign builds the text of one variant.
func (r *Request) StringToSign(v Variant) string { return string(r.appendText(nil, v)) }

func (r *Request) appendText(dst []byte, v Variant) []byte {
	for i := range r.Params {
		if p := &r.Params[i]; v.covers(p) {
			dst = append(append(dst, p.Name...), p.Value...)
		}
	}
	return append(dst, r.Body...)
}

// Sign signs a string under an app's secret, as upper-case hex. The method must be one of SignMethods.
func Sign(text, secret string, m SignMethod) string {
	room := textPool.Get().(*[]byte)
	defer putText(room)
	sum := m.sum(room, secret, func(dst []byte) []byte { return append(dst, text...) })
	return strings.ToUpper(hex.EncodeToString(sum[:m.size()]))
}

// sum signs the text that write appends. The room is scratch: the text of a call is as long as the call.
func (m SignMethod) sum(room *[]byte, secret string, write func(dst []byte) []byte) (sum [sha256.Size]byte) {
	text := (*room)[:0]
	if m == MD5 {
		text = append(write(append(text, secret...)), secret...)
		all := md5.Sum(text)
		copy(sum[:], all[:])
	} else {
		text = write(text)
		mac := hmac.New(m.hash(), []byte(secret))
		mac.Write(text)
		mac.Sum(sum[:0])
	}
	*room = text
	return sum
}

func (m SignMethod) hash() func() hash.Hash {
	switch m {
	case HMAC:
		return md5.New
	case HMACSHA256:
		return sha256.New
	}
	panic("wire: no sign method " + string(m))
}

var textPool = sync.Pool{New: func() any { return new([]byte) }}

func putText(room *[]byte) {
	if cap(*room) <= 64<<10 { // one large call must not stay in memory for ever
		textPool.Put(room)
	}
}

// SignRequest signs a call as the Java SDK does and returns it as a URL-encoded form, for a query or a body. It sets
// sign_method and sign itself; blank values are left out.
func SignRequest(params map[string]string, secret string, m SignMethod) string {
	return signForm(params, "", secret, m)
}

func signForm(params map[string]string, body, secret string, m SignMethod) string {
	sent := map[string]string{"sign_method": string(m)}
	form := url.Values{"sign_method": {string(m)}}
	for name, value := range params {
		if name != "sign" && name != "sign_method" && !WithoutBlanks.leavesOut(name, value) {
			sent[name] = value
			form.Set(name, value)
		}
	}
	form.Set("sign", Sign(StringToSign(sent, body, AsSent), secret, m))
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

// Verify checks the parameter sign under an app's secret. Hex in lower case is accepted. Body is as for
// StringToSign.
func Verify(params map[string]string, body, secret string, m SignMethod) Verdict {
	return NewRequest(params, body).Verify(secret, m)
}

// Verify checks the parameter sign under an app's secret. Hex in lower case is accepted. It tries each string that
// differs, at most three, then the other methods whose signatures have this length.
func (r *Request) Verify(secret string, m SignMethod) Verdict {
	theirs, ok := r.signature()
	if !ok {
		return Verdict{}
	}
	if v := r.match(secret, m, theirs); v != NoMatch {
		return Verdict{Variant: v}
	}
	for _, other := range SignMethods() {
		if other != m && r.match(secret, other, theirs) != NoMatch {
			return Verdict{Other: other}
		}
	}
	return Verdict{}
}

// signature returns the parameter sign as bytes; ok is false when it is no hex.
func (r *Request) signature() (theirs []byte, ok bool) {
	theirs, err := hex.DecodeString(r.Get("sign"))
	return theirs, err == nil
}

// match finds the first variant that gives the signature.
func (r *Request) match(secret string, m SignMethod, theirs []byte) Variant {
	if len(theirs) != m.size() {
		return NoMatch // whatever the text is: no need to hash it
	}
	room := textPool.Get().(*[]byte)
	defer putText(room)
	for _, v := range [...]Variant{AsSent, WithoutBlanks, WithoutFiles} {
		if v != AsSent && !r.differs(v) {
			continue
		}
		ours := m.sum(room, secret, func(dst []byte) []byte { return r.appendText(dst, v) })
		if subtle.ConstantTimeCompare(ours[:m.size()], theirs) == 1 {
			return v
		}
	}
	return NoMatch
}

// differs reports whether the variant leaves out anything that was sent.
func (r *Request) differs(v Variant) bool {
	for i := range r.Params {
		if v.leavesOut(r.Params[i].Name, r.Params[i].Value) {
			return true
		}
	}
	return false
}

// dropUncovered removes the parameters that the variant's text leaves out. They are not authenticated: anyone who
// saw a call of the PHP SDK could add "name=@value" to it and keep its signature.
func (r *Request) dropUncovered(v Variant) {
	kept := r.Params[:0]
	for i := range r.Params {
		if p := r.Params[i]; p.Name == "sign" || v.covers(&p) {
			kept = append(kept, p)
		}
	}
	r.Params = kept
}

func sortParams(params []Param) {
	slices.SortStableFunc(params, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
}
