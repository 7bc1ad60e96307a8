package storetest

import (
	"context"
	"errors"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// Moment is where a commit in two parts, the claims and then the rest, may be stopped.
type Moment int

// The moments of a commit.
const (
	Nowhere Moment = iota // it runs to its end
	BeforeClaims
	BetweenParts // the keys are bound, and nothing is issued
	AfterBoth    // the answer is lost
)

// ErrStopped is the error of a commit that was stopped: its outcome is unknown to whoever asked.
var ErrStopped = errors.New("the commit was stopped")

// Claiming is the plain store with commits in two parts. It is the oracle of stores that claim and apply apart: it
// differs from the plain one in nothing but what a commit leaves that was stopped between them.
type Claiming struct {
	*memory.Store
	// Stop is where the next commit ends.
	Stop Moment

	claims map[benefit.ClaimID]*benefit.Issuance
	last   int64 // the latest millisecond of an id that was claimed
}

// NewClaiming makes an empty store.
func NewClaiming() *Claiming {
	return &Claiming{Store: memory.New(), claims: map[benefit.ClaimID]*benefit.Issuance{}}
}

// LastIDMillis bounds the ids that were claimed, too.
func (c *Claiming) LastIDMillis() int64 { return max(c.last, c.Store.LastIDMillis()) }

// Begin starts a batch.
func (c *Claiming) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	tx, err := c.Store.Begin(ctx, clock)
	return &claimingTx{tx, c}, err
}

// BeginChange starts a batch that may write anything.
func (c *Claiming) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return c.Begin(ctx, clock)
}

type claimingTx struct {
	store.Tx
	c *Claiming
}

func (t *claimingTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	if err := t.Tx.Load(ctx, keys, into); err != nil {
		return err
	}
	for _, k := range keys.Claims {
		if i := t.c.claims[k.ID]; i != nil {
			into.SetClaim(k.ID, i)
		}
	}
	return nil
}

func (t *claimingTx) Commit(ctx context.Context, changes *benefit.Changes) error {
	stop := t.c.Stop
	t.c.Stop = Nowhere
	switch stop {
	case BeforeClaims:
		t.Rollback()
		return ErrStopped
	case BetweenParts:
		t.Rollback()
		t.c.claim(changes)
		return ErrStopped
	}
	if err := t.Tx.Commit(ctx, changes); err != nil {
		return err
	}
	for _, i := range changes.Issuances {
		t.c.bind(i, func(benefit.ClaimKey) *benefit.Issuance { return i })
	}
	if stop == AfterBoth {
		return ErrStopped
	}
	return nil
}

// claim is the first part of a commit. What is bound to an issuance already stays as it is.
func (c *Claiming) claim(changes *benefit.Changes) {
	for _, i := range changes.Issuances {
		made := slices.ContainsFunc(changes.Users, func(u *benefit.User) bool { return u.ID == i.User })
		c.bind(i, func(k benefit.ClaimKey) *benefit.Issuance {
			if was := c.claims[k.ID]; was != nil && was.ID == i.ID {
				return was
			}
			return i.Unapplied(made)
		})
	}
}

func (c *Claiming) bind(i *benefit.Issuance, to func(benefit.ClaimKey) *benefit.Issuance) {
	for _, k := range i.Claims() {
		c.claims[k.ID] = to(k)
	}
	c.last = max(c.last, i.ID.Millis(), id.ID(i.User).Millis())
}
