package refusals

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"

	"faquan/internal/gateway"
	"faquan/internal/vfs"
)

// lockName is the name of the lock file in the directory of a process.
const lockName = "LOCK"

// slotDir returns the directory of one of the processes that share a directory.
func slotDir(dir string, slot int) string { return filepath.Join(dir, strconv.Itoa(slot)) }

// Files are the files of a process that has ended.
type Files struct {
	Dir string
	fs  vfs.FS
}

// Ended lists what processes that have ended left in a directory, which may be missing. Processes that run have their
// files locked.
func Ended(fsys vfs.FS, dir string) ([]Files, error) {
	var all []Files
	for slot := 1; slot <= maxSlots; slot++ {
		of := Files{Dir: slotDir(dir, slot), fs: fsys}
		lock, err := fsys.Lock(filepath.Join(of.Dir, lockName))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrLocked) { //guard:TestProcessesShareADirectory
			continue
		}
		if err == nil {
			err = lock.Close()
		}
		if err != nil {
			return nil, err
		}
		all = append(all, of)
	}
	return all, nil
}

// Find returns the refusals that match, newest first, at most limit.
func (f Files) Find(match func(*gateway.Record) bool, limit int) ([]gateway.Record, error) {
	return find(f.fs, f.Dir, match, limit, math.MaxInt64)
}

// Left finds the refusals of all processes that have ended in a directory.
type Left struct {
	FS  vfs.FS
	Dir string // may be missing
}

// Find returns the refusals that match, newest first, at most limit.
func (l Left) Find(match func(*gateway.Record) bool, limit int) (found []gateway.Record, err error) {
	all, err := Ended(l.FS, l.Dir)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		some, err := one.Find(match, limit)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return gateway.Newest(found, limit), nil
}
