// Package memory is the plainest store that keeps the contract of package store: a few maps. Nothing of it
// outlives the process.
//
// Tests compare the other stores with it, so everything here is written to be seen to be right rather than to be fast.
// Keys are compared as text, not by digest; lists are found by looking at every row; order is made by sorting. The
// simulator and tests of packages above the store use it, too, where what is under test is not the store.
//
// Consistent reading works by copying: a [store.Reader] holds the tables as they were, and the first commit
// after it copies them before it writes. Rows are never changed in place, so copying the maps is enough.
package memory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/table"
)

var (
	errClosed = errors.New("memory: the store is closed")
	errBatch  = errors.New("memory: a batch is under way already")
	errEnded  = errors.New("memory: the batch has ended")
)

// Store is a store in memory. The zero Store is not usable: see New.
type Store struct {
	mu     sync.Mutex
	rows   *tables
	shared bool // a reader holds rows: copy them before the next write
	batch  *tx
	closed bool
}

var _ store.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store { return &Store{rows: newTables()} }

// Reopen returns a new store that holds what this one had committed, as opening the files of another store would. A
// batch that was under way is forgotten. This store is closed by it.
func (s *Store) Reopen() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.batch = true, nil
	return &Store{rows: s.rows, shared: true}
}

// Begin starts a batch, see store.Store. It answers an error when one is under way.
func (s *Store) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.batch != nil {
		return nil, errBatch
	}
	s.batch = &tx{store: s, now: max(clock, s.rows.now)}
	return s.batch, nil
}

// BeginChange is Begin: there is one process.
func (s *Store) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return s.Begin(ctx, clock)
}

// Shared is false.
func (s *Store) Shared() bool { return false }

// LastIDMillis returns the latest millisecond that an id in the store carries; 0 when there is none.
func (s *Store) LastIDMillis() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.lastIDMillis
}

// LastNow returns the now of the last commit.
func (s *Store) LastNow() benefit.Instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.now
}

// Entities returns the catalogue's.
func (s *Store) Entities(ctx context.Context) (all []benefit.Entity, version int64, err error) {
	r, err := s.Read(ctx)
	if err == nil {
		all, version, err = r.Entities(ctx)
	}
	return all, version, err
}

// Rows returns the rows of keys.
func (s *Store) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) (rows []*table.Row, err error) {
	r, err := s.Read(ctx)
	if err == nil {
		rows, err = r.Rows(ctx, kind, keys)
	}
	return rows, err
}

// RowsUnder returns the rows under a prefix.
func (s *Store) RowsUnder(ctx context.Context, kind *table.Kind, prefix []table.Datum, limit int) ([]*table.Row, error) {
	return store.FirstUnder(ctx, s, kind, prefix, limit)
}

// Claim returns the newest issuance under a key.
func (s *Store) Claim(ctx context.Context, scope benefit.Scope, key string) (i *benefit.Issuance, err error) {
	r, err := s.Read(ctx)
	if err == nil {
		i, err = r.Claim(ctx, scope, key)
	}
	return i, err
}

// IssuanceOf returns the issuance that holds a voucher.
func (s *Store) IssuanceOf(ctx context.Context, voucher id.ID) (i *benefit.Issuance, err error) {
	r, err := s.Read(ctx)
	if err == nil {
		i, err = r.IssuanceOf(ctx, voucher)
	}
	return i, err
}

// Recipient returns the user that an identifier names.
func (s *Store) Recipient(ctx context.Context, ident benefit.Identifier) (u *benefit.User, err error) {
	r, err := s.Read(ctx)
	if err == nil {
		u, err = r.Recipient(ctx, ident)
	}
	return u, err
}

// RecentIssuances lists a user's issuances, the newest first.
func (s *Store) RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, func(r store.Reader) ([]*benefit.Issuance, error) {
		return r.UserIssuances(ctx, user, 0, math.MaxInt)
	})
}

// RecentOfTemplate lists the issuances that have a line of the template, the newest first.
func (s *Store) RecentOfTemplate(ctx context.Context, template benefit.TemplateID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, func(r store.Reader) ([]*benefit.Issuance, error) {
		return r.TemplateIssuances(ctx, template, 0, math.MaxInt)
	})
}

// RecentOfTrace lists the issuances whose callers gave the trace id, the newest first.
func (s *Store) RecentOfTrace(ctx context.Context, traceID string, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, func(r store.Reader) ([]*benefit.Issuance, error) {
		return r.TraceIssuances(ctx, traceID, 0, math.MaxInt)
	})
}

// newest iterates over a list from its end, those with an id below before.
func (s *Store) newest(ctx context.Context, before id.ID, list func(r store.Reader) ([]*benefit.Issuance, error)) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		var all []*benefit.Issuance
		r, err := s.Read(ctx)
		if err == nil {
			all, err = list(r)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, i := range slices.Backward(all) {
			if (before == 0 || i.ID < before) && !yield(i, nil) {
				return
			}
		}
	}
}

// Read opens a view of everything committed so far.
func (s *Store) Read(ctx context.Context) (store.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	s.shared = true
	return reader{s.rows}, nil
}

// Close ends the store. Readers that are open stay usable.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// tx is a batch under way.
type tx struct {
	store *Store
	now   benefit.Instant
}

func (x *tx) Now() benefit.Instant { return x.now }

func (x *tx) Catalogue() int64 {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	return x.store.rows.version
}

func (x *tx) Contended() bool { return false }

func (x *tx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if x.store.batch != x {
		return errEnded
	}
	return x.store.rows.load(keys, into)
}

func (x *tx) Commit(ctx context.Context, changes *benefit.Changes) error {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if x.store.batch != x {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, errEnded)
	}
	x.store.batch = nil
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, err)
	}
	if x.store.shared {
		x.store.rows, x.store.shared = x.store.rows.clone(), false
	}
	x.store.rows.write(changes, x.now)
	return nil
}

func (x *tx) Confirm(context.Context) error {
	x.Rollback()
	return nil
}

func (x *tx) Rollback() {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if x.store.batch == x {
		x.store.batch = nil
	}
}
