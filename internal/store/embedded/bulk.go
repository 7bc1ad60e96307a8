package embedded

import (
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"
)

// bulkRows is how many rows one INSERT takes. Measured: a statement of a hundred rows costs about half of a
// hundred statements of one row; more rows gain nothing.
const bulkRows = 100

// binder binds the parameters of a statement one after the other.
type binder struct {
	stmt *sqlite.Stmt
	next int
}

func (b *binder) int(n int64)   { b.stmt.BindInt64(b.next, n); b.next++ }
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
		if releaseErr := release(); err == nil {
			err = releaseErr
		}
		if err != nil {
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
		if err != nil {
			return nil, nil, err
		}
		return stmt, stmt.Reset, nil
	}
	stmt, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return nil, nil, err
	}
	return stmt, stmt.Finalize, nil
}
