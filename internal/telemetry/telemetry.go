// Package telemetry is how faquan tells its operator what happens: structured logs without secrets.
//
// Every log line has a constant message and its facts as attributes with stable names. What must never be in a log
// (secrets, signatures, session keys, certificate codes, phone numbers) is kept out where the line is written; the
// handler here is the second barrier, which hides the value of an attribute whose name says that it is one of
// these.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Hidden is what stands in the place of a value that is not shown.
const Hidden = "[hidden]"

// secret are the names of attributes whose values are never shown: the wire's names and ours.
var secret = map[string]bool{
	"sign": true, "signature": true, "biz_content": true, "body": true, "query": true,
	"app_secret": true, "secret": true, "private_key": true, "aes_key": true, "password": true,
	"session": true, "session_key": true, "access_token": true, "auth_token": true, "app_auth_token": true,
	"refresh_token": true, "client_secret": true, "consent_key": true,
	"certificate_code": true,
	"login_id":         true, "phone": true, "mobile": true, "email": true,
}

// NewLogger makes a logger that writes lines of the format, text or json, from the level on: debug, info, warn or
// error.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{ReplaceAttr: hide}
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
	return nil, fmt.Errorf("log format: %q is neither text nor json", format)
}

// hide takes away the value of an attribute with a secret name, in whatever group it stands.
func hide(_ []string, a slog.Attr) slog.Attr {
	if secret[strings.ToLower(a.Key)] {
		a.Value = slog.StringValue(Hidden)
	}
	return a
}
