package wire

import (
	"crypto/rsa"
	"errors"
	"strings"
	"time"
)

// Policy holds what the checks need of the server.
type Policy struct {
	// KnownMethod reports whether the gateway has a method.
	KnownMethod func(method string) bool
	// Key finds the public key of an app, nil when it has none. It may refuse with any Error, ErrInvalidAppID for an
	// unknown app.
	Key func(appID string) (*rsa.PublicKey, *Error)
	// Tolerance is how far the timestamp may be from now, either way. Zero turns the check off: several SDKs send the
	// caller's local time, in whatever zone.
	Tolerance time.Duration
	// Now returns the clock; needed only with a Tolerance.
	Now func() time.Time
}

// Check runs all checks, in the order of the package comment, and returns the first refusal, nil when the request is
// authentic. Afterwards req holds only what the signature covers. The variant is the string that matched, for metrics;
// with a refusal it is NoMatch unless the signature is good.
func (p *Policy) Check(req *Request) (Variant, *Error) {
	key, bad := p.check(req)
	if bad != nil {
		return NoMatch, bad
	}
	signature, hint := decodeSignature(req.Get("sign"), key)
	if hint != "" {
		return NoMatch, ErrInvalidSignature
	}
	match := req.match(key, req.AnswerSignType(), signature)
	if match == NoMatch {
		return NoMatch, ErrInvalidSignature
	}
	req.dropUncovered(match)
	return match, req.hidden() //guard:TestHiddenParameters
}

// check runs the checks before that of the signature, and returns the app's key.
func (p *Policy) check(req *Request) (*rsa.PublicKey, *Error) {
	switch method := req.Method(); {
	case method == "":
		return nil, ErrMissingMethod
	case !p.KnownMethod(method):
		return nil, ErrInvalidMethod
	}
	key, bad := p.keyOf(req.AppID())
	if bad != nil {
		return nil, bad
	}
	switch req.Get("sign_type") {
	case string(RSA2), string(RSA):
	case "":
		return nil, ErrMissingSignatureType
	case "SM2":
		return nil, ErrSM2
	default:
		return nil, ErrInvalidSignatureType
	}
	if req.Get("sign") == "" {
		return nil, ErrMissingSignature
	}
	if req.charsetProblem != nil {
		return nil, req.charsetProblem
	}
	if bad := p.checkTimestamp(req.Get("timestamp")); bad != nil {
		return nil, bad
	}
	switch req.Get("version") {
	case "1.0":
	case "":
		return nil, ErrMissingVersion
	default:
		return nil, ErrInvalidParameter.With("参数version无效，固定为1.0")
	}
	if format := req.Get("format"); format != "" && !strings.EqualFold(format, "json") {
		return nil, ErrInvalidFormat
	}
	// What follows is refused rather than ignored: of an encrypted call biz_content would be ciphertext, and the caller
	// would expect the answer to be; in certificate mode the Java SDK throws on every success without alipay_cert_sn,
	// after the voucher was issued.
	if req.Get("encrypt_type") != "" {
		return nil, ErrInvalidEncryptType
	}
	if req.Get("app_cert_sn") != "" || req.Get("alipay_root_cert_sn") != "" {
		return nil, ErrCertificateMode
	}
	return key, nil
}

// keyOf returns the key of an app that can sign.
func (p *Policy) keyOf(appID string) (*rsa.PublicKey, *Error) {
	switch {
	case appID == "":
		return nil, ErrMissingAppID
	case len(appID) > 32: // as documented; a lookup need not see more
		return nil, ErrInvalidAppID
	}
	key, bad := p.Key(appID)
	if bad == nil && key == nil {
		bad = ErrMissingSignatureConfig
	}
	return key, bad
}

func (p *Policy) checkTimestamp(text string) *Error {
	if text == "" {
		return ErrMissingTimestamp
	}
	at, err := ParseTimestamp(text)
	if err != nil {
		return ErrInvalidTimestamp
	}
	if p.Tolerance > 0 && p.Now().Sub(at).Abs() > p.Tolerance {
		return ErrInvalidTimestamp.With("时间戳与服务器时间相差过大，请使用北京时间并校准时钟")
	}
	return nil
}

// Why returns the refusal of a request that Check refused for its signature, with the reason. It is apart from Check
// since it costs several verifications: see gateway.Apps.Failed. The key is the one that Check used.
func (r *Request) Why(key *rsa.PublicKey) *Error {
	t := r.AnswerSignType()
	return ErrInvalidSignature.With(r.Explain(r.Verify(key, t), t))
}

// beijing is the zone of every time on this wire. It has had no summer time since 1991, and the platform never knew
// one.
var beijing = time.FixedZone("+08:00", 8*60*60)

const timestampLayout = "2006-01-02 15:04:05"

// ParseTimestamp reads exactly "yyyy-MM-dd HH:mm:ss" at +08:00.
func ParseTimestamp(text string) (time.Time, error) {
	at, err := time.ParseInLocation(timestampLayout, text, beijing)
	// time.Parse forgives a fraction of a second and a one-digit hour; the round trip does not.
	if err != nil || FormatTimestamp(at) != text {
		return time.Time{}, errors.New("timestamp: not yyyy-MM-dd HH:mm:ss")
	}
	return at, nil
}

// FormatTimestamp writes an instant as "yyyy-MM-dd HH:mm:ss" at +08:00.
func FormatTimestamp(at time.Time) string { return at.In(beijing).Format(timestampLayout) }
