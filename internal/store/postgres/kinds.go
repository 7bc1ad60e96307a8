package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"faquan/internal/table"
)

var (
	readKinds = spanning("read_kinds", "one row", `SELECT kinds FROM state`)

	writeKinds = spanning("write_kinds", "one row", `UPDATE state SET kinds = $1`)

	// readColumns lists the columns of a table; none when there is no such table.
	readColumns = spanning("read_columns", "the catalogue of the database", `
SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`)
)

// createKinds brings the tables of described rows up to what this program knows. It refuses a database that a program
// with more kinds, or columns, has been at.
func createKinds(ctx context.Context, pool *pgxpool.Pool, create func(kind *table.Kind) string) error {
	var kinds string
	if err := pool.QueryRow(ctx, readKinds.text).Scan(&kinds); err != nil || kinds == table.Described() {
		return err
	}
	if err := table.CheckDescribed(kinds); err != nil { // without the lock, which all others would wait for
		return fmt.Errorf("%w: %w", ErrNewer, err)
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockExclusive.text, int64(storeLock)); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, readKinds.text).Scan(&kinds); err != nil {
			return err
		}
		if err := table.CheckDescribed(kinds); err != nil {
			return fmt.Errorf("%w: %w", ErrNewer, err)
		}
		for _, kind := range table.Kinds() {
			if err := createKind(ctx, tx, kind, create); err != nil {
				return fmt.Errorf("table %s: %w", kind.Name, err)
			}
		}
		_, err := tx.Exec(ctx, writeKinds.text, table.Described())
		return err
	})
}

// createKind makes the table of a kind, or adds the columns that it does not have.
func createKind(ctx context.Context, tx pgx.Tx, kind *table.Kind, create func(kind *table.Kind) string) error {
	rows, err := tx.Query(ctx, readColumns.text, kind.Name)
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(there) == 0 {
		_, err := tx.Exec(ctx, create(kind))
		return err
	}
	for _, c := range kind.Value {
		if slices.Contains(there, c.Name) {
			continue
		}
		if _, err := tx.Exec(ctx, "ALTER TABLE "+kind.Name+" ADD COLUMN "+columnOf(c)+" DEFAULT "+zeros[c.Type]); err != nil {
			return err
		}
	}
	return nil
}

// zeros are what a column has in rows from before it was there.
var zeros = map[table.Type]string{
	table.Int: "0", table.ID: "0", table.Digest: "'00000000-0000-0000-0000-000000000000'", table.Text: "''", table.Bytes: "''",
}

func columnOf(c table.Column) string { return c.Name + " " + sqlTypes[c.Type] + " NOT NULL" }

// distributed stands behind each table that grows.
const distributed = "/* distributed */"

// createTable returns the statement that makes the table of a kind.
func createTable(kind *table.Kind) string {
	key := keyColumns(kind)
	var b strings.Builder
	b.WriteString("CREATE TABLE " + kind.Name + " (\n")
	for _, c := range slices.Concat(key, kind.Value) {
		b.WriteString("  " + columnOf(c) + ",\n")
	}
	b.WriteString("  row_version bigint NOT NULL DEFAULT 1,\n  PRIMARY KEY (" + list(key, "@", ", ") + ")\n)")
	if kind.Home != table.Local {
		b.WriteString(" " + distributed)
	}
	return b.String() + ";\n"
}
