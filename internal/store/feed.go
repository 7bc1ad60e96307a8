package store

import (
	"context"
	"errors"

	"faquan/internal/benefit"
)

// Errors of a Feed.
var (
	// ErrForeignPlace is returned for a place that is not of this feed: of another store, or of this one in a past that a
	// restore has replaced.
	ErrForeignPlace = errors.New("the place is not in this feed")
	// ErrPlaceGone is returned for a place from which the feed is no longer kept.
	ErrPlaceGone = errors.New("the feed is no longer kept from this place on")
)

// Place is a place in a feed: behind a commit, or with Seq 0 before all of them.
type Place struct {
	Seq int64
	// Check depends on the history of the store, so that a place of another history is noticed.
	Check [4]byte
}

// Commit is a commit as the feed has it.
type Commit struct {
	Place
	Now benefit.Instant
	// Steps are what the commit did. An issuance or operation in it may be newer than the commit, with more lines issued; that
	// which the step refers to never changes. Those of commits from before there were steps are empty.
	Steps []benefit.Step
}

// Feed has the commits of a store in an order in which each comes after those that it may rest on. New ones come at its end
// only: who has read up to a place has missed nothing before it. Commits that did nothing that a step describes may be left
// out. It is safe for concurrent use.
type Feed interface {
	// FeedEnd returns the place behind the last commit. Everything acknowledged before the call lies before it, except on
	// a shared store, whose feed is about 100 ms late.
	FeedEnd(ctx context.Context) (Place, error)
	// FeedSince returns the place before the first commit that is kept and whose Now is since or later; the end when there
	// is none.
	FeedSince(ctx context.Context, since benefit.Instant) (Place, error)
	// Commits returns commits in order, at most limit: the one of the place itself, if it has one and that is in the feed,
	// and those behind it. It returns ErrForeignPlace or ErrPlaceGone when there is no going on from the place.
	Commits(ctx context.Context, from Place, limit int) ([]*Commit, error)
}
