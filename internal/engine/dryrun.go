package engine

import (
	"context"
	"errors"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// dryRun is a dry run: how would the request be decided now?
type dryRun struct {
	trace *benefit.Explanation
}

// DryRun decides a request without issuing anything, and traces each step. The outcome is what Issue would have answered
// at that moment; its ids, draws and codes are not kept, so Issue will draw others. For a key that is bound the
// explanation is that of the issuance under it, as far as the current catalogue allows.
func (i *Issuer) DryRun(ctx context.Context, r *benefit.Request) (benefit.Outcome, *benefit.Explanation, error) {
	if err := check(r); err != nil {
		return benefit.Outcome{}, nil, err
	}
	p := &pending{request: r, dryRun: &dryRun{}, done: make(chan struct{}, 1)}
	if err := i.queueOf(r.Recipient).put(p); err != nil {
		return benefit.Outcome{}, nil, err
	}
	o, err := await(ctx, p)
	if err != nil {
		return o, nil, err
	}
	return o, p.dryRun.trace, nil
}

// stepDryRun answers a dry run.
func (c *committer) stepDryRun(ctx context.Context, p *pending) error {
	for try := 1; ; try++ {
		err := c.tryDryRun(ctx, p)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		if try == maxSingleTries {
			c.giveUp([]*pending{p}, err)
			return nil
		}
	}
}

// tryDryRun answers a dry run. It returns store.ErrConflict when another process changed its rows first.
func (c *committer) tryDryRun(ctx context.Context, p *pending) error {
	tx, cat, err := c.begin(ctx)
	if err != nil {
		return c.loadFailed([]*pending{p}, err)
	}
	defer tx.Rollback()
	switch err := c.load(ctx, tx, cat, []*pending{p}); {
	case errors.Is(err, store.ErrConflict):
		return err
	case err != nil:
		return c.loadFailed([]*pending{p}, err)
	}
	if err := c.clockCheck.check(tx.Now()); err != nil {
		c.refuse([]*pending{p}, err)
		return nil
	}
	c.answerDryRun(cat, p)
	return nil
}

// answerDryRun runs the core on the loaded rows. A request that makes it panic is rejected.
func (c *committer) answerDryRun(cat *benefit.Catalogue, p *pending) {
	defer func() {
		if cause := recover(); cause != nil {
			p.answer(benefit.Outcome{}, fmt.Errorf("%w: %v", ErrInvalid, cause))
		}
	}()
	outcome, _ := benefit.Apply(cat, benefit.Choose(cat, c.state, p.request, c.env), c.state)
	if of := decidedIssuance(&outcome); of != nil {
		p.dryRun.trace = benefit.Explain(cat, of, c.env.Rules)
		if outcome.Attempt != nil { // what was issued has its own time
			p.dryRun.trace.Now = c.state.Now
		}
	}
	p.answer(outcome, nil)
}

// decidedIssuance returns the issuance that an outcome is about: the refused attempt, or else the one stored under the key.
func decidedIssuance(o *benefit.Outcome) *benefit.Issuance {
	if o.Attempt != nil {
		return o.Attempt
	}
	return o.Issuance
}

// Explain returns how an issuance of the store was decided. It fails when the store does not know the catalogue of that
// time.
func (i *Issuer) Explain(ctx context.Context, r store.Reader, of *benefit.Issuance) (*benefit.Explanation, error) {
	entities, err := r.EntitiesAt(ctx, of.Catalogue)
	if err != nil {
		return nil, err
	}
	cat, err := benefit.CatalogueOf(of.Catalogue, entities)
	if err != nil {
		return nil, err
	}
	return benefit.Explain(cat, of, i.rules), nil
}
