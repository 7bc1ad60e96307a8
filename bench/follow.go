package main

import (
	"context"
	"fmt"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// follower reads the feed of a store while issues are measured, as the consumers of events do.
type follower struct {
	cancel context.CancelFunc
	done   chan error
	issued int64
	// expired are the vouchers whose ends the feed had.
	expired []benefit.ExpiredVoucher
	lag     histogram // from the instant of a commit until it was read
}

const (
	followPage  = 256
	followSleep = 50 * time.Millisecond
)

// follow starts a follower at the end of the feed.
func follow(ctx context.Context, feed store.Feed) (*follower, error) {
	at, err := feed.FeedEnd(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, done: make(chan error, 1)}
	go func() { f.done <- f.read(ctx, feed, at) }()
	return f, nil
}

// read ends when the context does and all that was issued before is read.
func (f *follower) read(ctx context.Context, feed store.Feed, at store.Place) error {
	for {
		last := ctx.Err() != nil
		page, err := feed.Commits(context.WithoutCancel(ctx), at, followPage)
		if err != nil {
			return fmt.Errorf("following: %w", err)
		}
		now, before := clock(), at
		for _, c := range page {
			if c.Place == before {
				continue
			}
			at = c.Place
			f.lag.Add(time.Duration(now-c.Now) * time.Millisecond)
			for k := range c.Steps {
				if c.Steps[k].Issuance != nil {
					f.issued++
				}
				f.expired = append(f.expired, c.Steps[k].Expired...)
			}
		}
		switch {
		case at != before:
		case last:
			return nil
		default:
			select {
			case <-ctx.Done():
			case <-time.After(followSleep):
			}
		}
	}
}

// end waits until the follower has read everything.
func (f *follower) end() error {
	f.cancel()
	return <-f.done
}

func (f *follower) lagMillis(q float64) int64 { return f.lag.Quantile(q).Milliseconds() }
