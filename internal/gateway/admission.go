package gateway

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"faquan/internal/gateway/form"
)

// What connections and requests are charged, in bytes of memory. They were measured: a body is kept as it arrives and
// as it is decoded, and the collector needs room beside both; a header field is a line on the wire and a map entry in
// memory.
const (
	// ConnMemory is the charge of an open connection, whatever arrives on it: goroutine, buffers, TLS, and ownMemory.
	ConnMemory = 64 << 10
	// ByteMemory is the charge of one byte of a request.
	ByteMemory = 4

	lineMemory = 384      // of a line of the header, in addition to its bytes
	ownMemory  = 32 << 10 // of a request, before it needs the shared memory: enough for nearly all calls of the SDKs
)

const (
	bodyGrace    = 5 * time.Second // how long a body may be slower than the minimum rate
	giveWayAfter = time.Second     // how long a request may be under way before it gives way to others
	discardTime  = time.Second     // how long the rest of a refused body is read, so that its sender reads the answer
	discardBytes = 1 << 20
)

// admission bounds the number of connections and the memory of the requests on them.
//
// Each connection pays for itself and for a small request (ConnMemory); what a request needs beyond that comes out of
// memory that all share. Where something is full, what is slow gives way: a new connection replaces the one that has
// waited longest for the rest of its request or for its next one, strangers first; a request takes the shared memory of
// the oldest one that is still arriving. Neither touches a request that is complete. So an attacker who holds everything
// loses it to the next caller, and small requests do not need the shared memory at all.
//
// A connection that is closed, or refused, had no complete request: nothing of it has been processed.
type admission struct {
	limits              ServerLimits
	log                 *slog.Logger
	connsLog, memoryLog *rate.Limiter // of lines about connections, about memory

	mu   sync.Mutex // nothing is logged under it: see unlock
	open int        // connections
	used int64      // of memory
	// How often something gave way: connections that were closed for others, and requests that were refused for want of
	// memory.
	dropped, starved int64
	full, short      bool // for unlock to log: of connections, of memory
	// The *conn without a complete request, those that have waited longest first: those on which a call was verified,
	// and the others.
	known, strangers list.List
	holding          list.List // the *conn among both that hold shared memory, in the order in which they began to
}

func newAdmission(l ServerLimits, log *slog.Logger) *admission {
	every := rate.Every(10 * time.Second)
	return &admission{limits: l, log: log, connsLog: rate.NewLimiter(every, 1), memoryLog: rate.NewLimiter(every, 1)}
}

// phase is what a connection waits for.
type phase byte

const (
	idle    phase = iota // the first byte of a request
	header               // the rest of a header
	body                 // the rest of a body
	handled              // nothing: its request is complete
)

// conn is a connection as the HTTP server sees it.
type conn struct {
	net.Conn // with TLS, if there is any
	raw      net.Conn
	a        *admission

	refused atomic.Bool // the body of the current request is not kept; set under a.mu

	// Guarded by a.mu.
	phase           phase
	since           time.Time // when the current wait for a request began, or the request
	charged, shared int64     // by the request, and how much of it is shared memory
	waits, holds    *list.Element
	verified        bool // a call on it was
	closed          bool // by us or by the server: what still arrives is not processed
}

// unlock unlocks a.mu and then logs what there is too little of. Under it nothing is logged: every Read needs it, and a log
// may be slow.
func (a *admission) unlock() {
	full, short := a.full && a.connsLog.Allow(), a.short && a.memoryLog.Allow()
	a.full, a.short = false, false
	a.mu.Unlock()
	if full {
		a.log.Warn("too many connections; the longest-waiting ones are closed", "connections", a.limits.Connections)
	}
	if short {
		a.log.Warn("no memory for large requests; they are refused", "shared", a.limits.Memory)
	}
}

// admit registers a connection. It returns nil when there is no room for it.
func (a *admission) admit(raw net.Conn) *conn {
	a.mu.Lock()
	defer a.unlock()
	if a.open >= a.limits.Connections { //guard:TestConnectionsAreBounded
		a.full = true
		a.dropped++
		longest := a.longestWaiting()
		if longest == nil {
			return nil
		}
		a.drop(longest)
	}
	c := &conn{Conn: raw, raw: raw, a: a, since: time.Now()}
	a.open++
	c.waits = a.strangers.PushBack(c)
	return c
}

// longestWaiting returns the connection that is to be closed for a new one, or nil when all have complete requests. It is a
// stranger, unless those are few and have not had the time to send a request: then it is one that waits for its next call.
// The caller holds a.mu.
func (a *admission) longestWaiting() *conn {
	stranger, known := front(&a.strangers), front(&a.known)
	few := a.strangers.Len() <= a.limits.Connections/2 //guard:TestStrangersGiveWayFirst a.strangers.Len() <= a.limits.Connections/2 -> true
	if stranger == nil || known != nil && few && time.Since(stranger.since) < giveWayAfter {
		return known
	}
	return stranger
}

func front(l *list.List) *conn {
	if e := l.Front(); e != nil {
		return e.Value.(*conn)
	}
	return nil
}

// waiting returns the list that a connection waits in.
func (a *admission) waiting(c *conn) *list.List {
	if c.verified { //guard:TestStrangersGiveWayFirst
		return &a.known
	}
	return &a.strangers
}

// drop closes a connection that has no complete request. The caller holds a.mu.
func (a *admission) drop(c *conn) {
	a.forget(c)
	_ = c.raw.Close() // not that of TLS, which may wait for its peer
}

// forget takes a connection out of the books. The caller holds a.mu.
func (a *admission) forget(c *conn) {
	if c.closed {
		return
	}
	c.closed = true
	a.open--
	a.release(c)
	a.finishWait(c)
}

// release returns the shared memory of a request. The caller holds a.mu.
func (a *admission) release(c *conn) {
	a.used -= c.shared
	c.charged, c.shared = 0, 0
	remove(&a.holding, &c.holds)
}

// finishWait takes a connection out of those that may be dropped. The caller holds a.mu.
func (a *admission) finishWait(c *conn) {
	remove(a.waiting(c), &c.waits)
	remove(&a.holding, &c.holds)
}

func remove(l *list.List, e **list.Element) {
	if *e != nil {
		l.Remove(*e)
		*e = nil
	}
}

func (c *conn) Close() error {
	c.a.mu.Lock()
	c.a.forget(c)
	c.a.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets the HTTP server end an answer before it closes the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Read charges what it reads to the request.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.a.received(c, p[:n]) {
		return 0, errBusy(c)
	}
	return n, err
}

// received charges bytes to the request that they belong to. It returns false when the connection is of no use any
// more. A body that cannot be paid for is marked as refused: see bodyReader.
func (a *admission) received(c *conn, p []byte) bool {
	a.mu.Lock()
	defer a.unlock()
	if c.closed {
		return false
	}
	if c.phase == idle {
		c.phase, c.since = header, time.Now()
		a.waiting(c).MoveToBack(c.waits)
	}
	cost := int64(len(p)) * ByteMemory
	switch c.phase {
	case header:
		//guard:TestRequestMemoryIsReleased cost += -> cost =
		cost += int64(bytes.Count(p, []byte{'\n'})) * lineMemory //guard:TestLargeRequestsAreRefused without lineMemory
	case handled: // one byte, by which the HTTP server notices that the client goes away
		return true
	}
	if c.refused.Load() || a.charge(c, cost) {
		return true
	}
	if c.phase == header {
		return false
	}
	a.release(c)
	c.refused.Store(true)
	return true
}

// keep reports whether there is memory for bytes of a connection that are not those of a request yet.
func (a *admission) keep(c *conn, bytes int) bool {
	a.mu.Lock()
	defer a.unlock()
	return !c.closed && a.charge(c, int64(bytes)*ByteMemory)
}

// charge reports whether there is memory for a request's next bytes. The caller holds a.mu.
func (a *admission) charge(c *conn, cost int64) bool {
	c.charged += cost
	need := c.charged - ownMemory - c.shared
	if need <= 0 {
		return true
	}
	for a.used+need > a.limits.Memory { //guard:TestLargeRequestsAreRefused
		if !a.takeFromOldest(c) {
			a.starved++
			a.short = true
			return false
		}
	}
	a.used += need
	c.shared += need
	if c.holds == nil && c.phase != handled {
		c.holds = a.holding.PushBack(c)
	}
	return true
}

// takeFromOldest takes the shared memory of the request that has been arriving for longest, unless that is the
// asking one or has begun only now. The caller holds a.mu.
func (a *admission) takeFromOldest(asking *conn) bool {
	c := front(&a.holding)
	if c == nil || c == asking || time.Since(c.since) < giveWayAfter { //guard:TestSlowRequestsLoseSharedMemory giveWayAfter -> time.Hour
		return false
	}
	a.starved++
	if c.phase != body {
		a.drop(c)
		return true
	}
	a.release(c)
	c.refused.Store(true)
	_ = c.raw.SetReadDeadline(past) // wakes its reader, which answers
	return true
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// complete marks the request as complete. It returns false when the connection was dropped, or the request refused,
// before.
func (a *admission) complete(c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.closed || c.refused.Load() {
		return false
	}
	a.finishWait(c) //guard:TestConnectionsAreBounded
	c.phase = handled
	return true
}

// expectBody begins the body of a request and returns until when it must have arrived.
func (a *admission) expectBody(c *conn) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.phase = body
	return c.since.Add(a.limits.Read)
}

// changed releases what a request held once it is answered.
func (a *admission) changed(nc net.Conn, state http.ConnState) {
	c, ours := nc.(*conn)
	if !ours || state != http.StateIdle {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.closed {
		return
	}
	a.release(c) //guard:TestRequestMemoryIsReleased
	a.finishWait(c)
	c.phase, c.since = idle, time.Now()
	c.refused.Store(false)
	c.waits = a.waiting(c).PushBack(c)
}

// connKey finds the connection in the context of a request.
type connKey struct{}

// Verified marks the connection of a request, whose context is given, as one that serves a caller with a good signature or
// secret. While connections are short, strangers are closed before it.
func Verified(ctx context.Context) {
	c, ours := ctx.Value(connKey{}).(*conn)
	if !ours {
		return
	}
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	remove(c.a.waiting(c), &c.waits) // where its body was not read to the end
	c.verified = true
}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// handler passes requests on whose bodies are read under the bounds. A request of another server's is left alone.
func (a *admission) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ours := r.Context().Value(connKey{}).(*conn)
		if !ours {
			next.ServeHTTP(w, r)
			return
		}
		if r.Body == http.NoBody {
			if !a.complete(c) {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
			return
		}
		bounded := r.WithContext(r.Context()) // a copy: the HTTP server looks at the body of its own
		reader := &bodyReader{ReadCloser: r.Body, c: c, control: http.NewResponseController(w), end: a.expectBody(c)}
		bounded.Body = reader
		next.ServeHTTP(w, bounded)
		if reader.err == form.ErrBusy {
			reader.discard() // now that the handler has let go of what it had read
		}
	})
}

// bodyReader reads a body at no less than the minimum rate. Its errors are form.ErrBusy, form.ErrSlow and those of the
// connection.
type bodyReader struct {
	io.ReadCloser
	c       *conn
	control *http.ResponseController // http.Request's own way to the deadlines of the connection
	end     time.Time                // until when the whole body must have arrived
	due     time.Time                // until when the next byte must have, by the rate
	err     error
}

func (b *bodyReader) Read(p []byte) (n int, err error) {
	if b.err == nil {
		n, b.err = b.read(p)
	}
	return n, b.err
}

func (b *bodyReader) read(p []byte) (int, error) {
	if b.due.IsZero() {
		b.due = time.Now().Add(bodyGrace)
	}
	if err := b.control.SetReadDeadline(earlier(b.due, b.end)); err != nil { //guard:TestSlowBodies earlier(b.due, b.end) -> b.end
		return 0, err
	}
	if b.c.refused.Load() { // looked at when the deadline is set: whoever refuses it sets another one afterwards
		return 0, form.ErrBusy
	}
	n, err := b.ReadCloser.Read(p)
	var timeout net.Error
	switch {
	case b.c.refused.Load():
		return 0, form.ErrBusy
	case err == io.EOF:
		_ = b.control.SetReadDeadline(time.Time{})
		if !b.c.a.complete(b.c) {
			return 0, form.ErrBusy
		}
		return n, io.EOF
	case errors.As(err, &timeout) && timeout.Timeout():
		return n, form.ErrSlow
	}
	// Each byte pays for a moment; what is saved up is never more than the grace.
	//guard:TestSlowBodies bodyGrace -> time.Hour
	b.due = earlier(b.due.Add(time.Duration(n)*time.Second/time.Duration(b.c.a.limits.BodyRate)), time.Now().Add(bodyGrace))
	return n, err
}

// discard reads the rest of a refused body for a moment: a client that is still sending when the connection is closed
// may not see the answer.
func (b *bodyReader) discard() {
	_ = b.control.SetReadDeadline(time.Now().Add(discardTime))
	if _, err := io.CopyN(io.Discard, b.ReadCloser, discardBytes); err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
