package gateway_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"faquan/internal/gateway"
)

// serveOn starts a server and returns its address. It echoes how much of a body it could read.
func serveOn(t *testing.T, l gateway.ServerLimits) string {
	t.Helper()
	server := gateway.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.URL.Path == "/large" {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 64<<20))
		}
	}), l, slog.New(slog.DiscardHandler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

const generous = time.Minute

// A client that stalls is cut off by the one limit that is for it, when all others are generous.
func TestSlowClients(t *testing.T) {
	all := gateway.ServerLimits{ReadHeader: generous, Read: generous, Write: generous, Idle: generous}
	const short = 50 * time.Millisecond
	header, read, idle, write := all, all, all, all
	header.ReadHeader, read.Read, idle.Idle, write.Write = short, short, short, short
	tests := []struct {
		name   string
		limits gateway.ServerLimits
		sent   string
	}{
		{"half a header", header, "POST / HTTP/1.1\r\nHost: x\r\n"},
		{"half a body", read, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"},
		{"no second request", idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, serveOn(t, test.limits), test.sent)
			start := time.Now()
			if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Log(err) // a reset is a way to be cut off, too
			}
			if took := time.Since(start); took > generous/2 {
				t.Errorf("was cut off after %v", took)
			}
		})
	}
	t.Run("an answer that is not read", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, serveOn(t, write), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(4 * short)
		n, err := io.Copy(io.Discard, conn)
		if n >= 64<<20 {
			t.Errorf("got all %d bytes, err %v", n, err)
		}
	})
}

func dial(t *testing.T, address, send string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestLargeHeaders(t *testing.T) {
	address := serveOn(t, gateway.ServerLimits{HeaderBytes: 8 << 10})
	for size, want := range map[int]int{4 << 10: http.StatusOK, 16 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		conn := dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\nPad: "+strings.Repeat("x", size)+"\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("%d bytes: status %d, want %d", size, res.StatusCode, want)
		}
	}
}

// No limit is off by default.
func TestDefaultLimits(t *testing.T) {
	s := gateway.NewServer(http.NotFoundHandler(), gateway.ServerLimits{}, slog.New(slog.DiscardHandler)).HTTP()
	for name, limit := range map[string]time.Duration{
		"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout,
	} {
		if limit <= 0 || limit > 2*time.Minute {
			t.Errorf("%s: %v", name, limit)
		}
	}
	if s.MaxHeaderBytes != 1<<20+64<<10 {
		t.Errorf("headers: %d bytes", s.MaxHeaderBytes)
	}
	if s.WriteTimeout <= 5*time.Second {
		t.Errorf("write: %v, which cuts calls off that wait for the default deadline of 5 s", s.WriteTimeout)
	}
}

// What http.Server does by itself, such as listening, would pass the bounds by.
func TestServerHidesHTTPServer(t *testing.T) {
	var s any = gateway.NewServer(http.NotFoundHandler(), gateway.ServerLimits{}, slog.New(slog.DiscardHandler))
	if _, promoted := s.(interface{ ListenAndServe() error }); promoted {
		t.Error("a Server has ListenAndServe")
	}
}
