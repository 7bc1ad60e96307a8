// Package store defines what the core needs from a database.
//
// A store is thin: it begins a batch, loads the rows that the batch needs, writes the rows that the decisions
// made, commits. It decides nothing. Every rule that must be exact lives in package benefit, so that all stores
// agree; package storetest holds them to it.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/table"
)

// The ways in which a commit fails that callers must be able to tell apart. Any other error of Commit means
// that the outcome is unknown.
var (
	// ErrNotCommitted is returned when certainly nothing of the batch was written, now or later.
	ErrNotCommitted = errors.New("nothing was committed")
	// ErrTooLarge is an ErrNotCommitted: the changes are too large for one commit. Retry with fewer.
	ErrTooLarge = fmt.Errorf("%w: too much for one commit", ErrNotCommitted)
	// ErrConflict is an ErrNotCommitted: another process changed a row of the batch first. Decide the batch again on
	// the current rows. Load returns it as well.
	ErrConflict = fmt.Errorf("%w: another process was first", ErrNotCommitted)
	// ErrDamaged is returned when a row refers to one that does not exist, such as a claim to its issuance. What was
	// issued under that key is not known, so nothing may be issued under it. Load returns it.
	ErrDamaged = errors.New("the store is damaged")
	// ErrUnconfirmed is returned when what the batch has read may not be durable, so that nothing may be answered from
	// it.
	ErrUnconfirmed = errors.New("what was read may not be durable")
	// ErrFailed is returned when the store can no longer commit reliably. Every later call returns it too; the process
	// must restart. What the failed commit wrote is unknown.
	ErrFailed = errors.New("the store has failed and must be opened again")
)

// ErrNoVersion is returned when the store does not have the catalogue of that version.
var ErrNoVersion = errors.New("no such version of the catalogue")

// Store is a database that faquan issues on. One committer drives it at a time (Begin … Commit or Rollback), or several
// where it is Shared; reading is safe beside them and from many goroutines.
type Store interface {
	// Begin starts a batch. Its now is the clock, or the last committed now if that is later.
	Begin(ctx context.Context, clock benefit.Instant) (Tx, error)
	// BeginChange starts a batch that may write anything: users, sessions, the catalogue. While it is under way no
	// batch issues, in this process or another, and what Read shows stays as it is until the batch ends.
	BeginChange(ctx context.Context, clock benefit.Instant) (Tx, error)
	// Shared reports whether another process, or another committer of this one, may write to the store at the same
	// time.
	Shared() bool
	// LastIDMillis bounds the ids that the store may hold: none carries a later millisecond.
	LastIDMillis() int64
	// LastNow returns the now of the last commit, or a later one of the commits that came since Open; 0 when there is
	// none.
	LastNow() benefit.Instant
	// Entities returns the entities of the catalogue as of the last commit, by kind and id, and its version. It is what
	// a start needs, and quicker than Read: it waits for nothing that was issued.
	Entities(ctx context.Context) ([]benefit.Entity, int64, error)
	// Finder answers the questions that callers ask over the wire.
	Finder
	Feed
	// Read opens a consistent view that holds everything acknowledged before the call. Close it soon: it keeps
	// the store from reclaiming what changes meanwhile.
	Read(ctx context.Context) (Reader, error)
	// Close waits for what is under way and leaves the store so that the next Open is quick.
	Close() error
}

// Lookup looks rows up by their keys. A row that does not exist is nil, not an error.
type Lookup interface {
	// Claim returns the issuance under a key: the newest, which has the greatest id, when the key was bound more than once.
	Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error)
	// IssuanceOf returns the issuance that holds a voucher; nil where the voucher was not issued, or not yet.
	IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error)
	// Recipient returns the user that an identifier names.
	Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error)
	// Rows returns the rows of keys, one for each key: see Get and GetAll. They need not be of one moment, as a commit may
	// come between them.
	Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error)
}

// Finder answers questions about single keys and users. Each call sees everything that was acknowledged before it.
// Calls are cheap, unlike those of Store.Read, so callers outside may ask often. They take no lock that a batch waits for,
// but a shared store answers them on connections that a batch may need for a moment: bound how many run at once. A row that
// names another that is not there is ErrDamaged, as for Tx.Load: what was issued is not known, and a caller must not hear
// that it was nothing.
type Finder interface {
	Lookup
	// RowsUnder returns the rows of a kind whose keys begin with the given columns, in the order of their keys, at most limit;
	// see Under. It is for prefixes with few rows: all of them may be read.
	RowsUnder(ctx context.Context, kind *table.Kind, prefix []table.Datum, limit int) ([]*table.Row, error)

	// The following iterate over lists of issuances, each issuance once and as it is now, the newest first: by descending id.
	// They begin with the newest that has an id below before, or with the newest of all when before is 0, so the id of the last
	// one that a caller has taken is where its next page begins, whatever was issued or continued since. What is issued during
	// an iteration need not appear in it. The work is done as the iteration proceeds, so a caller that stops early has not paid
	// for the rest; nothing is held between two elements. Iteration ends at the first error, which is its last element.

	// RecentIssuances lists a user's issuances.
	RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error]
	// RecentOfTemplate lists the issuances that have a line of the template, also where the line has issued nothing.
	RecentOfTemplate(ctx context.Context, template benefit.TemplateID, before id.ID) iter.Seq2[*benefit.Issuance, error]
	// RecentOfTrace lists the issuances whose callers gave the trace id; none for an empty one.
	RecentOfTrace(ctx context.Context, traceID string, before id.ID) iter.Seq2[*benefit.Issuance, error]
}

// Tx is one batch under way. Nothing of it is visible before Commit returns.
type Tx interface {
	// Now returns the instant at which the whole batch is decided. A store that several processes share reads it again
	// when the batch holds its locks: then Load moves it, forward only.
	Now() benefit.Instant
	// Catalogue returns the version of the catalogue in force. It stays in force until the batch ends.
	Catalogue() int64
	// Contended reports whether another process made the last commit before this batch was loaded, so that processes
	// contend for the store.
	Contended() bool
	// Load puts the rows of the keys into the state, absent ones as absent. The batch holds the locks among the keys from
	// then on, against all other processes, until it ends. They are named in one call: those of a second one may answer
	// ErrConflict.
	Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error
	// Commit writes the changes in one piece and returns when they are durable. On ErrNotCommitted nothing was
	// written; on any other error the outcome is unknown. It ends the batch.
	Commit(ctx context.Context, changes *benefit.Changes) error
	// Confirm ends a batch that writes nothing. It returns when what the batch has read is durable; its error is an
	// ErrUnconfirmed; or ErrConflict, when another process was first with something that was read.
	Confirm(ctx context.Context) error
	// Rollback ends the batch without writing. After Commit it does nothing.
	Rollback()
}

// Reader answers questions about one consistent state of a store. What it returns is the caller's to keep, not to change.
type Reader interface {
	Lookup
	// UserIssuances lists a user's issuances with an id above after, in id order, at most limit.
	UserIssuances(ctx context.Context, user benefit.UserID, after id.ID, limit int) ([]*benefit.Issuance, error)
	// TemplateIssuances lists the issuances of a template with an id above after, in id order, at most limit.
	TemplateIssuances(ctx context.Context, template benefit.TemplateID, after id.ID, limit int) ([]*benefit.Issuance, error)

	// User returns a user by id.
	User(ctx context.Context, user benefit.UserID) (*benefit.User, error)
	// UserByName returns the user with the operator's handle.
	UserByName(ctx context.Context, name string) (*benefit.User, error)

	// TraceIssuances lists the issuances with the trace id and an id above after, in id order, at most limit.
	TraceIssuances(ctx context.Context, traceID string, after id.ID, limit int) ([]*benefit.Issuance, error)

	// Entities returns the entities of the catalogue, by kind and id, and its version.
	Entities(ctx context.Context) ([]benefit.Entity, int64, error)

	// The following go through whole tables, in the order of their keys. Iteration ends at the first error, which is its
	// last element.

	AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error]
	AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error]
	// Scan iterates over the rows of a kind whose keys begin with the given columns: see All. A row is valid until the
	// next one.
	Scan(ctx context.Context, kind *table.Kind, prefix []table.Datum) iter.Seq2[*table.Row, error]
	// AllCommits iterates over the commits of this state that are kept, in the order of the feed. On a shared store those that
	// are not in the feed yet come last, with Seq 0.
	AllCommits(ctx context.Context) iter.Seq2[*Commit, error]

	Close() error
}

// Load loads what deciding the commands of a batch needs. The state of the batch was reset to the Now of the
// transaction, which may be later afterwards.
func Load(ctx context.Context, tx Tx, b *benefit.Batch, commands []benefit.Command) error {
	if err := tx.Load(ctx, b.Names(commands), b.State); err != nil {
		return err
	}
	for keys := b.Rows(commands); !keys.Empty(); {
		if err := tx.Load(ctx, keys, b.State); err != nil {
			return err
		}
		if now := tx.Now(); now != b.Now {
			b.MoveTo(now)
			keys = b.Rows(commands)
		} else {
			keys = b.Redraws(commands)
		}
	}
	return nil
}
