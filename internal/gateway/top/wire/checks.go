package wire

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Credentials are the secrets that a signature is checked against.
type Credentials struct {
	// Secrets of the app, more than one while it changes its secret. None refuses every signature.
	Secrets []string
	// Explain puts the string that the gateway signed into the refusal of a wrong signature, without the secret.
	// For an operator to switch on while an app is being connected.
	Explain bool
}

// DefaultTolerance is how far a timestamp may be from now, as the platform documents.
const DefaultTolerance = 10 * time.Minute

// DefaultBatchItems bounds a batch. The platform's own number is not known.
const DefaultBatchItems = 20

// Policy holds what the checks need to know of the server.
type Policy struct {
	// KnownMethod reports whether the gateway has a method.
	KnownMethod func(method string) bool
	// Objects names the object parameter of each method that has one.
	Objects map[string]string
	// Keys names the one parameter, which must exist somewhere, by which a method without an object decides.
	Keys map[string]string
	// Credentials finds those of an app. It may refuse with any Error: ErrInvalidAppKey for an unknown app.
	Credentials func(appKey string) (Credentials, *Error)
	// Tolerance is how far the timestamp may be from now, either way: 0 is DefaultTolerance, less turns the check
	// off.
	Tolerance time.Duration
	// Zones are the zones that a timestamp without one may be in; none is +08:00 alone, as documented. The SDKs for
	// .NET, PHP, Node and Go send the local time of the caller's machine.
	Zones []*time.Location
	// Now returns the clock.
	Now func() time.Time
	// BatchItems bounds the items of a batch; 0 is DefaultBatchItems.
	BatchItems int
}

// check is one step; the steps share what earlier ones found.
type check struct {
	name string
	run  func(*checker) *Error
}

type checker struct {
	policy *Policy
	req    *Request
	method SignMethod
	creds  Credentials
	match  Variant
}

// order is the order in which errors win, after those of Parse. The package comment documents it.
var order = []check{
	{"method", checkMethod},
	{"app_key", checkAppKeyPresent},
	{"timestamp", checkTimestamp},
	{"v", checkVersion},
	{"format", checkFormat},
	{"sign_method", checkSignMethod},
	{"sign", checkSignPresent},
	{"app", checkApp},
	{"signature", checkSignature},
}

// Check runs all checks and returns the first refusal, nil when the request is authentic. Afterwards req holds only
// what the signature covers. The variant tells which string matched, for logs and metrics.
func (p *Policy) Check(req *Request) (Variant, *Error) {
	return p.check(req, order, p.checkReading)
}

// CheckBatch is Check for what stands around a batch: all but the method, which each item has for itself. See Items. The
// variant is also there when a batch with a good signature is refused.
func (p *Policy) CheckBatch(req *Request) (Variant, *Error) {
	return p.check(req, order[1:], p.checkBatchReading)
}

// check runs the steps and then, on what the signature covers, whether the signed text is this request and no other.
func (p *Policy) check(req *Request, steps []check, reading func(*Request) *Error) (Variant, *Error) {
	c := checker{policy: p, req: req}
	for _, step := range steps {
		if bad := step.run(&c); bad != nil {
			return NoMatch, bad
		}
	}
	return c.match, reading(req) //guard:internal/gateway/top.TestSignedTextIsNotCutElsewhere
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

func checkAppKeyPresent(c *checker) *Error {
	if c.req.AppKey() == "" {
		return ErrMissingAppKey
	}
	return nil
}

func checkTimestamp(c *checker) *Error {
	text := c.req.Get("timestamp")
	if text == "" {
		return ErrMissingTimestamp
	}
	stamp, err := ParseTimestamp(text)
	if err != nil {
		return ErrInvalidTimestamp
	}
	tolerance := c.policy.Tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	if now := c.policy.Now(); tolerance > 0 && stamp.Off(now, c.policy.Zones) > tolerance {
		text := "参数timestamp与网关时间" + FormatTimestamp(now) + "（北京时间）相差过大，"
		if zone := stamp.Zone(now, tolerance); zone != "" {
			text += "按" + zone + "时区解读则相符，而网关未启用该时区，"
		}
		return ErrInvalidTimestamp.With(text + "请使用北京时间并校准时钟")
	}
	return nil
}

func checkVersion(c *checker) *Error {
	switch c.req.Get("v") {
	case "":
		return ErrMissingVersion
	case "2.0":
		return nil
	case "1.0":
		return ErrUnsupportedVersion
	}
	return ErrInvalidVersion
}

func checkFormat(c *checker) *Error {
	format := c.req.Get("format")
	if format == "" || strings.EqualFold(format, "xml") || strings.EqualFold(format, "json") {
		return nil
	}
	return ErrInvalidFormat
}

// checkSignMethod refuses a case for which no code is documented; 25 would send the caller to look for a wrong secret.
func checkSignMethod(c *checker) *Error {
	var ok bool
	if c.method, ok = ParseSignMethod(c.req.Get("sign_method")); !ok {
		return Invalid("sign_method", "应为md5、hmac或hmac-sha256")
	}
	return nil
}

func checkSignPresent(c *checker) *Error {
	if c.req.Get("sign") == "" {
		return ErrMissingSignature
	}
	return nil
}

func checkApp(c *checker) *Error {
	appKey := c.req.AppKey()
	if len(appKey) > 64 { // real ones have 8 digits; a lookup need not see more
		return ErrInvalidAppKey
	}
	var bad *Error
	c.creds, bad = c.policy.Credentials(appKey)
	return bad
}

func checkSignature(c *checker) *Error {
	theirs, ok := c.req.signature()
	for _, secret := range c.creds.Secrets {
		if !ok || secret == "" {
			continue // everybody can sign under an empty one
		}
		if v := c.req.match(secret, c.method, theirs); v != NoMatch {
			c.match = v
			c.req.dropUncovered(v)
			return nil
		}
	}
	return ErrInvalidSignature
}

// Why returns the refusal of a request that Check or CheckBatch refused for its signature, with the reason if the app
// wants that. What is said of one secret may be wrong for another; a fitting method tells most.
func (p *Policy) Why(req *Request) *Error {
	creds, bad := p.Credentials(req.AppKey())
	method, known := ParseSignMethod(req.Get("sign_method"))
	if bad != nil || !known || !creds.Explain || len(creds.Secrets) == 0 {
		return ErrInvalidSignature
	}
	var other SignMethod
	for _, secret := range creds.Secrets {
		if secret == "" {
			continue // it signs for nobody: see checkSignature
		}
		if v := req.Verify(secret, method); v.Other != "" {
			other = v.Other
		}
	}
	bad = ErrInvalidSignature.With(req.Explain(other, method))
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
func ParseTimestamp(text string) (Timestamp, error) {
	if len(text) == 13 || len(text) == 10 {
		n, err := strconv.ParseUint(text, 10, 64)
		switch {
		case err != nil:
			return Timestamp{}, errTimestamp
		case len(text) == 13:
			return Timestamp{at: time.UnixMilli(int64(n)), instant: true}, nil
		}
		return Timestamp{at: time.Unix(int64(n), 0).UTC(), instant: true, wall: true}, nil
	}
	at, err := time.ParseInLocation(timestampLayout, text, time.UTC)
	// time.Parse forgives a fraction of a second, a one-digit hour and more blanks than one.
	if err != nil || at.Format(timestampLayout) != text {
		return Timestamp{}, errTimestamp
	}
	return Timestamp{at: at, wall: true}, nil
}

var errTimestamp = errors.New("timestamp: neither yyyy-MM-dd HH:mm:ss nor milliseconds")

// documentedZones are the zones of a policy that names none.
var documentedZones = []*time.Location{beijing}

// Off returns how far the timestamp is from now, in that of its readings, and of the zones, in which it is nearest. No
// zones are +08:00 alone.
func (t Timestamp) Off(now time.Time, zones []*time.Location) time.Duration {
	if len(zones) == 0 {
		zones = documentedZones
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
