package wire

import (
	"crypto/rsa"
	"errors"
	"strings"
	"time"
)

// Policy holds what the checks need to know of the server.
type Policy struct {
	// KnownMethod reports whether the gateway has a method.
	KnownMethod func(method string) bool
	// Key finds the public key of an app, nil when it has none. It may refuse with any Error, ErrInvalidAppID for an
	// unknown app.
	Key func(appID string) (*rsa.PublicKey, *Error)
	// Tolerance is how far the timestamp may be from now, either way. Zero turns
	// the check off: several SDKs send the caller's local time, in whatever zone.
	Tolerance time.Duration
	// Now returns the clock; needed only with a Tolerance.
	Now func() time.Time
}

// check is one step; the steps share what earlier ones found.
type check struct {
	name string
	run  func(*checker) *Error
}

type checker struct {
	policy *Policy
	req    *Request
	key    *rsa.PublicKey
	match  Variant
}

// order is the order in which errors win, after those of Parse. The package
// comment documents it.
var order = []check{
	{"method", checkMethod},
	{"app_id", checkApp},
	{"sign_type", checkSignType},
	{"sign", checkSignPresent},
	{"charset", checkCharset},
	{"timestamp", checkTimestamp},
	{"version", checkVersion},
	{"format", checkFormat},
	{"encryption", checkEncryption},
	{"certificate", checkCertificate},
	{"signature", checkSignature},
}

// Check runs all checks and returns the first refusal, nil when the request is
// authentic. Afterwards req holds only what the signature covers. The variant tells
// which string matched, for metrics; with a refusal it is NoMatch unless the signature
// is good.
func (p *Policy) Check(req *Request) (Variant, *Error) {
	c := checker{policy: p, req: req}
	for _, step := range order {
		if bad := step.run(&c); bad != nil {
			return c.match, bad
		}
	}
	return c.match, nil
}

func checkMethod(c *checker) *Error {
	method := c.req.Method()
	if method == "" {
		return ErrMissingMethod
	}
	if !c.policy.KnownMethod(method) {
		return ErrInvalidMethod
	}
	return nil
}

func checkApp(c *checker) *Error {
	appID := c.req.AppID()
	if appID == "" {
		return ErrMissingAppID
	}
	if len(appID) > 32 { // as documented; a lookup need not see more
		return ErrInvalidAppID
	}
	var bad *Error
	if c.key, bad = c.policy.Key(appID); bad == nil && c.key == nil {
		return ErrMissingSignatureConfig
	}
	return bad
}

func checkSignType(c *checker) *Error {
	switch c.req.Get("sign_type") {
	case "":
		return ErrMissingSignatureType
	case string(RSA2), string(RSA):
		return nil
	case "SM2":
		return ErrSM2
	}
	return ErrInvalidSignatureType
}

func checkSignPresent(c *checker) *Error {
	if c.req.Get("sign") == "" {
		return ErrMissingSignature
	}
	return nil
}

func checkCharset(c *checker) *Error { return c.req.charsetProblem }

func checkTimestamp(c *checker) *Error {
	text := c.req.Get("timestamp")
	if text == "" {
		return ErrMissingTimestamp
	}
	at, err := ParseTimestamp(text)
	if err != nil {
		return ErrInvalidTimestamp
	}
	if c.policy.Tolerance <= 0 {
		return nil
	}
	if off := c.policy.Now().Sub(at).Abs(); off > c.policy.Tolerance {
		return ErrInvalidTimestamp.With("时间戳与服务器时间相差过大，请使用北京时间并校准时钟")
	}
	return nil
}

func checkVersion(c *checker) *Error {
	switch c.req.Get("version") {
	case "":
		return ErrMissingVersion
	case "1.0":
		return nil
	}
	return ErrInvalidParameter.With("参数version无效，固定为1.0")
}

func checkFormat(c *checker) *Error {
	if format := c.req.Get("format"); format != "" && !strings.EqualFold(format, "json") {
		return ErrInvalidFormat
	}
	return nil
}

// checkEncryption refuses rather than ignores: biz_content would be ciphertext, and
// the caller would expect the answer to be.
func checkEncryption(c *checker) *Error {
	if c.req.Get("encrypt_type") != "" {
		return ErrInvalidEncryptType
	}
	return nil
}

// checkCertificate refuses rather than ignores: in certificate mode the Java SDK
// throws on every success without alipay_cert_sn, after the voucher was issued.
func checkCertificate(c *checker) *Error {
	if c.req.Get("app_cert_sn") != "" || c.req.Get("alipay_root_cert_sn") != "" {
		return ErrCertificateMode
	}
	return nil
}

func checkSignature(c *checker) *Error {
	if signature, hint := decodeSignature(c.req.Get("sign"), c.key); hint == "" {
		c.match = c.req.match(c.key, c.req.AnswerSignType(), signature)
	}
	if c.match == NoMatch {
		return ErrInvalidSignature
	}
	c.req.dropUncovered(c.match)
	return c.req.hidden() //guard:TestHiddenParameters
}

// Why returns the refusal of a request that Check refused for its signature, with the reason. It is apart from Check
// since it costs several verifications: see gateway.Apps.Failed. The key is the one that Check used.
func (r *Request) Why(key *rsa.PublicKey) *Error {
	t := r.AnswerSignType()
	return ErrInvalidSignature.With(r.Explain(r.Verify(key, t), t))
}

// beijing is the zone of every time on this wire. It has had no summer time since
// 1991, and the platform never knew one.
var beijing = time.FixedZone("+08:00", 8*60*60)

const timestampLayout = "2006-01-02 15:04:05"

// ParseTimestamp reads exactly "yyyy-MM-dd HH:mm:ss" at +08:00.
func ParseTimestamp(text string) (time.Time, error) {
	at, err := time.ParseInLocation(timestampLayout, text, beijing)
	// time.Parse forgives a fraction of a second and a one-digit hour; the round
	// trip does not.
	if err != nil || FormatTimestamp(at) != text {
		return time.Time{}, errors.New("timestamp: not yyyy-MM-dd HH:mm:ss")
	}
	return at, nil
}

// FormatTimestamp writes an instant as "yyyy-MM-dd HH:mm:ss" at +08:00.
func FormatTimestamp(at time.Time) string { return at.In(beijing).Format(timestampLayout) }
