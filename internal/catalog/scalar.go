package catalog

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// The readers of scalars. Each parses the text as it is written in the file, regardless of YAML's own types.

// text reads text of 1 to max characters without control characters.
func text(max int) func(string) (string, error) { return lines(max, unicode.IsControl) }

// longText reads text of 1 to max characters that may have several lines.
func longText(max int) func(string) (string, error) {
	return lines(max, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}

// lines reads text of 1 to max characters, of which none is refused.
func lines(max int, refused func(rune) bool) func(string) (string, error) {
	return func(s string) (string, error) {
		switch n := utf8.RuneCountInString(s); {
		case n == 0:
			return "", errors.New("is empty")
		case n > max:
			return "", fmt.Errorf("has %d characters, at most %d are allowed", n, max)
		case !utf8.ValidString(s):
			return "", errors.New("is not valid UTF-8")
		case strings.IndexFunc(s, refused) >= 0:
			return "", errors.New("contains a control character")
		}
		return s, nil
	}
}

// maxName is the maximum length of a name, in characters.
const maxName = 64

// handle reads the name of an entity. The two characters that it may not have separate a type from an identifier where an
// identifier names a user.
func handle(s string) (string, error) {
	if strings.ContainsAny(s, ":/") || strings.ContainsFunc(s, unicode.IsSpace) {
		return "", fmt.Errorf("a name must not contain white space, a colon or a slash: %q", clip(s))
	}
	return text(maxName)(s)
}

// token reads printable ASCII without white space, as for keys and codes of the protocols.
func token(max int) func(string) (string, error) {
	return func(s string) (string, error) {
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", errors.New("must be printable ASCII without white space")
		}
		return text(max)(s)
	}
}

// callerID reads an app_key, an app_id or the key of a session.
func callerID(max int) func(string) (string, error) {
	return func(s string) (string, error) {
		s, err := token(max)(s)
		if err == nil && !benefit.IsCallerID(s) {
			return "", errors.New("must not be 0 or begin with @, because PHP SDKs leave such values out of the signed text")
		}
		return s, err
	}
}

// number reads a whole number from min to max, exactly; only decimal digits are allowed.
func number[T ~int | ~int64](min, max int64) func(string) (T, error) {
	return func(s string) (T, error) {
		digits := s
		if min < 0 {
			digits = strings.TrimPrefix(s, "-")
		}
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return 0, fmt.Errorf("must be a whole number in decimal digits: %q", clip(s))
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < min || n > max {
			return 0, fmt.Errorf("must be from %d to %d: %s", min, max, clip(s))
		}
		return T(n), nil
	}
}

// wireNumber reads an id that travels as a number.
var wireNumber = number[int64](1, math.MaxInt64)

// someYuan reads an amount of at least one fen.
func someYuan(s string) (money.Fen, error) {
	f, err := money.ParseYuan(s)
	if err == nil && f == 0 {
		err = errors.New("must be at least 0.01")
	}
	return f, err
}

// percent reads a percentage above 0 and below 100 with at most two decimals, in hundredths of a percent.
func percent(s string) (int64, error) {
	hundredths, err := money.ParseYuan(s) // the same syntax: at most two decimals, no sign, no exponent
	if err != nil || hundredths < 1 || hundredths > 9999 {
		return 0, fmt.Errorf("must be the percentage left to pay, from 0.01 to 99.99 with at most two decimals: %q", clip(s))
	}
	return int64(hundredths), nil
}

// layouts are the accepted forms of a time; the first two are at +08:00.
var layouts = []string{
	time.DateTime, "2006-01-02T15:04:05",
	time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z07:00",
}

// The range of times; the first does not restrict in practice, and keeps the zero Instant free.
var (
	firstTime = time.Date(1971, 1, 1, 0, 0, 0, 0, benefit.Shanghai)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, benefit.Shanghai)
)

// instant reads a time in whole seconds; without a zone it is at +08:00.
func instant(s string) (benefit.Instant, error) {
	for _, layout := range layouts {
		t, err := time.ParseInLocation(layout, s, benefit.Shanghai)
		if err != nil || t.Nanosecond() != 0 {
			continue
		}
		if t.Before(firstTime) || t.After(lastTime) {
			return 0, fmt.Errorf("must be between %s and %s", firstTime.Format(time.DateTime), lastTime.Format(time.DateTime))
		}
		return benefit.InstantOf(t), nil
	}
	return 0, fmt.Errorf("must be a time like 2026-01-31 23:59:59 (at +08:00) or 2026-01-31T23:59:59+08:00: %q", clip(s))
}

const (
	secondMillis = 1000
	dayMillis    = 24 * 60 * 60 * secondMillis
	// maxDuration is a hundred years.
	maxDuration = 36500 * dayMillis
)

// units are the units of a duration, the largest first.
var units = []struct {
	letter byte
	millis int64
}{{'d', dayMillis}, {'h', 3600 * secondMillis}, {'m', 60 * secondMillis}, {'s', secondMillis}}

// duration reads a duration such as 10s, 12h or 1d12h into milliseconds, more than 0.
func duration(s string) (int64, error) {
	wrong := fmt.Errorf("must be a duration like 10s, 90m, 12h, 30d or 1d12h, at most 36500d: %q", clip(s))
	rest, total := s, int64(0)
	for _, u := range units {
		before, after, found := strings.Cut(rest, string(u.letter))
		if !found {
			continue
		}
		n, err := number[int64](0, maxDuration/u.millis)(before)
		if err != nil {
			return 0, wrong
		}
		total += n * u.millis
		rest = after
	}
	if rest != "" || total == 0 || total > maxDuration {
		return 0, wrong
	}
	return total, nil
}

// durationText returns the inverse of duration.
func durationText(millis int64) string {
	var b strings.Builder
	for _, u := range units {
		if n := millis / u.millis; n > 0 {
			b.WriteString(strconv.FormatInt(n, 10))
			b.WriteByte(u.letter)
			millis -= n * u.millis
		}
	}
	return b.String()
}

// words are the values of an enumerated field.
type words[T comparable] []struct {
	word  string
	value T
}

// named returns words for values that have names.
func named[T interface {
	comparable
	fmt.Stringer
}](values ...T) (w words[T]) {
	for _, v := range values {
		w = append(w, struct {
			word  string
			value T
		}{v.String(), v})
	}
	return w
}

func (w words[T]) read(s string) (T, error) {
	all := make([]string, len(w))
	for k, one := range w {
		if one.word == s {
			return one.value, nil
		}
		all[k] = one.word
	}
	var none T
	return none, fmt.Errorf("must be %s: %q", strings.Join(all, " or "), clip(s))
}

func (w words[T]) of(v T) string {
	for _, one := range w {
		if one.value == v {
			return one.word
		}
	}
	return fmt.Sprintf("?%v", v)
}

var (
	kinds    = named(benefit.Cash, benefit.Reduction, benefit.Discount, benefit.FixedPrice, benefit.Exchange, benefit.Certificate)
	statuses = words[benefit.Status]{
		{"DRAFT", benefit.Draft}, {"ACTIVE", benefit.Active}, {"PAUSED", benefit.Paused}, {"ENDED", benefit.Ended},
	}
	strategies = words[benefit.Strategy]{
		{"ALL", benefit.ChooseAll}, {"FIRST", benefit.ChooseFirst}, {"WEIGHTED", benefit.ChooseWeighted},
	}
	narrowings = words[benefit.Narrowing]{
		{"none", benefit.NarrowNone}, {"activities", benefit.NarrowActivities}, {"rights", benefit.NarrowRights},
	}
	anyUserIDWords = words[bool]{{"platform", false}, {"digits", true}}
	openWords      = words[bool]{{"registered", false}, {"open", true}}
	frozenWords    = words[bool]{{"ACTIVE", false}, {"FROZEN", true}}
	disabledWords  = words[bool]{{"ACTIVE", false}, {"DISABLED", true}}
	noGuardWords   = words[bool]{{"on", false}, {"off", true}}
	sendsWords     = words[bool]{{"cards", false}, {"sends", true}}
	yesNo          = words[bool]{{"true", true}, {"false", false}}
	signTypes      = words[string]{{"RSA2", "RSA2"}, {"RSA", "RSA"}}
)

// clip shortens a text, so that it does not fill a message.
func clip(s string) string {
	r := []rune(s)
	if len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// StatusName returns the name that catalogue files have for a status, such as ACTIVE.
func StatusName(s benefit.Status) string { return statuses.of(s) }

// ParseTime reads a time in one of the forms that catalogue files have, to the second. Without a zone it is at +08:00.
func ParseTime(text string) (benefit.Instant, error) { return instant(text) }
