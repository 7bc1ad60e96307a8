package embedded

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/table"
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

// OpenCheck opens a directory for examination. Of the options Dir, JournalFS, JournalDir and TempDir count. Errors that
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
	return c, c.openView()
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

func (c *Check) openView() error {
	have, err := plainVersion(ViewPath(c.o.Dir))
	if err == nil && have == 0 {
		if c.view, err = openReader(ViewPath(c.o.Dir), benefit.Quotas.Kind, c.o.journalAt()); err == nil {
			have, err = readVersion(c.view.conn)
		}
	}
	switch {
	case err != nil:
	case have != viewVersion: // a check migrates nothing
		return fmt.Errorf("the view has schema %d, and this program uses schema %d; run the audit of the program that wrote it, or start this one first",
			have, viewVersion)
	default:
		if c.at, err = readPosition(c.view.conn); err == nil && c.at.kinds != table.Described() { //guard:TestKindsOfAnOlderProgram
			return errors.New("the view was written by an older faquan, which knew fewer kinds of rows; run its audit, or start this one first")
		}
	}
	return unusable(err)
}

// sortInFiles has a connection sort in temporary files: what does not come in the order of a key would fill the memory.
func sortInFiles(conn *sqlite.Conn) error {
	return sqlitex.ExecuteTransient(conn, "PRAGMA temp_store=FILE", nil)
}

// unusable marks an error of SQLite that means a damaged file.
func unusable(err error) error {
	if err != nil && damaged(err) && !errors.Is(err, ErrView) {
		return fmt.Errorf("%w: %w", ErrView, explained(err))
	}
	return err
}

// Live reports whether another process has the directory open.
func (c *Check) Live() bool { return c.live }

// Position returns the journal record that the view has reached, as the view says; the zero Head when it has reached
// none, or there is no view.
func (c *Check) Position() journal.Head { return journal.Head{Seq: c.at.seq, Hash: c.at.hash} }

// Reader answers from the view's snapshot; nil when there is no view. Close of the check closes it.
func (c *Check) Reader() store.Reader {
	if c.view == nil {
		return nil
	}
	return c.view
}

func (c *Check) Close() error {
	var viewErr, lockErr error
	if c.view != nil {
		viewErr = c.view.Close()
	}
	if c.lock != nil {
		lockErr = c.lock.Close()
	}
	return errors.Join(viewErr, lockErr)
}

// Commit is what a journal record committed.
type Commit struct {
	Seq     uint64
	Changes *benefit.Changes
}

// Commits reads the journal up to the view's position.
func (c *Check) Commits(ctx context.Context) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		err := c.records(ctx, func(r journal.Record) error {
			changes, _, err := codec.DecodeChanges(r.Payload)
			if err != nil {
				return recordError(r, err)
			}
			if !yield(Commit{r.Seq, changes}, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && err != errEnough {
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
	return journal.Read(c.o.JournalFS, c.o.JournalDir, c.at.seq, func(r journal.Record) error {
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

// CheckReport is the result of comparing the view with the journal.
type CheckReport struct {
	Records uint64           // of the journal that were compared
	Rows    map[string]int64 // of the view, by table
	Faults  []Fault
	More    int64                       // faults beyond the most that were asked for
	Persons map[benefit.UserID][]string // every person to which a user ever belonged
}

// comparison is a Compare under way.
type comparison struct {
	c             *Check
	maxFaults     int
	report        CheckReport
	view, rebuilt *sqlite.Conn
	seed          maphash.Seed
}

// Compare rebuilds the view from the journal, up to the position that the view has reached, and compares the two table
// by table. It trusts only the position of the view, and compares its chain hash with that of the journal there.
//
// The other view is made in a new directory in Options.TempDir, which is removed in the end. It is not made in the data
// directory: that may be on a full or read-only disk, and must not run out of space because of an audit while a process
// serves it.
//
// The generations in which rows are stored are not compared, because they depend on how the store was opened and
// closed. Instead each key must be in a generation that exists and whose filters do not hide it, and generations must
// follow one another in the order of commits.
//
// A fault in the code that makes rows of changes is not found, because it makes the rebuilt view, too. The rows
// themselves are counted again by package audit.
func (c *Check) Compare(ctx context.Context, max int) (_ *CheckReport, err error) {
	x := &comparison{c: c, maxFaults: max, seed: maphash.MakeSeed(),
		report: CheckReport{Rows: map[string]int64{}, Persons: map[benefit.UserID][]string{}}}
	if c.view == nil {
		return &x.report, nil
	}
	x.view = c.view.conn
	defer interrupt(ctx, x.view)()
	if err := x.integrity(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(c.o.TempDir, "faquan-audit-") // of mode 0700
	if err != nil {
		return nil, fmt.Errorf("rebuilding the view: %w; %s", err, otherTempDir) //guard:TestCompareTempDir otherTempDir -> ""
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() //guard:TestCompareTempDir|TestCompareCancelled os.RemoveAll(dir) -> nil
	if err := x.rebuild(ctx, filepath.Join(dir, rebuildDir)); err != nil {
		if ctx.Err() == nil && isFull(err) { //guard:TestCompareWithoutRoom isFull(err) -> false
			err = fmt.Errorf("%w; %s", err, otherTempDir)
		}
		return nil, fmt.Errorf("rebuilding the view in %s: %w", dir, err)
	}
	if x.rebuilt, err = openConn(ViewPath(filepath.Join(dir, rebuildDir)), true); err != nil {
		return nil, err
	}
	defer x.rebuilt.Close()
	defer interrupt(ctx, x.rebuilt)()
	if err := sortInFiles(x.rebuilt); err != nil {
		return nil, err
	}
	if err := errors.Join(x.tables(), x.filters(), ctx.Err()); err != nil {
		return nil, err
	}
	return &x.report, nil
}

// otherTempDir is the advice when there is no room for the rebuilt view.
const otherTempDir = "it takes about as much space as view.db; set TMPDIR to a directory that has it"

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || sqlite.ErrCode(err).ToPrimary() == sqlite.ResultFull
}

// rebuild makes the other view, and remembers what package audit asks of the journal. The caches and a large memtable
// would be of no use.
func (x *comparison) rebuild(ctx context.Context, dir string) error {
	o := Options{JournalFS: x.c.o.JournalFS, JournalDir: x.c.o.JournalDir, MaxMemtable: rebuildMemtable, CacheEntries: 1000}
	o.defaults()
	o.replayed = func(_ uint64, c *benefit.Changes) {
		x.report.Records++
		for _, u := range c.Users {
			if all := x.report.Persons[u.ID]; u.Person != "" && !slices.Contains(all, u.Person) {
				x.report.Persons[u.ID] = append(all, u.Person)
			}
		}
	}
	return makeView(o, dir, func(s *Store, at position) error {
		if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA synchronous=OFF", nil); err != nil { // nobody keeps it
			return err
		}
		return x.c.records(ctx, func(r journal.Record) error { return s.replay(at, r) })
	})
}

// rebuildMemtable is Options.MaxMemtable of the rebuilt view.
const rebuildMemtable = 50_000

func (x *comparison) fault(f Fault) {
	if len(x.report.Faults) >= x.maxFaults {
		x.report.More++
		return
	}
	x.report.Faults = append(x.report.Faults, f)
}

// integrity lets SQLite check its own structure: that every row is where a look-up goes to find it.
func (x *comparison) integrity() error {
	err := each(x.view, "PRAGMA integrity_check(20)", func(stmt *sqlite.Stmt) error {
		if text := stmt.ColumnText(0); text != "ok" {
			x.fault(Fault{"file", "structure", "sound", text})
		}
		return nil
	})
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
