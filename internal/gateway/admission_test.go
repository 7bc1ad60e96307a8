package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
)

// pipes is a listener whose connections are in memory, so that time is that of synctest.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// dial sends text without waiting until it is read, and returns the connection.
func (p *pipes) dial(text string) net.Conn {
	client, server := net.Pipe()
	p.accepted <- server
	go func() { _, _ = io.WriteString(client, text) }()
	return client
}

// inBubble runs a test on a server whose handler reads the body and answers 200, 503 when it is refused, and 408 when
// it is too slow; other paths do other things.
func inBubble(t *testing.T, l gateway.ServerLimits, test func(t *testing.T, s *gateway.Server, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := gateway.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/unread":
				return
			case "/panic":
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			case "/hijack":
				_, _ = io.Copy(io.Discard, r.Body)
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
				}
				c.Close()
				return
			case "/wait":
				_, _ = io.Copy(io.Discard, r.Body)
				<-release
				return
			}
			_, err := io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/verified" {
				gateway.Verified(r.Context())
			}
			switch {
			case errors.Is(err, form.ErrBusy):
				w.WriteHeader(http.StatusServiceUnavailable)
			case errors.Is(err, form.ErrSlow):
				w.WriteHeader(http.StatusRequestTimeout)
			case err != nil:
				w.WriteHeader(http.StatusBadRequest)
			}
		}), l, slog.New(slog.DiscardHandler))
		p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
		go func() { _ = s.Serve(p) }()
		test(t, s, p)
		close(release)
		s.Close()
		time.Sleep(time.Minute) // what the test has left behind ends
	})
}

// status returns what a connection is answered, 0 for nothing.
func status(c net.Conn) int {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	return res.StatusCode
}

func post(path string, announced, sent int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, announced, strings.Repeat("x", sent))
}

// Whatever becomes of a request, the memory that it held is free afterwards.
func TestRequestMemoryIsReleased(t *testing.T) {
	const size = 100 << 10
	for _, test := range []struct {
		name, sent string
		unfinished bool
		closes     bool // the client does
	}{
		{name: "answered", sent: post("/", size, size)},
		{name: "not read by the handler", sent: post("/unread", size, size)},
		{name: "a panic", sent: post("/panic", size, size)},
		{name: "hijacked", sent: post("/hijack", size, size)},
		{name: "too slow", sent: post("/", size, size-1), unfinished: true},
		{name: "the client goes away in the body", sent: post("/", size, size-1), unfinished: true, closes: true},
		{name: "the client goes away in the header", sent: "GET /?" + strings.Repeat("x", 1<<20), unfinished: true, closes: true},
		{name: "a header that does not end", sent: "GET /?" + strings.Repeat("x", 1<<20), unfinished: true},
		{name: "a chunk that does not end", sent: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + strings.Repeat("x", size), unfinished: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, gateway.ServerLimits{}, func(t *testing.T, s *gateway.Server, p *pipes) {
				most := int64(0)
				c := p.dial(test.sent)
				sample := func() {
					synctest.Wait()
					most = max(most, s.Stats().Memory)
				}
				sample()
				if !test.closes {
					go func() { _, _ = io.Copy(io.Discard, c) }()
					time.Sleep(time.Minute)
					if memory := s.Stats().Memory; memory != 0 {
						t.Errorf("%d bytes are held before the connection is closed", memory)
					}
				}
				c.Close()
				sample()
				if at := s.Stats(); at.Connections != 0 || at.Memory != 0 {
					t.Errorf("%d connections hold %d bytes", at.Connections, at.Memory)
				}
				if most == 0 && test.unfinished {
					t.Error("nothing was charged")
				}
			})
		})
	}
}

// A body that stalls, or arrives too slowly, is answered when the grace is over. One that is slow within the bounds is
// not touched.
func TestSlowBodies(t *testing.T) {
	send := func(c net.Conn, every time.Duration, parts ...int) {
		for _, n := range parts {
			time.Sleep(every)
			if _, err := io.WriteString(c, strings.Repeat("x", n)); err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name   string
		size   int
		every  time.Duration
		parts  []int
		want   int
		within time.Duration
	}{
		{"one pause within the grace", 100, 4900 * time.Millisecond, []int{100}, 200, 5 * time.Second},
		{"the minimum rate", 10_000, time.Second, []int{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000}, 200, 10 * time.Second},
		{"nothing", 100, time.Minute, []int{100}, 408, 5 * time.Second},
		{"all but one byte, then nothing", 50_000, 0, []int{49_999}, 408, 5 * time.Second},
		{"one byte a second", 1000, time.Second, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 408, 5100 * time.Millisecond},
		{"half the minimum rate", 20_000, time.Second, []int{500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500}, 408, 10 * time.Second},
		{"longer than any request may take", 60_000, time.Second, []int{
			2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000}, 408, 15 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, gateway.ServerLimits{BodyRate: 1000}, func(t *testing.T, s *gateway.Server, p *pipes) {
				start := time.Now()
				c := p.dial("")
				defer c.Close()
				if _, err := io.WriteString(c, post("/", test.size, 0)); err != nil {
					t.Fatal(err)
				}
				go send(c, test.every, test.parts...)
				if got := status(c); got != test.want {
					t.Errorf("answered %d, want %d", got, test.want)
				}
				if took := time.Since(start); took > test.within {
					t.Errorf("it took %v, want at most %v", took, test.within)
				}
				if test.want == 408 {
					if _, err := io.ReadAll(c); err != nil {
						t.Errorf("the connection is not closed: %v", err)
					}
				}
			})
		})
	}
}

// The connection that has waited longest gives way to a new one; those whose request is complete never do.
func TestConnectionsAreBounded(t *testing.T) {
	inBubble(t, gateway.ServerLimits{Connections: 3}, func(t *testing.T, s *gateway.Server, p *pipes) {
		next := func(text string) net.Conn {
			c := p.dial(text)
			synctest.Wait()
			time.Sleep(time.Millisecond)
			return c
		}
		isClosed := func(c net.Conn) bool {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return err == io.EOF
		}
		keptAlive := next("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if status(keptAlive) != 200 {
			t.Fatal("not answered")
		}
		working := next(post("/wait", 3, 3))
		halfBody := next(post("/", 3, 2))
		silent := next("")
		if !isClosed(keptAlive) || isClosed(working) || isClosed(halfBody) || isClosed(silent) {
			t.Fatal("a fourth connection closed another one than that which waited for its next request")
		}
		if next(post("/wait", 3, 3)); !isClosed(halfBody) {
			t.Error("half a body outlives a new connection")
		}
		if next(post("/wait", 0, 0)); !isClosed(silent) {
			t.Error("a silent connection outlives a new one")
		}
		if fourth := next(""); !isClosed(fourth) {
			t.Error("a fourth connection, where three have complete requests")
		}
		if at := s.Stats(); at.Connections != 3 || at.MaxConnections != 3 || at.Dropped != 4 || isClosed(working) {
			t.Errorf("%+v", at)
		}
	})
}

// While strangers hold connections that they do not use, those of callers that are known stay open.
func TestStrangersGiveWayFirst(t *testing.T) {
	inBubble(t, gateway.ServerLimits{Connections: 3}, func(t *testing.T, s *gateway.Server, p *pipes) {
		isOpen := func(c net.Conn) bool {
			go func() { _, _ = io.WriteString(c, post("/verified", 3, 3)) }()
			return status(c) == 200
		}
		known := p.dial("")
		if !isOpen(known) {
			t.Fatal("not answered")
		}
		p.dial("")
		for range 10 {
			time.Sleep(2 * time.Second)
			p.dial(post("/", 3, 2))
		}
		if !isOpen(known) {
			t.Fatal("a known caller is closed for a stranger")
		}
		for range 10 { // faster than they can be judged
			p.dial(post("/", 3, 2))
		}
		if !isOpen(known) {
			t.Fatal("a known caller is closed for one of many strangers")
		}
		time.Sleep(time.Minute)
		// Where the others are known, too, or few and too new to judge, the one that has waited longest goes.
		second := p.dial("")
		if !isOpen(second) {
			t.Fatal("a second caller is not answered")
		}
		fresh := p.dial("")
		time.Sleep(time.Millisecond)
		last := p.dial("")
		if !isOpen(fresh) || !isOpen(last) || !isOpen(second) {
			t.Error("a connection that is newer than a second is closed before one that waits for its next call")
		}
		if isOpen(known) {
			t.Error("four connections are open")
		}
	})
}

// What does not fit into the shared memory is refused and answered. Small requests do not need it, and the connection
// stays good for them.
func TestLargeRequestsAreRefused(t *testing.T) {
	inBubble(t, gateway.ServerLimits{Memory: 64 << 10}, func(t *testing.T, s *gateway.Server, p *pipes) {
		c := p.dial(post("/", 64<<10, 64<<10))
		if got := status(c); got != 503 {
			t.Errorf("a large body is answered %d", got)
		}
		go func() { _, _ = io.WriteString(c, post("/", 4<<10, 4<<10)) }()
		if got := status(c); got != 200 {
			t.Errorf("a small body on the same connection is answered %d", got)
		}
		c.Close()
		c = p.dial("GET /?" + strings.Repeat("x", 48<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := status(c); got != 0 {
			t.Errorf("a large header is answered %d", got)
		}
		c = p.dial("GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\r\n", 1000) + "\r\n")
		if got := status(c); got != 0 {
			t.Errorf("a header of many fields is answered %d", got)
		}
		c = p.dial("GET /?" + strings.Repeat("x", 4<<10) + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a: b\r\n", 30) + "\r\n")
		if got := status(c); got != 200 {
			t.Errorf("a small header is answered %d", got)
		}
		c.Close()
		if at := s.Stats(); at.Starved != 3 || at.MaxMemory != 64<<10 {
			t.Errorf("three requests were refused: %+v", at)
		}
	})
}

// A request takes the shared memory of one that has been arriving for more than a second.
func TestSlowRequestsLoseSharedMemory(t *testing.T) {
	const size = 40 << 10
	inBubble(t, gateway.ServerLimits{Memory: 160 << 10}, func(t *testing.T, s *gateway.Server, p *pipes) {
		slow := p.dial(post("/", size, size-1))
		defer slow.Close()
		synctest.Wait()
		early := p.dial(post("/", size, size))
		if got := status(early); got != 503 {
			t.Errorf("at once: answered %d", got)
		}
		early.Close()
		time.Sleep(1100 * time.Millisecond)
		late := p.dial(post("/", size, size))
		if got := status(late); got != 200 {
			t.Errorf("after a second: answered %d", got)
		}
		late.Close()
		start := time.Now()
		if got := status(slow); got != 503 {
			t.Errorf("the slow one is answered %d", got)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the slow one is answered after %v", took)
		}
		header := p.dial("GET /?" + strings.Repeat("x", size))
		synctest.Wait()
		time.Sleep(1100 * time.Millisecond)
		late = p.dial(post("/", size, size))
		if got := status(late); got != 200 {
			t.Errorf("beside half a header: answered %d", got)
		}
		late.Close()
		if n, err := io.Copy(io.Discard, header); n != 0 || err != nil {
			t.Errorf("half a header is answered by %d bytes, %v", n, err)
		}
		if at := s.Stats(); at.Starved != 3 {
			t.Errorf("three requests were refused: %+v", at)
		}
	})
}

// A request that is complete keeps its memory until it is answered.
func TestCompleteRequestsKeepTheirMemory(t *testing.T) {
	const size = 40 << 10
	inBubble(t, gateway.ServerLimits{Memory: 160 << 10}, func(t *testing.T, s *gateway.Server, p *pipes) {
		p.dial(post("/wait", size, size))
		synctest.Wait()
		time.Sleep(2 * time.Second)
		c := p.dial(post("/", size, size))
		if got := status(c); got != 503 {
			t.Errorf("answered %d", got)
		}
		c.Close()
		if memory := s.Stats().Memory; memory == 0 {
			t.Error("a request that is being handled holds nothing")
		}
	})
}

// The bounds hold for pipelined requests too, and none of them is lost.
func TestPipelining(t *testing.T) {
	inBubble(t, gateway.ServerLimits{Connections: 1}, func(t *testing.T, s *gateway.Server, p *pipes) {
		c := p.dial(strings.Repeat(post("/", 1000, 1000), 20))
		defer c.Close()
		all := bufio.NewReader(c)
		for n := range 20 {
			res, err := http.ReadResponse(all, nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("request %d: %v", n, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	})
}

// A client that waits for "100 Continue" gets it when the body is read, and the answer at once when it is not.
func TestExpectContinue(t *testing.T) {
	inBubble(t, gateway.ServerLimits{}, func(t *testing.T, s *gateway.Server, p *pipes) {
		for path, want := range map[string]int{"/": 100, "/unread": 200} {
			start := time.Now()
			c := p.dial("POST " + path + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
			answers := bufio.NewReader(c)
			res, err := http.ReadResponse(answers, nil)
			if err != nil || res.StatusCode != want {
				t.Fatalf("%s: %+v, %v", path, res, err)
			}
			if want == 100 {
				go func() { _, _ = io.WriteString(c, "xxx") }()
				if res, err = http.ReadResponse(answers, nil); err != nil || res.StatusCode != 200 {
					t.Errorf("%s: with the body: %+v, %v", path, res, err)
				}
			}
			if took := time.Since(start); took > 0 {
				t.Errorf("%s: it took %v", path, took)
			}
			c.Close()
		}
	})
}
