package embedded

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/store/embedded/sumvfs"
	"faquan/internal/table"
)

//go:embed view.sql
var viewSchema string

// viewVersion numbers the schema, in the file's user_version. A new kind of rows needs no new number, but a column that is
// appended to one does: an audit compares the rows of a view, as bytes, with rows that are written today. A view of an older one is not migrated but made again
// from the journal, so that there is one way only to come to a view.
const viewVersion = 5

// firstSummed is the first version whose pages have checksums.
const firstSummed = 3

// plainVersion returns the version of a view from before there were checksums; 0 for any other.
func plainVersion(path string) (int, error) {
	version, err := sumvfs.PlainVersion(path)
	if version >= firstSummed { // a damaged header
		version = 0
	}
	return version, err
}

func olderSchema(have int) error {
	return fmt.Errorf("%w (its schema %d is older than %d)", ErrView, have, viewVersion)
}

// position is the journal position of the view.
type position struct {
	seq       uint64
	hash      [32]byte
	now       benefit.Instant
	idMillis  int64
	catalogue int64
	kinds     string // see table.Described
}

// ErrView is wrapped by errors that mean that the view cannot be used. It can be made again from the journal.
var ErrView = errors.New("the view cannot be used; stop faquan and run faquan rebuild, which rebuilds it from the journal")

// openConn opens a connection to the view with the settings that it relies on, and reads them back: a pragma that
// is misspelt is ignored in silence.
func openConn(path string, readOnly bool) (*sqlite.Conn, error) {
	flags := sqlite.OpenReadWrite | sqlite.OpenWAL
	if readOnly {
		flags = sqlite.OpenReadOnly
	}
	uri, err := sumvfs.URI(path)
	if err != nil {
		return nil, openError(err)
	}
	conn, err := sqlite.OpenConn(uri, flags|sqlite.OpenURI)
	if err != nil {
		return nil, openError(err)
	}
	if err := configure(conn, readOnly); err != nil {
		conn.Close()
		return nil, openError(err)
	}
	return conn, nil
}

func openError(err error) error { return fmt.Errorf("opening the view: %w", err) }

// settings of every connection; finders have a smaller cache. synchronous=NORMAL is enough because the journal is what is
// durable: a view that loses its last transactions in a power cut is an older view, and catches up. The checkpoints are ours
// to make, see checkpoint.
var settings = [][2]string{
	{"busy_timeout", "10000"}, {"synchronous", "1"}, {"cache_size", "-65536"}, {"temp_store", "2"}, {"wal_autocheckpoint", "0"},
}

func configure(conn *sqlite.Conn, readOnly bool) error {
	if !readOnly {
		if mode, err := textOf(conn, "PRAGMA journal_mode=WAL"); err != nil || mode != "wal" {
			return fmt.Errorf("journal_mode is %q, not wal: %w", mode, err)
		}
	}
	for _, s := range settings {
		name, value := s[0], s[1]
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+name+"="+value, nil); err != nil {
			return err
		}
		if got, err := textOf(conn, "PRAGMA "+name); err != nil || got != value {
			return fmt.Errorf("%s is %q, not %s: %w", name, got, value, err)
		}
	}
	return nil
}

// textOf prepares its query anew: the value of a setting is part of a statement.
func textOf(conn *sqlite.Conn, query string) (text string, err error) {
	err = sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		text = stmt.ColumnText(0)
		return nil
	}})
	return text, err
}

// createView creates the schema in an empty file. A view of an older schema is answered like a damaged one; one of a
// newer schema than this program knows is refused.
func createView(conn *sqlite.Conn) error {
	have, err := readVersion(conn)
	switch {
	case err != nil:
		return err
	case have == viewVersion:
		return nil
	case have > viewVersion: //guard:TestNewer
		return fmt.Errorf("the view has schema %d, this program knows %d: a newer faquan wrote it", have, viewVersion)
	case have > 0: //guard:TestOlderSchema
		return olderSchema(have)
	}
	return sqlitex.ExecuteScript(conn, fmt.Sprintf("%s;PRAGMA user_version=%d;", viewSchema, viewVersion), nil)
}

func readVersion(conn *sqlite.Conn) (int, error) {
	return one(conn, "PRAGMA user_version", func(stmt *sqlite.Stmt) (int, error) { return stmt.ColumnInt(0), nil })
}

func readPosition(conn *sqlite.Conn) (p position, err error) {
	found := false
	err = each(conn, "SELECT seq, hash, now, id_millis, catalogue, kinds FROM position", func(stmt *sqlite.Stmt) error {
		p.kinds = stmt.ColumnText(5)
		if err := table.CheckDescribed(p.kinds); err != nil { //guard:TestNewer
			return fmt.Errorf("the view: %w", err)
		}
		found = stmt.ColumnBytes(1, p.hash[:]) == len(p.hash)
		p.seq, p.now = uint64(stmt.ColumnInt64(0)), benefit.Instant(stmt.ColumnInt64(2))
		p.idMillis, p.catalogue = stmt.ColumnInt64(3), stmt.ColumnInt64(4)
		return nil
	})
	if err == nil && !found {
		err = ErrView
	}
	return p, err
}

// checkpoint moves what the WAL holds into the file.
func (s *Store) checkpoint(mode string) error {
	if err := s.mark(); err != nil {
		return err
	}
	return sqlitex.ExecuteTransient(s.writer, "PRAGMA wal_checkpoint("+mode+")", nil)
}

// mark notes how much of the WAL a checkpoint may move. The note is a file found by its name, so it must still be this
// store's.
func (s *Store) mark() error {
	if err := s.lock.Check(); err != nil { //guard:TestDirectoryReplaced
		return err
	}
	frames, err := one(s.writer, "PRAGMA wal_checkpoint(NOOP)", func(stmt *sqlite.Stmt) (int, error) { return stmt.ColumnInt(1), nil })
	if err != nil {
		return err
	}
	return s.sums.Mark(frames)
}

// checkLinks returns an error if the file of the view has a second name: in a copy of the data directory made of hard
// links, another process may write to it. The view is then made again as a file that only this store has.
func checkLinks(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	//guard:TestViewHardLinks
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return fmt.Errorf("%w: %s has %d hard links", ErrView, path, stat.Nlink)
	}
	return nil
}

func removeView(path string) error { return sumvfs.Remove(path) }

// damaged reports whether an error of SQLite means a file that cannot be used, and not a full disk or a lock.
func damaged(err error) bool {
	code := sqlite.ErrCode(err)
	switch code.ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB, sqlite.ResultFormat:
		return true
	}
	return code == sumvfs.Mismatch ||
		errors.Is(err, ErrView) || errors.Is(err, sumvfs.ErrDamaged) || err != nil && strings.Contains(err.Error(), "no such table")
}

// explained returns an error with what SQLite has no words for.
func explained(err error) error {
	if sqlite.ErrCode(err) == sumvfs.Mismatch {
		return fmt.Errorf("a page does not match its checksum: %w", err)
	}
	return err
}

// interrupt ties a connection to a context for as long as the returned function is not called.
func interrupt(ctx context.Context, conn *sqlite.Conn) func() {
	old := conn.SetInterrupt(ctx.Done())
	return func() { conn.SetInterrupt(old) }
}
