package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
)

var (
	readFeedState = spanning("read_feed_state", "one row", `
SELECT first, last, latest, history, current_setting('synchronous_standby_names') <> '' FROM feed_state`)

	readFeed = spanning("read_feed", "the feed is not distributed", `
SELECT seq, now, body FROM feed WHERE seq >= $1 ORDER BY seq LIMIT $2`)

	// latest only grows along the feed, so its index has the first row from which a time was reached.
	readFeedSince = spanning("read_feed_since", "the feed is not distributed", `
SELECT seq FROM feed WHERE latest >= $1 ORDER BY latest, seq LIMIT 1`)
)

// feedState is the row of the table feed_state.
type feedState struct {
	First, Last, Latest int64
	History             uuid
	standbys            bool // commits wait for synchronous standbys
}

func (f *feedState) place(seq int64) store.Place {
	return store.Place{Seq: seq, Check: [4]byte(f.History.Bytes[:4])}
}

// check returns an error when the feed cannot be read on from a place.
func (f *feedState) check(from store.Place) error {
	switch {
	case from != f.place(from.Seq) || from.Seq < 0 || from.Seq > f.Last: //guard:TestConformance$/Feed
		return store.ErrForeignPlace
	case from.Seq < f.First-1: //guard:TestRemoveFeed
		return store.ErrPlaceGone
	}
	return nil
}

// FeedEnd returns the place behind the last commit that has a number.
func (s *Store) FeedEnd(ctx context.Context) (store.Place, error) {
	f, err := s.readFeed(ctx, nil)
	return f.place(f.Last), err
}

// FeedSince returns the place before the first commit that is kept and whose Now is since or later. It may be an earlier
// place where such a commit is not kept.
func (s *Store) FeedSince(ctx context.Context, since benefit.Instant) (store.Place, error) {
	var first int64
	f, err := s.readFeed(ctx, func(b *pgx.Batch) {
		b.Queue(readFeedSince.text, int64(since)).Query(eachRow([]any{&first}, func() error { return nil }))
	})
	if first == 0 {
		first = f.Last + 1
	}
	return f.place(first - 1), err
}

// maxPageSteps bounds what Commits reads at a time: it returns fewer commits when those have more steps.
const maxPageSteps = 20_000

// Commits returns commits from a place on.
func (s *Store) Commits(ctx context.Context, from store.Place, limit int) ([]*store.Commit, error) {
	var all []*store.Commit
	var refs [][]codec.StepRef
	steps := 0
	f, err := s.readFeed(ctx, func(b *pgx.Batch) {
		var c store.Commit
		var now int64
		var body []byte
		b.Queue(readFeed.text, max(from.Seq, 1), limit).Query(eachRow([]any{&c.Seq, &now, &body}, func() error {
			if steps > maxPageSteps && len(all) > 1 { // the one of the place itself and another, so that readers get on
				return nil
			}
			its, err := codec.DecodeSteps(body)
			if err != nil {
				//guard:TestDamagedFeed store.ErrDamaged -> errSwallowed
				return fmt.Errorf("%w: commit %d of the feed: %w", store.ErrDamaged, c.Seq, err)
			}
			steps += len(its)
			all, refs = append(all, &store.Commit{Place: store.Place{Seq: c.Seq}, Now: benefit.Instant(now)}), append(refs, its)
			return nil
		}))
	})
	if err != nil {
		return nil, err
	}
	if err := f.check(from); err != nil {
		return nil, err
	}
	for _, c := range all {
		c.Place = f.place(c.Seq)
	}
	return all, resolveSteps(ctx, s, s.readIssuances, all, refs)
}

// readFeed reads the state of the feed, and at the same moment what more queues.
func (s *Store) readFeed(ctx context.Context, more func(b *pgx.Batch)) (f feedState, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	b := &pgx.Batch{}
	//guard:TestFeedIsReadAtOneMoment without " ISOLATION LEVEL REPEATABLE READ,"
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	b.Queue(planByIndex)
	b.Queue(readFeedState.text).QueryRow(f.scan)
	if more != nil {
		more(b)
	}
	b.Queue("COMMIT")
	if err := s.reading.SendBatch(ctx, b).Close(); err != nil {
		return f, s.lookupFailed(ctx, err)
	}
	return f, s.confirmFeed(ctx, &f) //guard:TestFeedIsConfirmed s.confirmFeed(ctx, &f) -> nil
}

func (f *feedState) scan(row pgx.Row) error {
	return row.Scan(&f.First, &f.Last, &f.Latest, &f.History, &f.standbys)
}

// confirmFeed makes durable what was read. A round whose wait for a standby was broken off is visible, and is lost when that
// standby takes over: then others get its numbers, which a reader would skip. A commit waits for everything before it.
func (s *Store) confirmFeed(ctx context.Context, f *feedState) error {
	if !f.standbys || f.Last <= s.feedConfirmed.Load() {
		return nil
	}
	conn, err := s.reading.Acquire(ctx)
	if err != nil {
		return s.lookupFailed(ctx, err)
	}
	defer conn.Release()
	var waits bool
	if err := conn.QueryRow(ctx, queryStandbyWait.text).Scan(&waits); err != nil {
		return s.lookupFailed(ctx, err)
	}
	if waits {
		return ErrNoStandby // one more would wait as long, and occupy a connection of the server
	}
	warned := forgetWarnings(conn)
	if _, err := conn.Exec(ctx, tryCommit.text); err != nil {
		return s.lookupFailed(ctx, err)
	}
	if text := warned(); text != "" { //guard:TestFeedIsConfirmed
		return errors.New(text)
	}
	raise(&s.feedConfirmed, f.Last)
	return nil
}

// resolveSteps sets the steps of the commits to what the references name. It is a statement for the issuances of all of them,
// and one for the operations. read reads the issuances that have a key in the map, where they are there.
func resolveSteps(
	ctx context.Context, from store.Lookup, read func(context.Context, map[id.ID]*benefit.Issuance) error, all []*store.Commit, refs [][]codec.StepRef,
) error {
	issuances := map[id.ID]*benefit.Issuance{}
	var claims []benefit.ClaimID
	for _, steps := range refs {
		for _, r := range steps {
			if r.Issuance != 0 {
				issuances[r.Issuance] = nil
			}
			if r.Operation != (benefit.ClaimID{}) {
				claims = append(claims, r.Operation)
			}
		}
	}
	if len(issuances) > 0 {
		if err := read(ctx, issuances); err != nil {
			return err
		}
	}
	operations, err := store.GetAll(ctx, from, benefit.Operations, claims...)
	if err != nil {
		return err
	}
	for k, c := range all {
		c.Steps = make([]benefit.Step, len(refs[k]))
		for n, r := range refs[k] {
			var operation *benefit.Operation
			if o, found := operations[r.Operation]; found {
				operation = &o
			}
			var ok bool
			if c.Steps[n], ok = r.Resolve(issuances[r.Issuance], operation); !ok { //guard:TestFeedOfLostRows
				return fmt.Errorf("%w: commit %d of the feed names what is not there", store.ErrDamaged, c.Seq)
			}
		}
	}
	return nil
}

// readIssuances reads the issuances that have a key in the map, where they are there.
func (s *Store) readIssuances(ctx context.Context, into map[id.ID]*benefit.Issuance) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	buckets, ids := idColumns(slices.Collect(maps.Keys(into)))
	b := &pgx.Batch{}
	b.Queue("BEGIN READ ONLY")
	b.Queue(planByKeys)
	b.Queue(loadIssuances.text, buckets, ids).Query(eachRow(scanIssuances(into)))
	b.Queue("COMMIT")
	return s.lookupFailed(ctx, s.reading.SendBatch(ctx, b).Close())
}

// scanIssuances returns what scans the rows of loadIssuances, and puts each into the map.
func scanIssuances(into map[id.ID]*benefit.Issuance) (columns []any, put func() error) {
	var number int64
	var version int32
	var body []byte
	return []any{&number, &version, &body}, func() error {
		i, err := codec.DecodeIssuance(body)
		if err != nil {
			//guard:TestDamagedFeed store.ErrDamaged -> errSwallowed
			return fmt.Errorf("%w: issuance %d: %w", store.ErrDamaged, number, err)
		}
		into[id.ID(number)] = i
		return nil
	}
}

// planByKeys lets the planner look up each key by an index in the next statement, as hotSettings do for batches.
const planByKeys = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`
