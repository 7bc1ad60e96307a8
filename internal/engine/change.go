package engine

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// ChangeFunc plans a change of the catalogue, or of users and sessions. It runs in the committer, inside
// [store.Store.BeginChange], so nothing else changes while it reads; nil or empty changes commit nothing. Issuances among
// the changes are not written. It is called again when another process was first with a row, and must keep nothing of what it
// did before.
type ChangeFunc func(ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error)

// Change commits a change of the catalogue between two batches. When it returns without error the change is durable and
// in force: no batch after it decides by the old catalogue, so a template that was paused issues nothing more. An error
// of fn, or a catalogue that would not load, changes nothing. When ctx ends while the change waits, nothing is changed
// either. Once it is under way Change waits for it: callers that keep data derived from the old state must learn when
// it is no longer in force.
func (e *Engine) Change(ctx context.Context, fn ChangeFunc) error {
	p, err := e.SubmitChange(ctx, fn)
	if err != nil {
		return err
	}
	return p.await(ctx)
}

// SubmitChange puts a change into the queue without waiting. It is for callers that drive Step themselves.
func (e *Engine) SubmitChange(ctx context.Context, fn ChangeFunc) (*Pending, error) {
	c := &change{ctx: ctx, fn: fn, store: e.o.Store}
	p := &Pending{command: c, change: c, done: make(chan struct{}, 1)}
	return p, e.committers[0].queue.put(p)
}

// change is the command that carries out a ChangeFunc. It has a batch for itself, in which it reads what it likes.
type change struct {
	ctx   context.Context
	fn    ChangeFunc
	store store.Store

	next *benefit.Catalogue // that is in force once the change is committed; nil: the old one stays
	err  error              // why nothing is to be changed
}

func (c *change) String() string        { return "a change" }
func (c *change) Check() error          { return nil }
func (c *change) Size() int             { return 0 }
func (c *change) Touches(*maphash.Hash) {}
func (c *change) Names(*benefit.Batch)  {}
func (c *change) Rows(*benefit.Batch)   {}

// Apply plans the change.
func (c *change) Apply(b *benefit.Batch) benefit.Decision {
	c.next = nil
	effect, err := c.plan(b)
	c.err = err
	return benefit.Decision{Effect: effect}
}

// plan returns what is to be changed; nil when nothing is.
func (c *change) plan(b *benefit.Batch) (*benefit.Effect, error) {
	if c.ctx.Err() != nil {
		return nil, ErrGaveUp
	}
	ctx := context.WithoutCancel(c.ctx) // once it is under way it is carried out
	r, err := c.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	changes, err := c.fn(ctx, r, b.Catalogue, b.Env)
	if err != nil || changes == nil {
		return nil, err
	}
	effect := &benefit.Effect{Users: changes.Users, Unread: changes.Rows, Catalogue: changes.Catalogue}
	if changes.Catalogue == 0 {
		return effect, nil
	}
	entities, _, err := r.Entities(ctx)
	if err != nil {
		return nil, err
	}
	changed := benefit.Entities.Of(changes.Rows)
	if c.next, err = benefit.CatalogueOf(changes.Catalogue, merge(entities, changed)); err != nil {
		return nil, err
	}
	if effect.Templates, err = templateEvents(ctx, r, b.Catalogue, c.next, changed); err != nil {
		return nil, err
	}
	cursors, err := expiryCursors(ctx, r, b.Catalogue, c.next, b.Now)
	effect.Unread = append(effect.Unread, benefit.RowsOf(benefit.ExpiryCursors.Rows(cursors...))...)
	return effect, err
}

// templateEvents returns the events of the templates among the entities that a new version of the catalogue changes.
func templateEvents(ctx context.Context, r store.Reader, before, after *benefit.Catalogue, changed []benefit.Entity) (all []benefit.TemplateEvent, err error) {
	var templates []benefit.TemplateID
	for _, e := range changed {
		if e.Kind == benefit.TemplateEntity {
			templates = append(templates, benefit.TemplateID(e.ID))
		}
	}
	issued, err := store.GetAll(ctx, r, benefit.TemplateCounts, templates...)
	if err != nil {
		return nil, err
	}
	for _, t := range templates {
		all = append(all, after.Templates[t].ChangeEvents(before.Templates[t], after.Version, issued[t])...)
	}
	return all, nil
}

// inForce puts the catalogue of a committed change in force; of any other command there is none.
func (e *Engine) inForce(c *change) {
	if c == nil || c.next == nil {
		return
	}
	e.catalogueMu.Lock() // a Refresh that has read the old catalogue stores it before this, never after
	e.catalogue.Store(c.next)
	e.catalogueMu.Unlock()
}

// merge replaces the old entities by the changed ones.
func merge(old, changed []benefit.Entity) []benefit.Entity {
	latest := map[benefit.EntityKey]benefit.Entity{}
	for _, e := range slices.Concat(old, changed) {
		latest[benefit.EntityKey{Kind: e.Kind, ID: e.ID}] = e
	}
	return benefit.SortEntities(slices.Collect(maps.Values(latest)))
}
