package sim

import (
	"context"
	"errors"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// watched is a process's store beside a plain one that gets the same commits. Every row that it loads is compared with
// the plain one's, and what became of the last commit is remembered.
type watched struct {
	store.Store
	s *simulation
	p *process

	now       benefit.Instant  // of the last batch
	commitErr error            // of the last batch; nil when it committed nothing
	unread    bool             // the last batch could not be loaded
	committed *benefit.Changes // by the last batch
	tries     int              // of the last batch: attempts that were late
	seen      *seen            // by the last attempt, when others came between; else nil
}

// point is where in a batch something may go wrong.
type point int

const (
	afterBegin  point = iota
	afterKeys         // claims and recipients were read; nothing is locked
	afterLocks        // the templates and activities are the batch's alone
	beforeWrite       // everything was decided
)

// begin forgets the batch before.
func (w *watched) begin() {
	w.commitErr, w.unread, w.committed, w.tries, w.seen = nil, false, nil, 0, nil
}

// failed notes how a batch ended.
func (w *watched) failed(err error) {
	if w.commitErr = err; errors.Is(err, store.ErrConflict) {
		w.tries++
	}
}

func (w *watched) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return w.beginWith(ctx, clock, false, w.Store.Begin)
}

func (w *watched) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return w.beginWith(ctx, clock, true, w.Store.BeginChange)
}

func (w *watched) beginWith(
	ctx context.Context, clock benefit.Instant, change bool, begin func(context.Context, benefit.Instant) (store.Tx, error),
) (store.Tx, error) {
	if errors.Is(w.commitErr, store.ErrConflict) { // this is the next try
		w.commitErr = nil
	}
	tx, err := begin(ctx, clock)
	if err != nil {
		w.failed(err)
		w.unread = true
		return nil, err
	}
	t := &watchedTx{Tx: tx, w: w, clock: clock, change: change, state: benefit.NewState(), loaded: benefit.NewState()}
	t.wantNow()
	if w.p.engine != nil && tx.Catalogue() == w.p.engine.Catalogue().Version { // or it begins again
		w.s.back.reach(t, afterBegin)
	}
	return t, nil
}

type watchedTx struct {
	store.Tx
	w      *watched
	clock  benefit.Instant
	change bool
	locks  bool // it has its templates and activities
	// state is as the plain store loads it, loaded the same from the store. The state that decides holds more, such as
	// the drawn codes, and cannot be compared.
	state, loaded *benefit.State
}

// keysOf returns the keys with those of rows for another state.
func keysOf(keys *benefit.Keys, of *benefit.State) *benefit.Keys {
	same := *keys
	var row table.Row
	for _, rows := range keys.Rows {
		for i := range rows.Len() {
			rows.Key(i, &row)
			rows.Kind().Want(of.Rows(), row.Key)
		}
	}
	same.Rows = of.Rows().Wanted()
	return &same
}

// wantNow compares now with what it should be: the clock, or the last now of the store.
func (t *watchedTx) wantNow() {
	plain := t.beginPlain(t.clock)
	defer plain.Rollback()
	t.w.now = t.Now()
	if got, want := t.Now(), plain.Now(); got != want && (got < want || got > t.w.s.confirmed) {
		t.w.s.failf("%snow is %d, it should be %d", t.w.p.name, got, want)
	}
}

func (t *watchedTx) beginPlain(clock benefit.Instant) store.Tx {
	plain, err := t.w.s.model.Begin(context.Background(), clock)
	if err != nil {
		t.w.s.failf("the plain store: %v", err)
	}
	return plain
}

func (t *watchedTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	t.loaded.Now = into.Now
	if err := errors.Join(t.Tx.Load(ctx, keysOf(keys, t.loaded), t.loaded), t.Tx.Load(ctx, keys, into)); err != nil {
		if !t.w.Shared() {
			t.w.s.failf("loading: %v", err)
		}
		t.w.failed(err)
		t.w.unread = !errors.Is(err, store.ErrConflict)
		return err
	}
	first := !t.locks && len(keys.Locks) > 0
	if first {
		t.locks = true
		t.wantNow()
	}
	t.loadPlain(ctx, keys, into)
	switch {
	case first:
		t.w.s.back.reach(t, afterLocks)
	case !t.locks:
		t.w.s.back.reach(t, afterKeys)
	}
	return nil
}

// loadPlain compares what was loaded with the rows of the plain store. Nothing was committed since.
func (t *watchedTx) loadPlain(ctx context.Context, keys *benefit.Keys, into *benefit.State) {
	t.state.Now = into.Now
	plain := t.beginPlain(t.Now())
	defer plain.Rollback()
	if err := plain.Load(ctx, keysOf(keys, t.state), t.state); err != nil {
		t.w.s.failf("the plain store: %v", err)
	}
	if diff := storetest.DiffStates(t.state, t.loaded); diff != "" {
		t.w.s.failf("%sthe loaded rows (-should +are):\n%s", t.w.p.name, diff)
	}
}

func (t *watchedTx) Commit(ctx context.Context, changes *benefit.Changes) error {
	t.w.s.back.reach(t, beforeWrite)
	err := t.Tx.Commit(ctx, changes)
	t.w.failed(err)
	switch {
	case err == nil:
		t.w.committed = changes
		t.w.s.writePlain(changes)
	case !errors.Is(err, store.ErrNotCommitted):
		t.w.p.maybe = changes
	}
	return err
}

func (t *watchedTx) Confirm(ctx context.Context) error {
	t.w.s.back.reach(t, beforeWrite)
	if t.w.Shared() { // it may leave its now in the store
		t.w.s.confirmed = max(t.w.s.confirmed, t.Now())
	}
	err := t.Tx.Confirm(ctx)
	t.w.failed(err)
	return err
}

// writePlain applies a commit to the plain store.
func (s *simulation) writePlain(c *benefit.Changes) {
	tx, err := s.model.Begin(s.ctx, c.Now)
	if err == nil {
		err = tx.Commit(s.ctx, c)
	}
	if err != nil {
		s.failf("the plain store: %v", err)
	}
	s.latest = max(s.latest, c.Now)
}
