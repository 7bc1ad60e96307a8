package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"faquan/internal/gateway/form"
)

// MaxHeaderBytes is how long a header may be beside the query. A query that is too long for its protocol by less than
// that is answered by the protocol; a longer one by the HTTP server, with the status 431.
const MaxHeaderBytes = 64 << 10

// ServerLimits bounds what connections may take of the server, so that slow or greedy clients cannot hold it.
// Zero fields take the default. The size of a body is for the protocols to bound, which answer in their own words.
type ServerLimits struct {
	ReadHeader  time.Duration // until the request line and headers are read; default 5 s
	Read        time.Duration // until the whole request is read; default 15 s
	Write       time.Duration // from the headers to the end of the answer; default 30 s, above any deadline of a call
	Idle        time.Duration // between two requests on one connection; default 120 s
	HeaderBytes int           // of request line and headers; default MaxHeaderBytes and a query of form.DefaultBytes
	Connections int           // open at the same time; default 2048. Each takes ConnMemory
	Memory      int64         // bytes that requests share in addition to that; default 128 MiB
	BodyRate    int           // bytes per second that a body must arrive with, on average over 5 s; default 8 KiB
}

// Server is an HTTP server that bounds its connections and their memory. It speaks HTTP/1.1 alone, where a connection
// has one request at a time.
type Server struct {
	http      http.Server // its own ways to listen and serve would pass the admission by
	admission *admission
}

// NewServer makes an HTTP server with the limits. It logs what goes wrong with connections.
func NewServer(handler http.Handler, l ServerLimits, log *slog.Logger) *Server {
	l.Read = cmp.Or(l.Read, 15*time.Second)
	l.Connections = cmp.Or(l.Connections, 2048)
	l.Memory = cmp.Or(l.Memory, 128<<20)
	l.BodyRate = cmp.Or(l.BodyRate, 8<<10)
	a := newAdmission(l, log)
	s := &Server{admission: a, http: http.Server{
		Handler:           a.handler(handler),
		ReadHeaderTimeout: cmp.Or(l.ReadHeader, 5*time.Second),
		ReadTimeout:       l.Read,
		WriteTimeout:      cmp.Or(l.Write, 30*time.Second),
		IdleTimeout:       cmp.Or(l.Idle, 120*time.Second),
		MaxHeaderBytes:    cmp.Or(l.HeaderBytes, MaxHeaderBytes+form.DefaultBytes),
		ErrorLog:          stdlog.New(&serverLog{log: log, limit: rate.NewLimiter(rate.Every(time.Second), 20)}, "", 0),
		ConnContext:       withConn,
		ConnState:         a.changed,
		Protocols:         new(http.Protocols),
	}}
	s.http.Protocols.SetHTTP1(true)
	return s
}

// Serve serves HTTP on the listener.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(&listener{l, s, nil}) }

// ServeTLS serves HTTPS on the listener.
func (s *Server) ServeTLS(l net.Listener, secure *tls.Config) error {
	return s.http.Serve(&listener{l, s, secure})
}

// Shutdown waits for the running requests, until the context is done: see http.Server.Shutdown.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close closes the listeners and all connections: see http.Server.Close.
func (s *Server) Close() error { return s.http.Close() }

// listener accepts connections within the bounds.
type listener struct {
	net.Listener
	server *Server
	secure *tls.Config // nil for plain HTTP
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := l.server.admission.admit(raw)
		if c == nil {
			_ = raw.Close()
			continue
		}
		if l.secure != nil {
			below := &belowTLS{Conn: raw, c: c, free: freeHandshake}
			c.Conn = &tlsConn{Conn: tls.Server(below, l.secure), server: l.server, below: below}
		}
		return c, nil
	}
}

// tlsConn does at its first Read what the HTTP server does for a *tls.Conn: what is charged for must be read above TLS,
// so that server does not see one.
type tlsConn struct {
	*tls.Conn
	server *Server
	below  *belowTLS
	ready  bool
}

// belowTLS charges for what TLS keeps to itself: parts of handshake messages, which have up to 64 KiB each.
type belowTLS struct {
	net.Conn
	c    *conn
	kept int // bytes that were read since TLS gave some on
	free int // how many of them are not charged for
}

// How much TLS may keep without a charge: a large ClientHello, and then a record with what is read together with it.
const (
	freeHandshake = 8 << 10
	freeRecord    = 24 << 10
)

func (b *belowTLS) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.kept += n; b.kept > b.free && !b.c.a.keep(b.c, n) { //guard:TestMemoryOfTLS
		return 0, errBusy(b)
	}
	return n, err
}

// errBusy is the error of a connection that is closed because there is no memory. The HTTP server does not answer it.
func errBusy(c net.Conn) error {
	return &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: form.ErrBusy}
}

func (c *tlsConn) Read(p []byte) (int, error) {
	if !c.ready {
		if err := c.handshake(); err != nil {
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
		}
		c.ready, c.below.free = true, freeRecord
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.below.kept = 0
	}
	return n, err
}

// handshake is under the deadline for headers, which the HTTP server has set.
func (c *tlsConn) handshake() error {
	_ = c.SetWriteDeadline(time.Now().Add(c.server.http.ReadHeaderTimeout))
	err := c.Handshake()
	if err == nil {
		return c.SetWriteDeadline(time.Time{})
	}
	reason := err.Error()
	var foreign tls.RecordHeaderError
	if errors.As(err, &foreign) && foreign.Conn != nil && isPlainHTTP(foreign.RecordHeader) {
		_, _ = io.WriteString(foreign.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		reason = "client sent an HTTP request to an HTTPS server"
	}
	c.server.http.ErrorLog.Printf("http: TLS handshake error from %s: %s", c.RemoteAddr(), reason)
	return err
}

// isPlainHTTP reports whether what came instead of a TLS record begins an HTTP request.
func isPlainHTTP(start [5]byte) bool {
	method, _, _ := strings.Cut(string(start[:]), " ")
	return slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "OPTIO"}, method)
}
