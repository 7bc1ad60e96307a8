// Package vfs is the part of a file system that faquan's journal and the files of its data directory need. Package os hides
// the difference between written and durable: a directory must be synced after a rename, and data can be synced with or
// without the file's metadata. And everything that can go wrong with a disk must be testable: package faultfs implements FS
// in memory, fails any operation on demand and shows what a power cut may leave behind.
//
// Names are ordinary paths. OS is the real file system:
//
//	f, err := vfs.OS.Create("/var/lib/faquan/journal/x.tmp")
//	_, err = f.WriteAt(block, 0)
//	err = f.Sync()                          // content and size are durable
//	err = vfs.OS.Rename("…/x.tmp", "…/x")   // not durable yet
//	err = vfs.OS.SyncDir("/var/lib/faquan/journal")
//
// Errors wrap those of the operating system, so errors.Is with fs.ErrNotExist, syscall.ENOSPC and the like works on every
// implementation.
package vfs

import (
	"errors"
	"io"
	"syscall"
)

// ErrLocked is wrapped by errors of FS.Lock and File.Lock while another process, or another holder in this one, has the lock.
var ErrLocked = errors.New("locked by another process")

// ErrLockLost is wrapped by the error of Lock.Check when the locked file or its directory was deleted or replaced.
var ErrLockLost = errors.New("the lock was deleted or replaced while it was held")

// FS opens files and changes directories. It is safe for concurrent use.
type FS interface {
	// Create makes an empty file for reading and writing; an existing one is emptied. The name is durable only after SyncDir.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading only; its WriteAt fails.
	OpenRead(name string) (File, error)
	// Rename replaces newName atomically. Durable only after SyncDir.
	Rename(oldName, newName string) error
	// Remove deletes one file. Durable only after SyncDir.
	Remove(name string) error
	// List returns the names (not paths) in a directory, sorted.
	List(dir string) ([]string, error)
	// MkdirAll makes a directory and what is missing above it, mode 0700, durably.
	MkdirAll(dir string) error
	// SyncDir makes every earlier Create, Rename and Remove in dir durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, which it makes when it is missing, and on the directory that the file is
	// in, so that deleting the file does not let a second holder in. It never waits: when another process holds either
	// lock the error wraps ErrLocked. The lock ends with Close, or with the process.
	Lock(name string) (Lock, error)
}

// Lock is a lock that is held. It keeps the directory open.
type Lock interface {
	// Check returns an error that wraps ErrLockLost when the file or its directory is no longer what was locked. It needs no
	// file descriptor.
	Check() error
	// SyncDir is FS.SyncDir of the directory. It needs no file descriptor.
	SyncDir() error
	io.Closer
}

// NoDescriptor reports whether a file could not be opened because the process or the system has too many files open.
func NoDescriptor(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length of the file in bytes.
	Size() (int64, error)
	// Allocate reserves room for the first size bytes and so finds out early and cheaply that a disk is full. It says
	// nothing about content or durability, and does nothing where it is not supported.
	Allocate(size int64) error
	// Lock takes an exclusive lock on the file itself, whatever names lead to it: hard links share it. It never waits: while
	// another open file holds the lock the error wraps ErrLocked. It succeeds without a lock where the file system has none,
	// and again while this file holds the lock. Reads and writes do not need the lock, which ends with Close or the process.
	Lock() error
	// SyncData makes the bytes written so far durable, if neither the size nor the blocks of the file have changed since the
	// last Sync.
	SyncData() error
	// Sync makes content, size and blocks durable. After a failed Sync or SyncData the state of the file is unknown, and a
	// later success proves nothing: the system may have marked the lost pages as clean.
	Sync() error
}
