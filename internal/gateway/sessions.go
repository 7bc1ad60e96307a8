package gateway

import (
	"context"
	"sync"
	"time"

	"faquan/internal/benefit"
)

// SessionReader is the part of a store's reader that Sessions needs, which sees everything committed before it was
// opened.
type SessionReader interface {
	// Session returns the session whose key has the digest; nil when there is none.
	Session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error)
	Close() error
}

// Sessions finds sessions by their keys. It is safe for concurrent use.
//
// Sessions are many and opening a reader is dear (an embedded store first writes out what it holds back), so
// answers are remembered, also that there is no such session, and keys that are looked up at the same time
// share a reader: at most one is open at any moment, whatever keys callers make up.
//
// What is remembered is exact as long as Forget is called after each change of sessions: an answer that was read
// before the call is never given to a request that comes after it. Whether a session has expired or was revoked is
// for the caller to see each time (benefit.Session.GoodAt).
type Sessions struct {
	open    func(context.Context) (SessionReader, error)
	entries int

	reading chan struct{} // has room for one: the round that reads

	mu         sync.Mutex
	generation int // counts calls of Forget
	now, last  map[benefit.Digest]*benefit.Session
	next       *round // collects keys for the next reader; nil when no caller waits
}

// round is the look-ups that share one reader. Found and err are set when done is closed.
type round struct {
	wanted []benefit.Digest
	found  map[benefit.Digest]*benefit.Session
	err    error
	done   chan struct{}
}

const (
	defaultSessions = 32768
	readSessions    = 5 * time.Second // how long one round may read
)

// NewSessions makes a source of sessions over what open opens. It remembers up to twice entries answers, 0 being
// the default of 32768: when one generation is full it becomes the last one, and what is asked for from there
// moves on.
func NewSessions(open func(context.Context) (SessionReader, error), entries int) *Sessions {
	if entries <= 0 {
		entries = defaultSessions
	}
	return &Sessions{
		open: open, entries: entries, reading: make(chan struct{}, 1), now: map[benefit.Digest]*benefit.Session{},
	}
}

// Forget drops what is remembered of the digests, or everything when none is given. Call it after each committed
// change that may have touched these sessions.
func (s *Sessions) Forget(digests ...benefit.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++ // so what is being read now will not be remembered
	if len(digests) == 0 {
		s.now, s.last = map[benefit.Digest]*benefit.Session{}, nil
	}
	for _, digest := range digests {
		delete(s.now, digest)
		delete(s.last, digest)
	}
	// The round that collects has no reader yet, so it may go on.
}

// Session returns the access session of a key, expired and revoked ones too; nil when there is none: an authorization
// code and a refresh token admit no call. An error means that it could not be read, or that ctx ended first.
func (s *Sessions) Session(ctx context.Context, key string) (*benefit.Session, error) {
	session, err := s.find(ctx, benefit.SessionDigest(key))
	if session != nil && session.Kind != benefit.AccessSession { //guard:TestOnlyAccessSessionsAreSessions
		return nil, err
	}
	return session, err
}

func (s *Sessions) find(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
	s.mu.Lock()
	if known, ok := s.remembered(digest); ok {
		s.mu.Unlock()
		return known, nil
	}
	r := s.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		s.next = r
		go s.run(r)
	}
	r.wanted = append(r.wanted, digest)
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.found[digest], r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run reads for a round when the one before has finished; until then the round collects.
func (s *Sessions) run(r *round) {
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	s.mu.Lock()
	if s.next == r {
		s.next = nil
	}
	generation := s.generation
	s.mu.Unlock()

	r.found, r.err = s.read(r.wanted)
	if r.err == nil {
		s.remember(r.found, generation)
	}
	close(r.done)
}

func (s *Sessions) read(wanted []benefit.Digest) (map[benefit.Digest]*benefit.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readSessions) // it is read for many callers
	defer cancel()
	reader, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	found := make(map[benefit.Digest]*benefit.Session, len(wanted))
	for _, digest := range wanted {
		if _, again := found[digest]; again {
			continue
		}
		if found[digest], err = reader.Session(ctx, digest); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// remembered needs the lock. ok is false when nothing is known of the digest.
func (s *Sessions) remembered(digest benefit.Digest) (session *benefit.Session, ok bool) {
	if session, ok = s.now[digest]; ok {
		return session, true
	}
	if session, ok = s.last[digest]; ok {
		s.add(digest, session)
	}
	return session, ok
}

// remember keeps what was read, unless sessions changed since the reader was asked for.
func (s *Sessions) remember(found map[benefit.Digest]*benefit.Session, generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation {
		return
	}
	for digest, session := range found {
		s.add(digest, session)
	}
}

// add needs the lock.
func (s *Sessions) add(digest benefit.Digest, session *benefit.Session) {
	if len(s.now) >= s.entries {
		s.last, s.now = s.now, make(map[benefit.Digest]*benefit.Session, s.entries)
	}
	s.now[digest] = session
}
