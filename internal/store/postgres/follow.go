package postgres

import (
	"fmt"
	"iter"
	"math"
)

// follower iterates over the rows of a table that lead to those of another, beside that: both in the order of the
// other's ids. Neither is held in memory.
type follower[R any] struct {
	c     *Check
	table string
	next  func() (R, error, bool)
	stop  func()
	key   func(*R) int64

	row   R
	ahead bool // row was read and not given yet
	over  bool
}

// afterAll is a key behind every id.
const afterAll = math.MaxInt64

func follow[R any](c *Check, table string, rows iter.Seq2[R, error], key func(*R) int64) *follower[R] {
	next, stop := iter.Pull2(rows)
	return &follower[R]{c: c, table: table, next: next, stop: stop, key: key}
}

// upTo returns the rows that lead to the key. Those before it lead nowhere.
func (f *follower[R]) upTo(key int64, nowhere func(R)) (its []R, err error) {
	for {
		if !f.ahead {
			if f.over {
				return its, nil
			}
			row, err, ok := f.next()
			if !ok {
				f.over = true
				return its, nil
			}
			if err != nil {
				return nil, fmt.Errorf("reading table %s: %w", f.table, err)
			}
			f.row, f.ahead = row, true
			f.c.report.Rows[f.table]++
		}
		switch at := f.key(&f.row); {
		case at > key:
			return its, nil
		case at < key:
			nowhere(f.row)
		default:
			its = append(its, f.row)
		}
		f.ahead = false
	}
}
