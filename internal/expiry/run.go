package expiry

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Engine carries commands out; it is an [faquan/internal/engine.Engine].
type Engine interface {
	Catalogue() *benefit.Catalogue
	Do(ctx context.Context, c benefit.Command) error
}

// Record records all vouchers whose end has passed, as of an instant. Its error is that of the store, the engine or ctx; what
// was recorded before stays.
func (f *Finder) Record(ctx context.Context, read func(context.Context) (store.Reader, error), e Engine, now benefit.Instant) error {
	for {
		cat := e.Catalogue()
		if len(cat.ExpiryWanted()) == 0 { // nothing is read
			return nil
		}
		commands, err := f.find(ctx, read, cat, now)
		if err != nil || len(commands) == 0 {
			return err
		}
		for _, c := range commands {
			if err := e.Do(ctx, c); err != nil {
				return err
			}
			if !c.Moved { // another process was first, the subscription has ended, or the clock is ahead of the store's
				return nil
			}
		}
	}
}

func (f *Finder) find(ctx context.Context, read func(context.Context) (store.Reader, error), cat *benefit.Catalogue, now benefit.Instant) ([]*benefit.Expiry, error) {
	r, err := read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return f.Next(ctx, r, cat, now)
}
