package postgres

import (
	"context"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Claim returns the newest issuance under a key.
func (s *Store) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	i, err := claimIn(ctx, s.reading, scope, key)
	return i, s.lookupFailed(ctx, err)
}

// IssuanceOf returns the issuance that holds a voucher.
func (s *Store) IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	i, err := issuanceOfIn(ctx, s.reading, voucher)
	return i, s.lookupFailed(ctx, err)
}

// Recipient returns the user that an identifier names.
func (s *Store) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	u, err := recipientIn(ctx, s.reading, ident)
	return u, s.lookupFailed(ctx, err)
}

// How many issuances one statement reads: few at first, as most callers stop early, then more.
const (
	minRecent = 32
	maxRecent = 512
)

// RecentIssuances iterates over a user's issuances by descending id. Each part is a statement of its own: no connection
// and no snapshot is held between them.
func (s *Store) RecentIssuances(ctx context.Context, user benefit.UserID) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		below := id.ID(math.MaxInt64)
		for limit := minRecent; ; limit = min(2*limit, maxRecent) {
			part, err := s.recent(ctx, user, below, limit)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, i := range part {
				if !yield(i, nil) {
					return
				}
				below = i.ID
			}
			if len(part) < limit {
				return
			}
		}
	}
}

// recent reads one part, in one round trip.
func (s *Store) recent(ctx context.Context, user benefit.UserID, below id.ID, limit int) ([]*benefit.Issuance, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue("BEGIN READ ONLY")
	b.Queue(planByIndex)
	var part []*benefit.Issuance
	b.Queue(readRecentIssuances.text, homeBucket(user), int64(user), int64(below), limit).Query(func(rows pgx.Rows) (err error) {
		part, err = pgx.CollectRows(rows, scanIssuance)
		return err
	})
	b.Queue("COMMIT")
	err := s.reading.SendBatch(ctx, b).Close()
	return part, s.lookupFailed(ctx, err)
}

// planByIndex lets the planner take nothing but the index that has the order for the next statement. It thinks that a
// user has few rows, as the buckets of users and the users are independent to its statistics; then it would read all of
// them and sort.
const planByIndex = `SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)`

// lookupFailed is broken for a look-up of a caller. That a caller ran out of time, perhaps while it waited for a
// connection, says nothing about the server, and must not cost the connections that others issue on.
func (s *Store) lookupFailed(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return err
	}
	return s.broken(err)
}
