package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/vfs"
)

// Check examines a data directory without changing anything in it: one snapshot of its view, and the journal up to
// the position that the view says it has reached.
//
// It works on a directory that no process has open, and then locks it until Close. It also works next to the process
// that serves the directory; then it sees what the view had reached when the check began.
type Check struct {
	o    Options
	lock io.Closer // nil: another process has the directory, or it cannot be written to
	live bool
	view *reader // nil: there is no view
	at   position
}

// OpenCheck opens a directory for examination. Of the options Dir, JournalFS and JournalDir count. Errors that
// wrap ErrView mean that the view cannot be used at all.
func OpenCheck(ctx context.Context, o Options) (_ *Check, err error) {
	o.defaults()
	c := &Check{o: o}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.lock, c.live, err = lockQuietly(o.Dir); err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	if _, err := os.Stat(ViewPath(o.Dir)); errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	return c, c.openView(ctx)
}

// lockQuietly takes the directory's lock. live says that another process has it. A read-only directory cannot change,
// and needs no lock.
func lockQuietly(dir string) (lock io.Closer, live bool, err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, false, err
	}
	lock, err = vfs.OS.Lock(filepath.Join(dir, lockName))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, true, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return nil, false, nil
	}
	return lock, false, err
}

func (c *Check) openView(ctx context.Context) (err error) {
	if have, err := plainVersion(ViewPath(c.o.Dir)); err != nil {
		return err
	} else if have > 0 {
		return otherSchema(fmt.Sprint(have))
	}
	if c.view, err = openReader(ctx, ViewPath(c.o.Dir)); err != nil {
		return unusable(err)
	}
	if err := checkSchema(c.view.conn); err != nil {
		return err
	}
	if c.at, err = readPosition(c.view.conn); err != nil {
		return unusable(err)
	}
	return nil
}

// ErrView reports that the view cannot be used. It can be made again from the journal.
var ErrView = errView

// unusable marks an error of SQLite that means a damaged file.
func unusable(err error) error {
	if err != nil && damaged(err) && !errors.Is(err, ErrView) {
		return fmt.Errorf("%w: %w", ErrView, explained(err))
	}
	return err
}

// checkSchema refuses a view of another version: a check migrates nothing.
func checkSchema(conn *sqlite.Conn) error {
	have, err := textOf(conn, "PRAGMA user_version")
	if err == nil && have != fmt.Sprint(viewVersion) {
		err = otherSchema(have)
	}
	return unusable(err)
}

func otherSchema(have string) error {
	return fmt.Errorf("the view has schema %s, and this program uses schema %d; run the audit of the program that wrote it, or start this one first", have, viewVersion)
}

// Live reports whether another process has the directory open.
func (c *Check) Live() bool { return c.live }

// Position returns the journal record that the view has reached, as the view says; the zero Head when it has reached
// none, or there is no view.
func (c *Check) Position() journal.Head { return journal.Head{Seq: c.at.seq, Hash: c.at.hash} }

// Reader answers from the view's snapshot; nil when there is no view. It ends with Close of the check.
func (c *Check) Reader() store.Reader {
	if c.view == nil {
		return nil
	}
	return sharedReader{c.view}
}

// sharedReader is a reader whose Close does nothing: its owner closes it.
type sharedReader struct{ *reader }

func (sharedReader) Close() error { return nil }

// Close releases the directory.
func (c *Check) Close() error {
	var errs []error
	if c.view != nil {
		errs = append(errs, c.view.Close())
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
}

// Commit is a journal record.
type Commit struct {
	Seq     uint64
	Changes *benefit.Changes
}

// Commits reads the journal up to the view's position.
func (c *Check) Commits(ctx context.Context) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		stopped := errors.New("stopped")
		err := c.records(ctx, func(r journal.Record) error {
			changes, _, err := codec.DecodeChanges(r.Payload)
			if err != nil {
				return recordError(r, err)
			}
			if !yield(Commit{r.Seq, changes}, nil) {
				return stopped
			}
			return nil
		})
		if err != nil && err != stopped {
			yield(Commit{}, err)
		}
	}
}

func recordError(r journal.Record, err error) error {
	return fmt.Errorf("journal record %d in %s at %d: %w", r.Seq, r.Segment, r.Offset, err)
}

// records calls fn for each journal record up to the view's position.
func (c *Check) records(ctx context.Context, fn func(journal.Record) error) error {
	if c.at.seq == 0 {
		return nil
	}
	return journal.Read(c.o.JournalFS, c.o.JournalDir, journal.Range{UpTo: c.at.seq}, func(r journal.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Kind != recordKind {
			return recordError(r, fmt.Errorf("kind %d, which this program does not know: a newer faquan wrote it", r.Kind))
		}
		return fn(r)
	})
}

// Fault is a difference between the view and the journal.
type Fault struct {
	Table string
	Row   string // which, by ids
	Want  string // what the journal says
	Got   string // what the view says
}

// CatalogueChange is the change that one version of the catalogue made.
type CatalogueChange struct {
	Version  int64
	Entities []benefit.Entity
}

// CheckReport is the result of comparing the view with the journal.
type CheckReport struct {
	Records   uint64           // of the journal that were compared
	Rows      map[string]int64 // of the view, by table
	Faults    []Fault
	More      int64             // faults beyond the most that were asked for
	Catalogue []CatalogueChange // of the journal, in order
	// Persons are those to which users ever belonged, of users who were written more than once.
	Persons map[benefit.UserID][]string
}

// Compare compares every row of the view with what the journal says it must be. It trusts only the position of the
// view, and that only when the chain hash of the journal there is the one that the view notes.
//
// The generations in which rows lie are left out of the comparison, since they depend on how the store was opened
// and closed. Instead each key must be in a generation that exists and that its filters do not hide, and
// generations must follow one another in the order of commits.
//
// What is not found: a fault in the code that makes rows of changes, which Compare and the store share. The rows
// themselves are counted again by package audit.
//
// It reads the journal twice and the view once, and when something differs both once more to name it. It holds
// two hashes for each of 4,096 parts of each table, two bytes for each row that can be written again, and the
// rows that were.
func (c *Check) Compare(ctx context.Context, max int) (*CheckReport, error) {
	x := newComparison(c, max)
	if c.view == nil || c.at.seq == 0 && c.emptyView() {
		return &x.report, nil
	}
	defer interrupt(ctx, c.view.conn)()
	for _, step := range []func(context.Context) error{
		x.integrity, x.findRepeated, x.sumJournal, x.sumView, x.position, x.compareRepeated, x.nameDifferences,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &x.report, nil
}

// emptyView reports whether nothing was ever written to the view, so that there is nothing to compare.
func (c *Check) emptyView() bool {
	some, err := textOf(c.view.conn, "SELECT exists (SELECT 1 FROM issuance) OR exists (SELECT 1 FROM user) OR exists (SELECT 1 FROM claim)")
	return err == nil && some == "0"
}

// integrity lets SQLite check its own structure: that every row is where a look-up goes to find it.
func (x *comparison) integrity(context.Context) error {
	err := sqlitex.ExecuteTransient(x.c.view.conn, "PRAGMA integrity_check(20)", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			if text := stmt.ColumnText(0); text != "ok" {
				x.fault(Fault{"file", "structure", "sound", text})
			}
			return nil
		}})
	return x.broken("file", err)
}

// broken turns an error that means a damaged file into a fault.
func (x *comparison) broken(table string, err error) error {
	if err == nil || !damaged(err) {
		return err
	}
	x.fault(Fault{table, "structure", "readable", explained(err).Error()})
	return nil
}
