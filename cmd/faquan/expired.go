package main

import (
	"context"
	"log/slog"
	"time"

	"faquan/internal/expiry"
	"faquan/internal/outage"
)

// expiryEvery is the time between two searches for expired vouchers.
const expiryEvery = 15 * time.Second

// recordExpired records the vouchers whose end passes, for the events that subscriptions ask for. On a database one process
// does it for all.
func (s *server) recordExpired(ctx context.Context) {
	finder := &expiry.Finder{}
	record := func(ctx context.Context) error { return finder.Record(ctx, s.node.store.Read, s.node.engine) }
	if db := s.node.database; db != nil {
		db.Once(ctx, "expiry", expiryEvery, record)
		return
	}
	failures := outage.New(s.log, time.Now)
	for {
		switch err := record(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures.Failed(slog.LevelWarn, "cannot record expired vouchers yet; retrying", err)
		default:
			failures.Worked("expired vouchers are recorded again")
		}
		if !wait(ctx, expiryEvery) {
			return
		}
	}
}
