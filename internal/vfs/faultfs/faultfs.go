// Package faultfs is a file system in memory that fails on demand and shows
// what a power cut may leave behind. Tests and the seeded simulator run the
// real journal on it.
//
// What it keeps apart: for each file the content that programs see (the page
// cache) and the content on the disk, per sector of 512 bytes; for each name
// whether the directory entry is on the disk. Only Sync moves content and size,
// SyncData content alone, SyncDir names.
//
// Crash is a power cut: each sector that was written since the last sync holds,
// by chance, what the disk had, or any of the values written since, or a mix of
// two of them torn at some byte; an unsynced size is kept or lost; each unsynced
// Create, Rename and Remove is kept or lost on its own. So writes are dropped,
// torn and reordered. CrashProcess is kill -9: the cache survives, locks end.
//
// It is harsher than a real disk where that is cheap (SyncData never makes a new
// size durable, a Sync of a file never makes its name durable, sectors tear
// inside). A failed sync behaves as it does on Linux: some of the sectors reach
// the disk, and all count as clean afterwards, so that a second sync that
// succeeds proves nothing.
//
// Everything is decided by the given random sources in a fixed order, so that
// one seed gives one history. Directories are durable as soon as they are made.
//
//	fsys := faultfs.New(rand.New(rand.NewPCG(seed, 0)))
//	fsys.CutPowerAt(17)              // the 17th operation from now does not return well
//	use(fsys)                        // everything after it fails with ErrPowerOff
//	after := fsys.Crash(rng)         // what the next start finds
package faultfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	"faquan/internal/vfs"
)

// SectorBytes is what the disk is assumed to keep or lose as one.
const SectorBytes = 512

// ErrPowerOff is returned by every operation once the power is cut, or once Crash or CrashProcess has made the
// successor of this file system.
var ErrPowerOff = errors.New("faultfs: the power is off")

// Kind names an operation, for FailFunc.
type Kind string

// The operations that are counted and can fail. Size and Close cannot.
const (
	Create   Kind = "create"
	Open     Kind = "open"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	List     Kind = "list"
	MkdirAll Kind = "mkdir"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"     // of FS
	LockFile Kind = "lockfile" // of a file
	Read     Kind = "read"
	Write    Kind = "write"
	SyncData Kind = "syncdata"
	Sync     Kind = "sync"
	Allocate Kind = "allocate"
)

// Op is one operation about to happen.
type Op struct {
	N    int // 1 is the first of this file system
	Kind Kind
	Name string
}

// Fault describes how an operation fails.
type Fault struct {
	Err error // nil means that it does not fail
	// Short makes a write store the first half of its bytes before it fails.
	Short bool
	// Done lets the operation happen in full, although it reports the error.
	Done bool
}

// prevents reports whether the operation does not happen.
func (f Fault) prevents() bool { return f.Err != nil && !f.Done }

// FS implements vfs.FS. It is safe for concurrent use.
type FS struct {
	mu       sync.Mutex
	rng      *rand.Rand
	inodes   map[int]*inode
	nextID   int
	names    map[string]int // what programs see
	durable  map[string]int // what the disk has
	pending  []change       // unsynced changes of names, oldest first
	dirs     map[string]bool
	locks    map[string]bool
	ops      int
	dead     bool
	cutAt    int
	fail     func(Op) Fault
	capacity int64 // bytes; negative: unlimited
	readOnly bool
	open     int // files that are open; locks do not count
	maxOpen  int // 0: unlimited
}

var _ vfs.FS = (*FS)(nil)

// change is one unsynced directory operation: all its names change or none.
type change struct {
	dir string
	set map[string]int // name to inode; 0 removes the name
}

// New returns an empty file system. The random source decides what a failed
// sync leaves behind.
func New(rng *rand.Rand) *FS {
	return &FS{
		rng:      rng,
		inodes:   map[int]*inode{},
		nextID:   1,
		names:    map[string]int{},
		durable:  map[string]int{},
		dirs:     map[string]bool{"/": true, ".": true},
		locks:    map[string]bool{},
		capacity: -1,
	}
}

// Ops returns how many operations have happened.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// FailAt makes the n-th operation from now fail (1 is the next one).
func (f *FS) FailAt(n int, fault Fault) {
	at := f.Ops() + n
	f.FailFunc(func(op Op) Fault {
		if op.N == at {
			return fault
		}
		return Fault{}
	})
}

// FailFunc asks fail before every operation; nil ends that. It replaces what
// FailAt set.
func (f *FS) FailFunc(fail func(Op) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// CutPowerAt cuts the power during the n-th operation from now. A write that is
// cut may be in the cache in part, other operations have not happened.
func (f *FS) CutPowerAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutAt = f.ops + n
}

// SetCapacity bounds the bytes of all files together; negative: unlimited.
func (f *FS) SetCapacity(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = bytes
}

// Used returns the bytes that all files together occupy.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() int64 {
	f.collect()
	var sum int64
	for _, ino := range f.inodes {
		sum += ino.allocated
	}
	return sum
}

// SetReadOnly makes every operation that changes something fail with EROFS.
func (f *FS) SetReadOnly(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readOnly = on
}

// OpenFiles returns how many files are open.
func (f *FS) OpenFiles() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// SetMaxOpen bounds how many files can be open at a time: beyond that, opening
// one fails with EMFILE. 0: unlimited.
func (f *FS) SetMaxOpen(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.maxOpen = n
}

// FlipBit changes one bit of a file, in the cache and on the disk. Bit 0 is the
// lowest bit of the first byte.
func (f *FS) FlipBit(name string, bit int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ino, err := f.lookup("flip", name)
	if err != nil {
		return err
	}
	at := bit / 8
	if at >= int64(len(ino.data)) {
		return fmt.Errorf("faultfs: %s has %d bytes, no bit %d", name, len(ino.data), bit)
	}
	ino.data[at] ^= 1 << (bit % 8)
	if at < int64(len(ino.disk)) {
		ino.disk[at] ^= 1 << (bit % 8)
	}
	return nil
}

// Truncate cuts a file short, in the cache and on the disk, as a careless copy
// would.
func (f *FS) Truncate(name string, size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ino, err := f.lookup("truncate", name)
	if err != nil {
		return err
	}
	ino.truncate(size)
	return nil
}

// begin counts an operation and returns how it must fail, if at all. The caller
// holds the lock.
func (f *FS) begin(kind Kind, name string) Fault {
	if f.dead {
		return Fault{Err: ErrPowerOff}
	}
	f.ops++
	if f.cutAt != 0 && f.ops >= f.cutAt {
		f.dead = true
		return Fault{Err: ErrPowerOff, Short: f.rng.IntN(2) == 0}
	}
	if f.fail != nil {
		if fault := f.fail(Op{N: f.ops, Kind: kind, Name: name}); fault.Err != nil {
			fault.Err = &fs.PathError{Op: string(kind), Path: name, Err: fault.Err}
			return fault
		}
	}
	if f.readOnly && changes(kind) {
		return Fault{Err: &fs.PathError{Op: string(kind), Path: name, Err: syscall.EROFS}}
	}
	return Fault{}
}

func changes(kind Kind) bool {
	switch kind {
	case Create, Rename, Remove, MkdirAll, Lock, Write, Allocate:
		return true
	}
	return false
}

func (f *FS) lookup(op, name string) (*inode, error) {
	id, ok := f.names[clean(name)]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return f.inodes[id], nil
}

func clean(name string) string { return filepath.Clean(name) }

func sortedKeys[K int | int64 | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}

// children returns the names directly in dir.
func children(names map[string]int, dir string) []string {
	var found []string
	for _, name := range sortedKeys(names) {
		if filepath.Dir(name) == dir {
			found = append(found, strings.TrimPrefix(name[len(dir):], "/"))
		}
	}
	return found
}
