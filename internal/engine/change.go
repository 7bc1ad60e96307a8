package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// ChangeFunc plans a change of the catalogue. It runs in the committer, inside [store.Store.BeginChange], so nothing
// else changes while it reads; nil or empty changes commit nothing.
type ChangeFunc func(ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error)

type change struct {
	ctx context.Context
	fn  ChangeFunc
}

// Change commits a change of the catalogue between two batches. When it returns without error the change is durable and
// in force: no batch after it decides by the old catalogue, so a template that was paused issues nothing more. An error
// of fn, or a catalogue that would not load, changes nothing. When ctx ends while the change waits, nothing is changed
// either. Once it is under way Change waits for it: callers that keep data derived from the old state must learn when
// it is no longer in force.
func (i *Issuer) Change(ctx context.Context, fn ChangeFunc) error {
	p, err := i.SubmitChange(ctx, fn)
	if err != nil {
		return err
	}
	select {
	case <-p.p.done:
	case <-ctx.Done():
		if p.p.queue.abandon(p.p) {
			return ErrGaveUp
		}
		<-p.p.done
	}
	return p.p.err
}

// SubmitChange puts a change into the queue without waiting. It is for callers that drive Step themselves.
func (i *Issuer) SubmitChange(ctx context.Context, fn ChangeFunc) (Pending, error) {
	p := &pending{change: &change{ctx, fn}, done: make(chan struct{}, 1)}
	return Pending{p}, i.committers[0].queue.put(p)
}

func (c *committer) stepChange(ctx context.Context, p *pending) error {
	next, commit, err := c.commitChange(ctx, p.change)
	if err == nil && next != nil {
		c.catalogueMu.Lock() // a Refresh that has read the old catalogue stores it before this, never after
		c.catalogue.Store(next)
		c.catalogueMu.Unlock()
	}
	p.answer(benefit.Outcome{}, err)
	return fatal(commit)
}

// commitChange plans and commits. It returns the catalogue then in force, nil when it stays; the error of the
// commit itself apart, because only that one may be fatal; and what to tell the caller.
func (c *committer) commitChange(ctx context.Context, planned *change) (next *benefit.Catalogue, commit, err error) {
	if err := planned.ctx.Err(); err != nil {
		return nil, nil, ErrGaveUp
	}
	tx, err := c.store.BeginChange(ctx, c.clock())
	if err != nil {
		return nil, err, fmt.Errorf("%w: %w", ErrNotIssued, err)
	}
	defer tx.Rollback()
	if err := c.clockCheck.check(tx.Now()); err != nil { //guard:TestClockJumps
		return nil, nil, fmt.Errorf("%w: %w", ErrNotIssued, err)
	}
	cat := c.Catalogue()
	if tx.Catalogue() != cat.Version {
		if err := c.Refresh(ctx); err != nil {
			return nil, nil, err
		}
		cat = c.Catalogue()
	}
	changes, next, err := c.planChange(ctx, cat, planned.fn)
	if err != nil || changes == nil || changes.Empty() {
		return nil, nil, err
	}
	changes.Now = tx.Now()
	//guard:TestChangeErrors if err := tx.Commit -> c.catalogue.Store(next); if err := tx.Commit
	if err := tx.Commit(ctx, changes); err != nil {
		why := fmt.Errorf("the change of the catalogue: %w", err)
		if !errors.Is(err, store.ErrNotCommitted) {
			why = fmt.Errorf("%w: %w", ErrChangeUnknown, err)
		}
		return nil, err, why
	}
	return next, nil, nil
}

func (c *committer) planChange(ctx context.Context, cat *benefit.Catalogue, fn ChangeFunc) (*benefit.Changes, *benefit.Catalogue, error) {
	r, err := c.store.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	changes, err := fn(ctx, r, cat, c.env)
	if err != nil || changes == nil || changes.Catalogue == 0 {
		return changes, nil, err
	}
	entities, _, err := r.Entities(ctx)
	if err != nil {
		return nil, nil, err
	}
	next, err := benefit.CatalogueOf(changes.Catalogue, merge(entities, changes.Entities))
	return changes, next, err
}

// merge replaces the old entities by the changed ones.
func merge(old, changed []benefit.Entity) []benefit.Entity {
	type name struct {
		kind benefit.EntityKind
		id   int64
	}
	all := slices.Clone(old)
	at := make(map[name]int, len(all))
	for k, e := range all {
		at[name{e.Kind, e.ID}] = k
	}
	for _, e := range changed {
		if k, ok := at[name{e.Kind, e.ID}]; ok {
			all[k] = e
		} else {
			all = append(all, e)
		}
	}
	return all
}
