package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/outage"
	"faquan/internal/store/postgres"
)

// background is the background work of a server: it records expired vouchers; on a database it also checks whether that takes
// commits, loads the changes of other processes, and does the work that one process does for all.
type background struct {
	down atomic.Bool // whether the database takes no commits
	stop context.CancelFunc
	work sync.WaitGroup
}

// startBackground starts the background work.
func (s *server) startBackground() {
	ctx, stop := context.WithCancel(context.Background())
	s.background.stop = stop
	s.background.work.Go(func() { s.recordExpired(ctx) }) //guard:TestExpiredEvents
	db := s.node.database
	if db == nil {
		return
	}
	s.firstHealth(ctx, db) //guard:TestReadyNeedsAConnection
	for _, work := range []func(context.Context, *postgres.Store){s.watchHealth, s.followChanges, s.sequenceFeed, s.sweep} {
		s.background.work.Go(func() { work(ctx, db) })
	}
}

// stopBackground waits until all of it has ended.
func (s *server) stopBackground() {
	if s.background.stop != nil {
		s.background.stop()
	}
	s.background.work.Wait()
}

// How often the health of the database is checked, after how long without an answer it counts as down, and when the check
// is retried: finding another host of the URL takes longer. Probes of /readyz get the latest result, so they do not load
// the database.
const (
	pingEvery   = time.Second
	pingSlow    = 2 * time.Second
	pingTimeout = 20 * time.Second
)

var errSlow = fmt.Errorf("no answer within %s", pingSlow)

// firstHealth checks the health for the first probe of /readyz: the start has not yet used a connection for issuing.
func (s *server) firstHealth(ctx context.Context, db *postgres.Store) {
	asked, cancel := context.WithTimeout(ctx, pingSlow)
	defer cancel()
	s.setHealth(ctx, db.Ping(asked))
}

func (s *server) watchHealth(ctx context.Context, db *postgres.Store) {
	seen := false // whether the clock was checked
	for wait(ctx, pingEvery) {
		asked, cancel := context.WithTimeout(ctx, pingTimeout)
		answer := make(chan error, 1)
		go func() { answer <- db.Ping(asked) }()
		var err error
		select {
		case err = <-answer:
			s.setHealth(ctx, err)
		case <-time.After(pingSlow):
			s.setHealth(ctx, errSlow)
			err = <-answer
			s.setHealth(ctx, err)
		}
		cancel()
		if err == nil && (!seen || s.node.engine.ClockError() != nil) {
			seen = s.checkClock(ctx)
		}
	}
}

// checkClock checks the clock, and reports whether it could be read. A process whose clock is refused may get no calls, so
// only this check notices that the clock is right again.
func (s *server) checkClock(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := s.node.engine.CheckClock(ctx)
	return err == nil || errors.Is(err, engine.ErrClock)
}

// setHealth keeps the health of the database, and logs a change.
func (s *server) setHealth(ctx context.Context, err error) {
	if down := err != nil; ctx.Err() != nil || s.background.down.Swap(down) == down {
		return
	}
	if err != nil {
		s.log.Error("the database takes no commits; callers are told to retry", "err", err)
		return
	}
	s.log.Info("the database takes commits again")
}

// reloadRetry is the time between two attempts to load a change.
const reloadRetry = 200 * time.Millisecond

// followChanges loads the changes of other processes: the catalogue, the platform's key, sessions.
func (s *server) followChanges(ctx context.Context, db *postgres.Store) {
	failures := outage.New(s.log, time.Now)
	db.Watch(ctx, func() {
		for ctx.Err() == nil {
			err := s.reloadCatalogue(ctx)
			if err == nil {
				failures.Worked("changes by other processes are loaded again")
			}
			if err == nil || ctx.Err() != nil {
				return
			}
			failures.Failed(slog.LevelWarn, "cannot load a change by another process yet; retrying", err)
			wait(ctx, reloadRetry)
		}
	})
}

func (s *server) reloadCatalogue(ctx context.Context) error {
	if err := s.node.engine.Refresh(ctx); err != nil { //guard:TestChangesReachOtherProcesses
		return err
	}
	return s.gateways.reload(ctx) //guard:TestChangesReachOtherProcesses
}

// sequenceEvery is how late commits are in the feed, about.
const sequenceEvery = 100 * time.Millisecond

// sequenceFeed puts the commits of all processes into the feed. One process does it for all.
func (s *server) sequenceFeed(ctx context.Context, db *postgres.Store) {
	db.Once(ctx, "feed", sequenceEvery, db.SequenceFeed)
}

// Sessions are kept for a while after they have expired, so that `faquan session list --all` can list them.
const (
	sessionRetention = 30 * 24 * time.Hour
	sweepEvery       = time.Hour
	maxSweep         = 1000 // rows in one commit
)

// sweep removes sessions that expired long ago, and what the feed no longer keeps. One process does it for all.
func (s *server) sweep(ctx context.Context, db *postgres.Store) {
	db.Once(ctx, "sessions", sweepEvery, func(ctx context.Context) error {
		//guard:TestSweptSessions sessionRetention -> 0
		if err := sweepOlder(ctx, sessionRetention, db.RemoveSessions); err != nil {
			return err
		}
		return sweepOlder(ctx, s.keepFeed, db.RemoveFeed) //guard:TestSweptFeed
	})
}

// sweepOlder removes what is older, little by little.
func sweepOlder(ctx context.Context, than time.Duration, remove func(ctx context.Context, before benefit.Instant, max int) (int, error)) error {
	before := benefit.InstantOf(time.Now().Add(-than))
	for {
		removed, err := remove(ctx, before, maxSweep)
		if err != nil || removed < maxSweep {
			return err
		}
	}
}

// wait reports whether the time has passed; it returns false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
