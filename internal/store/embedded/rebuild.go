package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/vfs"
)

// rebuildDir is where a new view is made, in the data directory, so that it can be renamed into place.
const rebuildDir = "rebuild"

// Rebuild makes the view of a data directory again from its journal, and puts it in the place of the old one when it is
// complete. Until then the old one is not touched, and a Rebuild that is interrupted leaves nothing but a directory
// that the next one clears away. progress, which may be nil, hears how many of all journal records are done, including
// the last one.
//
// Errors to expect: vfs.ErrLocked while another process has the directory, fs.ErrNotExist when there is no journal,
// journal.DamageError, and those of the file system.
func Rebuild(o Options, progress func(done, total uint64)) error {
	o.defaults()
	lock, err := vfs.OS.Lock(filepath.Join(o.Dir, lockName))
	if err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	defer lock.Close()
	total, err := journalLength(o, knownDurable(o))
	if err != nil {
		return err
	}
	o.replayed = func(seq uint64, _ *benefit.Changes) {
		if progress != nil {
			progress(seq, total)
		}
	}
	dir := filepath.Join(o.Dir, rebuildDir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := makeView(o, dir, (*Store).openJournal); err != nil {
		return fmt.Errorf("making a new view: %w", err)
	}
	if err := replaceView(ViewPath(dir), ViewPath(o.Dir)); err != nil {
		return fmt.Errorf("putting the new view in its place: %w", err)
	}
	return os.RemoveAll(dir)
}

// knownDurable returns the journal record that the view has reached, whatever its schema; 0 when that cannot be read.
func knownDurable(o Options) uint64 {
	conn, err := openConn(ViewPath(o.Dir), true)
	if err != nil {
		return 0
	}
	defer conn.Close()
	seq, err := one(conn, "SELECT seq FROM position", func(stmt *sqlite.Stmt) (int64, error) { return stmt.ColumnInt64(0), nil })
	if err != nil {
		return 0
	}
	return uint64(seq)
}

// journalLength returns how many records the journal has. One that is not there is not made: the directory is the wrong
// one. A journal that ends before the record known has lost some: what looks like a torn tail is damage.
func journalLength(o Options, known uint64) (uint64, error) {
	names, err := o.JournalFS.List(o.JournalDir)
	if err == nil && len(names) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, fmt.Errorf("the journal in %s: %w", o.JournalDir, err)
	}
	j, err := journal.Open(journal.Options{
		FS: o.JournalFS, Dir: o.JournalDir, SegmentBytes: o.SegmentBytes, From: known, Logger: o.Log, //guard:TestRebuildWithoutTheTail known -> 0
	}, nil)
	if err != nil {
		return 0, err
	}
	return j.Head().Seq, j.Close()
}

// makeView opens a store in a new directory, and so writes a whole view of what replay reads of the journal there.
func makeView(o Options, dir string, replay func(*Store, position) error) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	lock, err := vfs.OS.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return err
	}
	o.Dir, o.Foreground = dir, true
	s, err := open(o, lock, replay)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	return s.Close()
}

// replaceView puts a closed view in the place of another. The old one's write-ahead log must be gone, durably,
// before the new one has its name: SQLite would apply it to the wrong file. A crash between the two leaves no
// view, and the next start makes one.
func replaceView(from, to string) error {
	f, err := vfs.OS.Open(from)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := removeView(to); err != nil {
		return err
	}
	if err := vfs.OS.SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if err := vfs.OS.Rename(from, to); err != nil {
		return err
	}
	return vfs.OS.SyncDir(filepath.Dir(to))
}
