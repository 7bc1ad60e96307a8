package embedded

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
)

// each runs a query and calls row for each of its rows. The statement is kept with the connection.
func each(conn *sqlite.Conn, query string, row func(*sqlite.Stmt) error, args ...any) error {
	return sqlitex.Execute(conn, query, &sqlitex.ExecOptions{Args: args, ResultFunc: row})
}

// one returns what read makes of the row of a query, or zero when it has none.
func one[T any](conn *sqlite.Conn, query string, read func(*sqlite.Stmt) (T, error), args ...any) (found T, err error) {
	err = each(conn, query, func(stmt *sqlite.Stmt) (err error) {
		found, err = read(stmt)
		return err
	}, args...)
	return found, err
}

// appendIDs appends the ids that a query lists.
func appendIDs(ids []id.ID, conn *sqlite.Conn, query string, args ...any) ([]id.ID, error) {
	err := each(conn, query, func(stmt *sqlite.Stmt) error {
		ids = append(ids, id.ID(stmt.ColumnInt64(0)))
		return nil
	}, args...)
	return ids, err
}

func columnBytes(stmt *sqlite.Stmt, col int) []byte {
	b := make([]byte, stmt.ColumnLen(col))
	stmt.ColumnBytes(col, b)
	return b
}

func readIssuance(stmt *sqlite.Stmt) (*benefit.Issuance, error) {
	return codec.DecodeIssuance(columnBytes(stmt, 0))
}

func readUser(stmt *sqlite.Stmt) (*benefit.User, error) {
	return codec.DecodeUser(columnBytes(stmt, 0))
}

// bulkRows is how many rows one INSERT takes. Measured: a statement of a hundred rows costs about half of a
// hundred statements of one row; more rows gain nothing.
const bulkRows = 100

// binder binds the parameters of a statement one after the other.
type binder struct {
	stmt *sqlite.Stmt
	next int
}

func (b *binder) int(all ...int64) {
	for _, n := range all {
		b.stmt.BindInt64(b.next, n)
		b.next++
	}
}

func (b *binder) blob(v []byte) { b.stmt.BindBytes(b.next, v); b.next++ }

// text binds a text, an empty one as NULL.
func (b *binder) text(s string) {
	if s == "" {
		b.stmt.BindNull(b.next)
	} else {
		b.stmt.BindText(b.next, s)
	}
	b.next++
}

// insertSorted puts rows into a table in the given order. bind binds the columns of one.
func insertSorted[R any](conn *sqlite.Conn, table string, columns int, rows []R, compare func(a, b *R) int, bind func(*binder, *R)) error {
	order := make([]int32, len(rows))
	for k := range order {
		order[k] = int32(k)
	}
	slices.SortFunc(order, func(a, b int32) int { return compare(&rows[a], &rows[b]) })
	return insertRows(conn, table, columns, len(rows), func(b *binder, k int) { bind(b, &rows[order[k]]) })
}

// insertRows puts n rows of so many columns into a table, over rows with the same key. row binds the columns of
// the k-th.
func insertRows(conn *sqlite.Conn, table string, columns, n int, row func(b *binder, k int)) error {
	for done := 0; done < n; {
		rows := min(bulkRows, n-done)
		stmt, release, err := insertStatement(conn, table, columns, rows)
		if err != nil {
			return fmt.Errorf("writing %s: %w", table, err)
		}
		b := binder{stmt: stmt, next: 1}
		for range rows {
			row(&b, done)
			done++
		}
		_, err = stmt.Step()
		if err := cmp.Or(err, release()); err != nil {
			return fmt.Errorf("writing %s: %w", table, err)
		}
	}
	return nil
}

// insertStatement keeps the statement for full bulks with the connection; one for the last few rows is made for
// the occasion.
func insertStatement(conn *sqlite.Conn, table string, columns, rows int) (*sqlite.Stmt, func() error, error) {
	one := "(?" + strings.Repeat(",?", columns-1) + ")"
	sql := "INSERT OR REPLACE INTO " + table + " VALUES " + one + strings.Repeat(","+one, rows-1)
	if rows == bulkRows {
		stmt, err := conn.Prepare(sql)
		return stmt, stmt.Reset, err
	}
	stmt, _, err := conn.PrepareTransient(sql)
	return stmt, stmt.Finalize, err
}
