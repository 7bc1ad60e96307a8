package faultfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"syscall"

	"faquan/internal/vfs"
)

// inode is one file: data is what programs read, disk what the platters hold.
type inode struct {
	data     []byte
	disk     []byte
	diskSize int64
	// allocated is the room the file takes of the capacity.
	allocated int64
	// dirty has the sectors written since the last sync, each with the values
	// that it held on the way (without the disk's and without the newest).
	dirty map[int64][][]byte
	// locker is the open file that holds the lock, if any.
	locker *file
}

type file struct {
	fs       *FS
	ino      *inode
	name     string
	readOnly bool
	closed   bool
}

func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.fs.open--
		if f.ino.locker == f {
			f.ino.locker = nil
		}
	}
	return nil
}

func (f *file) Lock() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	fault := f.fs.begin(LockFile, f.name)
	if fault.prevents() {
		return fault.Err
	}
	if f.ino.locker != nil && f.ino.locker != f {
		return fmt.Errorf("lock %s: %w", f.name, vfs.ErrLocked)
	}
	f.ino.locker = f
	return fault.Err
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.ino.data)), nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if fault := f.fs.begin(Read, f.name); fault.Err != nil {
		return 0, fault.Err
	}
	if off >= int64(len(f.ino.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.ino.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	fault := f.fs.begin(Write, f.name)
	if f.readOnly {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EBADF}
	}
	if fault.prevents() && !fault.Short {
		return 0, fault.Err
	}
	if fault.prevents() {
		p = p[:len(p)/2]
	}
	if fit := f.fs.fit(f.ino, off, int64(len(p))); fit < int64(len(p)) {
		p = p[:fit]
		fault.Err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	f.ino.write(p, off)
	if fault.Done {
		return 0, fault.Err
	}
	return len(p), fault.Err
}

func (f *file) Allocate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if fault := f.fs.begin(Allocate, f.name); fault.Err != nil {
		return fault.Err
	}
	if f.fs.fit(f.ino, 0, size) < size {
		return &fs.PathError{Op: "allocate", Path: f.name, Err: syscall.ENOSPC}
	}
	f.ino.allocated = max(f.ino.allocated, size)
	return nil
}

func (f *file) SyncData() error { return f.sync(SyncData) }
func (f *file) Sync() error     { return f.sync(Sync) }

func (f *file) sync(kind Kind) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	fault := f.fs.begin(kind, f.name)
	if fault.prevents() {
		if !f.fs.dead {
			f.ino.loseSome(f.fs.rng)
		}
		return fault.Err
	}
	for sector := range f.ino.dirty { // the order does not matter: all are kept
		f.ino.persist(sector, f.ino.sector(f.ino.data, sector))
	}
	clear(f.ino.dirty)
	if kind == Sync {
		f.ino.diskSize = int64(len(f.ino.data))
	}
	return fault.Err
}

// fit returns how many of n bytes at off the capacity has room for.
func (f *FS) fit(ino *inode, off, n int64) int64 {
	if f.capacity < 0 {
		return n
	}
	grow := roundUp(off+n) - ino.allocated
	if grow <= 0 {
		return n
	}
	room := max(0, f.capacity-f.used())
	if grow <= room {
		return n
	}
	return max(0, min(n, ino.allocated+room-off))
}

func roundUp(n int64) int64 { return (n + SectorBytes - 1) / SectorBytes * SectorBytes }

func (ino *inode) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := off + int64(len(p))
	for sector := off / SectorBytes; sector*SectorBytes < end; sector++ {
		versions, again := ino.dirty[sector]
		if again {
			versions = append(versions, ino.sector(ino.data, sector))
		}
		ino.dirty[sector] = versions
	}
	if end > int64(len(ino.data)) {
		ino.data = append(ino.data, make([]byte, end-int64(len(ino.data)))...)
	}
	copy(ino.data[off:], p)
	ino.allocated = max(ino.allocated, roundUp(end))
}

// sector returns a copy of one sector of content, zeros beyond its end.
func (ino *inode) sector(content []byte, sector int64) []byte {
	s := make([]byte, SectorBytes)
	if at := sector * SectorBytes; at < int64(len(content)) {
		copy(s, content[at:])
	}
	return s
}

// persist puts one sector on the disk.
func (ino *inode) persist(sector int64, value []byte) {
	if end := (sector + 1) * SectorBytes; end > int64(len(ino.disk)) {
		ino.disk = append(ino.disk, make([]byte, end-int64(len(ino.disk)))...)
	}
	copy(ino.disk[sector*SectorBytes:], value)
}

// loseSome is a failed sync: each dirty sector reaches the disk or does not,
// and all of them are clean from now on.
func (ino *inode) loseSome(rng *rand.Rand) {
	for _, sector := range sortedKeys(ino.dirty) {
		if rng.IntN(2) == 0 {
			ino.persist(sector, ino.sector(ino.data, sector))
		}
	}
	clear(ino.dirty)
}

func (ino *inode) truncate(size int64) {
	ino.data = ino.data[:min(size, int64(len(ino.data)))]
	ino.disk = ino.disk[:min(size, int64(len(ino.disk)))]
	ino.diskSize = min(size, ino.diskSize)
	ino.allocated = min(roundUp(size), ino.allocated)
	for sector := range ino.dirty {
		if sector*SectorBytes >= size {
			delete(ino.dirty, sector)
		}
	}
}

// ReadFile returns the whole content of a file.
func ReadFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), data); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// WriteFile makes a file with the given content.
func WriteFile(fsys vfs.FS, name string, data []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Sync(), f.Close(), fsys.SyncDir(filepath.Dir(name)))
}
