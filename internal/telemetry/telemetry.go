// Package telemetry makes the loggers of faquan: structured logs without secrets.
//
// Every log line has a constant message, and attributes with stable names in snake_case. Ids are text, because many
// readers of JSON round numbers beyond 2⁵³; a duration is a number of milliseconds, and its name ends in _ms. Secrets,
// signatures, session keys, certificate codes and phone numbers must never be in a log: the code that writes the line
// leaves them out, and the handler here is the second barrier, which hides the values of attributes with such names.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Hidden replaces a value that is not shown.
const Hidden = "[hidden]"

// secret holds the names of attributes whose values are never shown: those of the wire and those of faquan.
var secret = map[string]bool{
	"sign": true, "signature": true, "biz_content": true, "body": true, "query": true,
	"app_secret": true, "secret": true, "private_key": true, "aes_key": true, "password": true,
	"session": true, "session_key": true, "access_token": true, "auth_token": true, "app_auth_token": true,
	"refresh_token": true, "client_secret": true, "consent_key": true,
	"certificate_code": true,
	"login_id":         true, "phone": true, "mobile": true, "email": true,
}

// NewLogger returns a logger that writes lines in the format, text or json, from the level on: debug, info, warn or
// error.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{ReplaceAttr: replace}
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	o.Level = from
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format: %q is not text or json", format)
}

// replace hides the value of an attribute with a secret name, in any group. It writes durations as milliseconds and large
// numbers as text.
func replace(_ []string, a slog.Attr) slog.Attr {
	if secret[strings.ToLower(a.Key)] {
		return slog.String(a.Key, Hidden)
	}
	switch v := a.Value; v.Kind() {
	case slog.KindDuration:
		return slog.Float64(a.Key+"_ms", float64(v.Duration().Microseconds())/1000)
	case slog.KindInt64:
		if n := v.Int64(); n > maxExact || n < -maxExact { //guard:TestNumbers without n > maxExact
			return slog.String(a.Key, v.String())
		}
	case slog.KindUint64:
		if v.Uint64() > maxExact {
			return slog.String(a.Key, v.String())
		}
	}
	return a
}

// maxExact is the largest number up to which a float64 represents every whole number.
const maxExact = 1 << 53
