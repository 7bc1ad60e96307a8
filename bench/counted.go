package main

import (
	"context"
	"errors"
	"sync/atomic"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// counted counts the batches of a store, and those that were decided again because another process was first.
type counted struct {
	store.Store
	batches, conflicts atomic.Int64
}

func (s *counted) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	tx, err := s.Store.Begin(ctx, clock)
	if s.count(err) != nil {
		return nil, err
	}
	return &countedTx{Tx: tx, of: s}, nil
}

func (s *counted) count(err error) error {
	if errors.Is(err, store.ErrConflict) {
		s.conflicts.Add(1)
	}
	return err
}

type countedTx struct {
	store.Tx
	of *counted
}

func (t *countedTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	return t.of.count(t.Tx.Load(ctx, keys, into))
}

func (t *countedTx) Commit(ctx context.Context, changes *benefit.Changes) error {
	err := t.of.count(t.Tx.Commit(ctx, changes))
	if err == nil {
		t.of.batches.Add(1)
	}
	return err
}

func (t *countedTx) Confirm(ctx context.Context) error { return t.of.count(t.Tx.Confirm(ctx)) }
