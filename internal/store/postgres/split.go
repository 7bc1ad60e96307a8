package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// split is a store on two databases of the same schema: claims has the keys and the certificate codes, rest has all
// else, the counters of templates included. It shows that what is one transaction on one database can be two, each in
// the buckets of one kind:
//
//	claim    binds the keys to ids, amounts and codes: table claim, with the issuance as it is before it is issued
//	apply    issues what was claimed: everything else
//
// A crash between them leaves keys that are bound and nothing issued. The retry finds the claim, applies it, and gets
// the ids, amounts and codes of the first time. To apply twice is to insert an issuance twice, which the database
// refuses: store.ErrConflict, and what is decided again finds it issued.
//
// One thing differs from one database: a key whose apply never came to be, or was refused when it was tried again,
// keeps its meaning and its lines.
//
// Nothing serves on it. The turns and the counters of a template stand in one database here; where buckets are spread
// over several, each needs a lease of the template's stock, and there is none yet.
type split struct {
	claims, rest *Store
	// at, when not nil, is called on the way of each commit, for tests to stop it there.
	at func(moment) error
}

var _ store.Store = (*split)(nil)

// moment is a place on the way of a commit.
type moment int

const (
	beforeClaim moment = iota
	betweenParts
	afterApply
)

// ErrSplit: a URL asks for a database of the claims alone, by the parameter claims.
var ErrSplit = errors.New("claims in a database of their own are not served until there are leases of templates' stock")

// claimsParameter names, in a store's URL, the URL of the database that has the claims.
const claimsParameter = "claims"

// openSplit opens both databases of a URL that names a second one. It is for tests: Open answers ErrSplit.
func openSplit(ctx context.Context, o Options) (*split, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errURL
	}
	q := u.Query()
	claims := o
	claims.URL = q.Get(claimsParameter)
	q.Del(claimsParameter)
	u.RawQuery = q.Encode()
	o.URL = u.String()
	s := &split{}
	if s.claims, err = Open(ctx, claims); err != nil {
		return nil, err
	}
	if s.rest, err = Open(ctx, o); err != nil {
		s.claims.closePools()
		return nil, err
	}
	return s, nil
}

// Shared is true.
func (s *split) Shared() bool { return true }

// LastIDMillis bounds the ids that were claimed, too.
func (s *split) LastIDMillis() int64 { return max(s.claims.LastIDMillis(), s.rest.LastIDMillis()) }

// Entities are the entities of the catalogue and its version.
func (s *split) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	return s.rest.Entities(ctx)
}

// Session is a session by the digest of its key.
func (s *split) Session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
	return s.rest.Session(ctx, digest)
}

// LastNow is the now of the last commit of either.
func (s *split) LastNow() benefit.Instant { return max(s.claims.LastNow(), s.rest.LastNow()) }

// Claim is what was issued under a key, see splitReader.Claim.
func (s *split) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return unlessDangling(claimIn(ctx, s.claims.reading, s.rest.reading, scope, key))
}

// Recipient is the rest's.
func (s *split) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	return s.rest.Recipient(ctx, ident)
}

// RecentIssuances are the rest's.
func (s *split) RecentIssuances(ctx context.Context, user benefit.UserID) iter.Seq2[*benefit.Issuance, error] {
	return s.rest.RecentIssuances(ctx, user)
}

// Close waits for what is under way.
func (s *split) Close() error { return errors.Join(s.rest.Close(), s.claims.Close()) }

// Begin starts a batch.
func (s *split) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	rest, err := s.rest.Begin(ctx, clock)
	return s.begin(ctx, clock, rest, err)
}

// BeginChange starts a batch that has the store for itself. The claims need not be kept for it: nobody writes one
// without the other lock.
func (s *split) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	rest, err := s.rest.BeginChange(ctx, clock)
	return s.begin(ctx, clock, rest, err)
}

func (s *split) begin(ctx context.Context, clock benefit.Instant, rest store.Tx, err error) (store.Tx, error) {
	if err != nil {
		return nil, err
	}
	claims, err := s.claims.Begin(ctx, clock)
	if err != nil {
		rest.Rollback()
		return nil, err
	}
	return &splitTx{s: s, claims: claims.(*tx), rest: rest.(*tx)}, nil
}

// Read opens a snapshot of each database. The claims' is the later one: what is issued in the other has its claim.
func (s *split) Read(ctx context.Context) (store.Reader, error) {
	rest, err := openReader(ctx, s.rest.reading)
	if err != nil {
		return nil, err
	}
	claims, err := openReader(ctx, s.claims.reading)
	if err != nil {
		return nil, errors.Join(err, rest.Close())
	}
	return &splitReader{Reader: rest, claims: claims.(*reader)}, nil
}

// splitReader is a reader of the rest that looks keys up among the claims.
type splitReader struct {
	store.Reader
	claims *reader
}

// Claim is what was issued under a key. A key that was bound for a while, bound again and not applied leads nowhere.
func (r *splitReader) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	return unlessDangling(claimIn(ctx, r.claims.ask(), r.Reader.(*reader).ask(), scope, key))
}

func (r *splitReader) Close() error { return errors.Join(r.claims.Close(), r.Reader.Close()) }

// splitTx is a batch on both databases.
type splitTx struct {
	s            *split
	claims, rest *tx
}

func (t *splitTx) Now() benefit.Instant { return t.rest.Now() }
func (t *splitTx) Catalogue() int64     { return t.rest.Catalogue() }
func (t *splitTx) Among() bool          { return t.rest.Among() }

func (t *splitTx) Rollback() {
	t.claims.Rollback()
	t.rest.Rollback()
}

// Confirm makes durable what an answer may rest on, which may be a claim alone.
func (t *splitTx) Confirm(ctx context.Context) error {
	defer t.Rollback()
	if err := t.claims.Confirm(ctx); err != nil {
		return err
	}
	return t.rest.Confirm(ctx)
}

// Commit claims and then applies. When the claims are committed and the apply is not, surely or perhaps, the error
// says of the whole what it says of the apply: what was claimed is no issue.
func (t *splitTx) Commit(ctx context.Context, c *benefit.Changes) error {
	defer t.Rollback()
	if t.rest.conn == nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, errEnded)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, err)
	}
	if err := t.stopped(beforeClaim); err != nil {
		return err
	}
	if err := t.claim(ctx, c); err != nil {
		return notIssued(err)
	}
	if err := t.stopped(betweenParts); err != nil {
		return err
	}
	if err := t.apply(ctx, c); err != nil {
		return notIssued(err)
	}
	if err := t.rest.commit(ctx); err != nil {
		return err
	}
	return t.stopped(afterApply)
}

// apply writes what was claimed.
func (t *splitTx) apply(ctx context.Context, c *benefit.Changes) error {
	before, err := t.rest.readChanged(ctx, c)
	if err != nil {
		return err
	}
	q := t.rest.stream(ctx)
	t.rest.sendApply(q, c, before)
	return q.end()
}

func (t *splitTx) stopped(at moment) error {
	if t.s.at == nil {
		return nil
	}
	return t.s.at(at)
}

// notIssued is the error of a commit whose apply was surely not committed.
func notIssued(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: %w: %w", store.ErrNotCommitted, store.ErrUnconfirmed, err)
}
