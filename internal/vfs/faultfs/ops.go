package faultfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"faquan/internal/vfs"
)

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.begin(Create, name)
	if fault.prevents() {
		return nil, fault.Err
	}
	name = clean(name)
	if err := errors.Join(f.needDir("create", name), f.full(name)); err != nil {
		return nil, err
	}
	ino, err := f.lookup("create", name)
	if err == nil {
		ino.truncate(0)
	} else {
		ino = f.newFile(name)
	}
	if fault.Err != nil {
		return nil, fault.Err
	}
	f.open++
	return &file{fs: f, ino: ino, name: name}, nil
}

func (f *FS) newFile(name string) *inode {
	ino := &inode{dirty: map[int64][][]byte{}}
	id := f.nextID
	f.nextID++
	f.inodes[id] = ino
	f.change(filepath.Dir(name), map[string]int{name: id})
	return ino
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) { return f.openFile(name, false) }

// OpenRead implements vfs.FS.
func (f *FS) OpenRead(name string) (vfs.File, error) { return f.openFile(name, true) }

func (f *FS) openFile(name string, readOnly bool) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault := f.begin(Open, name); fault.Err != nil {
		return nil, fault.Err
	}
	ino, err := f.lookup("open", name)
	if err == nil {
		err = f.full(name)
	}
	if err != nil {
		return nil, err
	}
	f.open++
	return &file{fs: f, ino: ino, name: name, readOnly: readOnly}, nil
}

// Rename implements vfs.FS. Both names must be in one directory.
func (f *FS) Rename(oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.begin(Rename, oldName)
	if fault.prevents() {
		return fault.Err
	}
	oldName, newName = clean(oldName), clean(newName)
	id, ok := f.names[oldName]
	if !ok {
		return &fs.PathError{Op: "rename", Path: oldName, Err: fs.ErrNotExist}
	}
	if filepath.Dir(oldName) != filepath.Dir(newName) {
		return fmt.Errorf("faultfs: rename %s to another directory is not supported", oldName)
	}
	f.change(filepath.Dir(newName), map[string]int{newName: id, oldName: 0})
	return fault.Err
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.begin(Remove, name)
	if fault.prevents() {
		return fault.Err
	}
	if _, err := f.lookup("remove", name); err != nil {
		return err
	}
	name = clean(name)
	f.change(filepath.Dir(name), map[string]int{name: 0})
	return fault.Err
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault := f.begin(List, dir); fault.Err != nil {
		return nil, fault.Err
	}
	dir = clean(dir)
	if !f.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	return children(f.names, dir), nil
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = clean(dir)
	if f.dirs[dir] && !f.dead {
		return nil
	}
	if fault := f.begin(MkdirAll, dir); fault.Err != nil {
		return fault.Err
	}
	for ; !f.dirs[dir]; dir = filepath.Dir(dir) {
		f.dirs[dir] = true
	}
	return nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault := f.begin(Open, dir); fault.Err != nil {
		return fault.Err
	}
	if err := f.full(dir); err != nil {
		return err
	}
	return f.syncDir(dir)
}

// syncDir syncs a directory that is open. The caller holds the lock.
func (f *FS) syncDir(dir string) error {
	fault := f.begin(SyncDir, dir)
	if fault.prevents() {
		return fault.Err
	}
	dir = clean(dir)
	var others []change
	for _, c := range f.pending {
		if c.dir == dir {
			c.apply(f.durable)
		} else {
			others = append(others, c)
		}
	}
	f.pending = others
	return fault.Err
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (vfs.Lock, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault := f.begin(Lock, name); fault.Err != nil {
		return nil, fault.Err
	}
	name = clean(name)
	if err := f.needDir("lock", name); err != nil {
		return nil, err
	}
	dir := filepath.Dir(name)
	if f.locks[dir] {
		return nil, fmt.Errorf("lock %s: %w", name, vfs.ErrLocked)
	}
	f.locks[dir] = true
	return lock{f, dir}, nil
}

type lock struct {
	fs  *FS
	dir string
}

// Check never fails: files are not deleted behind their owner's back.
func (l lock) Check() error { return nil }

func (l lock) SyncDir() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	return l.fs.syncDir(l.dir)
}

func (l lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.dir)
	return nil
}

// full returns an error when no more files can be open.
func (f *FS) full(name string) error {
	if f.maxOpen > 0 && f.open >= f.maxOpen {
		return &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	return nil
}

func (f *FS) needDir(op, name string) error {
	if !f.dirs[filepath.Dir(name)] {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return nil
}

// change makes a directory operation visible and remembers it as unsynced.
func (f *FS) change(dir string, set map[string]int) {
	c := change{dir: dir, set: set}
	c.apply(f.names)
	f.pending = append(f.pending, c)
}

func (c change) apply(names map[string]int) {
	for name, id := range c.set {
		if id == 0 {
			delete(names, name)
		} else {
			names[name] = id
		}
	}
}
