package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// tx is a batch under way: one transaction on one connection. It remembers the rows that it has read as they were, so
// that it writes only over those.
type tx struct {
	s         *Store
	conn      *pgxpool.Conn // nil when the batch has ended
	clock     benefit.Instant
	now       benefit.Instant
	catalogue int64
	change    bool // it has the store for itself
	contended bool // when it got its locks, the last commit was another process's

	locks         map[benefit.Lock]bool
	claims        map[benefit.ClaimID]id.ID // what stood under the keys that were looked up; 0: nothing
	issuances     map[id.ID]issuanceSeen    // that were read
	early         []earlyRows
	unsettledKeys []benefit.ClaimID // keys that were looked up, and that another process may still bind
	byVoucher     []id.ID           // issuances that were looked up by a voucher
	readCommitted bool              // an answer may depend on a committed issuance that was read
	last          int64             // the latest millisecond of an id that the batch writes
}

// issuanceSeen is the state of an issuance when it was read.
type issuanceSeen struct {
	version int32
	scope   benefit.Scope
	key     string
}

func (t *tx) Now() benefit.Instant { return t.now }
func (t *tx) Catalogue() int64     { return t.catalogue }
func (t *tx) Contended() bool      { return t.contended }

// queueState queries the state that every batch reads, and moves now forward to it.
func (t *tx) queueState(b *pgx.Batch) {
	b.Queue(readState.text).QueryRow(func(row pgx.Row) error {
		var last, clock int64
		var kinds string
		if err := row.Scan(&t.catalogue, &kinds, &last, &clock); err != nil {
			return err
		}
		if kinds != t.s.kinds { //guard:TestKindsOfANewerProgram
			return fmt.Errorf("%w (kinds of rows %s)", ErrNewer, kinds)
		}
		t.contended = last > t.s.ownNow.Load()
		if t.s.callerClock { //guard:TestNowOfTheDatabase without t.s.callerClock
			clock = int64(t.clock)
		} else {
			last++ // batches that wait for each other have an instant each, so that rows tell their order
		}
		//guard:TestNowNeverGoesBack without benefit.Instant(last)
		t.now = max(t.now, benefit.Instant(last), benefit.Instant(clock))
		return nil
	})
}

var errEnded = errors.New("the batch has ended")

// send sends the statements, if there are any, in one go and reads their results. After an error the batch can only be
// rolled back.
func (t *tx) send(ctx context.Context, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if t.conn == nil {
		return errEnded
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.s.stepTimeout)
	defer cancel()
	return t.s.broken(t.conn.SendBatch(ctx, b).Close())
}

// Rollback ends the batch. The server rolls back by itself when the connection is gone.
func (t *tx) Rollback() {
	if t.conn == nil {
		return
	}
	conn := t.conn
	t.conn = nil
	defer conn.Release()
	if conn.Conn().IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.s.stepTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "rollback"); err != nil {
		_ = conn.Conn().Close(ctx)
	}
}

// Confirm makes durable what an answer may rest on. What stands on this server may not stand on its standby yet: it was
// being committed when the server, or the connection, broke. A commit waits for everything before it.
func (t *tx) Confirm(ctx context.Context) error {
	defer t.Rollback()
	q := t.stream(ctx)
	t.sendRevalidation(q)
	if t.readCommitted { //guard:TestStandbyDidNotConfirm if t.readCommitted -> if t.readCommitted = false; t.readCommitted
		t.sendClock(q, 0)
	}
	if err := q.end(); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return err
		}
		return fmt.Errorf("%w: %w", store.ErrUnconfirmed, err)
	}
	if !t.readCommitted {
		return nil
	}
	return t.commit(ctx)
}

// sendClock leaves now for the batches to come. A slot a connection: processes that share a slot wait for one commit at
// most.
func (t *tx) sendClock(q *stream, idMillis int64) {
	slot := int16(t.conn.Conn().PgConn().PID() % 64)
	q.exec(writeClock, allRows(1), slot, int64(t.now), idMillis)
}

// commit sends the commit alone, so that an error after it is known to be one of its answer. It is never cancelled.
func (t *tx) commit(ctx context.Context) error {
	//guard:TestAnswerLost/the_answer_is_held t.s.commitTimeout -> 1<<62
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.s.commitTimeout)
	defer cancel()
	conn := t.conn
	t.conn = nil
	defer conn.Release()
	warned := forgetWarnings(conn)
	raise(&t.s.ownNow, int64(t.now))
	synced := t.s.syncing()
	tag, err := conn.Exec(ctx, "commit")
	synced()
	var pg *pgconn.PgError
	switch {
	case err == nil && tag.String() == "COMMIT" && warned() == "": //guard:TestStandbyDidNotConfirm without warned() == ""
		raise(&t.s.idMillis, t.last)
		return nil
	case err == nil && tag.String() == "COMMIT":
		// It stands on the primary, and perhaps nowhere else.
		err = errors.New(warned())
	case err == nil:
		return fmt.Errorf("%w: %w: the server answered %s", store.ErrNotCommitted, store.ErrUnconfirmed, tag)
	//guard:TestAnswerLost/the_answer_is_lost && pg.SeverityUnlocalized == "ERROR" -> || true
	case errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR":
		return fmt.Errorf("%w: %w: %w", store.ErrNotCommitted, store.ErrUnconfirmed, t.s.broken(err))
	}
	_ = conn.Conn().Close(ctx)
	//guard:internal/sim.TestDatabase$ -sim.seed=103
	return fmt.Errorf("%w: the answer to the commit: %w", store.ErrUnconfirmed, t.s.broken(err))
}

// Commit writes the changes and commits.
func (t *tx) Commit(ctx context.Context, c *benefit.Changes) error {
	if t.conn == nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, errEnded)
	}
	defer t.Rollback()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, err)
	}
	if err := t.write(ctx, c); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return err
		}
		return fmt.Errorf("%w: %w: %w", store.ErrNotCommitted, store.ErrUnconfirmed, err)
	}
	return t.commit(ctx)
}
