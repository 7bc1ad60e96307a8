package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
)

// reader is a snapshot: a connection of the pool inside a transaction that reads only. It is for one goroutine at a
// time. A context that ends while the server works costs the connection, and so the reader; no cancel request is sent.
type reader struct {
	conn    *pgxpool.Conn // nil when closed
	cursors int           // opened so far: each has a name of its own
}

var _ store.Reader = (*reader)(nil)

// beginReading starts the transaction of a reader. It may stand longer than one of a batch: who exports a store does
// something with what he reads.
const beginReading = `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '1h'` //guard:TestConformance$/Visibility without "ISOLATION LEVEL REPEATABLE READ, READ ONLY"

// openReader takes a connection and a snapshot. The pool may hold connections to a server that is gone; as nothing was
// read yet, others can be tried.
func openReader(ctx context.Context, pool *pgxpool.Pool) (store.Reader, error) {
	for tries := 1; ; tries++ {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if _, err = conn.Exec(ctx, beginReading); err == nil {
			var changes int64
			err = conn.QueryRow(ctx, takeSnapshot.text).Scan(&changes)
		}
		if err == nil {
			return &reader{conn: conn}, nil
		}
		lost := conn.Conn().IsClosed()
		release(conn)
		//guard:TestReaderAfterLostConnections without !lost || ctx.Err() != nil || tries == 3
		if !lost || ctx.Err() != nil || tries == 3 {
			return nil, err
		}
	}
}

// release ends what goes on on a connection and gives it back. The pool discards one that is broken.
func release(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if !conn.Conn().IsClosed() {
		_, _ = conn.Exec(ctx, "ROLLBACK") // what a failed one leaves is not for reuse, and the pool sees that
	}
	conn.Release()
}

var errClosed = errors.New("postgres: the reader is closed")

// Close releases the connection.
func (r *reader) Close() error {
	if r.conn != nil {
		release(r.conn)
		r.conn = nil
	}
	return nil
}

// querier runs queries: a reader, or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Query runs a query on the connection of the reader.
func (r *reader) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if r.conn == nil {
		return nil, errClosed
	}
	return r.conn.Query(ctx, sql, args...)
}

// one reads the single row of a statement; the zero T when there is none.
func one[T any](ctx context.Context, from querier, s *statement, scan pgx.RowToFunc[T], args ...any) (found T, err error) {
	rows, err := from.Query(ctx, s.text, args...)
	if err != nil {
		return found, err
	}
	found, err = pgx.CollectOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, nil
	}
	return found, err
}

// several reads all rows of a statement.
func several[T any](ctx context.Context, from querier, s *statement, scan pgx.RowToFunc[T], args ...any) ([]T, error) {
	rows, err := from.Query(ctx, s.text, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// decoded scans a row that is one body.
func decoded[T any](decode func([]byte) (T, error)) pgx.RowToFunc[T] {
	return func(row pgx.CollectableRow) (none T, err error) {
		var body []byte
		if err := row.Scan(&body); err != nil {
			return none, err
		}
		return decode(body)
	}
}

var (
	scanIssuance = decoded(codec.DecodeIssuance)
	scanUser     = decoded(codec.DecodeUser)
)

func (r *reader) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	return skipDangling(claimIn(ctx, r, scope, key))
}

// skipDangling makes of store.ErrDamaged a row that is not there: who reads the whole store goes on, and reports the row
// that leads nowhere.
func skipDangling[T any](found *T, err error) (*T, error) {
	if errors.Is(err, store.ErrDamaged) {
		return nil, nil
	}
	return found, err
}

// claimIn returns what was issued under a key. It returns store.ErrDamaged when the key is bound and leads to no
// issuance.
func claimIn(ctx context.Context, from querier, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	hash := benefit.ClaimIDOf(scope, key)
	bound, err := one(ctx, from, readClaim, pgx.RowTo[int64], bucketOf(hash), uuidOf(hash))
	if err != nil || bound == 0 {
		return nil, err
	}
	i, err := one(ctx, from, readIssuance, scanIssuance, homeBucket(id.ID(bound)), bound)
	switch {
	case err != nil:
		return nil, err
	case i == nil:
		//guard:TestLookUpsOfLostRows
		return nil, fmt.Errorf("%w: a claim names issuance %d, which is not there", store.ErrDamaged, bound)
	//guard:TestReaderHashClashes
	case !i.Under(scope, key): // another key with the same hash
		return nil, nil
	}
	return i, nil
}

func (r *reader) IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error) {
	return issuanceOfIn(ctx, r, voucher)
}

// issuanceOfIn returns the issuance that holds a voucher.
func issuanceOfIn(ctx context.Context, from querier, voucher id.ID) (*benefit.Issuance, error) {
	i, err := one(ctx, from, readIssuanceOf, scanIssuance, homeBucket(voucher), int64(voucher.Begin()), int64(voucher))
	if err != nil || i == nil {
		return nil, err
	}
	if _, ok := i.Voucher(voucher); !ok {
		return nil, nil
	}
	return i, nil
}

func (r *reader) UserIssuances(ctx context.Context, user benefit.UserID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	return several(ctx, r, readUserIssuances, scanIssuance, homeBucket(user), int64(user), int64(after), limit)
}

func (r *reader) TemplateIssuances(ctx context.Context, template benefit.TemplateID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	return several(ctx, r, readTemplateIssuances, scanIssuance, int64(template), int64(after), limit)
}

func (r *reader) TraceIssuances(ctx context.Context, traceID string, after id.ID, limit int) ([]*benefit.Issuance, error) {
	all := make([]*benefit.Issuance, 0)
	for hash := traceHash(traceID); hash.Valid && len(all) < limit; {
		ask := limit - len(all)
		page, err := several(ctx, r, readTraceIssuances, scanIssuance, hash, int64(after), ask)
		if err != nil {
			return nil, err
		}
		for _, i := range page {
			//guard:TestReaderHashClashes without i.Note.TraceID == traceID
			if after = i.ID; i.Note.TraceID == traceID { // else another text with the same hash
				all = append(all, i)
			}
		}
		if len(page) < ask {
			break
		}
	}
	return all, nil
}

func (r *reader) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	return skipDangling(recipientIn(ctx, r, ident))
}

// recipientIn returns the user that an identifier names.
func recipientIn(ctx context.Context, from querier, ident benefit.Identifier) (*benefit.User, error) {
	if u, ok := ident.Ref(); ok {
		return userIn(ctx, from, u)
	}
	return linked(ctx, from, ident, func(u *benefit.User) bool { return slices.Contains(u.Identifiers, ident) })
}

// linked returns the user that the table link says, if it really is. It returns store.ErrDamaged when there is no such
// user.
func linked(ctx context.Context, from querier, ident benefit.Identifier, really func(u *benefit.User) bool) (*benefit.User, error) {
	at := linkPlace(ident)
	user, err := one(ctx, from, readLink, pgx.RowTo[int64], at.Bucket, at.Hash)
	if err != nil || user == 0 {
		return nil, err
	}
	u, err := userIn(ctx, from, benefit.UserID(user))
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, fmt.Errorf("%w: an identifier names user %d, which is not there", store.ErrDamaged, user)
	//guard:TestReaderHashClashes
	case !really(u): // another identifier with the same hash, or one that the user had
		return nil, nil
	}
	return u, nil
}

func (r *reader) User(ctx context.Context, user benefit.UserID) (*benefit.User, error) {
	return userIn(ctx, r, user)
}

func userIn(ctx context.Context, from querier, user benefit.UserID) (*benefit.User, error) {
	return one(ctx, from, readUser, scanUser, homeBucket(user), int64(user))
}

func (r *reader) UserByName(ctx context.Context, name string) (*benefit.User, error) {
	return skipDangling(linked(ctx, r, nameLink(name), func(u *benefit.User) bool { return name != "" && u.Name == name }))
}

func (r *reader) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	return entitiesIn(ctx, r)
}

// entitiesIn returns the entities of the catalogue, by kind and id, and its version, of one moment.
func entitiesIn(ctx context.Context, from querier) (all []benefit.Entity, version int64, err error) {
	rows, err := from.Query(ctx, readEntities.text)
	if err != nil {
		return nil, 0, err
	}
	var kind *int16
	var number *int64
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&version, &kind, &number, &body}, func() error {
		if kind != nil { // else the catalogue is empty
			all = append(all, benefit.Entity{Kind: benefit.EntityKind(*kind), ID: *number, Body: slices.Clone(body)})
		}
		return nil
	})
	return all, version, err
}
