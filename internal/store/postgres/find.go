package postgres

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
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

// RecentIssuances lists a user's issuances, the newest first.
func (s *Store) RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, readRecentIssuances, homeBucket(user), int64(user))
}

// RecentOfTemplate lists the issuances that have a line of the template, the newest first.
func (s *Store) RecentOfTemplate(ctx context.Context, template benefit.TemplateID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, readRecentOfTemplate, int64(template))
}

// RecentOfTrace lists the issuances whose callers gave the trace id, the newest first.
func (s *Store) RecentOfTrace(ctx context.Context, traceID string, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		for i, err := range s.newest(ctx, before, readRecentOfTrace, traceHash(traceID)) {
			//guard:TestReaderHashClashes without err == nil && i.Note.TraceID != traceID
			if err == nil && i.Note.TraceID != traceID { // another text with the same hash
				continue
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

// newest iterates over a list by a statement that reads a part of it, from the end; the last parameters are the id below
// which the part begins, and how many issuances it has at most. Each part is a statement of its own: no connection and no
// snapshot is held between them.
func (s *Store) newest(ctx context.Context, before id.ID, list *statement, args ...any) iter.Seq2[*benefit.Issuance, error] {
	return store.Newest(before, func(below id.ID, limit int) (part []*benefit.Issuance, next id.ID, err error) {
		part, err = s.part(ctx, list, append(slices.Clone(args), int64(below), limit))
		if len(part) == limit {
			next = part[limit-1].ID
		}
		return part, next, err
	})
}

// part reads one part, in one round trip.
func (s *Store) part(ctx context.Context, list *statement, args []any) (part []*benefit.Issuance, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue("BEGIN READ ONLY")
	b.Queue(planByIndex)
	b.Queue(list.text, args...).Query(func(rows pgx.Rows) (err error) {
		part, err = pgx.CollectRows(rows, scanListed)
		return err
	})
	b.Queue("COMMIT")
	err = s.reading.SendBatch(ctx, b).Close()
	return part, s.lookupFailed(ctx, err)
}

// scanListed scans an issuance that a list names. It returns store.ErrDamaged when there is no such issuance.
func scanListed(row pgx.CollectableRow) (*benefit.Issuance, error) {
	var body []byte
	if err := row.Scan(&body); err != nil {
		return nil, err
	}
	if body == nil { //guard:TestLookUpsOfLostRows
		return nil, fmt.Errorf("%w: the list of a template names an issuance that is not there", store.ErrDamaged)
	}
	return codec.DecodeIssuance(body)
}

// planByIndex lets the planner take nothing but the index that has the order for the next statement. It thinks that a
// user has few rows, as the buckets of users and the users are independent to its statistics; then it would read all of
// them and sort. Where a few rows must be sorted all the same, the plan looks so costly that the server would compile it.
const planByIndex = `SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`

// lookupFailed is broken for a look-up of a caller. That a caller ran out of time, perhaps while it waited for a
// connection, says nothing about the server, and must not cost the connections that others issue on.
func (s *Store) lookupFailed(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return err
	}
	return s.broken(err)
}
