package postgres

import "time"

// HavePatience bounds what the store waits for: a step of a batch, and a commit. It is to be called before there is one.
func (s *Store) HavePatience(step, commit time.Duration) {
	s.stepTimeout, s.commitTimeout = step, commit
}
