package main

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// direct is the alternative that most would write: the same rows in SQLite itself, one transaction for each batch,
// synced before the answer (synchronous=FULL). It has the same callers, the same core and the same batching before
// it; prepared statements; and indexes for the same look-ups. It implements as much of store.Store as a benchmark
// needs.
type direct struct {
	store.Finder // nil: no benchmark asks
	store.Feed   // nil, too
	conn         *sqlite.Conn
	now          benefit.Instant
	catalogue    *benefit.Changes // kept in memory: it is written once
}

const directSchema = `
CREATE TABLE issuance (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE claim (hash BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE quota (user INTEGER, template INTEGER, total INTEGER, day INTEGER, day_total INTEGER, PRIMARY KEY (user, template)) WITHOUT ROWID;
CREATE TABLE by_user (user INTEGER, issuance INTEGER, PRIMARY KEY (user, issuance)) WITHOUT ROWID;
CREATE TABLE by_template (template INTEGER, issuance INTEGER, PRIMARY KEY (template, issuance)) WITHOUT ROWID;
CREATE TABLE template_count (template INTEGER PRIMARY KEY, count INTEGER, amount INTEGER);
CREATE TABLE template_day (template INTEGER, day INTEGER, count INTEGER, amount INTEGER, PRIMARY KEY (template, day)) WITHOUT ROWID;
CREATE TABLE user (id INTEGER PRIMARY KEY, identifier TEXT);
CREATE TABLE link (identifier TEXT PRIMARY KEY, user INTEGER) WITHOUT ROWID;`

// openDirect makes the store in a file.
func openDirect(path string) (_ *direct, err error) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	// A script runs in a transaction, where these pragmas do nothing: one by one, then.
	for _, pragma := range []string{"journal_mode=WAL", "synchronous=FULL", "cache_size=-262144", "mmap_size=8589934592"} {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+pragma, nil); err != nil {
			return nil, err
		}
	}
	if err := sqlitex.ExecuteScript(conn, directSchema, nil); err != nil {
		return nil, err
	}
	return &direct{conn: conn}, nil
}

func (d *direct) Close() error             { return d.conn.Close() }
func (d *direct) LastIDMillis() int64      { return 0 } // it is always new
func (d *direct) LastNow() benefit.Instant { return 0 }
func (d *direct) Shared() bool             { return false }

func (d *direct) Begin(_ context.Context, clock benefit.Instant) (store.Tx, error) {
	d.now = max(d.now, clock)
	return &directTx{d: d}, nil
}

func (d *direct) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return d.Begin(ctx, clock)
}

// Read answers only what a change of the catalogue asks.
func (d *direct) Read(context.Context) (store.Reader, error) { return directReader{d: d}, nil }

type directReader struct {
	store.Reader
	d *direct
}

func (r directReader) Close() error { return nil }

func (r directReader) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	return r.d.Entities(ctx)
}

func (d *direct) Entities(context.Context) ([]benefit.Entity, int64, error) {
	if d.catalogue == nil {
		return nil, 0, nil
	}
	return benefit.Entities.Of(d.catalogue.Rows), d.catalogue.Catalogue, nil
}

type directTx struct{ d *direct }

func (t *directTx) Now() benefit.Instant { return t.d.now }
func (t *directTx) Rollback()            {}

func (t *directTx) Confirm(context.Context) error { return nil }

func (t *directTx) Contended() bool { return false }

func (t *directTx) Catalogue() int64 {
	if t.d.catalogue == nil {
		return 0
	}
	return t.d.catalogue.Catalogue
}

// row runs a prepared query for at most one row.
func (d *direct) row(query string, bind func(*sqlite.Stmt), read func(*sqlite.Stmt) error) error {
	stmt, err := d.conn.Prepare(query)
	if err != nil {
		return err
	}
	defer stmt.Reset()
	bind(stmt)
	found, err := stmt.Step()
	if err != nil || !found || read == nil {
		return err
	}
	return read(stmt)
}

func (t *directTx) Load(_ context.Context, keys *benefit.Keys, into *benefit.State) (err error) {
	d := t.d
	end := sqlitex.Transaction(d.conn)
	defer end(&err)
	for _, k := range keys.Claims {
		var found *benefit.Issuance
		if err := d.row("SELECT body FROM issuance WHERE id=(SELECT id FROM claim WHERE hash=?)",
			func(s *sqlite.Stmt) { s.BindBytes(1, k.ID[:]) },
			func(s *sqlite.Stmt) (err error) {
				body := make([]byte, s.ColumnLen(0))
				s.ColumnBytes(0, body)
				found, err = codec.DecodeIssuance(body)
				return err
			}); err != nil {
			return err
		}
		into.SetClaim(k.ID, found)
	}
	for _, ident := range keys.Recipients {
		var user *benefit.User
		if err := d.row("SELECT user FROM link WHERE identifier=?",
			func(s *sqlite.Stmt) { s.BindText(1, ident.Value) },
			func(s *sqlite.Stmt) error {
				user = &benefit.User{ID: id.ID(s.ColumnInt64(0)), Alipay: ident.Value, Identifiers: []benefit.Identifier{ident}}
				return nil
			}); err != nil {
			return err
		}
		into.SetRecipient(ident, user, nil)
	}
	return t.loadRows(keys)
}

// loadRows loads the kinds of rows that a benchmark uses.
func (t *directTx) loadRows(keys *benefit.Keys) error {
	for _, rows := range keys.Rows {
		query, columns := map[*table.Kind]string{
			benefit.Quotas.Kind:         "SELECT total, day, day_total FROM quota WHERE user=? AND template=?",
			benefit.TemplateCounts.Kind: "SELECT count, amount FROM template_count WHERE template=?",
			benefit.TemplateDays.Kind:   "SELECT count, amount FROM template_day WHERE template=? AND day=?",
		}[rows.Kind()], len(rows.Kind().Value)
		var row table.Row
		for i := range rows.Len() {
			rows.Key(i, &row)
			rows.Absent(i)
			if err := t.d.row(query, func(s *sqlite.Stmt) {
				for k, column := range row.Key {
					s.BindInt64(k+1, column.Int)
				}
			}, func(s *sqlite.Stmt) error {
				row.Value = row.Value[:0]
				for k := range columns {
					row.Value = append(row.Value, table.Datum{Int: s.ColumnInt64(k)})
				}
				return rows.Found(i, 1, row.Value)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *directTx) Commit(_ context.Context, c *benefit.Changes) (err error) {
	d := t.d
	if c.Catalogue != 0 {
		d.catalogue = c
		return nil
	}
	end, err := sqlitex.ImmediateTransaction(d.conn)
	if err != nil {
		return err
	}
	defer end(&err)
	put := func(query string, args ...any) {
		if err == nil {
			err = d.row(query, func(s *sqlite.Stmt) { bindAll(s, args) }, nil)
		}
	}
	var body []byte
	for _, i := range c.Issuances {
		claim := benefit.ClaimIDOf(i.Scope, i.Key)
		body = codec.AppendIssuance(body[:0], i)
		put("INSERT INTO issuance VALUES (?,?)", int64(i.ID), body)
		put("INSERT INTO claim VALUES (?,?)", claim[:], int64(i.ID))
		put("INSERT INTO by_user VALUES (?,?)", int64(i.User), int64(i.ID))
		put("INSERT INTO by_template VALUES (?,?)", int64(i.Lines[0].Template), int64(i.ID))
	}
	for _, u := range c.Users {
		put("INSERT INTO user VALUES (?,?)", int64(u.ID), u.Identifiers[0].Value)
		put("INSERT INTO link VALUES (?,?)", u.Identifiers[0].Value, int64(u.ID))
	}
	for _, q := range benefit.Quotas.Of(c.Rows) {
		put("INSERT OR REPLACE INTO quota VALUES (?,?,?,?,?)", int64(q.User), int64(q.Template), q.Total, int64(q.Day), q.DayTotal)
	}
	for _, x := range benefit.TemplateCounts.Of(c.Rows) {
		put("INSERT OR REPLACE INTO template_count VALUES (?,?,?)", int64(x.Template), x.Count, x.Amount)
	}
	for _, x := range benefit.TemplateDays.Of(c.Rows) {
		put("INSERT OR REPLACE INTO template_day VALUES (?,?,?,?)", int64(x.Template), int64(x.Day), x.Count, x.Amount)
	}
	return err
}

func bindAll(s *sqlite.Stmt, args []any) {
	for k, a := range args {
		switch a := a.(type) {
		case int64:
			s.BindInt64(k+1, a)
		case []byte:
			s.BindBytes(k+1, a)
		case string:
			s.BindText(k+1, a)
		default:
			panic(fmt.Sprintf("bench: a %T", a))
		}
	}
}

// setSynchronous switches the sync before each answer off and on again, so that a benchmark can fill the store
// quickly between the stretches that it measures.
func (d *direct) setSynchronous(mode string) error {
	return sqlitex.ExecuteTransient(d.conn, "PRAGMA synchronous="+mode, nil)
}
