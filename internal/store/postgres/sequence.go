package postgres

import (
	"context"
	"crypto/rand"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
)

// A batch leaves its steps in the table feed_new as a row without a number, and the sequencer moves rows to the feed. The
// number cannot be drawn by the batch: a reader would skip a commit that becomes visible after one with a higher number.
//
// A round of the sequencer numbers what one snapshot shows, by id. The batch draws the id when it holds all of its locks, so
// it is higher than that of every batch that held one of them before; and where a snapshot shows a batch, it shows those as
// well, as a lock is let go of after the commit is visible. So each commit comes after those that it may rest on, in the same
// round or a later one. A transaction id would not do: a batch may get its own before it waits for a lock.
//
// Rounds take turns at the row of feed_state, so any number of processes may run them.

var (
	// It draws the id.
	//guard:TestFeedOrder "(now, body) VALUES (" -> "(id, now, body) OVERRIDING SYSTEM VALUE VALUES (pg_current_xact_id()::text::bigint, "
	insertFeed = streamed(spanning("insert_feed", "the feed is not distributed", `INSERT INTO feed_new (now, body) VALUES ($1, $2)`))

	readUnnumbered = spanning("read_unnumbered", "the feed is not distributed", `SELECT EXISTS (SELECT FROM feed_new)`)

	//guard:TestFeedRoundsTakeTurns " FOR UPDATE" -> ""
	lockFeed = spanning("lock_feed", "one row", readFeedState.text+" FOR UPDATE")

	//guard:TestFeedOrder "ORDER BY id" -> "ORDER BY id DESC"
	chooseUnnumbered = spanning("choose_unnumbered", "the feed is not distributed", `SELECT id, now FROM feed_new ORDER BY id LIMIT $1`)

	numberFeed = spanning("number_feed", "the feed is not distributed", `
INSERT INTO feed (seq, now, latest, body)
SELECT k.seq, n.now, k.latest, n.body FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k(id, seq, latest) JOIN feed_new n ON n.id = k.id`)

	deleteNumbered = spanning("delete_numbered", "the feed is not distributed", `DELETE FROM feed_new WHERE id = ANY($1::bigint[])`)

	writeFeedEnd = spanning("write_feed_end", "one row", `UPDATE feed_state SET last = $1, latest = $2`)
)

// roundRows is how many commits a round numbers at most. Each may have thousands of steps.
const roundRows = 500

// feedRound is the transaction of a round: each of its statements sees what was committed before it.
var feedRound = pgx.TxOptions{IsoLevel: pgx.ReadCommitted} //guard:TestFeedRoundsTakeTurns pgx.ReadCommitted -> pgx.RepeatableRead

// SequenceFeed gives a number to all commits that were acknowledged before the call.
func (s *Store) SequenceFeed(ctx context.Context) error {
	for {
		n, err := s.sequenceRound(ctx, roundRows)
		if err != nil || n < roundRows {
			return err
		}
	}
}

// sequenceRound runs one round, and returns how many commits it numbered.
func (s *Store) sequenceRound(ctx context.Context, limit int) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.stepTimeout+s.commitTimeout)
	defer cancel()
	var some bool
	err = s.reading.QueryRow(ctx, readUnnumbered.text).Scan(&some)
	if err != nil || !some { // at rest, nothing is locked
		return 0, s.lookupFailed(ctx, err)
	}
	err = pgx.BeginTxFunc(ctx, s.reading, feedRound, func(tx pgx.Tx) error {
		n, err = numberVisible(ctx, tx, limit)
		return err
	})
	return n, s.lookupFailed(ctx, err)
}

// numberVisible numbers the commits with the lowest ids among those that are visible. Under READ COMMITTED that is decided
// when the row of feed_state is locked: before, another round may still be moving them.
func numberVisible(ctx context.Context, tx pgx.Tx, limit int) (int, error) {
	var f feedState
	var id, now int64
	var ids, seqs, latest []int64
	b := &pgx.Batch{}
	b.Queue(lockFeed.text).QueryRow(f.scan)
	b.Queue(chooseUnnumbered.text, limit).Query(eachRow([]any{&id, &now}, func() error {
		f.Last, f.Latest = f.Last+1, max(f.Latest, now)
		ids, seqs, latest = append(ids, id), append(seqs, f.Last), append(latest, f.Latest)
		return nil
	}))
	if err := tx.SendBatch(ctx, b).Close(); err != nil || len(ids) == 0 {
		return 0, err
	}
	b = &pgx.Batch{}
	b.Queue(numberFeed.text, ids, seqs, latest).Exec(allRows(len(ids)))
	b.Queue(deleteNumbered.text, ids).Exec(allRows(len(ids)))
	b.Queue(writeFeedEnd.text, f.Last, f.Latest).Exec(allRows(1))
	return len(ids), tx.SendBatch(ctx, b).Close()
}

var (
	// latest only grows along the feed, so those before an instant are at its beginning.
	chooseOldFeed = spanning("choose_old_feed", "the feed is not distributed", `
SELECT coalesce(max(seq), 0) FROM (SELECT seq, latest FROM feed WHERE seq >= $1 ORDER BY seq LIMIT $2) f WHERE latest < $3`)

	deleteFeed = spanning("delete_feed", "the feed is not distributed", `DELETE FROM feed WHERE seq >= $1 AND seq <= $2`)

	writeFeedBegin = spanning("write_feed_begin", "one row", `UPDATE feed_state SET first = $1`)

	writeFeedHistory = spanning("write_feed_history", "one row", `UPDATE feed_state SET history = $1`)
)

// RemoveFeed removes the oldest commits of the feed, at most so many, as far as they are of before an instant. It returns how
// many it removed.
func (s *Store) RemoveFeed(ctx context.Context, before benefit.Instant, max int) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.stepTimeout+s.commitTimeout)
	defer cancel()
	err = pgx.BeginTxFunc(ctx, s.reading, feedRound, func(tx pgx.Tx) error {
		removed, err = removeOldest(ctx, tx, before, max)
		return err
	})
	return removed, s.lookupFailed(ctx, err)
}

func removeOldest(ctx context.Context, tx pgx.Tx, before benefit.Instant, max int) (removed int, err error) {
	var f feedState
	if err := f.scan(tx.QueryRow(ctx, lockFeed.text)); err != nil {
		return 0, err
	}
	var last int64
	if err := tx.QueryRow(ctx, chooseOldFeed.text, f.First, max, int64(before)).Scan(&last); err != nil || last == 0 {
		return 0, err
	}
	tag, err := tx.Exec(ctx, deleteFeed.text, f.First, last)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, writeFeedBegin.text, last+1)
	return int(tag.RowsAffected()), err
}

// RenewFeedHistory makes the places of all readers foreign ones. It is for a database that was restored from a backup: under
// numbers that readers have seen, other commits come.
func (s *Store) RenewFeedHistory(ctx context.Context) error {
	history := uuid{Valid: true}
	_, _ = rand.Read(history.Bytes[:]) // never fails
	tag, err := s.reading.Exec(ctx, writeFeedHistory.text, history)
	if err == nil {
		err = allRows(1)(tag)
	}
	return s.lookupFailed(ctx, err)
}
