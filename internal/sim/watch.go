package sim

import (
	"context"
	"errors"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// watched is a store beside a plain one that gets the same commits. Every row that it loads is compared with the
// plain one's, and what became of the last commit is remembered.
type watched struct {
	store.Store
	s *simulation

	now       benefit.Instant  // of the last batch
	commitErr error            // of the last batch; nil when it committed nothing
	committed *benefit.Changes // by the last batch
}

// begin forgets the batch before.
func (w *watched) begin() { w.commitErr, w.committed = nil, nil }

func (w *watched) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return w.beginWith(ctx, clock, w.Store.Begin)
}

func (w *watched) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return w.beginWith(ctx, clock, w.Store.BeginChange)
}

func (w *watched) beginWith(
	ctx context.Context, clock benefit.Instant, begin func(context.Context, benefit.Instant) (store.Tx, error),
) (store.Tx, error) {
	tx, err := begin(ctx, clock)
	if err != nil {
		w.commitErr = err
		return nil, err
	}
	plain, err := w.s.model.Begin(ctx, clock)
	if err != nil {
		w.s.failf("the plain store: %v", err)
	}
	if w.now = tx.Now(); w.now != plain.Now() {
		w.s.failf("now is %d, it should be %d", w.now, plain.Now())
	}
	return &watchedTx{Tx: tx, w: w, plain: plain, state: benefit.NewState(), loaded: benefit.NewState()}, nil
}

type watchedTx struct {
	store.Tx
	w     *watched
	plain store.Tx
	// state is as the plain store loads it, loaded the same from the store. The state that decides holds more, such as
	// the drawn codes, and cannot be compared.
	state, loaded *benefit.State
}

func (t *watchedTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	t.state.Now, t.loaded.Now = into.Now, into.Now
	if err := t.plain.Load(ctx, keys, t.state); err != nil {
		t.w.s.failf("the plain store: %v", err)
	}
	if err := errors.Join(t.Tx.Load(ctx, keys, t.loaded), t.Tx.Load(ctx, keys, into)); err != nil {
		t.w.s.failf("loading: %v", err)
	}
	if diff := storetest.DiffStates(t.state, t.loaded); diff != "" {
		t.w.s.failf("the loaded rows (-should +are):\n%s", diff)
	}
	return nil
}

func (t *watchedTx) Commit(ctx context.Context, changes *benefit.Changes) error {
	err := t.Tx.Commit(ctx, changes)
	t.w.commitErr = err
	switch {
	case err == nil:
		t.w.committed = changes
		if err := t.plain.Commit(ctx, changes); err != nil {
			t.w.s.failf("the plain store: %v", err)
		}
	case !errors.Is(err, store.ErrNotCommitted):
		t.w.s.maybe = changes
	}
	t.plain.Rollback()
	return err
}

func (t *watchedTx) Rollback() {
	t.Tx.Rollback()
	t.plain.Rollback()
}
