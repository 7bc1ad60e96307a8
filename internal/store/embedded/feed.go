package embedded

import (
	"context"
	"errors"
	"iter"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

var errNoFeed = errors.New("the feed is not built yet")

func (s *Store) FeedEnd(ctx context.Context) (store.Place, error) { return store.Place{}, errNoFeed }

func (s *Store) FeedSince(ctx context.Context, since benefit.Instant) (store.Place, error) {
	return store.Place{}, errNoFeed
}

func (s *Store) Commits(ctx context.Context, from store.Place, limit int) ([]*store.Commit, error) {
	return nil, errNoFeed
}

func (r *reader) AllCommits(ctx context.Context) iter.Seq2[*store.Commit, error] {
	return func(func(*store.Commit, error) bool) {}
}
