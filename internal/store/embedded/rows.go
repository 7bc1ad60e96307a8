package embedded

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/table"
)

// What is here handles the rows of all kinds that are described in package table, and knows no kind: keys are bytes whose
// order is that of the keys, values are bytes as records have them. Kinds that grow with use are in the table row_history of
// the view, where a row is never changed: the newest counts. Large values of theirs are in the table row_body, which is appended
// to. Kinds that stay small are in the table local_row.
//
// Quotas alone have a path of their own, in quotas.go.

// rowKey is a kind and a key: short ones as they are, others by their hash. It has no pointers, see memtable.
type rowKey [24]byte

func rowKeyOf(kind *table.Kind, key []byte) (k rowKey) {
	k[0] = kind.Number
	if into := k[2:]; len(key) <= len(into) {
		k[1] = byte(len(key)) //guard:TestRowKeys
		copy(into, key)
	} else {
		k[1] = 0xff
		sum := sha256.Sum256(key) //guard:TestRowKeys sha256.Sum256(key) -> sha256.Sum256(key[:22])
		copy(into, sum[:])
	}
	return k
}

// rowHash is what filters know a row by. It is stored.
func rowHash(kind uint8, key []byte) uint64 {
	return mix(fnv1a(fnvOffset^uint64(kind), key))
}

// rowEntry is a row that a commit wrote. Its key, and the value behind it, lie in record.rowBytes and later in the memtable.
type rowEntry struct {
	id                      rowKey
	at                      int64 // place in the order of commits
	record, start, mid, end int32 // record: of the memtable
	kind                    uint8
	local                   bool  // see table.Local
	apart                   int16 // from 1: the value is in row_body, at this place among those of the record; 0: it is not
}

// bodyID returns the row of row_body that has the value. It depends on the journal alone, as everything that an audit compares.
func (e *rowEntry) bodyID() int64 { return e.at + int64(e.apart-1) }

// minApart is the size of the smallest value that is kept apart from its key: that takes a second look-up, so states, counters
// and the like are not.
const minApart = 128

func (r *record) rowKey(e *rowEntry) []byte     { return r.rowBytes[e.start:e.mid] }
func (r *record) rowValue(e *rowEntry) []byte   { return r.rowBytes[e.mid:e.end] }
func (o *memtable) rowKey(e *rowEntry) []byte   { return o.records[e.record][e.start:e.mid] }
func (o *memtable) rowValue(e *rowEntry) []byte { return o.records[e.record][e.mid:e.end] }

// encodeRows makes the bytes of all rows, but for those of the hot kind.
func (r *record) encodeRows(hot *table.Kind) {
	var row table.Row
	apart := int16(0)
	for _, rows := range r.changes.All() {
		kind := rows.Kind()
		if kind == hot {
			r.quotas = benefit.Quotas.Of(r.changes.Rows)
			continue
		}
		for i := range rows.Len() {
			rows.Read(i, &row)
			e := rowEntry{at: commitOrder(r.seq, 0), start: int32(len(r.rowBytes)), kind: kind.Number, local: kind.Home == table.Local}
			r.rowBytes = kind.AppendKey(r.rowBytes, row.Key)
			e.mid = int32(len(r.rowBytes))
			r.rowBytes = table.AppendColumns(r.rowBytes, kind.Value, row.Value)
			e.end = int32(len(r.rowBytes))
			if !e.local && e.end-e.mid >= minApart && apart < maxIssuances { //guard:TestManyLargeRows without apart < maxIssuances
				apart++
				e.apart = apart
			}
			e.id = rowKeyOf(kind, r.rowKey(&e))
			r.rows = append(r.rows, e)
		}
	}
}

func (o *memtable) addRows(r *record) {
	if len(r.rows) == 0 {
		return
	}
	record := int32(len(o.records))
	o.records = append(o.records, r.rowBytes)
	o.size += len(r.rowBytes)
	for _, e := range r.rows {
		e.record = record
		if n, ok := o.rowIndex[e.id]; ok && e.local { // counters of templates change with every commit
			o.rows[n] = e
			continue
		}
		o.rowIndex[e.id] = int32(len(o.rows))
		o.rows = append(o.rows, e)
		if !e.local {
			o.grown++
		}
	}
}

func (o *memtable) row(id rowKey) (storedRow, bool) {
	n, ok := o.rowIndex[id]
	if !ok {
		return storedRow{}, false
	}
	return storedRow{o.rows[n].at, o.rowValue(&o.rows[n])}, true
}

// storedRow is the value of a row, and its place in the order of commits, which is 0 when there is no such row.
type storedRow struct {
	at    int64
	value []byte
}

// maxCachedRow is the size of the largest value that the cache keeps. Counters are smaller; entities are larger, and are
// hardly ever loaded.
const maxCachedRow = 64

// cacheRow keeps a row in the cache, unless it is too large. The caller holds mu.
func (s *Store) cacheRow(id rowKey, row storedRow) {
	if len(row.value) > maxCachedRow {
		s.rows.remove(id) //guard:TestLargeRows
		return
	}
	row.value = bytes.Clone(row.value)
	s.rows.put(id, row)
}

func (l *lookup) rows(wanted table.Keys) (err error) {
	kind := wanted.Kind()
	if quotas, ok := wanted.(*quotaKeys); ok && kind == l.s.hot {
		return l.quotas(quotas)
	}
	var row table.Row
	var key []byte
	for i := range wanted.Len() {
		wanted.Key(i, &row)
		key = kind.AppendKey(key[:0], row.Key)
		stored, err := l.row(kind, key)
		if err != nil {
			return err
		}
		if stored.at == 0 {
			wanted.Absent(i)
			continue
		}
		if row.Value, err = kind.ParseValue(stored.value, row.Value); err != nil {
			return err
		}
		if err := wanted.Found(i, stored.at, row.Value); err != nil {
			return err
		}
	}
	return nil
}

// row finds the row of a key.
func (l *lookup) row(kind *table.Kind, key []byte) (storedRow, error) {
	s, id := l.s, rowKeyOf(kind, key)
	s.mu.Lock()
	row, gens, known := s.rowInMemory(kind, id, key)
	s.mu.Unlock()
	if known {
		return row, nil
	}
	row, err := fromView(l, func(conn *sqlite.Conn) (storedRow, error) { return viewRow(conn, kind, gens, key) })
	if err == nil && l.keeps {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cacheRow(id, row)
	}
	return row, err
}

// rowInMemory returns the row of a key if that is known without the view. Otherwise gens are the generations that may
// have it. The caller holds mu.
func (s *Store) rowInMemory(kind *table.Kind, id rowKey, key []byte) (row storedRow, gens []int64, known bool) {
	if row, ok := s.rows.get(id); ok {
		return row, nil, true
	}
	if kind.Home != table.Local {
		// What no filter knows was never written, not to a memtable either: that spares most keys the look there.
		hash := rowHash(kind.Number, key)
		if gens = s.gensWith(func(g *generation) bool { return g.quotas.mayContain(hash) }); len(gens) == 0 {
			return row, nil, true
		}
	}
	row, known = inMemtables(s, func(o *memtable) (storedRow, bool) { return o.row(id) })
	return row, gens, known
}

func viewRow(conn *sqlite.Conn, kind *table.Kind, gens []int64, key []byte) (row storedRow, err error) {
	var body storedBody
	read := func(stmt *sqlite.Stmt) { row.at, body = stmt.ColumnInt64(0), readBody(stmt, 1) }
	if kind.Home == table.Local {
		err = each(conn, "SELECT at, body FROM local_row WHERE kind=? AND key=?", func(stmt *sqlite.Stmt) error {
			read(stmt)
			return nil
		}, kind.Number, key)
	} else {
		_, err = newestIn(conn, "SELECT at, body FROM row_history WHERE gen=? AND kind=? AND key=?", gens, func(stmt *sqlite.Stmt) {
			stmt.BindInt64(2, int64(kind.Number))
			stmt.BindBytes(3, key)
		}, read)
	}
	if err == nil {
		row.value, err = body.value(conn)
	}
	return row, err
}

// storedBody is the body of a row in row_history or local_row.
type storedBody struct {
	inline []byte
	id     int64 // in row_body; 0: it is inline
}

func readBody(stmt *sqlite.Stmt, col int) storedBody {
	if stmt.ColumnType(col) == sqlite.TypeInteger {
		return storedBody{id: stmt.ColumnInt64(col)}
	}
	return storedBody{inline: columnBytes(stmt, col)}
}

// value returns the body, from row_body if it is there.
func (b *storedBody) value(conn *sqlite.Conn) ([]byte, error) {
	if b.id == 0 {
		return b.inline, nil
	}
	value, err := one(conn, "SELECT body FROM row_body WHERE id=?", func(stmt *sqlite.Stmt) ([]byte, error) {
		return columnBytes(stmt, 0), nil
	}, b.id)
	if err == nil && value == nil { //guard:TestLostBody
		err = fmt.Errorf("%w: %w: a row names the body %d, which is not there", store.ErrDamaged, ErrView, b.id)
	}
	return value, err
}

// decodeRow sets a row from its bytes. It uses the memory of row again; what it sets points into the bytes.
func decodeRow(kind *table.Kind, key, value []byte, row *table.Row) (err error) {
	if row.Key, err = kind.ParseKey(key, row.Key[:0]); err != nil {
		return err
	}
	row.Value, err = kind.ParseValue(value, row.Value)
	return err
}

// decode returns the row with its columns; nil when there is none.
func (r *storedRow) decode(kind *table.Kind, key []byte) (*table.Row, error) {
	if r.at == 0 {
		return nil, nil
	}
	row := new(table.Row)
	return row, decodeRow(kind, key, r.value, row)
}

func (r *reader) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	defer interrupt(ctx, r.conn)()
	return readKeys(keys, func(key []table.Datum) (*table.Row, error) {
		if kind == r.hot {
			c, err := viewQuota(r.conn, r.gens, quotaKeyOf(key))
			return c.row(key), err
		}
		encoded := kind.AppendKey(nil, key)
		row, err := viewRow(r.conn, kind, r.gens, encoded)
		if err != nil {
			return nil, err
		}
		return row.decode(kind, encoded)
	})
}

// Scan iterates over the rows of a kind whose keys begin with the prefix.
func (r *reader) Scan(ctx context.Context, kind *table.Kind, prefix []table.Datum) iter.Seq2[*table.Row, error] {
	if kind == r.hot {
		return r.scanQuotas(ctx, prefix)
	}
	query, args := scanQuery(kind, kind.AppendKey(nil, prefix))
	var row table.Row
	return queryRows(ctx, r.conn, query, args, func(stmt *sqlite.Stmt) (*table.Row, error) {
		body := readBody(stmt, 1)
		value, err := body.value(r.conn)
		if err != nil {
			return nil, err
		}
		return &row, decodeRow(kind, columnBytes(stmt, 0), value, &row)
	})
}

// scanQuery returns a query for the keys, the values and the places in the order of commits of the rows of a kind whose keys
// begin with the bytes. Generations are merged by the database.
func scanQuery(kind *table.Kind, from []byte) (query string, args []any) {
	where, args := "kind=? AND key>=?", []any{int64(kind.Number), from}
	if to := successor(from); to != nil {
		where, args = where+" AND key<?", append(args, to)
	}
	if kind.Home == table.Local {
		return "SELECT key, body, at FROM local_row WHERE " + where + " ORDER BY key", args
	}
	// With a lone max() SQLite takes the bare columns from the row that holds the maximum.
	return "SELECT key, body, max(at) FROM row_history WHERE gen IN (SELECT gen FROM generation) AND " + where + " GROUP BY key ORDER BY key", args
}

// RowsUnder returns the rows under a prefix: those of the memtables over those of the view, so that nothing is flushed. The
// memtables come before the view: see finder. Quotas are read from a snapshot.
func (s *Store) RowsUnder(ctx context.Context, kind *table.Kind, prefix []table.Datum, limit int) ([]*table.Row, error) {
	if kind == s.hot {
		return store.FirstUnder(ctx, s, kind, prefix, limit)
	}
	from := kind.AppendKey(nil, prefix)
	found := map[string]storedRow{}
	put := func(key []byte, row storedRow) {
		if row.at >= found[string(key)].at { //guard:TestConformance/^Rows$ row.at >= found[string(key)].at -> true
			found[string(key)] = row
		}
	}
	s.rowsInMemory(kind, from, put)
	query, args := scanQuery(kind, from)
	err := s.finder(ctx, s.finders).view(func(conn *sqlite.Conn) error {
		return each(conn, query+" LIMIT ?", func(stmt *sqlite.Stmt) error {
			key, at, body := columnBytes(stmt, 0), stmt.ColumnInt64(2), readBody(stmt, 1)
			value, err := body.value(conn)
			put(key, storedRow{at, value})
			return err
		}, append(args, limit)...)
	})
	if err != nil {
		return nil, err
	}
	keys := slices.Sorted(maps.Keys(found))
	rows := make([]*table.Row, min(limit, len(keys)))
	for n := range rows {
		row := found[keys[n]]
		if rows[n], err = row.decode(kind, []byte(keys[n])); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// rowsInMemory passes on the rows of the memtables whose keys begin with the bytes.
func (s *Store) rowsInMemory(kind *table.Kind, from []byte, put func(key []byte, row storedRow)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range []*memtable{s.flushing, s.active} {
		if o == nil {
			continue
		}
		for k := range o.rows {
			if e := &o.rows[k]; e.kind == kind.Number && bytes.HasPrefix(o.rowKey(e), from) {
				put(o.rowKey(e), storedRow{e.at, o.rowValue(e)})
			}
		}
	}
}

// successor returns the least bytes that are greater than all that begin with the prefix; nil when there are none.
func successor(prefix []byte) []byte {
	next := slices.Clone(prefix)
	for k := len(next) - 1; k >= 0; k-- {
		if next[k]++; next[k] != 0 { //guard:TestSuccessor without next[k] != 0
			return next[:k+1]
		}
	}
	return nil
}

// sortRows sorts rows as their tables have them. Most keys differ in their first bytes, so that few are looked up.
func (o *memtable) sortRows(order []int32) {
	type start struct {
		key  uint64
		row  int32
		kind uint8
	}
	starts := make([]start, len(order))
	for n, k := range order {
		e := &o.rows[k]
		var first [8]byte
		copy(first[:], o.rowKey(e))
		starts[n] = start{binary.BigEndian.Uint64(first[:]), k, e.kind}
	}
	slices.SortFunc(starts, func(a, b start) int {
		if c := cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)); c != 0 {
			return c
		}
		x, y := &o.rows[a.row], &o.rows[b.row]
		return cmp.Or(bytes.Compare(o.rowKey(x), o.rowKey(y)), cmp.Compare(x.at, y.at))
	})
	for n := range starts {
		order[n] = starts[n].row
	}
}

func writeRows(conn *sqlite.Conn, o *memtable) error {
	var grown, few, apart []int32 // into o.rows, which are in the order of commits
	for k := range o.rows {
		to := &grown
		if o.rows[k].local {
			to = &few
		}
		*to = append(*to, int32(k))
		if o.rows[k].apart > 0 {
			apart = append(apart, int32(k))
		}
	}
	o.sortRows(few)
	o.sortRows(grown)
	bind := func(b *binder, e *rowEntry) {
		b.int(int64(e.kind))
		b.blob(o.rowKey(e))
		b.int(e.at)
		if e.apart > 0 {
			b.int(e.bodyID())
		} else {
			b.blob(o.rowValue(e))
		}
	}
	if err := insertRows(conn, "local_row", 4, len(few), func(b *binder, k int) { bind(b, &o.rows[few[k]]) }); err != nil {
		return err
	}
	if err := insertRows(conn, "row_body", 2, len(apart), func(b *binder, k int) {
		e := &o.rows[apart[k]]
		b.int(e.bodyID())
		b.blob(o.rowValue(e))
	}); err != nil {
		return err
	}
	return insertRows(conn, "row_history", 5, len(grown), func(b *binder, k int) {
		b.int(o.gen)
		bind(b, &o.rows[grown[k]])
	})
}
