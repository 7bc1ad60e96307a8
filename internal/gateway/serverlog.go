package gateway

import (
	"log/slog"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// serverLog logs the lines of the HTTP server, most of them about connections of strangers, such as failed handshakes. It
// is bounded, so that they cannot fill a disk. A panic is always logged.
type serverLog struct {
	log        *slog.Logger
	limit      *rate.Limiter
	suppressed atomic.Int64 // lines since the last one that was logged
}

// Write logs one line.
func (s *serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if !s.limit.Allow() && !strings.Contains(text, "panic") {
		s.suppressed.Add(1)
		return len(line), nil
	}
	if n := s.suppressed.Swap(0); n > 0 {
		s.log.Warn(text, "suppressed", n)
	} else {
		s.log.Warn(text)
	}
	return len(line), nil
}
