package expiry

import (
	"context"
	"hash/maphash"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Engine carries commands out; it is an [faquan/internal/engine.Engine].
type Engine interface {
	Catalogue() *benefit.Catalogue
	Do(ctx context.Context, c benefit.Command) error
}

// Record records all vouchers that have expired by now. Its error is that of the store, the engine or ctx; what was recorded
// before stays.
func (f *Finder) Record(ctx context.Context, read func(context.Context) (store.Reader, error), e Engine) error {
	if len(e.Catalogue().ExpiryWanted()) == 0 { // nothing is read
		return nil
	}
	c := clock{}
	if err := e.Do(ctx, &c); err != nil {
		return err
	}
	for {
		commands, err := f.find(ctx, read, e.Catalogue(), c.now)
		if err != nil || len(commands) == 0 {
			return err
		}
		for _, c := range commands {
			if err := e.Do(ctx, c); err != nil {
				return err
			}
			if !c.Moved { // another process was first, or the subscription has ended
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

// clock is a command that reads the time of the store, which may be another than that of this machine.
type clock struct{ now benefit.Instant }

func (c *clock) String() string        { return "read the time" }
func (c *clock) Check() error          { return nil }
func (c *clock) Size() int             { return 0 }
func (c *clock) Touches(*maphash.Hash) {}
func (c *clock) Names(*benefit.Batch)  {}
func (c *clock) Rows(*benefit.Batch)   {}
func (c *clock) Apply(b *benefit.Batch) benefit.Decision {
	c.now = b.Now
	return benefit.Decision{}
}
