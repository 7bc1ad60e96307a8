package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"faquan/internal/benefit"
	"faquan/internal/table"
)

// Errors of StartImport, and of Open on a store that is being filled.
var (
	// ErrImporting: a move from another store has begun and has not been verified, so no process may serve it.
	ErrImporting = errors.New("the database is being filled from another store (faquan migrate-store); run it again until it reports that both are the same")
	// ErrNotEmpty: only an empty store can be filled.
	ErrNotEmpty = errors.New("the database is not empty")
	// ErrOtherSource: what is there so far came from another store, or from this one before it went on.
	ErrOtherSource = errors.New("the database was partly filled from another source, or the source has changed since")
	// ErrInUse: another process has the store's lock, and does not let go of it.
	ErrInUse = errors.New("another process uses the database")
)

// The mark of a store that is being filled, and how far that has come. It is no table of the schema: it comes and goes
// with the filling, and each of its changes is in one commit with the rows that it tells of.
const (
	createMark = `CREATE TABLE migration_progress (
  one    boolean PRIMARY KEY DEFAULT true CHECK (one),
  source text    NOT NULL, -- which state of which store
  step   integer NOT NULL,
  rows   bigint  NOT NULL  -- of the step
)`
	insertMark = `INSERT INTO migration_progress (source, step, rows) VALUES ($1, 0, 0)`
	readMark   = `SELECT source, step, rows FROM migration_progress`
	writeMark  = `UPDATE migration_progress SET step = $1, rows = $2`
	dropMark   = `DROP TABLE migration_progress`
	findMark   = `SELECT to_regclass('migration_progress') IS NOT NULL`
)

// refuseMarked refuses a store that is being filled.
func (s *Store) refuseMarked(ctx context.Context) error {
	var marked bool
	if err := s.reading.QueryRow(ctx, findMark).Scan(&marked); err != nil {
		return err
	}
	if marked { //guard:TestFilling$
		return ErrImporting
	}
	return nil
}

// Import is an empty store that takes the rows of another one, in pieces that are each a commit. While it is open no
// other process writes to the store, and from its first moment to Done no other process opens it.
type Import struct {
	s    *Store
	step int
	rows int64
}

// StartImport opens a store in order to fill it. source names the state of the store that the rows come from. A
// database that was filled half from the same source goes on where that ended.
//
// Errors to expect: ErrNotEmpty, ErrOtherSource, ErrInUse, those of Open.
func StartImport(ctx context.Context, o Options, source string) (_ *Import, err error) {
	s, err := open(ctx, o, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := s.lockUntilClosed(ctx); err != nil {
		return nil, err
	}
	f := &Import{s: s}
	return f, f.mark(ctx, source)
}

// lockTimeout is how long StartImport waits for the batches of other processes.
var lockTimeout = stepTimeout

// lockUntilClosed takes the store's lock for the one connection that the store then issues on, as long as that lasts.
// Batches of others come to an end within their timeouts.
func (s *Store) lockUntilClosed(ctx context.Context) error {
	config := s.issuing.Config()
	config.MaxConns, config.MinConns = 1, 0
	config.MaxConnLifetime, config.MaxConnIdleTime = 1<<62, 1<<62
	s.issuing.Close()
	var err error
	if s.issuing, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(100 * time.Millisecond) {
		var got bool
		if err := s.issuing.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(storeLock)).Scan(&got); err != nil {
			return err
		}
		if got { //guard:TestFillingAlone without got
			return nil
		}
		if time.Now().After(end) {
			return ErrInUse
		}
	}
}

// mark finds the mark, or makes it on an empty store.
func (f *Import) mark(ctx context.Context, source string) error {
	return pgx.BeginFunc(ctx, f.s.issuing, func(tx pgx.Tx) error {
		var marked bool
		if err := tx.QueryRow(ctx, findMark).Scan(&marked); err != nil {
			return err
		}
		if marked {
			var theirs string
			if err := tx.QueryRow(ctx, readMark).Scan(&theirs, &f.step, &f.rows); err != nil {
				return err
			}
			if theirs != source { //guard:TestFilling$
				return fmt.Errorf("%w: it came from %s, and this is %s", ErrOtherSource, theirs, source)
			}
			return nil
		}
		if err := wantEmpty(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, createMark); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, insertMark, source)
		if err == nil {
			err = allRows(1)(tag)
		}
		return err
	})
}

func wantEmpty(ctx context.Context, tx pgx.Tx) error {
	filled := []string{"claim", "issuance", "issuance_template", "users", "link"}
	for _, kind := range table.Kinds() {
		filled = append(filled, kind.Name)
	}
	for _, table := range filled {
		var some bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+table+")").Scan(&some); err != nil {
			return err
		}
		if some { //guard:TestFilling$
			return fmt.Errorf("%w: table %s has rows", ErrNotEmpty, table)
		}
	}
	return nil
}

// Progress returns what the last Write said: the step, and how many rows of it there are. A store that was just begun
// has none of step 0.
func (f *Import) Progress() (step int, rows int64) { return f.step, f.rows }

// Write commits rows, and with them how far the filling has come. Rows come once each, but for issuances under one key:
// those come in the order of their ids.
func (f *Import) Write(ctx context.Context, c *benefit.Changes, step int, rows int64) error {
	begun, err := f.s.begin(ctx, c.Now, lockExclusive)
	if err != nil {
		return err
	}
	t := begun.(*tx)
	defer t.Rollback()
	if err := t.write(ctx, c); err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(writeMark, step, rows).Exec(wantRows(1))
	if err := t.send(ctx, b); err != nil {
		return err
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	f.step, f.rows = step, rows
	return nil
}

// Bound notes the last committed now and the latest millisecond of an id of the other store, so that neither goes back.
func (f *Import) Bound(ctx context.Context, now benefit.Instant, idMillis int64) error {
	tag, err := f.s.issuing.Exec(ctx, writeClock.text, int16(0), int64(now), idMillis)
	if err == nil {
		err = allRows(1)(tag)
	}
	if err != nil {
		return err
	}
	raise(&f.s.idMillis, idMillis)
	return nil
}

// Analyze has the database look at what it holds now, for its plans.
func (f *Import) Analyze(ctx context.Context) error {
	_, err := f.s.reading.Exec(ctx, "ANALYZE")
	return err
}

// Store returns the store that is being filled, to read from. It ends with Close.
func (f *Import) Store() *Store { return f.s }

// Done takes the mark away: from now on the store can be opened.
func (f *Import) Done(ctx context.Context) error {
	_, err := f.s.issuing.Exec(ctx, dropMark)
	return err
}

// Close closes the store. Without Done it stays marked.
func (f *Import) Close() error { return f.s.Close() }
