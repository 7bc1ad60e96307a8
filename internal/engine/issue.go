package engine

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Issue carries out a request to issue. The request must not be changed until Issue returns, nor afterwards when it
// returned ErrUnknown. Its errors are those of Do.
func (e *Engine) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	c := &benefit.Issue{Request: r}
	if err := e.Do(ctx, c); err != nil {
		return benefit.Outcome{}, err
	}
	return c.Outcome, nil
}

// DryIssue decides a request without issuing anything, and traces each step. The outcome is what Issue would have answered
// at that moment; its ids, draws and codes are not kept, so Issue will draw others. For a key that is bound the
// explanation is that of the issuance under it, as far as the current catalogue allows.
func (e *Engine) DryIssue(ctx context.Context, r *benefit.Request) (benefit.Outcome, *benefit.Explanation, error) {
	c := &benefit.Issue{Request: r, Explain: true}
	if err := e.DryRun(ctx, c); err != nil {
		return benefit.Outcome{}, nil, err
	}
	return c.Outcome, c.Explanation, nil
}

// Explain returns how an issuance of the store was decided. It fails when the store does not know the catalogue of that
// time.
func (e *Engine) Explain(ctx context.Context, r store.Reader, of *benefit.Issuance) (*benefit.Explanation, error) {
	entities, err := store.EntitiesAt(ctx, r, of.Catalogue)
	if err != nil {
		return nil, err
	}
	cat, err := benefit.CatalogueOf(of.Catalogue, entities)
	if err != nil {
		return nil, err
	}
	return benefit.Explain(cat, of, e.o.Rules), nil
}
