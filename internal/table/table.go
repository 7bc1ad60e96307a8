package table

import "fmt"

// Spec describes a table of rows V with keys K.
type Spec[K comparable, V any] struct {
	Name    string
	Title   string
	Number  uint8
	Home    Home
	Key     []Column
	Value   []Column
	Derived bool // see Kind

	KeyOf  func(*V) K
	Absent func(K) V // the row that stands for a missing one: the key and zeros
	PutKey func(*Writer, K)
	GetKey func(*Reader) K
	Put    func(*Writer, *V)
	Get    func(*Reader, *V) // into a row that has its key
	// Sum returns what a row counts, if the rows count something. A row that counts 0 is treated as a missing one.
	Sum func(*V) (vouchers, fen int64)
}

// Table is a kind of rows with its types.
type Table[K comparable, V any] struct {
	*Kind
	spec Spec[K, V]
}

// New describes a kind of rows. Call it once for each, when the program starts.
func New[K comparable, V any](s Spec[K, V]) *Table[K, V] {
	t := &Table[K, V]{spec: s}
	t.Kind = &Kind{
		Name: s.Name, Title: s.Title, Number: s.Number, Home: s.Home, Key: s.Key, Value: s.Value, Derived: s.Derived,
		Decode: func(row *Row) (any, error) { return t.Decode(row) },
		Encode: t.encodeAny,
		New:    func() any { return new(V) },
		Sum: func(v any) (vouchers, fen int64, counts bool) {
			if s.Sum == nil {
				return 0, 0, false
			}
			one := v.(V)
			vouchers, fen = s.Sum(&one)
			return vouchers, fen, true
		},
		Builder: func() Builder { return &Set[K, V]{table: t} },
		Want:    func(s *State, key []Datum) { t.Want(s, t.spec.GetKey(&Reader{from: key})) },
	}
	register(t.Kind)
	return t
}

func (t *Table[K, V]) encodeAny(v any, row *Row) error {
	one, ok := v.(V)
	if !ok {
		return fmt.Errorf("table: a %T is not a row of %s", v, t.Name)
	}
	t.write(&one, row)
	return nil
}

func (t *Table[K, V]) write(v *V, row *Row) {
	w := Writer{row.Key[:0]}
	t.spec.PutKey(&w, t.spec.KeyOf(v))
	row.Key = w.to
	w = Writer{row.Value[:0]}
	t.spec.Put(&w, v)
	row.Value = w.to
}

// Decode returns a row as its own type.
func (t *Table[K, V]) Decode(row *Row) (V, error) {
	r := Reader{from: row.Key}
	v := t.spec.Absent(t.spec.GetKey(&r))
	r.from = row.Value
	t.spec.Get(&r, &v)
	return v, r.err
}

// Rows returns rows to be written over whatever stands under their keys.
func (t *Table[K, V]) Rows(rows ...V) Rows { return &Set[K, V]{table: t, rows: rows} }

// Of returns the rows of the table among those of all kinds.
func (t *Table[K, V]) Of(all []Rows) (rows []V) {
	for _, one := range all {
		if set, ok := one.(*Set[K, V]); ok && set.table == t {
			rows = append(rows, set.rows...)
		}
	}
	return rows
}

// DatumsOf returns the columns of a key.
func (t *Table[K, V]) DatumsOf(k K) []Datum {
	var w Writer
	t.spec.PutKey(&w, k)
	return w.to
}

// Rows are rows of one kind that a commit writes.
type Rows interface {
	Kind() *Kind
	Len() int
	// Read sets row to the i-th. Its memory is used again; what it points to must not be changed.
	Read(i int, row *Row)
	// Version returns the version in which the i-th was read, 0 when there was no such row: it may only be written over
	// that. It is [Unread] when it may be written over any.
	Version(i int) int64
	// absorb changes the rows of a state.
	absorb(s *State)
}

// Builder is a set of rows of one kind that grows. They are to be written over whatever stands under their keys.
type Builder interface {
	Rows
	// Add adds a row. It does not keep what row points to.
	Add(row *Row) error
}

// Unread is the version of a row that was not read before it is written.
const Unread = -1

// Set implements Rows.
type Set[K comparable, V any] struct {
	table    *Table[K, V]
	rows     []V
	versions []int64 // nil: none was read
}

func (s *Set[K, V]) Kind() *Kind { return s.table.Kind }
func (s *Set[K, V]) Len() int    { return len(s.rows) }

// Add implements Builder.
func (s *Set[K, V]) Add(row *Row) error {
	v, err := s.table.Decode(row)
	s.rows = append(s.rows, v)
	return err
}

func (s *Set[K, V]) Read(i int, row *Row) { s.table.write(&s.rows[i], row) }

func (s *Set[K, V]) Version(i int) int64 {
	if s.versions == nil {
		return Unread
	}
	return s.versions[i]
}

func (s *Set[K, V]) absorb(to *State) {
	for i := range s.rows {
		s.table.Put(to, s.rows[i])
	}
}
