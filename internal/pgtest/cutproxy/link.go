package cutproxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// link is one connection: the client's and the one to the server. One goroutine carries each direction.
type link struct {
	proxy  *Proxy
	client net.Conn

	mu       sync.Mutex
	server   net.Conn // nil until the client has said hello
	over     bool
	ended    chan struct{}
	cut      Cut // what has happened to a COMMIT of this connection; set before the server gets it
	reported chan string

	// What the client has prepared: whether it is a COMMIT. Only the client's direction looks at them.
	statements map[string]bool
	portals    map[string]bool
}

// The codes in the first message of a connection.
const (
	cancelRequest = 80877102
	sslRequest    = 80877103
	gssRequest    = 80877104
)

// maxMessage is far above what a test sends: a longer message means that the stream is not understood.
const maxMessage = 1 << 28

func (l *link) run() {
	// In reverse: end the link, wait for backend, which reports the server's answer, then report that there was none.
	var backend sync.WaitGroup
	defer l.proxy.remove(l)
	defer l.reportCut("")
	defer backend.Wait()
	defer l.end()
	from := bufio.NewReaderSize(l.client, 1<<16)
	hello, err := l.hello(from)
	if err != nil || !l.pass() {
		return
	}
	server, err := net.Dial("tcp", l.proxy.target)
	if err != nil || !l.connect(server) {
		return
	}
	if _, err := server.Write(hello); err != nil {
		return
	}
	if binary.BigEndian.Uint32(hello[4:]) == cancelRequest {
		_, _ = io.Copy(io.Discard, server) // the server closes when it has read it
		return
	}
	backend.Go(l.backend)
	l.frontend(from)
}

// hello reads the first message, which has no type, and refuses encryption.
func (l *link) hello(from *bufio.Reader) ([]byte, error) {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(from, head); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(head)
		if size < 8 || size > 1<<16 {
			return nil, fmt.Errorf("a first message of %d bytes", size)
		}
		message := append(head, make([]byte, size-8)...)
		if _, err := io.ReadFull(from, message[8:]); err != nil {
			return nil, err
		}
		switch binary.BigEndian.Uint32(message[4:]) {
		case sslRequest, gssRequest:
			if _, err := l.client.Write([]byte("N")); err != nil {
				return nil, err
			}
			continue
		case cancelRequest:
			l.proxy.cancel()
		}
		return message, nil
	}
}

// frontend carries what the client says.
func (l *link) frontend(from *bufio.Reader) {
	to := bufio.NewWriterSize(l.server, 1<<16)
	for {
		message, err := read(from)
		if !l.pass() || l.held(err) {
			return
		}
		if l.broken() == 0 && l.isCommit(message) && !l.meet(message, to) {
			return
		}
		// The server answers a COMMIT at the Sync after it; any other message is not waiting for an answer.
		if l.broken() == AnswerHeld && message[0] == 'X' {
			continue
		}
		if _, err := to.Write(message); err != nil {
			return
		}
		if from.Buffered() == 0 && to.Flush() != nil {
			return
		}
	}
}

// meet does to a COMMIT what the proxy was armed with. It is false when nothing more is to be carried to the server.
func (l *link) meet(commit []byte, to *bufio.Writer) bool {
	cut, reported := l.proxy.commit()
	l.mu.Lock()
	l.cut, l.reported = cut, reported
	l.mu.Unlock()
	switch cut {
	case CommitLost:
		l.end()
		l.reportCut("")
	case AtOnce:
		_, _ = to.Write(commit)
		_ = to.Flush()
		l.end()
		l.reportCut("")
	case CommitHeld:
		_ = to.Flush()
		l.reportCut("")
		<-l.ended
	default:
		return true
	}
	return false
}

// backend carries what the server says, up to the answer to a COMMIT that the client is not to see.
func (l *link) backend() {
	defer l.end()
	from := bufio.NewReaderSize(l.server, 1<<16)
	to := bufio.NewWriterSize(l.client, 1<<16)
	answer := ""
	for {
		message, err := read(from)
		if !l.pass() || l.held(err) {
			return
		}
		switch l.broken() {
		case AnswerLost, AnswerHeld: //guard:TestCuts/simple/answer without AnswerLost
			if answer == "" {
				answer = answerTo(message)
			}
			if answer != "" && message[0] == 'Z' {
				l.answered(answer)
				return
			}
			continue
		case CommitHeld, AtOnce: // an answer may be faster than the end
			continue
		}
		if _, err := to.Write(message); err != nil {
			return
		}
		if from.Buffered() == 0 && to.Flush() != nil {
			return
		}
	}
}

// answered acts after the server has answered, when the client must not see the answer.
func (l *link) answered(answer string) {
	if l.broken() == AnswerLost {
		l.end() // before anybody hears of it
	}
	l.reportCut(answer)
	if l.broken() == AnswerHeld {
		<-l.ended
	}
}

// reportCut reports that the cut has happened; only the first call counts.
func (l *link) reportCut(answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut == 0 {
		return
	}
	select {
	case l.reported <- answer:
	default:
	}
	l.reported = nil // takes nothing more
}

// held reports whether a side has ended, and waits for the cut when the other side is not to notice.
func (l *link) held(err error) bool {
	if err == nil {
		return false
	}
	if cut := l.broken(); cut == AnswerHeld || cut == CommitHeld { //guard:TestHeld
		<-l.ended
	}
	return true
}

// pass waits while the proxy is frozen. It is false when the connection has ended meanwhile.
func (l *link) pass() bool {
	select {
	case <-l.proxy.gate():
		return true
	case <-l.ended:
		return false
	}
}

func (l *link) connect(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		server.Close()
		return false
	}
	l.server = server
	return true
}

// end closes both sides.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.ended)
	l.client.Close()
	if l.server != nil {
		l.server.Close()
	}
}

func (l *link) broken() Cut {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// isCommit reports whether a message makes the server commit, and remembers what is prepared for later.
func (l *link) isCommit(message []byte) bool {
	body := message[5:]
	switch message[0] {
	case 'Q':
		return commits(text(&body))
	case 'P':
		name := text(&body)
		l.statements[name] = commits(text(&body))
	case 'B':
		portal := text(&body)
		l.portals[portal] = l.statements[text(&body)]
	case 'E':
		return l.portals[text(&body)]
	}
	return false
}

// commits reports whether a statement is a COMMIT, in one of its spellings.
func commits(statement string) bool {
	words := strings.Fields(strings.ToLower(strings.TrimRight(strings.TrimSpace(statement), ";")))
	switch strings.Join(words, " ") {
	case "commit", "commit work", "commit transaction", "end", "end work", "end transaction":
		return true
	}
	return false
}

// answerTo reads the end of a COMMIT: its command tag, or the SQLSTATE of an error.
func answerTo(message []byte) string {
	body := message[5:]
	switch message[0] {
	case 'C':
		if tag := text(&body); tag == "COMMIT" || tag == "ROLLBACK" {
			return tag
		}
	case 'E':
		for len(body) > 1 {
			field := body[0]
			body = body[1:]
			if value := text(&body); field == 'C' {
				return value
			}
		}
	}
	return ""
}

// text cuts a string that ends in a zero byte from the front of a body.
func text(body *[]byte) string {
	before, after, _ := bytes.Cut(*body, []byte{0})
	*body = after
	return string(before)
}

// read reads a message with its type and length.
func read(from *bufio.Reader) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	message := append(head, make([]byte, size-4)...)
	_, err := io.ReadFull(from, message[5:])
	return message, err
}
