package gateway

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"
)

// lockSpy is a log that notices when it is written to under the lock.
type lockSpy struct {
	slog.Handler
	a            *admission
	free, locked int
}

func (s *lockSpy) Enabled(context.Context, slog.Level) bool { return true }

func (s *lockSpy) Handle(context.Context, slog.Record) error {
	if s.a.mu.TryLock() {
		s.a.mu.Unlock()
		s.free++
	} else {
		s.locked++
	}
	return nil
}

// Every Read takes the lock, so a log that is slow must not be written to under it.
func TestNothingIsLoggedUnderTheLock(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(a *admission, c *conn)
	}{
		{"too many connections", func(a *admission, _ *conn) { a.admit(connWithoutPeer(t)) }},
		{"a header without memory", func(a *admission, c *conn) { a.received(c, make([]byte, ownMemory)) }},
		{"a body without memory", func(a *admission, c *conn) {
			a.expectBody(c)
			a.received(c, make([]byte, ownMemory))
		}},
		{"a handshake without memory", func(a *admission, c *conn) { a.keep(c, ownMemory) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			spy := &lockSpy{Handler: slog.DiscardHandler}
			a := newAdmission(ServerLimits{Connections: 1, Memory: 1, BodyRate: 1, Read: time.Second}, slog.New(spy))
			spy.a = a
			test.do(a, a.admit(connWithoutPeer(t)))
			if spy.free != 1 || spy.locked != 0 {
				t.Errorf("logged %d times without the lock and %d times under it, want 1 and 0", spy.free, spy.locked)
			}
		})
	}
}

func connWithoutPeer(t *testing.T) net.Conn {
	c, peer := net.Pipe()
	peer.Close()
	t.Cleanup(func() { c.Close() })
	return c
}
