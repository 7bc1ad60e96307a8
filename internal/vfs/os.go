//go:build unix

package vfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// OS is the file system of the operating system. Files are made with mode 0600.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (osFS) Open(name string) (File, error)       { return openFile(name, os.O_RDWR) }
func (osFS) OpenRead(name string) (File, error)   { return openFile(name, os.O_RDONLY) }
func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error             { return os.Remove(name) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (o osFS) MkdirAll(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return &os.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// osLock holds flocks on a directory and on a file in it.
type osLock struct{ dir, file *os.File }

// Lock locks the directory first. Only that lock cannot be evaded by deleting a file; the file's keeps out programs that
// lock nothing else, as older versions of faquan do.
func (osFS) Lock(name string) (Lock, error) {
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	file, err := lockIn(dir, name)
	if err != nil {
		dir.Close()
		return nil, err
	}
	return &osLock{dir, file}, nil
}

func lockIn(dir *os.File, name string) (*os.File, error) {
	// Some file systems cannot lock directories. There the file's lock is all.
	if err := flock(int(dir.Fd())); errors.Is(err, syscall.EWOULDBLOCK) { //guard:TestLockOfDeletedFile
		return nil, fmt.Errorf("lock %s: %w", dir.Name(), ErrLocked)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = flock(int(file.Fd()))
	if err == nil {
		return file, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, fmt.Errorf("lock %s: %w", name, err)
}

func flock(fd int) error {
	return retryInterrupted(func() error { return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) })
}

func (l *osLock) Check() error { return errors.Join(sameFile(l.dir), sameFile(l.file)) }

// sameFile returns an error unless the name of an open file still leads to it.
func sameFile(f *os.File) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(f.Name())
	//guard:TestLockOfDeletedFile without err == nil && !os.SameFile(held, named)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(held, named) {
		return fmt.Errorf("%w: %s", ErrLockLost, f.Name())
	}
	return err
}

func (l *osLock) SyncDir() error { return l.dir.Sync() }
func (l *osLock) Close() error   { return errors.Join(l.file.Close(), l.dir.Close()) }

// osFile keeps the descriptor beside the file, so that a sync allocates nothing.
type osFile struct {
	*os.File
	fd int
}

func openFile(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, fd: int(f.Fd())}, nil
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Allocate(size int64) error { return f.failed("allocate", allocate(f.fd, size)) }
func (f *osFile) SyncData() error           { return f.failed("sync data", syncData(f.fd)) }

func (f *osFile) failed(op string, err error) error {
	if err != nil {
		return &os.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Lock() error {
	if err := flock(f.fd); errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", f.Name(), ErrLocked)
	}
	return nil // as in lockIn, a file system without such locks is no obstacle
}

// retryInterrupted repeats a system call that a signal broke off.
func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
