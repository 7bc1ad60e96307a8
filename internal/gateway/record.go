package gateway

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Record is what is kept of one call, in the log and, if it issued nothing, in Refusals. What must not be in a log is
// not logged: names of recipients, certificate codes and free text such as a memo, which are in Request and Attempt
// alone. Signatures and tokens are in none of its fields.
type Record struct {
	Protocol string // "alipay", "top", "oauth" or "api"
	TraceID  string // also in the answer
	Method   string // as sent; unverified when the call was refused early
	AppID    string // on Alipay, as sent; unverified when the call was refused early
	AppKey   string // on TOP, as AppID
	AppName  string // on the JSON API: of the app of the token, in the catalogue
	Variant  string // which string to sign matched
	Code     string // of the answer
	SubCode  string // of the answer; "" for a success
	Outcome  Outcome
	// Reason is the core's, beside the codes of the wire. It is NotRefused when the core did not refuse: something was
	// issued, or the call was refused before the core decided, or no decision was made.
	Reason benefit.Reason

	Template string // the name in the catalogue, or what the call names and there is not; "" when the call got not that far
	Key      string // the idempotency key as sent, which may be too long to be one
	// CallerTrace is the trace id that the caller sent, "" for none. Callers look for their calls by it.
	CallerTrace string
	Voucher     id.ID // the first one issued; 0 for none
	Replayed    bool  // the key had been bound before
	Took        time.Duration
	Err         error // what went wrong on our side, if anything did: then no decision was made

	// What follows is not logged.

	At      time.Time         // of the answer; set by Refusals
	Number  int64             // counts the calls of apps that issued nothing, from 1; set by Refusals
	App     benefit.AppID     // the app that the call names; 0 for none
	Message string            // sub_msg of a refusal
	Request *benefit.Request  // what the core was asked; nil when it was not
	Attempt *benefit.Issuance // what the core refused; nil when it did not get so far

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

// Issued notes what the call was answered with. Its trace id leads to the voucher from then on, so an answer must not be
// begun before.
func (r *Record) Issued(voucher id.ID, replayed bool) {
	r.Voucher, r.Replayed = voucher, replayed
	r.TraceID = issuedTrace(r.TraceID, voucher) //guard:TestTraceOfAVoucher
}

// Refused reports whether the answer is no success.
func (r *Record) Refused() bool { return r.SubCode != "" || r.Code != "0" && r.Code != "10000" }

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
	attrs := make([]slog.Attr, 0, 18)
	attrs = append(attrs, slog.String("protocol", r.Protocol), slog.String("trace", r.TraceID),
		slog.String("method", cut(r.Method)))
	ifAny := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	ifAny("app_id", cut(r.AppID))
	ifAny("app_key", cut(r.AppKey))
	ifAny("app", cut(r.AppName))
	ifAny("code", r.Code)
	ifAny("sub_code", r.SubCode)
	ifAny("variant", r.Variant)
	if r.Reason != benefit.NotRefused {
		attrs = append(attrs, slog.String("reason", r.Reason.String()))
	}
	ifAny("template", cut(r.Template))
	ifAny("key", cutKey(r.Key))
	ifAny("caller_trace", cut(r.CallerTrace))
	if r.Voucher != 0 {
		attrs = append(attrs, slog.String("voucher", strconv.FormatInt(int64(r.Voucher), 10)), slog.Bool("replayed", r.Replayed))
	}
	if r.Suppressed > 0 {
		attrs = append(attrs, slog.Int64("suppressed", r.Suppressed))
	}
	attrs = append(attrs, slog.Float64("took_ms", float64(r.Took.Microseconds())/1000))
	if r.Err != nil {
		attrs = append(attrs, slog.Any("err", r.Err))
	}
	log.LogAttrs(ctx, level, "call", attrs...)
}

func cut(text string) string { return text[:min(len(text), maxLogged)] }

// cutKey bounds a key that may be none because it is too long. One that can be bound stays whole.
func cutKey(key string) string { return key[:min(len(key), benefit.MaxKey*utf8.UTFMax)] }
