package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
)

// fetchRows is how many rows of a whole table are in memory at a time.
const fetchRows = 2000

// listed iterates over the rows of a statement by a cursor, so that several can be under way on the one connection,
// beside other questions, and none is held in memory as a whole. An iteration that is given up closes its cursor.
func listed[T any](ctx context.Context, r *reader, s *statement, scan pgx.RowToFunc[T], args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		c, err := r.openCursor(ctx, s, args)
		if err != nil {
			yield(*new(T), err)
			return
		}
		defer c.close() //guard:TestListsInterleave
		for {
			page, err := fetch(ctx, c, scan)
			for k := range page {
				if ctx.Err() != nil {
					err = ctx.Err()
					break
				}
				if !yield(page[k], nil) {
					return
				}
			}
			if err != nil {
				yield(*new(T), err)
				return
			}
			if len(page) < fetchRows {
				return
			}
		}
	}
}

// cursor is a query under way on the server.
type cursor struct {
	r    *reader
	name string
}

func (r *reader) openCursor(ctx context.Context, s *statement, args []any) (cursor, error) {
	if err := ctx.Err(); err != nil {
		return cursor{}, err
	}
	if r.conn == nil {
		return cursor{}, errClosed
	}
	r.cursors++
	c := cursor{r, fmt.Sprintf("c%d", r.cursors)}
	_, err := r.conn.Exec(ctx, "DECLARE "+c.name+" NO SCROLL CURSOR FOR "+s.text, append([]any{pgx.QueryExecModeExec}, args...)...)
	return c, err
}

// fetch reads the next rows, in binary. It is not prepared: the next reader on this connection has cursors of the same
// names, with other columns.
func fetch[T any](ctx context.Context, c cursor, scan pgx.RowToFunc[T]) ([]T, error) {
	if c.r.conn == nil {
		return nil, errClosed
	}
	conn := c.r.conn.Conn()
	result := conn.PgConn().ExecParams(ctx, fmt.Sprintf("FETCH %d FROM %s", fetchRows, c.name), nil, nil, nil, []int16{pgx.BinaryFormatCode})
	return pgx.AppendRows(make([]T, 0, fetchRows), pgx.RowsFromResultReader(conn.TypeMap(), result), scan)
}

// close releases what the server keeps for the cursor. It uses a timeout of its own: the caller's context may have
// ended.
func (c cursor) close() {
	if c.r.conn == nil || c.r.conn.Conn().IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = c.r.conn.Exec(ctx, "CLOSE "+c.name) // it ends with the transaction at the latest
}

func (r *reader) AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error] {
	return listed(ctx, r, allIssuances, scanIssuance)
}

func (r *reader) AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error] {
	return listed(ctx, r, allUsers, scanUser)
}
