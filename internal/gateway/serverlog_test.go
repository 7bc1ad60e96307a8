package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/time/rate"
)

// What strangers make the HTTP server say is bounded, what was left out is counted, and a panic is never left out.
func TestServerLogIsBounded(t *testing.T) {
	var out bytes.Buffer
	l := &serverLog{log: slog.New(slog.NewTextHandler(&out, nil)), limit: rate.NewLimiter(0, 20)}
	for range 300 {
		_, _ = l.Write([]byte("http: TLS handshake error\n"))
	}
	if n := strings.Count(out.String(), "handshake"); n != 20 {
		t.Errorf("%d lines of 300", n)
	}
	_, _ = l.Write([]byte("http: panic serving\n"))
	if !strings.Contains(out.String(), `msg="http: panic serving" suppressed=280`) {
		t.Errorf("the panic is missing, or the count: %s", &out)
	}
}
