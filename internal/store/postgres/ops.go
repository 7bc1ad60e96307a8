package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/outage"
)

var (
	readEntities = spanning("read_entities", "the catalogue is not distributed", `
SELECT s.catalogue_current, e.kind, e.id, e.body FROM state s LEFT JOIN entity e ON true ORDER BY e.kind, e.id`)

	readChanges = spanning("read_changes", "one row", `SELECT changes FROM state`)

	queryReadOnly = spanning("ask_read_only", "one row", `SELECT current_setting('transaction_read_only') FROM state`)

	bindKey = spanning("bind_key", "one row", `
UPDATE state SET key_check = coalesce(key_check, $1) RETURNING key_check`)

	removeSessions = spanning("remove_sessions", "what is over is looked for everywhere, a little at a time", `
DELETE FROM session WHERE (bucket, digest) IN
  (SELECT bucket, digest FROM session WHERE expires > 0 AND expires < $1 ORDER BY bucket, digest LIMIT $2)`)
)

// queryTimeout bounds a question of a moment on a connection that is open already. A network that has stopped says
// nothing, for many minutes; what waits for it would miss all that other processes do.
const queryTimeout = 3 * time.Second

// Entities returns the entities of the catalogue and its version, of one moment.
func (s *Store) Entities(ctx context.Context) (all []benefit.Entity, version int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	all, version, err = entitiesIn(ctx, s.reading)
	return all, version, s.broken(err)
}

// Ping reports whether a batch could begin and commit now. It takes the way of a batch: a connection of the same pool, a
// share of the store's lock, a commit. So it fails when there is no room for such a connection, when the server answers
// no more or takes no writes, and when a commit would wait for a synchronous standby. Unlike a batch, it ends when ctx
// ends, at the price of its connection.
func (s *Store) Ping(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, s.stepTimeout)
	defer cancel()
	t, b, err := s.prepareTx(asking, 0, lockShared)
	if err != nil {
		return err
	}
	defer t.Rollback()
	var readOnly string
	var waits bool
	b.Queue(queryReadOnly.text).QueryRow(func(row pgx.Row) error { return row.Scan(&readOnly) })
	b.Queue(queryStandbyWait.text).QueryRow(func(row pgx.Row) error { return row.Scan(&waits) })
	if err := s.broken(t.conn.SendBatch(asking, b).Close()); err != nil {
		return err
	}
	if readOnly != "off" {
		s.reset() // there may be another primary
		return ErrReadOnly
	}
	if waits { //guard:TestStandbyDidNotConfirm
		return ErrNoStandby
	}
	return t.commitEmpty(ctx) //guard:TestStandbyDidNotConfirm
}

// commitEmpty ends the batch by a commit that changes nothing.
func (t *tx) commitEmpty(ctx context.Context) error {
	conn := t.conn
	t.conn = nil
	defer conn.Release() // which closes one that is not done
	for _, statement := range []string{tryCommit.text, "commit"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return t.s.broken(err)
		}
	}
	return nil
}

// ErrNoStandby: a commit waits for a synchronous standby. Ping adds none to it: it would wait as long, and the server
// keeps such a wait when its client is gone.
var ErrNoStandby = errors.New("the database confirms no commits: its synchronous standby is away")

var queryStandbyWait = spanning("ask_waiting", "no table", `
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'
  AND state_change < clock_timestamp() - interval '2 s')`)

// A commit that changes nothing.
var tryCommit = spanning("try_commit", "an empty message in the server's log", `SELECT pg_logical_emit_message(true, 'faquan', '')`)

// ErrReadOnly is returned when the server is a standby, or is configured as read-only.
var ErrReadOnly = errors.New("the database takes no writes: it is a standby, or default_transaction_read_only is on")

// ErrOtherKey: the store's secrets are sealed under another key than this process has.
var ErrOtherKey = errors.New("the store's secrets are sealed under another key file: every process needs the same one")

// CheckKey keeps the proof of the first process's sealing key, and refuses another.
func (s *Store) CheckKey(ctx context.Context, proof []byte) error {
	var kept []byte
	if err := s.reading.QueryRow(ctx, bindKey.text, proof).Scan(&kept); err != nil {
		return s.broken(err)
	}
	if !bytes.Equal(kept, proof) { //guard:TestCheckKey
		return ErrOtherKey
	}
	return nil
}

// RemoveSessions removes at most so many sessions that expired before an instant, and says how many it removed.
func (s *Store) RemoveSessions(ctx context.Context, before benefit.Instant, max int) (int, error) {
	tag, err := s.reading.Exec(ctx, removeSessions.text, int64(before), max)
	return int(tag.RowsAffected()), s.broken(err)
}

// How often Watch asks whether it has missed something, and how long it and Once wait before they connect again.
const (
	pollEvery  = 500 * time.Millisecond
	retryAfter = 500 * time.Millisecond
)

// Watch calls changed whenever users, sessions or the catalogue were changed by any process, within a second, and once
// at the beginning. It returns when ctx ends.
func (s *Store) Watch(ctx context.Context, changed func()) {
	last := int64(-1)
	failures := outage.New(s.log, time.Now)
	heard := func(changes int64) {
		failures.Worked("LISTEN connection works again")
		if changes != last {
			last = changes
			changed()
		}
	}
	for ctx.Err() == nil {
		if err := s.watch(ctx, heard); err != nil && ctx.Err() == nil {
			failures.Failed(slog.LevelWarn, "LISTEN connection lost; retrying", s.broken(err))
			sleep(ctx, retryAfter)
		}
	}
}

// watch listens on one connection, and asks how many changes there were at each notification and at each silence.
func (s *Store) watch(ctx context.Context, heard func(changes int64)) error {
	conn, err := pgx.ConnectConfig(ctx, s.reading.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	for {
		changes, err := queryChanges(ctx, conn)
		if err != nil {
			return err
		}
		heard(changes)
		wait, cancel := context.WithTimeout(ctx, pollEvery)
		_, err = conn.WaitForNotification(wait)
		silent := wait.Err() != nil
		cancel()
		//guard:TestWatch$ if err != nil -> if silent && ctx.Err() == nil { _, err = conn.WaitForNotification(ctx) }; if err != nil
		if err != nil && (!silent || ctx.Err() != nil) {
			return err
		}
	}
}

func queryChanges(ctx context.Context, conn *pgx.Conn) (changes int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout) //guard:TestAskingForChangesEnds queryTimeout -> 1<<62
	defer cancel()
	return changes, conn.QueryRow(ctx, readChanges.text).Scan(&changes)
}

// Once runs work again and again, with a pause of every between two runs, in one process at a time, and lets another take
// over when that one is gone. It returns when ctx ends. The context of work ends as well when the connection that keeps the
// others out is lost. Work that fails is run again after a moment, by this process or another.
func (s *Store) Once(ctx context.Context, name string, every time.Duration, work func(ctx context.Context) error) {
	failures := outage.New(s.log, time.Now)
	const goesOn = "background work succeeds again"
	rounds := func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := work(ctx); err != nil {
				return err
			}
			failures.Worked(goesOn) // not before: work may fail each time
			sleep(ctx, every)
		}
		return nil
	}
	for ctx.Err() == nil {
		if err := s.once(ctx, name, rounds); err != nil && ctx.Err() == nil {
			failures.Failed(slog.LevelWarn, "background work failed", s.broken(err), "work", name)
		} else if err == nil {
			failures.Worked(goesOn) // by another process
		}
		sleep(ctx, retryAfter)
	}
}

func (s *Store) once(ctx context.Context, name string, work func(ctx context.Context) error) error {
	conn, err := pgx.ConnectConfig(ctx, s.reading.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	hash := fnv.New64a()
	hash.Write([]byte("faquan/" + s.id + "/" + name)) // another store of the database has work of its own
	var ours bool
	//guard:TestOnce$ without !ours
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(hash.Sum64())).Scan(&ours); err != nil || !ours {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := queryChanges(ctx, conn); err != nil {
				cancel(fmt.Errorf("the lock is lost: %w", err)) //guard:TestOnce$
			}
			sleep(ctx, retryAfter)
		}
	}()
	err = work(ctx)
	cancel(nil)
	<-done
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
