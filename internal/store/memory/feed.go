package memory

import (
	"context"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// check is that of all places: nothing of the store outlives the process.
var check = [4]byte{'m', 'e', 'm', 'o'}

func (s *Store) commits(ctx context.Context) ([]*store.Commit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	return s.rows.commits, nil
}

// FeedEnd returns the place behind the last commit.
func (s *Store) FeedEnd(ctx context.Context) (store.Place, error) {
	all, err := s.commits(ctx)
	return store.Place{Seq: int64(len(all)), Check: check}, err
}

// FeedSince returns the place before the first commit at an instant or later.
func (s *Store) FeedSince(ctx context.Context, since benefit.Instant) (store.Place, error) {
	all, err := s.commits(ctx)
	n := slices.IndexFunc(all, func(c *store.Commit) bool { return c.Now >= since })
	if n < 0 {
		n = len(all)
	}
	return store.Place{Seq: int64(n), Check: check}, err
}

// Commits returns commits from a place on.
func (s *Store) Commits(ctx context.Context, from store.Place, limit int) ([]*store.Commit, error) {
	all, err := s.commits(ctx)
	if err != nil {
		return nil, err
	}
	if from.Check != check || from.Seq < 0 || from.Seq > int64(len(all)) {
		return nil, store.ErrForeignPlace
	}
	all = all[max(from.Seq-1, 0):]
	return slices.Clone(all[:min(limit, len(all))]), nil
}
