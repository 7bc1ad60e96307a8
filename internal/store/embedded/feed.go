package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/codec"
)

// The feed is the journal: a place's Seq is that of a record, and its Check the beginning of the record's chain hash, which
// commits to everything before it. The place before all records has the beginning of the journal's id. All commits are in
// the feed, and kept for ever.

const (
	// maxCursors is how many readers of the journal are kept open, for consumers that go on where they stopped.
	maxCursors = 4
	// pageBytes ends a page: so many bytes of records, or a few more, are decoded at once.
	pageBytes = 1 << 20
)

// cursor is a reader of the journal that stands at a place.
type cursor struct {
	*journal.Follower
	place store.Place
	last  *store.Commit // that of the place; nil before all records
}

// cursorPool has the cursors that nobody uses at present, the one that was put back last at the end.
type cursorPool struct {
	mu     sync.Mutex
	idle   []*cursor
	closed bool
}

// take removes the cursor at a place; nil when there is none.
func (all *cursorPool) take(at store.Place) *cursor {
	all.mu.Lock()
	defer all.mu.Unlock()
	for k, r := range all.idle {
		if r.place == at {
			all.idle = slices.Delete(all.idle, k, k+1)
			return r
		}
	}
	return nil
}

// put takes a cursor back. It closes the one that was not used for the longest time if there are too many.
func (all *cursorPool) put(r *cursor) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.idle = append(all.idle, r)
	if all.closed { //guard:TestCursorPool
		all.closeTo(0)
	}
	all.closeTo(maxCursors) //guard:TestCursorPool
}

// closeTo closes the oldest ones until n are left.
func (all *cursorPool) closeTo(n int) {
	for len(all.idle) > n {
		_ = all.idle[0].Close() // it was only read
		all.idle = all.idle[1:]
	}
}

// close closes all, those that are still put back as well.
func (all *cursorPool) close() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.closed = true
	all.closeTo(0)
}

func (s *Store) place(seq uint64, hash [32]byte) store.Place {
	if seq == 0 {
		return store.Place{Check: s.history}
	}
	return store.Place{Seq: int64(seq), Check: [4]byte(hash[:4])}
}

// FeedEnd returns the place behind the last commit.
func (s *Store) FeedEnd(ctx context.Context) (store.Place, error) {
	select {
	case <-s.stop:
		return store.Place{}, errClosed
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return store.Place{}, s.failed
	}
	return s.place(s.seq, s.hash), ctx.Err()
}

// FeedSince returns the place before the first commit at an instant or later.
func (s *Store) FeedSince(ctx context.Context, since benefit.Instant) (store.Place, error) {
	end, err := s.FeedEnd(ctx)
	if err != nil {
		return store.Place{}, err
	}
	before := func(r journal.Record) (bool, error) { // the instants of commits never go back
		now, err := codec.DecodeNow(r.Payload)
		if err != nil {
			return false, recordError(r, err)
		}
		return now < since, ctx.Err()
	}
	last, err := journal.Search(s.o.JournalFS, s.o.JournalDir, uint64(end.Seq), before)
	if err != nil {
		return store.Place{}, feedError(err)
	}
	return s.place(last.Seq, last.Hash), nil
}

// Commits returns commits from a place on. It ends a page early when its records are large.
func (s *Store) Commits(ctx context.Context, from store.Place, limit int) ([]*store.Commit, error) {
	end, err := s.FeedEnd(ctx)
	if err != nil {
		return nil, err
	}
	if from.Seq < 0 || from.Seq > end.Seq { //guard:TestForeignPlace
		return nil, store.ErrForeignPlace
	}
	r := s.cursors.take(from)
	if r == nil {
		if r, err = s.readFrom(from); err != nil {
			return nil, feedError(err)
		}
	}
	page, err := s.page(ctx, r, limit, end)
	if err != nil {
		return nil, feedError(errors.Join(err, r.Close()))
	}
	s.cursors.put(r)
	return page, nil
}

func feedError(err error) error { return fmt.Errorf("the feed: %w", err) }

// readFrom returns a cursor that stands at a place, which must not lie behind the end.
func (s *Store) readFrom(from store.Place) (*cursor, error) {
	own := uint64(from.Seq)
	f, err := journal.Follow(s.o.JournalFS, s.o.JournalDir, max(own, 1))
	if err != nil {
		return nil, err
	}
	r := &cursor{Follower: f, place: s.place(0, [32]byte{})}
	if own > 0 {
		_, err = s.next(r, own)
	}
	if err == nil && r.place != from { //guard:TestForeignPlace
		err = store.ErrForeignPlace
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// page reads on.
func (s *Store) page(ctx context.Context, r *cursor, limit int, end store.Place) (page []*store.Commit, err error) {
	if r.last != nil {
		page = append(page, r.last)
	}
	for size := 0; len(page) < limit && size < pageBytes && r.place.Seq < end.Seq; { //guard:TestLargePages without size < pageBytes
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := s.next(r, uint64(end.Seq))
		if err != nil {
			return nil, err
		}
		size += n
		page = append(page, r.last)
	}
	return page, nil
}

// next goes on to the next record, which is at most upTo, and returns its size.
func (s *Store) next(r *cursor, upTo uint64) (size int, err error) {
	record, ok, err := r.Next(upTo)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("no record behind %d, and there are %d", r.place.Seq, upTo)
	}
	c, err := decodeCommit(record)
	if err != nil {
		return 0, err
	}
	r.place, r.last = c.Place, c
	return len(record.Payload), nil
}

// decodeCommit returns the commit that a record holds.
func decodeCommit(r journal.Record) (c *store.Commit, err error) {
	c = &store.Commit{Place: store.Place{Seq: int64(r.Seq), Check: [4]byte(r.Hash[:4])}}
	if c.Now, c.Steps, err = codec.DecodeCommit(r.Payload); err != nil {
		return nil, recordError(r, err)
	}
	return c, nil
}
