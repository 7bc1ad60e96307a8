// Package money holds amounts of renminbi as whole fen (分), the only form in which faquan keeps and computes money.
//
// Yuan (元) exist at the edges alone: on the wire and in catalogue files they travel as decimal text, which
// [ParseYuan] reads exactly and [Fen.Yuan] writes. No float ever touches an amount: 0.1 has no exact binary
// form, and a budget that is off by one fen is a budget that was not kept.
package money

import (
	"errors"
	"fmt"
	"strconv"
)

// Fen is an amount in fen, 1/100 yuan. It may be negative in the middle of a computation; amounts that are
// parsed never are.
type Fen int64

// MaxFen bounds what is parsed: ten thousand billion yuan. It leaves room to add nine thousand such amounts
// without overflow, so sums of checked amounts need no checks of their own.
const MaxFen Fen = 1_000_000_000_000_000

// The ways in which text is not an amount. ParseYuan wraps them with the text.
var (
	ErrSyntax    = errors.New("not an amount in yuan: digits with at most one point, no sign, no exponent")
	ErrPrecision = errors.New("more than two decimals: the smallest unit is 0.01 yuan")
	ErrRange     = errors.New("amount too large")
)

// ParseYuan reads yuan as decimal text: "9", "9.9", "9.99". It refuses signs, exponents, white space, a
// missing digit on either side of the point, more than two decimals and amounts above MaxFen.
func ParseYuan(s string) (Fen, error) {
	var whole, part Fen
	digits, decimals := 0, -1
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.' && decimals < 0 && digits > 0:
			decimals = 0
		case c < '0' || c > '9':
			return 0, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
		case decimals < 0:
			digits++
			if whole = whole*10 + Fen(c-'0'); whole > MaxFen {
				return 0, fmt.Errorf("%w: %q", ErrRange, clip(s))
			}
		case decimals == 2:
			return 0, fmt.Errorf("%w: %q", ErrPrecision, clip(s))
		default:
			decimals++
			part = part*10 + Fen(c-'0')
		}
	}
	if digits == 0 || decimals == 0 {
		return 0, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
	}
	if decimals == 1 {
		part *= 10
	}
	if whole = whole*100 + part; whole > MaxFen {
		return 0, fmt.Errorf("%w: %q", ErrRange, clip(s))
	}
	return whole, nil
}

// clip keeps foreign text from filling an error message.
func clip(s string) string {
	if len(s) > 32 {
		return s[:32] + "…"
	}
	return s
}

// Yuan writes the amount with two decimals, the form that the Alipay pages call Price: "9.90".
func (f Fen) Yuan() string { return string(f.AppendYuan(nil)) }

// AppendYuan appends what Yuan returns.
func (f Fen) AppendYuan(b []byte) []byte {
	u := uint64(f)
	if f < 0 {
		b = append(b, '-')
		u = -u
	}
	b = strconv.AppendUint(b, u/100, 10)
	return append(b, '.', byte('0'+u/10%10), byte('0'+u%10))
}

// ShortYuan writes the amount without trailing zeros, as the pages of the rights API show it: "10.5", "100".
func (f Fen) ShortYuan() string {
	b := f.AppendYuan(nil)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	return string(b)
}
