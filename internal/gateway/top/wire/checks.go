package wire

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

// Credentials are what a signature is checked against.
type Credentials struct {
	Secrets []string // of the app, more than one while it changes its secret; none refuses every signature
	// Explain puts the string that the gateway signed into the refusal of a wrong signature, without the secret.
	// For an operator to switch on while an app is being connected.
	Explain bool
}

// DefaultTolerance is how far a timestamp may be from now, as the platform documents.
const DefaultTolerance = 10 * time.Minute

// DefaultBatchItems bounds a batch. The platform's own number is not known.
const DefaultBatchItems = 20

// Policy holds what the checks depend on.
type Policy struct {
	Methods map[string]Method // of the gateway, by name
	// Credentials finds those of an app. It may refuse with any Error: ErrInvalidAppKey for an unknown app.
	Credentials func(appKey string) (Credentials, *Error)
	// Tolerance is how far the timestamp may be from now, either way: 0 is DefaultTolerance, less turns the check
	// off.
	Tolerance time.Duration
	// Zones are the zones that a timestamp without one may be in; none is +08:00 alone, as documented. The SDKs for
	// .NET, PHP, Node and Go send the local time of the caller's machine.
	Zones      []*time.Location
	Now        func() time.Time // the clock
	BatchItems int              // how many a batch may hold; 0 is DefaultBatchItems
}

// Method names the parameter by which a method decides.
type Method struct {
	Object string // its object parameter; "" when it has none
	Key    string // of a method without an object: one that must exist somewhere; "" when it has none
}

// Check runs all checks and returns the first refusal, nil when the request is authentic. Afterwards req holds only
// what the signature covers. The variant is the one that matched, for logs and metrics.
func (p *Policy) Check(req *Request) (Variant, *Error) {
	if bad := p.checkMethod(req); bad != nil {
		return NoMatch, bad
	}
	return p.check(req, p.checkReading)
}

// CheckBatch is Check for what stands around a batch: all but the method, which each item has for itself. See Items. The
// variant is also there when a batch with a good signature is refused.
func (p *Policy) CheckBatch(req *Request) (Variant, *Error) {
	return p.check(req, p.checkBatchReading)
}

// check runs the checks from the app_key to the signature and then, on what the signature covers, whether the signed text
// is this request and no other. The package comment documents the order.
func (p *Policy) check(req *Request, reading func(*Request) *Error) (Variant, *Error) {
	if bad := p.checkCommon(req); bad != nil {
		return NoMatch, bad
	}
	creds, bad := p.Credentials(req.AppKey())
	if bad != nil {
		return NoMatch, bad
	}
	method, _ := ParseSignMethod(req.Get("sign_method"))
	for _, secret := range creds.Secrets {
		if secret == "" {
			continue // everybody can sign under an empty one
		}
		if v := req.match(secret, method); v != NoMatch {
			req.dropUncovered(v)
			return v, reading(req) //guard:internal/gateway/top.TestSignedTextIsNotCutElsewhere
		}
	}
	return NoMatch, ErrInvalidSignature
}

func (p *Policy) checkMethod(req *Request) *Error {
	if req.Method() == "" {
		return ErrMissingMethod
	}
	if _, known := p.Methods[req.Method()]; !known {
		return ErrInvalidMethod
	}
	return nil
}

// checkCommon checks the other common parameters, as far as they do not depend on the app.
func (p *Policy) checkCommon(req *Request) *Error {
	if req.AppKey() == "" {
		return ErrMissingAppKey
	}
	if bad := p.checkTimestamp(req.Get("timestamp")); bad != nil {
		return bad
	}
	switch req.Get("v") {
	case "2.0":
	case "":
		return ErrMissingVersion
	case "1.0":
		return ErrUnsupportedVersion
	default:
		return ErrInvalidVersion
	}
	_, known := ParseSignMethod(req.Get("sign_method"))
	switch format := req.Get("format"); {
	case format != "" && !strings.EqualFold(format, "xml") && !strings.EqualFold(format, "json"):
		return ErrInvalidFormat
	case !known: // no code is documented for it; 25 would send the caller to look for a wrong secret
		return Invalid("sign_method", "应为md5、hmac或hmac-sha256")
	case req.Get("sign") == "":
		return ErrMissingSignature
	case len(req.AppKey()) > 64: // real ones have 8 digits; a lookup need not see more
		return ErrInvalidAppKey
	}
	return nil
}

func (p *Policy) checkTimestamp(text string) *Error {
	if text == "" {
		return ErrMissingTimestamp
	}
	stamp, ok := ParseTimestamp(text)
	if !ok {
		return ErrInvalidTimestamp
	}
	tolerance := cmp.Or(p.Tolerance, DefaultTolerance)
	if now := p.Now(); tolerance > 0 && stamp.Off(now, p.Zones) > tolerance {
		text := "参数timestamp与网关时间" + FormatTimestamp(now) + "（北京时间）相差过大，"
		if zone := stamp.Zone(now, tolerance); zone != "" {
			text += "按" + zone + "时区解读则相符，而网关未启用该时区，"
		}
		return ErrInvalidTimestamp.With(text + "请使用北京时间并校准时钟")
	}
	return nil
}

// Why returns the refusal of a request that Check or CheckBatch refused for its signature, with the reason if the app
// wants that. Of several secrets the one under which another method fits decides.
func (p *Policy) Why(req *Request) *Error {
	creds, _ := p.Credentials(req.AppKey())
	method, _ := ParseSignMethod(req.Get("sign_method"))
	if !creds.Explain || len(creds.Secrets) == 0 {
		return ErrInvalidSignature
	}
	var other SignMethod
	for _, secret := range creds.Secrets {
		if secret == "" {
			continue // it signs for nobody: see check
		}
		if v := req.Verify(secret, method); v.Other != "" {
			other = v.Other
		}
	}
	bad := ErrInvalidSignature.With(req.Explain(other, method))
	bad.SubCode = "isv.invalid-signature"
	return bad
}

// beijing is the zone of every time on this wire. It has had no summer time since 1991, and the platform never knew
// one.
var beijing = time.FixedZone("+08:00", 8*60*60)

const timestampLayout = "2006-01-02 15:04:05"

// Timestamp is a timestamp as sent: an instant, what a clock on a wall showed, or a number that may be either.
type Timestamp struct {
	at            time.Time // of wall time: as if it were UTC
	instant, wall bool
}

// ParseTimestamp reads "yyyy-MM-dd HH:mm:ss", milliseconds since 1970 (13 digits, as the official Python SDK sends)
// or seconds (10 digits). Seconds may be those of a clock on a wall: go-opentaobao adds eight hours to them.
func ParseTimestamp(text string) (t Timestamp, ok bool) {
	if len(text) == 13 || len(text) == 10 {
		n, err := strconv.ParseUint(text, 10, 64)
		if len(text) == 13 {
			return Timestamp{at: time.UnixMilli(int64(n)), instant: true}, err == nil
		}
		return Timestamp{at: time.Unix(int64(n), 0).UTC(), instant: true, wall: true}, err == nil
	}
	at, err := time.ParseInLocation(timestampLayout, text, time.UTC)
	// time.Parse forgives a fraction of a second, a one-digit hour and more blanks than one.
	return Timestamp{at: at, wall: true}, err == nil && at.Format(timestampLayout) == text
}

// Off returns how far the timestamp is from now, in that of its readings, and of the zones, in which it is nearest. No
// zones are +08:00 alone.
func (t Timestamp) Off(now time.Time, zones []*time.Location) time.Duration {
	if len(zones) == 0 {
		zones = []*time.Location{beijing}
	}
	minimum := time.Duration(math.MaxInt64)
	if t.instant {
		minimum = now.Sub(t.at).Abs()
	}
	if t.wall {
		for _, zone := range zones {
			minimum = min(minimum, now.Sub(inZone(t.at, zone)).Abs())
		}
	}
	return minimum
}

// Zone returns the offset from UTC, such as +09:00, in which the timestamp is nearest to now, if that is within the
// tolerance; or else "". It looks at whole hours only, because by finer ones a clock that is wrong would fit, too.
func (t Timestamp) Zone(now time.Time, tolerance time.Duration) string {
	offset := inZone(t.at, time.UTC).Sub(now).Round(time.Hour)
	if !t.wall || offset < -12*time.Hour || offset > 14*time.Hour {
		return ""
	}
	zone := time.FixedZone("", int(offset/time.Second))
	if now.Sub(inZone(t.at, zone)).Abs() > tolerance {
		return ""
	}
	return now.In(zone).Format("-07:00")
}

// inZone returns the instant at which a clock in the zone shows what wall shows in UTC.
func inZone(wall time.Time, zone *time.Location) time.Time {
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
}

// FormatTimestamp writes an instant as "yyyy-MM-dd HH:mm:ss" at +08:00.
func FormatTimestamp(at time.Time) string { return at.In(beijing).Format(timestampLayout) }
