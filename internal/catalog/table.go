package catalog

import (
	"maps"
	"slices"
)

// table holds the entities of one kind while a change is planned: the stored ones, merged with those of the file.
type table[ID ~int64, T any] struct {
	kind   string // for messages
	old    map[ID]*T
	all    map[ID]*T // old, merged with what the file states
	byName map[string]ID
	stated map[ID]sourcePos // where the file states an entity
	last   ID
}

func newTable[ID ~int64, T any](kind string, old map[ID]*T, name func(*T) string) *table[ID, T] {
	t := &table[ID, T]{kind: kind, old: old, all: make(map[ID]*T, len(old)), byName: map[string]ID{}, stated: map[ID]sourcePos{}}
	for id, v := range old {
		t.all[id] = v
		t.byName[name(v)] = id
		t.last = max(t.last, id)
	}
	return t
}

// state returns the id of an entity that the file states: its stored id, or the next.
func (t *table[ID, T]) state(name string, at sourcePos) ID {
	id, known := t.byName[name]
	if !known {
		t.last++
		id = t.last
		t.byName[name] = id
	}
	t.stated[id] = at
	return id
}

// ids returns the ids of all entities, in order.
func (t *table[ID, T]) ids() []ID { return slices.Sorted(maps.Keys(t.all)) }

// values returns all entities in the order of their ids.
func (t *table[ID, T]) values() []*T {
	all := make([]*T, 0, len(t.all))
	for _, id := range t.ids() {
		all = append(all, t.all[id])
	}
	return all
}

// find resolves a reference of the entity that what names. It reports a problem and returns 0 when the reference dangles.
// It also returns 0 for a reference that is left out: the parser has checked those that are required.
func (t *table[ID, T]) find(p *problems, what string, r ref) ID {
	if !r.given() {
		return 0
	}
	id, known := t.byName[r.name]
	if !known {
		p.report(r.line, "%s: there is no %s %q", what, t.kind, clip(r.name))
	}
	return id
}
