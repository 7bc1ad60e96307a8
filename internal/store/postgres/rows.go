package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"faquan/internal/store"
	"faquan/internal/table"
)

// The rows of each kind that package table describes are in a table of its name. Its columns are the bucket, unless the
// kind is local, the key, the value, and row_version, which counts how often a row was written.

// kindStatements are the statements of a kind of rows.
type kindStatements struct {
	load *statement // rows of many keys, with the place of each among the keys
	// A row that was read as absent is inserted: a unique index knows better. One that was read is updated where it is in
	// the version that was read: the count tells. One that was not read is written over whatever there is.
	insert, update, upsert *statement
	under                  []*statement // under[n] reads the rows whose keys begin with n columns, in order; the last one a row
}

// statementsOf returns the statements of each kind of rows. It is first called when all kinds are described.
var statementsOf = sync.OnceValue(func() map[*table.Kind]*kindStatements {
	all := map[*table.Kind]*kindStatements{}
	for _, kind := range table.Kinds() {
		all[kind] = describe(kind)
	}
	return all
})

func describe(kind *table.Kind) *kindStatements {
	define := hot
	whole := wholeTable
	if kind.Home == table.Local {
		whole = "its rows are not distributed"
		define = func(name, text string) *statement { return spanning(name, whole, text) }
	}
	var (
		key    = keyColumns(kind)
		row    = slices.Concat(key, kind.Value)
		before = table.Column{Name: "before", Type: table.Int}
		name   = kind.Name
		of     = func(verb string) string { return verb + "_" + name }
		//guard:TestHotStatementsStayInTheirBucket list(key -> list(kind.Key
		same   = list(key, "t.@ = k.@", " AND ")
		insert = "\nINSERT INTO " + name + " AS t (row_version, " + list(row, "@", ", ") + ") SELECT 1, k.* FROM " + unnest(row) + " k"
	)
	s := &kindStatements{
		load: streamed(define(of("load"), "\nSELECT k.ord, t.row_version"+list(kind.Value, ", t.@", "")+
			"\nFROM "+unnest(key)+" WITH ORDINALITY k("+list(key, "@", ", ")+", ord)\nJOIN "+name+" t ON "+same)),
		insert: streamed(define(of("insert"), insert)),
		update: streamed(define(of("update"), "\nUPDATE "+name+" t SET row_version = t.row_version + 1"+list(kind.Value, ", @ = k.@", "")+
			"\nFROM "+unnest(append(row, before))+" k("+list(row, "@", ", ")+", before)\nWHERE "+same+
			" AND t.row_version = k.before")), //guard:TestRowsAreUpdatedAsRead "t.row_version = k.before" -> "k.before > 0"
		upsert: streamed(define(of("upsert"), insert+
			"\nON CONFLICT ("+list(key, "@", ", ")+") DO UPDATE SET row_version = t.row_version + 1"+list(kind.Value, ", @ = excluded.@", ""))),
	}
	all := "\nSELECT " + list(row, "@", ", ") + " FROM " + name
	order := "\nORDER BY " + list(kind.Key, "@", ", ")
	s.under = append(s.under, spanning(of("all"), whole, all+order))
	for n := range kind.Key {
		prefix := key[:len(key)-len(kind.Key)+n+1]
		conditions := make([]string, len(prefix))
		for i, c := range prefix {
			conditions[i] = fmt.Sprintf("%s = $%d::%s", c.Name, i+1, sqlTypes[c.Type])
		}
		s.under = append(s.under, define(fmt.Sprintf("read_%s_%d", name, n+1), all+" WHERE "+strings.Join(conditions, " AND ")+order))
	}
	return s
}

// bucketType is the type of the column bucket.
const bucketType table.Type = 0

// sqlTypes are the types of columns. A text may have a NUL, which the type text could not keep.
var sqlTypes = map[table.Type]string{
	bucketType: "smallint", table.Int: "bigint", table.ID: "bigint", table.Digest: "uuid", table.Text: "bytea", table.Bytes: "bytea",
}

// keyColumns returns the columns of the primary key.
func keyColumns(kind *table.Kind) []table.Column {
	if kind.Home == table.Local {
		return kind.Key
	}
	return append([]table.Column{{Name: "bucket", Type: bucketType}}, kind.Key...)
}

// list joins a text for each of the columns, with its name for @.
func list(columns []table.Column, text, separator string) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = strings.ReplaceAll(text, "@", c.Name)
	}
	return strings.Join(all, separator)
}

// unnest makes rows of the first parameters, an array for each of the columns.
func unnest(columns []table.Column) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = fmt.Sprintf("$%d::%s[]", i+1, sqlTypes[c.Type])
	}
	return "unnest(" + strings.Join(all, ", ") + ")"
}

// sheet holds rows of a kind as parameters: the bucket, unless the kind is local, the key, and in one that is written the
// value and the version in which the row was read.
type sheet struct {
	columns []table.Column
	data    []table.Datum // row by row
	order   []int         // the rows that the parameters have, in this order
}

// newSheet reads n rows. What read appends to row goes into the sheet.
func newSheet(kind *table.Kind, n int, more []table.Column, read func(i int, row *table.Row) (version int64)) *sheet {
	key := keyColumns(kind)
	s := &sheet{columns: slices.Concat(key, more), order: make([]int, n)}
	width := len(s.columns)
	s.data = make([]table.Datum, n*width)
	first := len(key) - len(kind.Key)
	for i := range n {
		s.order[i] = i
		data := s.data[i*width : (i+1)*width]
		row := table.Row{Key: data[first:first:len(key)], Value: data[len(key):len(key)]}
		version := read(i, &row)
		if len(more) > 0 {
			data[width-1].Int = version
		}
		if first > 0 {
			data[0].Int = int64(kind.Bucket(row.Key))
		}
	}
	return s
}

// keySheet holds keys.
func keySheet(keys table.Keys) *sheet {
	return newSheet(keys.Kind(), keys.Len(), nil, func(i int, row *table.Row) int64 {
		keys.Key(i, row)
		return 0
	})
}

// rowSheet holds rows, by bucket and key.
func rowSheet(rows table.Rows) *sheet {
	kind := rows.Kind()
	more := append(slices.Clone(kind.Value), table.Column{Name: "before", Type: table.Int})
	s := newSheet(kind, rows.Len(), more, func(i int, row *table.Row) int64 {
		rows.Read(i, row)
		return rows.Version(i)
	})
	slices.SortFunc(s.order, func(a, b int) int {
		one, other := s.row(a), s.row(b)
		for k := range len(s.columns) - len(more) {
			if c := cmp.Or(cmp.Compare(one[k].Int, other[k].Int), bytes.Compare(one[k].Bytes, other[k].Bytes)); c != 0 {
				return c
			}
		}
		return 0
	})
	return s
}

func (s *sheet) row(i int) []table.Datum { return s.data[i*len(s.columns) : (i+1)*len(s.columns)] }

// only returns the sheet with those of its rows that keep returns true for.
func (s *sheet) only(keep func(i int) bool) *sheet {
	some := *s
	some.order = make([]int, 0, len(s.order))
	for _, i := range s.order {
		if keep(i) {
			some.order = append(some.order, i)
		}
	}
	return &some
}

// args returns the first n columns as parameters.
func (s *sheet) args(n int) []any {
	arrays, args := make([]array, n), make([]any, n)
	for i := range arrays {
		arrays[i] = array{s, i}
		args[i] = &arrays[i]
	}
	return args
}

// array is a column of a sheet, as the driver takes it. It copies nothing: the rows of a batch are many.
type array struct {
	*sheet
	at int
}

func (a *array) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(a.order)), LowerBound: 1}}
}

func (a *array) Index(i int) any {
	return element(a.columns[a.at].Type, &a.data[a.order[i]*len(a.columns)+a.at])
}

func (a *array) IndexType() any { return element(a.columns[a.at].Type, &table.Datum{}) }

// element returns a value as the driver takes it.
func element(t table.Type, d *table.Datum) any {
	switch t {
	case bucketType, table.Int, table.ID:
		return (*number)(d)
	case table.Digest:
		return (*digest)(d)
	}
	return (*content)(d)
}

type (
	number  table.Datum
	digest  table.Datum
	content table.Datum
)

func (n *number) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: n.Int, Valid: true}, nil
}

func (d *digest) UUIDValue() (pgtype.UUID, error) {
	if len(d.Bytes) != 16 {
		return pgtype.UUID{}, fmt.Errorf("a digest of %d bytes", len(d.Bytes))
	}
	return pgtype.UUID{Bytes: [16]byte(d.Bytes), Valid: true}, nil
}

func (c *content) BytesValue() ([]byte, error) {
	if c.Bytes == nil { // would be null
		return []byte{}, nil
	}
	return c.Bytes, nil
}

// datums reads columns as the server sent them, in binary. Older tables have shorter integers than the descriptions. What
// it appends to data points into raw.
func datums(columns []table.Column, raw [][]byte, data []table.Datum) ([]table.Datum, error) {
	for i, c := range columns {
		b := raw[i]
		d := table.Datum{Bytes: b}
		switch c.Type {
		case bucketType, table.Int, table.ID:
			switch len(b) {
			case 2:
				d = table.Datum{Int: int64(int16(binary.BigEndian.Uint16(b)))}
			case 4:
				d = table.Datum{Int: int64(int32(binary.BigEndian.Uint32(b)))}
			case 8:
				d = table.Datum{Int: int64(binary.BigEndian.Uint64(b))}
			default:
				return nil, fmt.Errorf("column %s: a number of %d bytes", c.Name, len(b))
			}
		}
		data = append(data, d)
	}
	return data, nil
}

// eachLoaded calls found with what a load statement returns: the place of each key that has a row, and the row's version
// and value, which is valid until the next one.
func eachLoaded(rows pgx.Rows, kind *table.Kind, found func(i int, version int64, value []table.Datum) error) error {
	columns := append([]table.Column{{Name: "ord", Type: table.Int}, {Name: "row_version", Type: table.Int}}, kind.Value...)
	data := make([]table.Datum, 0, len(columns))
	for rows.Next() {
		var err error
		if data, err = datums(columns, rows.RawValues(), data[:0]); err != nil {
			return err
		}
		if err := found(int(data[0].Int)-1, data[1].Int, data[2:]); err != nil {
			return err
		}
	}
	return rows.Err()
}

// earlyRows are rows that a batch has read before it had its locks.
type earlyRows struct {
	kind     *table.Kind
	keys     *sheet
	versions []int64 // 0: there was no such row
}

// queueRows asks for rows.
func (l *loader) queueRows(b *pgx.Batch) {
	for _, keys := range l.keys.Rows {
		kind := keys.Kind()
		read := earlyRows{kind, keySheet(keys), make([]int64, keys.Len())}
		early := len(l.t.locks) == 0
		if early {
			l.t.early = append(l.t.early, read)
		}
		b.Queue(statementsOf()[kind].load.text, read.keys.args(len(read.keys.columns))...).Query(func(rows pgx.Rows) error {
			err := eachLoaded(rows, kind, func(i int, version int64, value []table.Datum) error {
				read.versions[i] = version
				l.t.readCommitted = l.t.readCommitted || early // an answer may rest on it, as on an issuance
				return keys.Found(i, version, value)
			})
			for i, version := range read.versions {
				if version == 0 {
					keys.Absent(i)
				}
			}
			return err
		})
	}
}

// revalidateRows reads the rows again that were read before the locks were taken. It comes before they are written.
func (t *tx) revalidateRows(q *stream) {
	for _, read := range t.early {
		q.query(statementsOf()[read.kind].load, func(rows pgx.Rows) error {
			now := make([]int64, len(read.versions))
			err := eachLoaded(rows, read.kind, func(i int, version int64, _ []table.Datum) error {
				now[i] = version
				return nil
			})
			for i := range now {
				if err == nil && now[i] != read.versions[i] { //guard:TestRowReadBeforeTheLocks
					err = fmt.Errorf("%w: a row of table %s that was read", store.ErrConflict, read.kind.Name)
				}
			}
			return err
		}, read.keys.args(len(read.keys.columns))...)
	}
}

// sendRows writes the rows of all kinds, in the order of their numbers.
func sendRows(q *stream, all []table.Rows) {
	all = slices.SortedFunc(slices.Values(all), func(a, b table.Rows) int { return cmp.Compare(a.Kind().Number, b.Kind().Number) })
	for _, rows := range all {
		var (
			s      = statementsOf()[rows.Kind()]
			sheet  = rowSheet(rows)
			before = len(sheet.columns) - 1
			once   = rows.Kind().Derived //guard:TestVersionWrittenTwice rows.Kind().Derived -> false
			send   = func(s *statement, check func(int) func(pgconn.CommandTag) error, columns int, keep func(version int64) bool) {
				some := sheet.only(func(i int) bool { return keep(sheet.row(i)[before].Int) })
				if n := len(some.order); n > 0 {
					q.exec(s, check(n), some.args(columns)...)
				}
			}
		)
		send(s.insert, allRows, before, func(version int64) bool { return version == 0 || once })
		send(s.update, wantRows, before+1, func(version int64) bool { return version > 0 })
		//guard:TestSwallowedWrites/sessions allRows -> func(int) func(pgconn.CommandTag) error { return nil }
		send(s.upsert, allRows, before, func(version int64) bool { return version == table.Unread && !once })
	}
}

// storedRow is a row with the bucket in which it stands; 0 in a local one.
type storedRow struct {
	bucket int16
	row    table.Row
}

// scanRow returns a function that scans what the statements under a prefix return.
func scanRow(kind *table.Kind) pgx.RowToFunc[*storedRow] {
	columns := slices.Concat(keyColumns(kind), kind.Value)
	return func(row pgx.CollectableRow) (*storedRow, error) {
		data, err := datums(columns, row.RawValues(), make([]table.Datum, 0, len(columns)))
		if err != nil {
			return nil, err
		}
		for i := range data {
			data[i].Bytes = slices.Clone(data[i].Bytes)
		}
		found := &storedRow{}
		if kind.Home != table.Local {
			found.bucket, data = int16(data[0].Int), data[1:]
		}
		found.row = table.Row{Key: data[:len(kind.Key):len(kind.Key)], Value: data[len(kind.Key):]}
		return found, nil
	}
}

// under returns the statement that reads the rows under a prefix of their keys, and its parameters.
func under(kind *table.Kind, prefix []table.Datum) (*statement, []any) {
	var args []any
	if kind.Home != table.Local && len(prefix) > 0 {
		args = append(args, kind.Bucket(prefix))
	}
	for i, d := range prefix {
		switch kind.Key[i].Type {
		case table.Int, table.ID:
			args = append(args, d.Int)
		case table.Digest:
			args = append(args, uuidOf([16]byte(d.Bytes)))
		default:
			args = append(args, append([]byte{}, d.Bytes...)) // nil would be null
		}
	}
	return statementsOf()[kind].under[len(prefix)], args
}

// rowsIn returns the rows of keys, in one statement; nil for a key that has none.
func rowsIn(ctx context.Context, from querier, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	wanted := newSheet(kind, len(keys), nil, func(i int, row *table.Row) int64 {
		row.Key = append(row.Key, keys[i]...)
		return 0
	})
	rows, err := from.Query(ctx, statementsOf()[kind].load.text, wanted.args(len(wanted.columns))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make([]*table.Row, len(keys))
	err = eachLoaded(rows, kind, func(i int, _ int64, value []table.Datum) error {
		row := &table.Row{Key: keys[i], Value: slices.Clone(value)}
		for k := range row.Value {
			row.Value[k].Bytes = slices.Clone(row.Value[k].Bytes)
		}
		all[i] = row
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Rows returns the rows of keys.
func (s *Store) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	rows, err := rowsIn(ctx, s.reading, kind, keys)
	return rows, s.lookupFailed(ctx, err)
}

// RowsUnder returns the rows under a prefix.
func (s *Store) RowsUnder(ctx context.Context, kind *table.Kind, prefix []table.Datum, limit int) ([]*table.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	all, err := store.FirstUnder(ctx, s, kind, prefix, limit)
	return all, s.lookupFailed(ctx, err)
}

func (r *reader) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	return rowsIn(ctx, r, kind, keys)
}

// Scan iterates over the rows under a prefix.
func (r *reader) Scan(ctx context.Context, kind *table.Kind, prefix []table.Datum) iter.Seq2[*table.Row, error] {
	return func(yield func(*table.Row, error) bool) {
		for found, err := range r.storedRows(ctx, kind, prefix) {
			var row *table.Row
			if found != nil {
				row = &found.row
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (r *reader) storedRows(ctx context.Context, kind *table.Kind, prefix []table.Datum) iter.Seq2[*storedRow, error] {
	s, args := under(kind, prefix)
	return listed(ctx, r, s, scanRow(kind), args...)
}
