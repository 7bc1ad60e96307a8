package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrNotWritten is wrapped by an Append that certainly left nothing behind, for example because the disk is full. The
	// journal stays usable.
	ErrNotWritten = errors.New("journal: not written")
	// ErrTooLarge is wrapped by an Append whose payload exceeds MaxPayload. Nothing was written.
	ErrTooLarge = errors.New("journal: record too large")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("journal: closed")
)

// FailedError reports that a write or sync failed in a way that leaves the outcome of the current record unknown, or that
// another process may be writing to the journal (it wraps vfs.ErrLockLost or vfs.ErrLocked then). It is final: every
// later call returns it.
type FailedError struct {
	Seq uint64 // the first sequence whose fate is unknown
	Err error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("journal: outcome of record %d unknown, restart to find out: %v", e.Seq, e.Err)
}

func (e *FailedError) Unwrap() error { return e.Err }

// DamageError reports that bytes which had been durable are gone or changed.
type DamageError struct {
	Segment string // path of the file
	Offset  int64  // in bytes from its start, where the damage was met
	Seq     uint64 // the first record that cannot be read; 0 when not known
	Reason  string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("journal: damage in %s at offset %d (record %d): %s; "+
		"the file was not touched: keep a copy of the directory, then restore it from a backup or a replica",
		e.Segment, e.Offset, e.Seq, e.Reason)
}

// VersionError reports that a newer program wrote the journal.
type VersionError struct {
	Segment string
	Version uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("journal: %s has format version %d, this program knows up to %d: use the newer program",
		e.Segment, e.Version, formatVersion)
}
