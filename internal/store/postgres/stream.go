package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// stream sends the statements of a write one by one: the server works on each while the next is still being put
// together, which shortens the time for which the locks are held. Their results are looked at in the end, all at once,
// so it is one wait for the server.
type stream struct {
	t      *tx
	ctx    context.Context
	cancel context.CancelFunc
	pipe   *pgconn.Pipeline // nil until there is something to send
	args   pgx.ExtendedQueryBuilder
	takes  []func(*pgconn.ResultReader) error // of each statement, in order
	err    error                              // nothing is sent after it
}

// inStreams are the statements that are sent by streams. A connection prepares them before its first batch needs them:
// in the middle of a stream it could not.
var inStreams []*statement

func streamed(s *statement) *statement {
	inStreams = append(inStreams, s)
	return s
}

// prepareStreams does nothing on a connection that has done it.
func (t *tx) prepareStreams(ctx context.Context) error {
	statementsOf() // adds those of rows to inStreams
	for _, s := range inStreams {
		if _, err := t.conn.Conn().Prepare(ctx, s.name, s.text); err != nil {
			return t.s.broken(err)
		}
	}
	return nil
}

// stream begins one. The caller gives it statements and then calls end, and uses the batch for nothing else meanwhile.
func (t *tx) stream(ctx context.Context) *stream {
	q := &stream{t: t}
	q.ctx, q.cancel = context.WithTimeout(context.WithoutCancel(ctx), t.s.stepTimeout)
	if t.conn == nil {
		q.err = errEnded
	}
	return q
}

// exec sends a statement; check, unless it is nil, looks at what it did.
func (q *stream) exec(s *statement, check func(pgconn.CommandTag) error, args ...any) {
	q.send(s, args, func(r *pgconn.ResultReader) error {
		tag, err := r.Close()
		if err == nil && check != nil {
			err = check(tag)
		}
		return err
	})
}

// query sends a statement; take reads its rows.
func (q *stream) query(s *statement, take func(pgx.Rows) error, args ...any) {
	q.send(s, args, func(r *pgconn.ResultReader) error {
		return take(pgx.RowsFromResultReader(q.t.conn.Conn().TypeMap(), r))
	})
}

func (q *stream) send(s *statement, args []any, take func(*pgconn.ResultReader) error) {
	if q.err != nil {
		return
	}
	conn := q.t.conn.Conn()
	prepared, err := conn.Prepare(q.ctx, s.name, s.text) // it was, see prepareStreams: nothing is sent
	if err == nil {
		err = q.args.Build(conn.TypeMap(), prepared, args)
	}
	if err != nil {
		q.err = fmt.Errorf("%s: %w", s.name, err)
		return
	}
	if q.pipe == nil {
		q.pipe = conn.PgConn().StartPipeline(q.ctx)
	}
	q.pipe.SendQueryStatement(prepared, q.args.ParamValues, q.args.ParamFormats, slices.Clone(q.args.ResultFormats))
	q.takes = append(q.takes, take)
	// Sync, which commits nothing: only after it does the server ask itself whether this process stands still.
	q.err = q.pipe.Sync() //guard:TestStandingStillInAStream q.pipe.Sync -> q.pipe.Flush
}

// end waits for the server and returns the first error. After an error the batch can only be rolled back.
func (q *stream) end() error {
	defer q.cancel()
	if q.pipe == nil {
		return q.t.s.broken(q.err)
	}
	for k := 0; k < len(q.takes) && q.err == nil; k++ {
		q.err = q.take(q.takes[k])
	}
	if err := q.pipe.Close(); q.err == nil {
		q.err = err
	}
	return q.t.s.broken(q.err)
}

func (q *stream) take(from func(*pgconn.ResultReader) error) error {
	result, err := q.pipe.GetResults()
	if err != nil {
		return err
	}
	reader, ok := result.(*pgconn.ResultReader)
	if !ok {
		return fmt.Errorf("the server answered %T to a statement", result)
	}
	if err := from(reader); err != nil {
		return err
	}
	_, err = q.pipe.GetResults() // of its Sync
	return err
}
