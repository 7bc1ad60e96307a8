package gateway

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Record is what the log keeps of one call. It has no place for what must not be in a log: signatures, tokens,
// certificate codes, phone numbers and other names of recipients, and free text such as a memo.
type Record struct {
	Protocol string // "alipay" or "top"
	TraceID  string // also in the answer
	Method   string // as sent; unverified when the call was refused early
	AppID    string // on Alipay, as sent; unverified when the call was refused early
	AppKey   string // on TOP, as AppID
	Variant  string // which string to sign matched
	Code     string // of the answer
	SubCode  string // of the answer; "" for a success
	Outcome  Outcome
	Reason   benefit.Reason // of the core, when the outcome is Refused

	Template benefit.TemplateID // 0 when the call got not that far
	Key      string             // the idempotency key
	// CallerTrace is the trace id that the caller sent, "" for none. Callers look for their calls by it.
	CallerTrace string
	Voucher     id.ID // the first one issued; 0 for none
	Replayed    bool  // the key had been bound before
	Took        time.Duration
	Err         error // what went wrong on our side, if anything did

	// Quiet keeps the call out of the log, unless something went wrong on our side: see Apps.Failed.
	Quiet bool
	// Suppressed is the number of calls that were kept out before this one.
	Suppressed int64

	failed bool // Failed was called
}

// Failed counts the call as one that fails to authenticate, once, and reports whether it may be explained: see
// Apps.Failed.
func (r *Record) Failed(apps *Apps, app benefit.AppID, address string, now time.Time) bool {
	if !r.failed {
		r.failed = true
		within, suppressed := apps.Failed(app, address, now)
		r.Quiet, r.Suppressed = !within, suppressed
	}
	return !r.Quiet
}

// maxLogged bounds texts in a record that a caller chose, in bytes.
const maxLogged = 128

// NoCalls is the level of calls that are not logged unless something went wrong on our side.
const NoCalls = slog.Level(math.MinInt)

// Log writes the record: at the level of calls, or Warn when something went wrong on our side. What is not logged
// costs next to nothing.
func (r *Record) Log(ctx context.Context, log *slog.Logger, calls slog.Level) {
	level := calls
	if r.Err != nil {
		level = slog.LevelWarn
	}
	if level == NoCalls || r.Quiet && r.Err == nil || !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("protocol", r.Protocol), slog.String("trace", r.TraceID),
		slog.String("method", cut(r.Method)))
	attrs = appendText(attrs, "app_id", cut(r.AppID))
	attrs = appendText(attrs, "app_key", cut(r.AppKey))
	attrs = appendText(attrs, "code", r.Code)
	attrs = appendText(attrs, "sub_code", r.SubCode)
	attrs = appendText(attrs, "variant", r.Variant)
	if r.Template != 0 {
		attrs = append(attrs, slog.Int64("template", int64(r.Template)))
	}
	attrs = appendText(attrs, "key", r.Key)
	attrs = appendText(attrs, "caller_trace", cut(r.CallerTrace))
	if r.Voucher != 0 {
		attrs = append(attrs, slog.Int64("voucher", int64(r.Voucher)), slog.Bool("replayed", r.Replayed))
	}
	if r.Suppressed > 0 {
		attrs = append(attrs, slog.Int64("suppressed", r.Suppressed))
	}
	attrs = append(attrs, slog.Duration("took", r.Took))
	if r.Err != nil {
		attrs = append(attrs, slog.Any("err", r.Err))
	}
	log.LogAttrs(ctx, level, "call", attrs...)
}

func appendText(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, value))
}

func cut(text string) string { return text[:min(len(text), maxLogged)] }

// NewTraceID makes the name of a call that both its answer and its record carry: 32 hex digits. It is no secret.
func NewTraceID() string {
	var room [32]byte
	b := appendHex(room[:0], rand.Uint64())
	return string(appendHex(b, rand.Uint64()))
}

func appendHex(b []byte, n uint64) []byte {
	// The top bit is set so that all 16 digits are there.
	return strconv.AppendUint(b, n|1<<63, 16)
}
