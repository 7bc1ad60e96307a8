package gateway_test

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
)

// serveTLS starts a server of HTTPS that answers 503 to a body that is refused, and returns its address.
func serveTLS(t *testing.T, l gateway.ServerLimits, log io.Writer) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, public, private)
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); errors.Is(err, form.ErrBusy) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}), l, slog.New(slog.NewTextHandler(log, nil)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- server.ServeTLS(listener, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}})
	}()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func dialTLS(t *testing.T, address string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// HTTP/2 has many requests on one connection, which the bounds of connections would not see.
func TestHTTP2IsOff(t *testing.T) {
	c := dialTLS(t, serveTLS(t, gateway.ServerLimits{}, io.Discard))
	if protocol := c.ConnectionState().NegotiatedProtocol; protocol == "h2" {
		t.Error("HTTP/2 over TLS")
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for name, c := range map[string]net.Conn{"TLS": c, "plain": dial(t, serveOn(t, gateway.ServerLimits{}), "")} {
		if _, err := io.WriteString(c, preface); err != nil {
			t.Fatal(err)
		}
		if answer, _ := io.ReadAll(c); !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Errorf("%s: HTTP/2 without negotiation is answered %q", name, answer)
		}
	}
}

// With TLS, too, requests are charged for and answered.
func TestBoundsWithTLS(t *testing.T) {
	address := serveTLS(t, gateway.ServerLimits{Memory: 64 << 10}, io.Discard)
	for size, want := range map[int]int{4 << 10: 200, 256 << 10: 503} {
		c := dialTLS(t, address)
		if _, err := io.WriteString(c, post("/", size, size)); err != nil && want == 200 {
			t.Fatal(err) // a refusal may come before all is written
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("%d bytes are answered %d, want %d", size, res.StatusCode, want)
		}
	}
}

// Who does not speak TLS hears why, a handshake that stalls is cut off, and the operator can read of both.
func TestFailedHandshakes(t *testing.T) {
	log := make(lines, 10)
	address := serveTLS(t, gateway.ServerLimits{ReadHeader: 50 * time.Millisecond}, log)
	for sent, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": "Client sent an HTTP request to an HTTPS server.", "": "",
	} {
		answer, _ := io.ReadAll(dial(t, address, sent))
		if !strings.Contains(string(answer), want) {
			t.Errorf("%q is answered %q", sent, answer)
		}
		if line := <-log; !strings.Contains(line, "TLS handshake error from 127.0.0.1") {
			t.Errorf("the log has %q", line)
		}
	}
}

// lines is a log that can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// What TLS keeps to itself, such as half a ClientHello of 64 KiB, is charged for as well; a large body is not in the
// way of itself.
func TestMemoryOfTLS(t *testing.T) {
	address := serveTLS(t, gateway.ServerLimits{Memory: 64 << 10, ReadHeader: generous, Read: generous}, io.Discard)
	record := "\x16\x03\x01\x40\x00" + strings.Repeat("z", 1<<14)
	hello := "\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03" + strings.Repeat("z", 1<<14-6) + record + record
	c := dial(t, address, "")
	go func() { _, _ = io.WriteString(c, hello) }()
	_ = c.SetReadDeadline(time.Now().Add(generous / 2))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("half a ClientHello of 64 KiB is kept, where there is no memory for it")
	}
	large := dialTLS(t, serveTLS(t, gateway.ServerLimits{Memory: 8 << 20}, io.Discard))
	if _, err := io.WriteString(large, post("/", 1<<20, 1<<20)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(large), nil)
	if err != nil || res.StatusCode != 200 {
		t.Errorf("a body of 1 MiB, where there is room for two: %v, %v", res, err)
	}
}
