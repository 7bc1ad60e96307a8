package postgres

import (
	"context"
	"time"
)

// HavePatience bounds what the store waits for: a step of a batch, and a commit. It is to be called before there is one.
func (s *Store) HavePatience(step, commit time.Duration) {
	s.stepTimeout, s.commitTimeout = step, commit
}

// TryOnce is one try of Once.
func (s *Store) TryOnce(ctx context.Context, name string, work func(context.Context) error) error {
	return s.once(ctx, name, work)
}
