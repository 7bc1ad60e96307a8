package embedded

import (
	"context"
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
)

// Read brings the view up to date and opens a snapshot of it.
func (s *Store) Read(ctx context.Context) (store.Reader, error) {
	if err := s.Flush(); err != nil {
		return nil, fmt.Errorf("bringing the view up to date: %w", err)
	}
	return openReader(ctx, ViewPath(s.o.Dir))
}

// Entities merges the memtables over what the view says, and so needs no flush.
func (s *Store) Entities(context.Context) ([]benefit.Entity, int64, error) {
	s.flushMu.Lock() // nothing moves from the memtables to the view meanwhile
	defer s.flushMu.Unlock()
	conn, err := openConn(ViewPath(s.o.Dir), true)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	all, version, err := viewEntities(conn)
	if err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range []*memtable{s.flushing, s.active} {
		if o != nil {
			all = mergeEntities(all, o.entities)
			version = max(version, o.catalogue)
		}
	}
	return all, version, nil
}

// Session asks the memtables and then the view, so a row that moves from one to the other meanwhile is found.
func (s *Store) Session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
	s.mu.Lock()
	for _, o := range []*memtable{s.active, s.flushing} {
		if o == nil {
			continue
		}
		if found, ok := o.sessions[digest]; ok {
			s.mu.Unlock()
			return found, nil
		}
	}
	s.mu.Unlock()
	s.askMu.Lock()
	defer s.askMu.Unlock()
	if s.queryConn == nil {
		return nil, errClosed
	}
	found, err := (&reader{conn: s.queryConn}).Session(ctx, digest)
	return found, s.viewError(err)
}

// mergeEntities puts newer entities over older ones, and keeps the order by kind and id.
func mergeEntities(all []benefit.Entity, newer map[entityKey]benefit.Entity) []benefit.Entity {
	if len(newer) == 0 {
		return all
	}
	all = slices.DeleteFunc(all, func(e benefit.Entity) bool { _, ok := newer[entityKey{e.Kind, e.ID}]; return ok })
	all = slices.AppendSeq(all, maps.Values(newer))
	slices.SortFunc(all, compareEntities)
	return all
}

// reader is a snapshot of the view: one connection inside a read transaction.
type reader struct {
	conn *sqlite.Conn
	gens []int64 // newest first
}

var _ store.Reader = (*reader)(nil)

func openReader(_ context.Context, path string) (*reader, error) {
	conn, err := openConn(path, true)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn}
	if err := r.begin(); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

func (r *reader) begin() error {
	if err := sqlitex.ExecuteTransient(r.conn, "BEGIN", nil); err != nil {
		return err
	}
	return sqlitex.Execute(r.conn, "SELECT gen FROM generation ORDER BY gen DESC", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			r.gens = append(r.gens, stmt.ColumnInt64(0))
			return nil
		}})
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
	// The vouchers of an issuance follow its id without a gap, so the one that may hold this voucher is the
	// last at or before it.
	found, err := r.issuances(ctx, "SELECT body FROM issuance WHERE id<=? ORDER BY id DESC LIMIT 1", int64(voucher))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if _, ok := found[0].Voucher(voucher); !ok {
		return nil, nil
	}
	return found[0], nil
}

func (r *reader) issuances(ctx context.Context, query string, args ...any) (all []*benefit.Issuance, err error) {
	defer interrupt(ctx, r.conn)()
	err = sqlitex.Execute(r.conn, query, &sqlitex.ExecOptions{Args: args, ResultFunc: func(stmt *sqlite.Stmt) error {
		i, err := codec.DecodeIssuance(columnBytes(stmt, 0))
		all = append(all, i)
		return err
	}})
	return all, err
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
	var ids []id.ID
	for _, gen := range r.gens {
		err := sqlitex.Execute(r.conn, "SELECT issuance FROM ledger WHERE gen=? AND user=? AND issuance<>0", &sqlitex.ExecOptions{
			Args: []any{gen, int64(user)}, ResultFunc: func(stmt *sqlite.Stmt) error {
				ids = append(ids, id.ID(stmt.ColumnInt64(0)))
				return nil
			}})
		if err != nil {
			return nil, err
		}
	}
	return r.byIDs(ctx, ids, after, limit)
}

func (r *reader) TraceIssuances(ctx context.Context, traceID string, after id.ID, limit int) ([]*benefit.Issuance, error) {
	if traceID == "" || limit <= 0 {
		return nil, nil
	}
	var ids []id.ID
	for _, gen := range r.gens {
		err := sqlitex.Execute(r.conn, "SELECT id FROM trace WHERE gen=? AND hash=? AND id>?", &sqlitex.ExecOptions{
			Args: []any{gen, traceHash(traceID), int64(after)}, ResultFunc: func(stmt *sqlite.Stmt) error {
				ids = append(ids, id.ID(stmt.ColumnInt64(0)))
				return nil
			}})
		if err != nil {
			return nil, err
		}
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
	err := sqlitex.Execute(r.conn, "SELECT first, last, ids FROM template_block WHERE template=? AND last>? ORDER BY last", &sqlitex.ExecOptions{
		Args: []any{int64(template), int64(after)}, ResultFunc: func(stmt *sqlite.Stmt) error {
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
		}})
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
	l, ok, err := viewLink(r.conn, codec.IdentifierHash(ident))
	if err != nil || !ok {
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

func (r *reader) UserByName(_ context.Context, name string) (found *benefit.User, err error) {
	err = sqlitex.Execute(r.conn, "SELECT body FROM user WHERE name=?", &sqlitex.ExecOptions{
		Args: []any{name}, ResultFunc: func(stmt *sqlite.Stmt) error {
			found, err = codec.DecodeUser(columnBytes(stmt, 0))
			return err
		}})
	return found, err
}

func (r *reader) Session(_ context.Context, digest benefit.Digest) (found *benefit.Session, err error) {
	err = sqlitex.Execute(r.conn, "SELECT body FROM session WHERE digest=?", &sqlitex.ExecOptions{
		Args: []any{digest[:]}, ResultFunc: func(stmt *sqlite.Stmt) error {
			found, err = codec.DecodeSession(columnBytes(stmt, 0))
			return err
		}})
	return found, err
}

func (r *reader) Entities(context.Context) ([]benefit.Entity, int64, error) {
	return viewEntities(r.conn)
}

// EntitiesAt takes of each entity the last form that a version up to the wanted one brought.
func (r *reader) EntitiesAt(ctx context.Context, version int64) (all []benefit.Entity, err error) {
	defer interrupt(ctx, r.conn)()
	at, err := readPosition(r.conn)
	if err != nil {
		return nil, err
	}
	if version < 1 || version > at.catalogue {
		return nil, store.ErrNoVersion
	}
	// With a lone max() SQLite takes the bare columns from the row that holds the maximum.
	const query = "SELECT kind, id, body, max(version) FROM entity_version WHERE version<=? GROUP BY kind, id ORDER BY kind, id"
	err = sqlitex.Execute(r.conn, query, &sqlitex.ExecOptions{Args: []any{version}, ResultFunc: func(stmt *sqlite.Stmt) error {
		all = append(all, benefit.Entity{
			Kind: benefit.EntityKind(stmt.ColumnInt(0)), ID: stmt.ColumnInt64(1), Body: columnBytes(stmt, 2),
		})
		return nil
	}})
	return all, err
}

func viewEntities(conn *sqlite.Conn) (all []benefit.Entity, version int64, err error) {
	at, err := readPosition(conn)
	if err != nil {
		return nil, 0, err
	}
	err = sqlitex.Execute(conn, "SELECT kind, id, body FROM entity ORDER BY kind, id", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			all = append(all, benefit.Entity{
				Kind: benefit.EntityKind(stmt.ColumnInt(0)), ID: stmt.ColumnInt64(1), Body: columnBytes(stmt, 2),
			})
			return nil
		}})
	return all, at.catalogue, err
}

// rows iterates over a query; one reads a row.
func rows[T any](ctx context.Context, conn *sqlite.Conn, query string, one func(*sqlite.Stmt) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer interrupt(ctx, conn)()
		stmt, _, err := conn.PrepareTransient(query)
		var none T
		if err != nil {
			yield(none, err)
			return
		}
		defer stmt.Finalize()
		for {
			more, err := stmt.Step()
			if err != nil {
				yield(none, err)
				return
			}
			if !more {
				return
			}
			v, err := one(stmt)
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

func (r *reader) AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error] {
	return rows(ctx, r.conn, "SELECT body FROM issuance ORDER BY id", func(stmt *sqlite.Stmt) (*benefit.Issuance, error) {
		return codec.DecodeIssuance(columnBytes(stmt, 0))
	})
}

// AllQuotas takes the newest row of each user and template. Generations are merged by the database.
func (r *reader) AllQuotas(ctx context.Context) iter.Seq2[benefit.Quota, error] {
	// With a lone max() SQLite takes the bare columns from the row that holds the maximum.
	const query = "SELECT user, template, total, day, day_total, max(at) FROM ledger WHERE total>=0 GROUP BY user, template ORDER BY user, template"
	return rows(ctx, r.conn, query, func(stmt *sqlite.Stmt) (benefit.Quota, error) {
		return benefit.Quota{
			QuotaKey: benefit.QuotaKey{User: id.ID(stmt.ColumnInt64(0)), Template: benefit.TemplateID(stmt.ColumnInt64(1))},
			Total:    stmt.ColumnInt64(2), Day: benefit.Day(stmt.ColumnInt(3)), DayTotal: stmt.ColumnInt64(4),
		}, nil
	})
}

// AllParticipations takes the newest row of each user and activity.
func (r *reader) AllParticipations(ctx context.Context) iter.Seq2[benefit.Participation, error] {
	const query = "SELECT user, activity, body, max(at) FROM participation GROUP BY user, activity ORDER BY user, activity"
	return rows(ctx, r.conn, query, func(stmt *sqlite.Stmt) (benefit.Participation, error) {
		key := benefit.ParticipationKey{User: id.ID(stmt.ColumnInt64(0)), Activity: benefit.ActivityID(stmt.ColumnInt64(1))}
		return codec.DecodeParticipation(columnBytes(stmt, 2), key)
	})
}

func (r *reader) AllTemplateCounts(ctx context.Context) iter.Seq2[benefit.TemplateCount, error] {
	return rows(ctx, r.conn, "SELECT template, count, amount FROM template_count ORDER BY template",
		func(stmt *sqlite.Stmt) (benefit.TemplateCount, error) {
			return benefit.TemplateCount{
				Template: benefit.TemplateID(stmt.ColumnInt64(0)), Count: stmt.ColumnInt64(1), Amount: stmt.ColumnInt64(2),
			}, nil
		})
}

func (r *reader) AllTemplateDays(ctx context.Context) iter.Seq2[benefit.TemplateDay, error] {
	return rows(ctx, r.conn, "SELECT template, day, count, amount FROM template_day ORDER BY template, day",
		func(stmt *sqlite.Stmt) (benefit.TemplateDay, error) {
			return benefit.TemplateDay{
				Template: benefit.TemplateID(stmt.ColumnInt64(0)), Day: benefit.Day(stmt.ColumnInt(1)),
				Count: stmt.ColumnInt64(2), Amount: stmt.ColumnInt64(3),
			}, nil
		})
}

func (r *reader) AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error] {
	return rows(ctx, r.conn, "SELECT body FROM user ORDER BY id", func(stmt *sqlite.Stmt) (*benefit.User, error) {
		return codec.DecodeUser(columnBytes(stmt, 0))
	})
}

func (r *reader) AllSessions(ctx context.Context) iter.Seq2[*benefit.Session, error] {
	return rows(ctx, r.conn, "SELECT body FROM session ORDER BY digest", func(stmt *sqlite.Stmt) (*benefit.Session, error) {
		return codec.DecodeSession(columnBytes(stmt, 0))
	})
}
