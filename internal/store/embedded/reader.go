package embedded

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// Read brings the view up to date and opens a snapshot of it.
func (s *Store) Read(context.Context) (store.Reader, error) {
	if err := s.Flush(); err != nil {
		return nil, fmt.Errorf("bringing the view up to date: %w", err)
	}
	return openReader(ViewPath(s.o.Dir), s.hot, s.o.journalAt())
}

// Entities puts what the memtables have over what the view has, and so needs no flush.
func (s *Store) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	s.flushMu.Lock() // nothing moves from the memtables to the view meanwhile
	defer s.flushMu.Unlock()
	r, err := openReader(ViewPath(s.o.Dir), s.hot, s.o.journalAt())
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	all, version, err := r.Entities(ctx)
	if err != nil {
		return nil, 0, err
	}
	now := map[benefit.EntityKey]benefit.Entity{}
	for _, e := range all {
		now[benefit.EntityKey{Kind: e.Kind, ID: e.ID}] = e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range []*memtable{s.flushing, s.active} {
		if o == nil || o.catalogue == 0 {
			continue
		}
		version = max(version, o.catalogue)
		for k := range o.rows {
			if e := &o.rows[k]; e.kind == benefit.Entities.Number {
				var row table.Row
				err := decodeRow(benefit.Entities.Kind, o.rowKey(e), o.rowValue(e), &row)
				entity, decodeErr := benefit.Entities.Decode(&row)
				if err := errors.Join(err, decodeErr); err != nil {
					return nil, 0, err
				}
				now[benefit.EntityKey{Kind: entity.Kind, ID: entity.ID}] = entity
			}
		}
	}
	return benefit.SortEntities(slices.Collect(maps.Values(now))), version, nil
}

// reader is a snapshot of the view: one connection inside a read transaction.
type reader struct {
	conn    *sqlite.Conn
	gens    []int64     // newest first
	hot     *table.Kind // see quotas.go
	journal journalAt
}

var _ store.Reader = (*reader)(nil)

func openReader(path string, hot *table.Kind, at journalAt) (*reader, error) {
	conn, err := openConn(path, true)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn, hot: hot, journal: at}
	if err := errors.Join(sortInFiles(conn), r.begin()); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

func (r *reader) begin() error {
	if err := sqlitex.ExecuteTransient(r.conn, "BEGIN", nil); err != nil {
		return err
	}
	return each(r.conn, "SELECT gen FROM generation ORDER BY gen DESC", func(stmt *sqlite.Stmt) error {
		r.gens = append(r.gens, stmt.ColumnInt64(0))
		return nil
	})
}

func (r *reader) Close() error { return r.conn.Close() }

func (r *reader) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	defer interrupt(ctx, r.conn)()
	i, err := viewClaim(r.conn, r.gens, benefit.ClaimIDOf(scope, key))
	if err != nil || i == nil || !i.Under(scope, key) {
		return nil, err
	}
	return i, nil
}

func (r *reader) IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error) {
	defer interrupt(ctx, r.conn)()
	return viewHolder(r.conn, voucher)
}

// byIDs reads issuances that an index lists, in the order of their ids, those above after, at most limit.
func (r *reader) byIDs(ctx context.Context, ids []id.ID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	defer interrupt(ctx, r.conn)()
	slices.Sort(ids)
	ids = slices.Compact(ids)
	first, found := slices.BinarySearch(ids, after)
	if found {
		first++
	}
	ids = ids[first:]
	all := make([]*benefit.Issuance, 0, min(limit, len(ids)))
	for _, one := range ids[:cap(all)] {
		i, err := viewIssuance(r.conn, one)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}

func (r *reader) UserIssuances(ctx context.Context, user benefit.UserID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	ids, err := r.inGenerations("SELECT issuance FROM ledger WHERE gen=? AND user=? AND issuance<>0", user)
	if err != nil {
		return nil, err
	}
	return r.byIDs(ctx, ids, after, limit)
}

// inGenerations returns the ids that a query lists in all generations. The first parameter is the generation.
func (r *reader) inGenerations(query string, args ...any) (ids []id.ID, err error) {
	for _, gen := range r.gens {
		if ids, err = appendIDs(ids, r.conn, query, append([]any{gen}, args...)...); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (r *reader) TraceIssuances(ctx context.Context, traceID string, after id.ID, limit int) ([]*benefit.Issuance, error) {
	if traceID == "" || limit <= 0 {
		return nil, nil
	}
	ids, err := r.inGenerations("SELECT id FROM trace WHERE gen=? AND hash=? AND id>?", traceHash(traceID), after)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	var all []*benefit.Issuance
	for part := range slices.Chunk(slices.Compact(ids), limit) { // a caller may give all its calls one trace id
		found, err := r.byIDs(ctx, part, after, len(part))
		if err != nil {
			return nil, err
		}
		all = append(all, slices.DeleteFunc(found, func(i *benefit.Issuance) bool { return i.Note.TraceID != traceID })...)
		if len(all) >= limit {
			return all[:limit], nil
		}
	}
	return all, nil
}

func (r *reader) TemplateIssuances(ctx context.Context, template benefit.TemplateID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	var ids []id.ID
	// In the order in which they were written, blocks overlap by no more than one millisecond of ids, but within a
	// millisecond the order of last is not that of writing. So when there are enough ids, a block that begins
	// later is passed over, and the next one that ends later than it began is the end.
	enough, end := int64(math.MaxInt64), int64(math.MaxInt64)
	const query = "SELECT first, last, ids FROM template_block WHERE template=? AND last>? ORDER BY last"
	err := each(r.conn, query, func(stmt *sqlite.Stmt) error {
		if id.ID(stmt.ColumnInt64(1)).Millis() > end {
			return errEnough
		}
		if first := id.ID(stmt.ColumnInt64(0)).Millis(); first > enough {
			end = min(end, first)
			return nil
		}
		for _, i := range unpackIDs(columnBytes(stmt, 2)) {
			if i > after {
				ids = append(ids, i)
			}
		}
		if len(ids) >= limit {
			slices.Sort(ids)
			ids = slices.Compact(ids) // a continued issuance may stand in two blocks
		}
		if len(ids) >= limit {
			enough = min(enough, slices.Max(ids).Millis())
		}
		return nil
	}, template, after)
	if err != nil && err != errEnough {
		return nil, err
	}
	return r.byIDs(ctx, ids, after, limit)
}

// errEnough ends a query that has what it wanted.
var errEnough = fmt.Errorf("enough")

func (r *reader) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	if u, ok := ident.Ref(); ok {
		return r.User(ctx, u)
	}
	l, err := viewLink(r.conn, codec.IdentifierHash(ident))
	if err != nil || l.user == 0 {
		return nil, err
	}
	u, err := r.User(ctx, l.user)
	if err != nil || u == nil || !slices.Contains(u.Identifiers, ident) {
		return nil, err
	}
	return u, nil
}

func (r *reader) User(_ context.Context, user benefit.UserID) (*benefit.User, error) {
	return viewUser(r.conn, user)
}

func (r *reader) UserByName(_ context.Context, name string) (*benefit.User, error) {
	return one(r.conn, "SELECT body FROM user WHERE name=?", readUser, name)
}

func (r *reader) Entities(ctx context.Context) (all []benefit.Entity, version int64, err error) {
	at, err := readPosition(r.conn)
	if err != nil {
		return nil, 0, err
	}
	for e, err := range store.All(ctx, r, benefit.Entities) {
		if err != nil {
			return nil, 0, err
		}
		all = append(all, e)
	}
	return all, at.catalogue, nil
}

// queryRows iterates over what read makes of the rows of a query.
func queryRows[T any](ctx context.Context, conn *sqlite.Conn, query string, args []any, read func(*sqlite.Stmt) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer interrupt(ctx, conn)()
		err := sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{Args: args, ResultFunc: func(stmt *sqlite.Stmt) error {
			v, err := read(stmt)
			if err == nil && !yield(v, nil) {
				return errEnough
			}
			return err
		}})
		if err != nil && err != errEnough {
			var none T
			yield(none, err)
		}
	}
}

func (r *reader) AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error] {
	return queryRows(ctx, r.conn, "SELECT body FROM issuance ORDER BY id", nil, readIssuance)
}

func (r *reader) AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error] {
	return queryRows(ctx, r.conn, "SELECT body FROM user ORDER BY id", nil, readUser)
}
