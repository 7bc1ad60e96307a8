package refusals

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"faquan/internal/gateway"
	"faquan/internal/vfs"
)

// Dir is the name of the directory of refusals in a data directory.
const Dir = "refusals"

// Options describe an Archive.
type Options struct {
	Dir    string            // of all processes; made when it is missing
	Keep   int64             // bytes of the files of this process, 1 MiB or more; 0: no files
	Recent *gateway.Refusals // what the gateways note their calls in
	Log    *slog.Logger
	FS     vfs.FS // nil: vfs.OS
}

const (
	// writePause is how long refusals are collected for one write.
	writePause = 50 * time.Millisecond
	// retryPause is how long after a failed write the next one is tried.
	retryPause = 10 * time.Second
	maxBatch   = 256  // refusals of one write
	maxSlots   = 1024 // processes that share a directory
)

// Archive keeps the refusals of a process, and finds them. It is safe for concurrent use.
type Archive struct {
	recent *gateway.Refusals
	log    *slog.Logger

	// What follows is of the files, and nil where there are none.
	fs   vfs.FS
	dir  string // of this process
	lock vfs.Lock
	base int64      // number of the last refusal of earlier processes; those in memory begin at 1
	mu   sync.Mutex // held while refusals are copied and written, so that a search misses none between memory and files
	w    *writer
	// batch has room for one write.
	batch []gateway.Record

	stop    chan struct{}
	running sync.WaitGroup
	lost    atomic.Int64
	failing atomic.Bool
}

// Open returns the Archive of a process, and begins to write. When there can be no files it logs why, and refusals are kept
// in memory only.
func Open(o Options) *Archive {
	a := &Archive{recent: o.Recent, log: o.Log, fs: cmp.Or(o.FS, vfs.OS), stop: make(chan struct{})}
	if o.Keep == 0 {
		return a
	}
	if err := a.open(o); err != nil {
		a.failing.Store(true)
		a.log.Warn("refusals are kept in memory only", "dir", o.Dir, "err", err)
		return a
	}
	a.running.Go(a.run)
	return a
}

// open takes the first directory that no process has.
func (a *Archive) open(o Options) error {
	for slot := 1; slot <= maxSlots; slot++ {
		dir := slotDir(o.Dir, slot)
		if err := a.fs.MkdirAll(dir); err != nil {
			return err
		}
		lock, err := a.fs.Lock(filepath.Join(dir, lockName))
		if errors.Is(err, vfs.ErrLocked) { //guard:TestProcessesShareADirectory
			continue
		}
		if err != nil {
			return err
		}
		w, err := openWriter(a.fs, dir, o.Keep)
		if err != nil {
			return errors.Join(err, lock.Close())
		}
		a.dir, a.lock, a.w, a.base = dir, lock, w, w.last
		a.batch = make([]gateway.Record, maxBatch)
		return nil
	}
	return fmt.Errorf("%d processes have their files there", maxSlots)
}

// Close writes what is new and ends the writing. Refusals are still remembered in memory.
func (a *Archive) Close() error {
	if a.w == nil {
		return nil
	}
	close(a.stop)
	a.running.Wait()
	return errors.Join(a.w.close(), a.lock.Close())
}

// run writes what is new until Close.
func (a *Archive) run() {
	for stopping := false; !stopping; {
		select {
		case <-a.recent.Added():
			stopping = a.sleep(writePause) // more may come
		case <-a.stop:
			stopping = true
		}
		for !a.writeNew() && !stopping {
			stopping = a.sleep(retryPause)
		}
	}
}

// sleep reports whether Close was called before the time had passed.
func (a *Archive) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a.stop:
		return true
	case <-timer.C:
		return false
	}
}

// writeNew writes what is new, and reports whether it worked. It logs the first failure, and when it works again.
func (a *Archive) writeNew() bool {
	for {
		n, err := a.writeBatch()
		if err != nil {
			if !a.failing.Swap(true) { //guard:TestFullDisk
				a.log.Warn("refusals cannot be written; the latest are kept in memory", "dir", a.dir, "err", err)
			}
			return false
		}
		if n == 0 {
			return true
		}
		if a.failing.Swap(false) {
			a.log.Info("refusals are written again", "lost", a.lost.Load())
		}
	}
}

// writeBatch writes the oldest refusals in memory that are not in the files, and returns how many.
func (a *Archive) writeBatch() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	buf, written := a.batch, a.w.last-a.base
	n := a.recent.After(written, buf)
	defer clear(buf[:n]) // else they stay in memory until as many are refused
	if n == 0 {
		return 0, nil
	}
	err := a.w.write(buf[:n], a.base)
	if a.w.last > a.base+written { // else the same ones are written again, and counted then
		a.lost.Add(buf[0].Number - 1 - written)
	}
	return n, err
}

// Find returns the refusals that match, newest first, at most limit: those in memory, and older ones in the files.
func (a *Archive) Find(match func(*gateway.Record) bool, limit int) ([]gateway.Record, error) {
	a.mu.Lock()
	known, strangers, oldest := a.recent.FindApart(match, limit)
	a.mu.Unlock()
	if a.w != nil {
		older, err := find(a.fs, a.dir, match, limit-len(known), a.base+oldest)
		if err != nil {
			return nil, err
		}
		known = append(known, older...)
	}
	return gateway.Newest(append(known, strangers...), limit), nil
}

// Status describes the files of an Archive.
type Status struct {
	// Lost is the number of refusals since the start that the files lack: memory had already forgotten them when they could
	// be written.
	Lost int64
	// Failing reports whether the last write failed, or whether there can be no files although there should be.
	Failing bool
}

// Status returns the status of the files.
func (a *Archive) Status() Status { return Status{Lost: a.lost.Load(), Failing: a.failing.Load()} }
