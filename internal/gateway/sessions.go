package gateway

import (
	"cmp"
	"context"
	"sync"
	"time"

	"faquan/internal/benefit"
)

// Sessions finds sessions by their keys. It is safe for concurrent use.
//
// Answers are remembered, also that there is no such session. Look-ups that wait at the same time are collected into a
// round, which is read key by key. So callers that make up keys cause no more than one read at a time.
//
// What is remembered is exact as long as Forget is called after each change of sessions: an answer that was read
// before the call is never given to a request that comes after it. Whether a session has expired or was revoked is
// for the caller to see each time (benefit.Session.ExpiredAt).
type Sessions struct {
	read    func(context.Context, benefit.Digest) (*benefit.Session, error)
	entries int

	reading chan struct{} // has room for one: the round that reads

	mu         sync.Mutex
	generation int // counts calls of Forget
	now, last  map[benefit.Digest]*benefit.Session
	next       *round // collects keys; nil when no caller waits
}

// round is the look-ups that are read one after the other. Found has the keys that are wanted, and with err what was read
// once done is closed.
type round struct {
	found map[benefit.Digest]*benefit.Session
	err   error
	done  chan struct{}
}

const (
	defaultSessions = 32768
	readSessions    = 5 * time.Second // how long one round may read
)

// NewSessions makes a source of sessions. Read returns the session whose key has the digest, nil when there is none; it
// sees everything committed before. Up to twice entries answers are remembered, 0 being the default of 32768: when one
// generation is full it becomes the last one, and what is asked for from there moves on.
func NewSessions(read func(context.Context, benefit.Digest) (*benefit.Session, error), entries int) *Sessions {
	return &Sessions{
		read: read, entries: cmp.Or(entries, defaultSessions), reading: make(chan struct{}, 1), now: map[benefit.Digest]*benefit.Session{},
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
	// The round that collects has read nothing yet, so it may go on.
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
	if s.next == nil {
		s.next = &round{found: map[benefit.Digest]*benefit.Session{}, done: make(chan struct{})}
		go s.run(s.next)
	}
	r := s.next
	r.found[digest] = nil
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.found[digest], r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run reads for a round when the one before has finished; until then the round collects. What it reads is remembered,
// unless sessions change meanwhile.
func (s *Sessions) run(r *round) {
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	s.mu.Lock()
	s.next = nil
	generation := s.generation
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), readSessions) // it is read for many callers
	defer cancel()
	for digest := range r.found {
		if r.found[digest], r.err = s.read(ctx, digest); r.err != nil {
			r.found = nil
			break
		}
	}
	s.mu.Lock()
	if s.generation == generation {
		for digest, session := range r.found {
			s.add(digest, session)
		}
	}
	s.mu.Unlock()
	close(r.done)
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

// add needs the lock.
func (s *Sessions) add(digest benefit.Digest, session *benefit.Session) {
	if len(s.now) >= s.entries {
		s.last, s.now = s.now, make(map[benefit.Digest]*benefit.Session, s.entries)
	}
	s.now[digest] = session
}
