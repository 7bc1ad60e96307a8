package audit

import (
	"fmt"
	"hash/maphash"
	"iter"
)

// numbering gives values short numbers, from 0 on in the order in which they come, so that records of them are small.
type numbering[V comparable] struct {
	numbers map[V]int32
	values  []V
}

func (n *numbering[V]) of(v V) int32 {
	number, ok := n.numbers[v]
	if !ok {
		if n.numbers == nil {
			n.numbers = map[V]int32{}
		}
		number = int32(len(n.values))
		n.numbers[v] = number
		n.values = append(n.values, v)
	}
	return number
}

// bag is what rows have in common with the same rows in another order: their number, and the sums of their hashes.
type bag[V comparable] struct {
	n    int64
	sums [2]uint64
}

func (b *bag[V]) add(seeds [2]maphash.Seed, row V) {
	b.n++
	for k, seed := range seeds {
		b.sums[k] += maphash.Comparable(seed, row)
	}
}

// runs iterates over the runs of neighbours that are alike.
func runs[V any](all []V, alike func(a, b *V) bool) iter.Seq[[]V] {
	return func(yield func([]V) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && alike(&all[0], &all[n]) {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// sides are the sides of a comparison that have something of a key.
type sides int

const (
	countedOnly sides = iota
	rowOnly
	both
)

// compareRows calls fn for each key of what was counted and of the rows of a table, which are both in the order of their
// keys; what a side does not have is zero. Order compares the keys.
func compareRows[C, R any](title string, counted iter.Seq[C], rows iter.Seq2[R, error], order func(C, R) int, fn func(C, R, sides) error) error {
	next, stop := iter.Pull(counted)
	defer stop()
	var noCount C
	var noRow R
	one, more := next()
	for row, err := range rows {
		if err != nil {
			return fmt.Errorf("reading the %s: %w", title, err)
		}
		for ; more && order(one, row) < 0; one, more = next() {
			if err := fn(one, noRow, countedOnly); err != nil {
				return err
			}
		}
		if !more || order(one, row) > 0 {
			err = fn(noCount, row, rowOnly)
		} else {
			err = fn(one, row, both)
			one, more = next()
		}
		if err != nil {
			return err
		}
	}
	for ; more; one, more = next() {
		if err := fn(one, noRow, countedOnly); err != nil {
			return err
		}
	}
	return nil
}
