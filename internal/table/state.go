package table

import (
	"fmt"
	"iter"
)

// State holds the rows of a batch: those that it needs, as they were loaded, and as its commands have changed them. It
// keeps its memory from batch to batch. It is not safe for concurrent use.
type State struct {
	kinds [256]stateOf // by number; nil for those that were never used
}

// stateOf is the state of one kind.
type stateOf interface {
	wanted() Keys
	changed() Rows
	loaded(into map[string]any)
	reset()
}

// all iterates over the kinds that were used, in the order of their numbers.
func (s *State) all() iter.Seq[stateOf] {
	return func(yield func(stateOf) bool) {
		for _, kind := range kinds {
			if k := s.kinds[kind.Number]; k != nil && !yield(k) {
				return
			}
		}
	}
}

// Reset empties the state.
func (s *State) Reset() {
	for k := range s.all() {
		k.reset()
	}
}

// Wanted returns the keys that were asked for since the last call.
func (s *State) Wanted() (all []Keys) {
	for k := range s.all() {
		if keys := k.wanted(); keys != nil {
			all = append(all, keys)
		}
	}
	return all
}

// Changed returns the rows that were changed, each as it is now. The caller may keep them.
func (s *State) Changed() (all []Rows) {
	for k := range s.all() {
		if rows := k.changed(); rows != nil {
			all = append(all, rows)
		}
	}
	return all
}

// Absorb changes rows.
func (s *State) Absorb(all []Rows) {
	for _, rows := range all {
		rows.absorb(s)
	}
}

// Loaded returns all rows of the state, by kind and key, for comparisons: a row that does not exist is nil.
func (s *State) Loaded() map[string]any {
	all := map[string]any{}
	for k := range s.all() {
		k.loaded(all)
	}
	return all
}

// cells are the rows of one kind.
type cells[K comparable, V any] struct {
	table *Table[K, V]
	at    map[K]int32
	list  []cell[V]
	given int     // of list: their keys were returned by wanted
	dirty []int32 // in list

	// The key that was looked up last: commands ask for one row several times.
	last   K
	lastAt int32 // in list; -1: there is none
}

type cell[V any] struct {
	row     V
	version int64 // in which it was read; 0: there is no such row
	loaded  bool
	changed bool
}

func (t *Table[K, V]) in(s *State) *cells[K, V] {
	if s.kinds[t.Number] == nil {
		c := &cells[K, V]{table: t, at: map[K]int32{}, lastAt: -1}
		s.kinds[t.Number] = c
	}
	return s.kinds[t.Number].(*cells[K, V])
}

func (c *cells[K, V]) find(k K) *cell[V] {
	if c.lastAt >= 0 && c.last == k {
		return &c.list[c.lastAt]
	}
	i, ok := c.at[k]
	if !ok {
		return nil
	}
	c.last, c.lastAt = k, i
	return &c.list[i]
}

func (c *cells[K, V]) add(k K, one cell[V]) {
	c.at[k] = int32(len(c.list))
	c.list = append(c.list, one)
}

// put returns the cell of a key, which it adds when it is not there.
func (c *cells[K, V]) put(k K) *cell[V] {
	if c.find(k) == nil {
		if c.given == len(c.list) {
			c.given++ // nothing to load
		}
		c.add(k, cell[V]{})
	}
	return c.find(k)
}

// Want has the row of a key loaded, unless it was asked for already.
func (t *Table[K, V]) Want(s *State, k K) {
	c := t.in(s)
	if c.find(k) == nil {
		c.add(k, cell[V]{row: t.spec.Absent(k)})
	}
}

// Get returns the row of a key; zeros when there is none. It reports whether the row was loaded, or put.
func (t *Table[K, V]) Get(s *State, k K) (row V, loaded bool) {
	if one := t.in(s).find(k); one != nil && one.loaded {
		return one.row, true
	}
	return t.spec.Absent(k), false
}

// Exists reports whether the store has a row of a key that was loaded, or one was put.
func (t *Table[K, V]) Exists(s *State, k K) bool {
	one := t.in(s).find(k)
	return one != nil && one.loaded && (one.version != 0 || one.changed)
}

// Changed reports whether the row of a key was put.
func (t *Table[K, V]) Changed(s *State, k K) bool {
	one := t.in(s).find(k)
	return one != nil && one.changed
}

// Put changes the row of its key. A row that was not loaded is taken for one that does not exist.
func (t *Table[K, V]) Put(s *State, row V) {
	c := t.in(s)
	one := c.put(t.spec.KeyOf(&row))
	if !one.changed {
		c.dirty = append(c.dirty, c.lastAt)
	}
	one.row, one.loaded, one.changed = row, true, true
}

// Load puts a row as a store has it, in a version of 1 or more.
func (t *Table[K, V]) Load(s *State, version int64, row V) {
	*t.in(s).put(t.spec.KeyOf(&row)) = cell[V]{row: row, version: version, loaded: true}
}

func (c *cells[K, V]) wanted() Keys {
	if c.given == len(c.list) {
		return nil
	}
	keys := &KeySet[K, V]{cells: c, from: c.given, to: len(c.list)}
	c.given = len(c.list)
	return keys
}

func (c *cells[K, V]) changed() Rows {
	if len(c.dirty) == 0 {
		return nil
	}
	set := &Set[K, V]{table: c.table, rows: make([]V, len(c.dirty)), versions: make([]int64, len(c.dirty))}
	for k, i := range c.dirty {
		set.rows[k], set.versions[k] = c.list[i].row, c.list[i].version
	}
	return set
}

func (c *cells[K, V]) loaded(into map[string]any) {
	for _, one := range c.list {
		name := fmt.Sprintf("%s %+v", c.table.Name, c.table.spec.KeyOf(&one.row))
		switch {
		case !one.loaded:
			into[name] = "not loaded"
		case one.version == 0 && !one.changed:
			into[name] = nil
		default:
			into[name] = one.row
		}
	}
}

func (c *cells[K, V]) reset() {
	clear(c.at)
	clear(c.list) // they may point somewhere
	c.list, c.given, c.dirty, c.lastAt = c.list[:0], 0, c.dirty[:0], -1
}

// Keys are keys of one kind whose rows are to be loaded. The store calls Found or Absent for each.
type Keys interface {
	Kind() *Kind
	Len() int
	// Key sets row.Key to the i-th key. Its memory is used again.
	Key(i int, row *Row)
	// Found gives the row of the i-th key, and its version, 1 or more. It does not keep value.
	Found(i int, version int64, value []Datum) error
	// Absent notes that the i-th key has no row.
	Absent(i int)
}

// KeySet implements Keys.
type KeySet[K comparable, V any] struct {
	cells    *cells[K, V]
	from, to int
}

func (s *KeySet[K, V]) Kind() *Kind { return s.cells.table.Kind }
func (s *KeySet[K, V]) Len() int    { return s.to - s.from }

// TypedKey returns the i-th key with its type.
func (s *KeySet[K, V]) TypedKey(i int) K {
	return s.cells.table.spec.KeyOf(&s.cells.list[s.from+i].row)
}

// FoundTyped is Found for a store that has the row with its type.
func (s *KeySet[K, V]) FoundTyped(i int, version int64, row V) {
	one := &s.cells.list[s.from+i]
	if one.version, one.loaded = version, true; !one.changed {
		one.row = row
	}
}

func (s *KeySet[K, V]) Key(i int, row *Row) {
	w := Writer{row.Key[:0]}
	s.cells.table.spec.PutKey(&w, s.TypedKey(i))
	row.Key = w.to
}

func (s *KeySet[K, V]) Found(i int, version int64, value []Datum) error {
	t := s.cells.table
	row := t.spec.Absent(s.TypedKey(i))
	r := Reader{from: value}
	t.spec.Get(&r, &row)
	s.FoundTyped(i, version, row)
	return r.err
}

func (s *KeySet[K, V]) Absent(i int) { s.cells.list[s.from+i].loaded = true }
