package gateway

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"faquan/internal/id"
)

// A trace id names a call: it is in its answer and in the log. That of a call that was answered with a voucher begins
// with the voucher's id, so that what was issued is found by the trace id for ever although the store does not have it.
//
//	            on Alipay, the header trace_id    on TOP, the member request_id
//	a voucher   its id, 16 hex digits             its id, 13 digits of base 36
//	            16 random ones, the first ≥ 8     4 random ones
//	none        32 random ones, the first ≥ 8     13 random ones
//
// The id of a voucher is less than 2⁶³: its first hex digit is less than 8.
const (
	traceLen        = 32
	idHex           = 16
	idBase36        = 13
	requestIDEnd    = 4
	issuedRequestID = idBase36 + requestIDEnd
)

// NewTraceID makes the trace id of a call on Alipay. It is no secret.
func NewTraceID() string {
	const first = 1 << 63 // so that all 16 digits are there
	return fmt.Sprintf("%x%x", rand.Uint64()|first, rand.Uint64()|first)
}

// issuedTrace returns the trace id of a call that was answered with a voucher, in the form and with the end of the one that
// the call had before.
func issuedTrace(trace string, voucher id.ID) string {
	if len(trace) == traceLen {
		return digits(voucher, 16, idHex) + trace[idHex:]
	}
	return digits(voucher, 36, idBase36) + trace[max(0, len(trace)-requestIDEnd):]
}

// digits returns the id in a base, with zeros at the front up to the length.
func digits(voucher id.ID, base, length int) string {
	text := strconv.FormatInt(int64(voucher), base)
	return strings.Repeat("0", length-len(text)) + text
}

// VoucherOf returns the id of the voucher with which a call was answered, by the call's trace id. It reports whether the
// text can be such a trace id, not whether the voucher exists.
func VoucherOf(trace string) (id.ID, bool) {
	var n int64
	var err error
	switch len(trace) {
	case traceLen:
		n, err = strconv.ParseInt(trace[:idHex], 16, 64)
	case issuedRequestID:
		n, err = strconv.ParseInt(trace[:idBase36], 36, 64)
	default:
		return 0, false
	}
	if err != nil || n <= 0 || issuedTrace(trace, id.ID(n)) != trace {
		return 0, false
	}
	return id.ID(n), true
}
