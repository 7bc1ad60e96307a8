package gateway

import (
	"log/slog"
	"net/http"
	"time"
)

// ServerLimits bounds what one connection may take of the server, so that slow or greedy clients cannot hold it.
// Zero fields take the default. The size of a body is for the protocols to bound, which answer in their own words.
type ServerLimits struct {
	ReadHeader  time.Duration // until the request line and headers are read; default 5 s
	Read        time.Duration // until the whole request is read; default 15 s
	Write       time.Duration // from the headers to the end of the answer; default 30 s, above any deadline of a call
	Idle        time.Duration // between two requests on one connection; default 120 s
	HeaderBytes int           // of request line and headers; default 64 KiB
}

// NewServer makes an HTTP server with the limits. It logs what goes wrong with connections.
func NewServer(handler http.Handler, l ServerLimits, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: or(l.ReadHeader, 5*time.Second),
		ReadTimeout:       or(l.Read, 15*time.Second),
		WriteTimeout:      or(l.Write, 30*time.Second),
		IdleTimeout:       or(l.Idle, 120*time.Second),
		MaxHeaderBytes:    or(l.HeaderBytes, 64<<10),
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func or[T ~int | ~int64](value, fallback T) T {
	if value > 0 {
		return value
	}
	return fallback
}
