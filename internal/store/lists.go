package store

import (
	"iter"
	"math"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// How many issuances of a list are read at once: few at first, as most callers stop early, then more.
const (
	minPart = 32
	maxPart = 256
)

// Newest iterates over a list of issuances by descending id, from the newest with an id below before; from the newest of all
// when before is 0. It reads the list part by part: part returns the newest issuances with an id below the given one, by
// descending id, after looking at no more than limit; and the id below which to go on, 0 at the end of the list.
func Newest(before id.ID, part func(below id.ID, limit int) ([]*benefit.Issuance, id.ID, error)) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		below := before
		if below == 0 {
			below = math.MaxInt64
		}
		for limit := minPart; below != 0; limit = min(2*limit, maxPart) {
			all, next, err := part(below, limit)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, i := range all {
				if !yield(i, nil) {
					return
				}
			}
			below = next
		}
	}
}
