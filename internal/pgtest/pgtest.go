// Package pgtest gives tests a PostgreSQL of their own.
//
// [Start] makes a server: a fresh data directory, a random port on 127.0.0.1, no password. [Shared] is one server for all the
// tests of a test binary, without fsync: for tests that want rows, and in which nothing crashes.
// [Server.Database] makes an empty database on either, which is dropped with the test:
//
//	pool, err := pgxpool.New(ctx, pgtest.Shared(t).Database(t))
//
// A test that wants a crash takes a server of its own and uses [Server.Kill], which is kill -9 of all its
// processes, and [Server.StartAgain], which comes back on the same port with what was synced.
//
// Without the server's programs a test fails and says what to install; it is never skipped. A server and its directory
// go away with the test, and with the test process however that ends; see packages pgserver and sandbox.
package pgtest

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"

	"faquan/internal/pgserver"
)

// Option changes a server before it starts.
type Option = pgserver.Option

// With sets a parameter of the server, as postgresql.conf would.
func With(name, value string) Option { return pgserver.With(name, value) }

// NoSync makes a server that never calls fsync, for tests in which neither durability nor its cost matters. It
// survives [Server.Kill] all the same: a killed process loses nothing that the kernel has.
func NoSync() Option {
	return func(s *pgserver.Server) {
		With("fsync", "off")(s)
		With("full_page_writes", "off")(s)
	}
}

// Server is a private server with what tests want of it.
type Server struct{ *pgserver.Server }

// Start makes a server and takes it away when the test ends.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	s, err := Open(options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of the server's log:\n%s", s.LogTail())
		}
		if err := s.Close(); err != nil {
			tb.Errorf("closing PostgreSQL: %v", err)
		}
	})
	return s
}

// Open is Start for a server that outlives a test. The caller closes it; otherwise it ends with the process.
func Open(options ...Option) (*Server, error) {
	s, err := pgserver.Open(options...)
	if err != nil {
		return nil, err
	}
	return &Server{s}, nil
}

var shared = sync.OnceValues(func() (*Server, error) { return Open(NoSync()) })

// Shared returns the one server, without fsync, that the tests of a test binary share. It ends with the test process.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Database makes an empty database, which is dropped with the test, and returns its connection string.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := "t_" + strings.ToLower(rand.Text())
	if err := s.Exec("CREATE DATABASE " + name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if !s.Running() {
			return // it goes away with the server
		}
		if err := s.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Logf("database %s stays: %v", name, err)
		}
	})
	return s.URL(name)
}

// StartAgain starts a server that was killed, on its port and its data, and waits until it takes connections.
func (s *Server) StartAgain(tb testing.TB) {
	tb.Helper()
	if err := s.Server.Start(); err != nil {
		tb.Fatal(err)
	}
}
