package audit

import (
	"cmp"
	"math"
	"reflect"
	"slices"
)

// window collects records in bounded memory. Records belong to groups. When the window is full it gives up the
// upper half of the groups and goes on with the rest; another pass over the rows, after next, takes those.
type window[T any] struct {
	limit    int // records
	group    func(T) uint64
	from, to uint64 // the groups that are taken, both ends included
	rows     []T
	done     bool // nothing is left to take
}

func newWindow[T any](bytes int64, group func(T) uint64) *window[T] {
	size := int64(reflect.TypeFor[T]().Size())
	return &window[T]{limit: int(max(bytes/size, 16)), group: group, to: math.MaxUint64}
}

// add takes a record, if its group is among those of this pass.
func (w *window[T]) add(v T) {
	if !w.holds(w.group(v)) {
		return
	}
	if len(w.rows) >= w.limit {
		w.cut()
		if !w.holds(w.group(v)) {
			return
		}
	}
	w.rows = append(w.rows, v)
}

// holds reports whether the group belongs to this pass.
func (w *window[T]) holds(group uint64) bool { return !w.done && w.from <= group && group <= w.to }

// cut drops the upper half of the groups. When they are all one there is nothing to give up, and the window must grow.
func (w *window[T]) cut() {
	slices.SortFunc(w.rows, func(a, b T) int { return cmp.Compare(w.group(a), w.group(b)) })
	first, middle, last := w.group(w.rows[0]), w.group(w.rows[len(w.rows)/2]), w.group(w.rows[len(w.rows)-1])
	if first == last {
		w.limit *= 2
		return
	}
	w.to = max(middle, first+1) - 1
	w.rows = w.rows[:slices.IndexFunc(w.rows, func(v T) bool { return w.group(v) > w.to })]
}

// next prepares for a pass over what was given up. It returns false when that is nothing; then the window takes no more.
func (w *window[T]) next() bool {
	w.rows = w.rows[:0]
	if w.to == math.MaxUint64 {
		w.done, w.rows = true, nil // what comes after the passes may need the memory
		return false
	}
	w.from, w.to = w.to+1, math.MaxUint64
	return true
}
