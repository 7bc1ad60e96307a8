package storetest

import (
	"context"
	"errors"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Fault is a way in which a batch fails.
type Fault uint8

// The faults. What a caller may believe of a batch differs: after the first three nothing of it was written, and
// it knows; after LosesBatch and LosesAnswer it cannot know, and only a retry with the same key tells.
const (
	NoFault      Fault = iota
	FailsBegin         // Begin fails
	FailsLoad          // the batch's first Load fails
	FailsCommit        // nothing is written, and Commit answers store.ErrNotCommitted
	LosesBatch         // nothing is written, and Commit answers that the outcome is unknown
	LosesAnswer        // the batch is written, and Commit answers that the outcome is unknown
	FailsForGood       // the batch is written; Commit and every later Begin answer store.ErrFailed
)

// ErrInjected is in every error that a Faulty store makes.
var ErrInjected = errors.New("a fault that the test made")

// Faulty is a store whose batches fail as a test wants. Reading is as it was.
type Faulty struct {
	store.Store
	// Next is asked at each Begin what becomes of the batch.
	Next func() Fault

	failed error
}

// Begin begins a batch, or fails.
func (f *Faulty) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return f.begin(ctx, clock, f.Store.Begin)
}

// BeginChange begins a change, or fails.
func (f *Faulty) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return f.begin(ctx, clock, f.Store.BeginChange)
}

type beginFunc func(ctx context.Context, clock benefit.Instant) (store.Tx, error)

func (f *Faulty) begin(ctx context.Context, clock benefit.Instant, begin beginFunc) (store.Tx, error) {
	if f.failed != nil {
		return nil, f.failed
	}
	fault := f.Next()
	if fault == FailsBegin {
		return nil, fmt.Errorf("begin: %w", ErrInjected)
	}
	tx, err := begin(ctx, clock)
	if err != nil {
		return nil, err
	}
	return &faultyTx{Tx: tx, store: f, fault: fault}, nil
}

type faultyTx struct {
	store.Tx
	store *Faulty
	fault Fault
}

func (x *faultyTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	if x.fault == FailsLoad {
		return fmt.Errorf("load: %w", ErrInjected)
	}
	return x.Tx.Load(ctx, keys, into)
}

func (x *faultyTx) Commit(ctx context.Context, changes *benefit.Changes) error {
	switch x.fault {
	case FailsCommit:
		x.Rollback()
		return fmt.Errorf("commit: %w: %w", store.ErrNotCommitted, ErrInjected)
	case LosesBatch:
		x.Rollback()
		return fmt.Errorf("commit: %w", ErrInjected)
	}
	if err := x.Tx.Commit(ctx, changes); err != nil {
		return err
	}
	switch x.fault {
	case LosesAnswer:
		return fmt.Errorf("commit: %w", ErrInjected)
	case FailsForGood:
		x.store.failed = fmt.Errorf("commit: %w: %w", store.ErrFailed, ErrInjected)
		return x.store.failed
	}
	return nil
}
