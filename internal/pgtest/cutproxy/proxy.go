// Package cutproxy stands between a program and its PostgreSQL and breaks the connection at the moments that matter:
// around COMMIT.
//
// When the connection ends between a COMMIT and its answer the program cannot know whether it has committed. Such a
// moment lasts some microseconds, so no test meets it by chance. A [Proxy] reads the messages that pass, knows a
// COMMIT when it comes, and does what it was told to with the next one:
//
//	proxy := cutproxy.Start(t, url)
//	... proxy.URL() instead of url ...
//	said := proxy.Arm(cutproxy.AnswerLost)
//	... a transaction: its commit fails ...
//	if tag := <-said; tag == "COMMIT" // but the server has done it
//
// It also counts the cancel requests that it sees: a client that cancels a COMMIT because its patience has ended
// makes worse what it does not know.
//
// The messages are those of the PostgreSQL documentation, "Frontend/Backend Protocol", version 3. Encryption is
// refused with the answer N, as a server without it does.
package cutproxy

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cut is what happens to a COMMIT and its connection.
type Cut int

const (
	// AnswerLost: the server gets the COMMIT and answers, then the connection ends; the client never sees the answer.
	AnswerLost Cut = iota + 1
	// CommitLost: the connection ends before the server gets the COMMIT. It rolls back.
	CommitLost
	// AtOnce: the connection ends as soon as the COMMIT has been sent on; the server may or may not have read it.
	AtOnce
	// AnswerHeld: the server gets the COMMIT and answers, and from then on nothing passes in either direction. The
	// connection stays open on both sides, also when the client closes it, as with a network that has stopped.
	AnswerHeld
	// CommitHeld: the same, from just before the COMMIT. The transaction and its locks stay with the server.
	CommitHeld
)

// Proxy is a TCP proxy on 127.0.0.1. Its methods may be used by several goroutines.
type Proxy struct {
	listener net.Listener
	target   string // host:port
	url      *url.URL

	mu       sync.Mutex
	open     chan struct{} // closed: messages pass
	links    map[*link]struct{}
	armed    Cut
	reported chan string
	commits  int
	cancels  int
	closed   bool
}

// Start makes a proxy in front of the server of a connection string such as those of package pgtest, and takes it away
// when the test ends.
func Start(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := Open(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Open is Start for a program that is not a test. The caller closes the proxy.
func Open(target string) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if u.Port() == "" {
		return nil, fmt.Errorf("cutproxy: %s names no port", target)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: u.Host, url: u, links: map[*link]struct{}{}, open: make(chan struct{})}
	close(p.open)
	go p.accept()
	return p, nil
}

// URL returns the connection string through the proxy.
func (p *Proxy) URL() string {
	u := *p.url
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Arm sets what happens to the next COMMIT, on whatever connection it comes; those after it pass again. When it has
// happened the channel gets the server's answer: a command tag such as COMMIT, ROLLBACK when the transaction had
// failed, or the SQLSTATE of an error; empty where no answer is awaited. An earlier Arm that nothing has met is
// forgotten.
func (p *Proxy) Arm(cut Cut) <-chan string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.reported = cut, make(chan string, 1)
	return p.reported
}

// Disarm forgets the last Arm. It reports whether no COMMIT had met it.
func (p *Proxy) Disarm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.armed != 0
	p.armed = 0
	return was
}

// Freeze lets nothing pass on any connection, not even its end, until Thaw. New connections wait.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default:
	}
}

// Thaw ends a Freeze; what was sent in the meantime passes now.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// CutAll ends all connections of this moment, those that are held, too.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end()
	}
}

// Commits returns how many COMMITs have come from clients.
func (p *Proxy) Commits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commits
}

// Cancels returns how many cancel requests have come from clients. They are sent on to the server.
func (p *Proxy) Cancels() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cancels
}

// Connections returns how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close ends everything.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.CutAll()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := &link{proxy: p, client: client, ended: make(chan struct{}), statements: map[string]bool{}, portals: map[string]bool{}}
		if !p.add(l) {
			client.Close()
			return
		}
		go l.run()
	}
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.links[l] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// commit counts a COMMIT and returns what is to happen to it.
func (p *Proxy) commit() (Cut, chan string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commits++
	cut := p.armed
	p.armed = 0
	return cut, p.reported
}

func (p *Proxy) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancels++
}

func (p *Proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}
