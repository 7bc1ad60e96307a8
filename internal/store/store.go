// Package store is what the core needs from a database, and the only thing that it knows of one.
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
)

// The ways in which a commit fails that callers must be able to tell apart. Any other error of Commit means
// that the outcome is unknown.
var (
	// ErrNotCommitted: surely nothing of the batch was written, now or later.
	ErrNotCommitted = errors.New("nothing was committed")
	// ErrTooLarge: an ErrNotCommitted because the changes are more than one commit holds. Fewer at a time may do.
	ErrTooLarge = fmt.Errorf("%w: too much for one commit", ErrNotCommitted)
	// ErrConflict: an ErrNotCommitted because another process was first with a row of the batch. Deciding it again, on
	// what stands there now, will do. Load answers it as well.
	ErrConflict = fmt.Errorf("%w: another process was first", ErrNotCommitted)
	// ErrDamaged is returned when a row names another that is not there, a claim its issuance for one. What was issued
	// under that key is not known, so nothing may be issued under it. Load answers it.
	ErrDamaged = errors.New("the store is damaged")
	// ErrUnconfirmed: what the batch has read may not be durable, so nothing may be answered from it either.
	ErrUnconfirmed = errors.New("what was read may not be durable")
	// ErrFailed: the store can no longer be trusted with a commit. Every later call answers it too; the process
	// must stop and start again. What the failed commit wrote is unknown.
	ErrFailed = errors.New("the store has failed and must be opened again")
)

// ErrNoVersion: the store does not know the catalogue of that version.
var ErrNoVersion = errors.New("no such version of the catalogue")

// Store is a database that faquan issues on. One committer drives it at a time (Begin … Commit or Rollback), or several
// where it is Shared; reading is safe beside them and from many goroutines.
type Store interface {
	// Begin starts a batch. Its now is the clock, or the last committed now if that is later.
	Begin(ctx context.Context, clock benefit.Instant) (Tx, error)
	// BeginChange starts a batch that may write anything: users, sessions, the catalogue. While it is under way nobody
	// issues, in this process or another, and what Read shows stays as it is until the batch ends.
	BeginChange(ctx context.Context, clock benefit.Instant) (Tx, error)
	// Shared says that others, another process or another committer of this one, may write to the store at the same
	// time.
	Shared() bool
	// LastIDMillis bounds the ids that the store may hold: none carries a later millisecond.
	LastIDMillis() int64
	// LastNow is the now of the last commit, or a later one of the commits that came since Open; 0 when there is none.
	LastNow() benefit.Instant
	// Entities are the entities of the catalogue as of the last commit, by kind and id, and its version. It is
	// what a start needs, and quicker than Read: it waits for nothing that was issued.
	Entities(ctx context.Context) ([]benefit.Entity, int64, error)
	// Session is the session whose key has the digest, as of the last commit; nil when there is none. Like Entities it
	// is quicker than Read: gateways ask for every session that they have not seen yet.
	Session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error)
	// Finder answers the questions that callers ask over the wire.
	Finder
	// Read opens a consistent view that holds everything acknowledged before the call. Close it soon: it keeps
	// the store from reclaiming what changes meanwhile.
	Read(ctx context.Context) (Reader, error)
	// Close waits for what is under way and leaves the store so that the next Open is quick.
	Close() error
}

// Finder answers questions about single keys and users. Each call sees everything that was acknowledged before it.
// Calls are cheap, unlike those of Store.Read, so callers outside may ask often. They take no lock that a batch waits for,
// but a shared store answers them on connections that a batch may need for a moment: bound how many run at once. A row that
// does not exist is nil. A row that names another that is not there is ErrDamaged, as for Tx.Load: what was issued is not
// known, and a caller must not hear that it was nothing.
type Finder interface {
	// Claim returns what Reader.Claim does.
	Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error)
	// Recipient returns what Reader.Recipient does.
	Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error)
	// RecentIssuances iterates over a user's issuances, each once, the newest first: by id, where ids grow from commit to
	// commit. An issuance that was continued, or closed, may stand where that was done. What is issued during the
	// iteration need not appear in it. The work is done as the iteration proceeds, so a caller that stops early has not
	// paid for the rest; nothing is held between two elements. Iteration ends at the first error, which is its last element.
	RecentIssuances(ctx context.Context, user benefit.UserID) iter.Seq2[*benefit.Issuance, error]
}

// Tx is one batch under way. Nothing of it is visible to anybody before Commit returned.
type Tx interface {
	// Now is the instant at which the whole batch is decided. A store that several processes share reads it again
	// when the batch has its templates and activities for itself: then Load moves it, forward only.
	Now() benefit.Instant
	// Catalogue is the version of the catalogue in force. It stays in force until the batch ends.
	Catalogue() int64
	// Among says that the last commit before this batch was loaded was another process's: others issue beside this one.
	Among() bool
	// Load puts the rows of the keys into the state, absent ones as absent. What it names of templates and activities
	// the batch has for itself from then on, against all other processes, until it ends; they are named together,
	// and those of a second call may answer ErrConflict.
	Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error
	// Commit writes the changes in one piece and returns when they are durable. On ErrNotCommitted nothing was
	// written; on any other error the outcome is unknown. It ends the batch.
	Commit(ctx context.Context, changes *benefit.Changes) error
	// Confirm ends a batch that writes nothing. It returns when what the batch has read is durable; its error is an
	// ErrUnconfirmed; or ErrConflict, when another process was first with what stands under a key that was read.
	Confirm(ctx context.Context) error
	// Rollback ends the batch without writing. After Commit it does nothing.
	Rollback()
}

// Reader answers questions about one consistent state of a store. A row that does not exist is nil, not an
// error. What it returns is the caller's to keep, not to change.
type Reader interface {
	// Claim is what stands under a key: the newest issuance, when the key was bound more than once.
	Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error)
	// IssuanceOf is the issuance that holds the voucher.
	IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error)
	// UserIssuances lists a user's issuances with an id above after, in id order, at most limit.
	UserIssuances(ctx context.Context, user benefit.UserID, after id.ID, limit int) ([]*benefit.Issuance, error)
	// TemplateIssuances lists the issuances of a template with an id above after, in id order, at most limit.
	TemplateIssuances(ctx context.Context, template benefit.TemplateID, after id.ID, limit int) ([]*benefit.Issuance, error)

	// Recipient is the user that an identifier names.
	Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error)
	// User is a user by id.
	User(ctx context.Context, user benefit.UserID) (*benefit.User, error)
	// UserByName is the user with the operator's handle.
	UserByName(ctx context.Context, name string) (*benefit.User, error)
	// Session is the session whose key has the digest.
	Session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error)

	// TraceIssuances lists the issuances with the trace id and an id above after, in id order, at most limit.
	TraceIssuances(ctx context.Context, traceID string, after id.ID, limit int) ([]*benefit.Issuance, error)

	// EntitiesAt are the entities of the catalogue as they were at a version; ErrNoVersion when it is not known.
	EntitiesAt(ctx context.Context, version int64) ([]benefit.Entity, error)
	// Entities are the entities of the catalogue, by kind and id, and its version.
	Entities(ctx context.Context) ([]benefit.Entity, int64, error)

	// The following go through whole tables, in key order, for audit and export. Iteration ends at the first
	// error, which is its last element.

	AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error]
	AllParticipations(ctx context.Context) iter.Seq2[benefit.Participation, error]
	AllQuotas(ctx context.Context) iter.Seq2[benefit.Quota, error]
	AllTemplateCounts(ctx context.Context) iter.Seq2[benefit.TemplateCount, error]
	AllTemplateDays(ctx context.Context) iter.Seq2[benefit.TemplateDay, error]
	AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error]
	AllSessions(ctx context.Context) iter.Seq2[*benefit.Session, error]

	Close() error
}

// LoadFor loads into the state, which was reset to the batch's now, what deciding the requests needs. The state's Now
// is the batch's afterwards.
func LoadFor(ctx context.Context, tx Tx, requests []*benefit.Request, cat *benefit.Catalogue, env benefit.Env, into *benefit.State) error {
	if err := tx.Load(ctx, into.KeysOf(requests, cat, env), into); err != nil {
		return err
	}
	for keys := into.RowsOf(requests, cat, env); keys != nil && !keys.Empty(); {
		if err := tx.Load(ctx, keys, into); err != nil {
			return err
		}
		if now := tx.Now(); now != into.Now {
			into.MoveTo(now)
			keys = into.RowsOf(requests, cat, env)
		} else {
			keys = into.RedrawOf(requests, cat, env)
		}
	}
	return nil
}
