package postgres

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"

	"faquan/internal/id"
)

// follower iterates over the rows of a table that lead to those of another, beside that: both in the order of the
// other's ids. Neither is held in memory.
type follower[R any] struct {
	c        *Check
	table    string
	to, want string // what the rows lead to, as in "issuance" and "an issuance"
	key      func(R) id.ID
	next     func() (R, error, bool)
	stop     func()

	row   R
	ahead bool // row was read and not given yet
}

// afterAll is a key behind every id.
const afterAll id.ID = math.MaxInt64

func follow[R any](ctx context.Context, c *Check, table string, s *statement, to, want string, key func(R) id.ID) *follower[R] {
	next, stop := iter.Pull2(listed(ctx, c.r, s, pgx.RowToStructByPos[R]))
	return &follower[R]{c: c, table: table, to: to, want: want, key: key, next: next, stop: stop}
}

// upTo returns the rows that lead to the key. Those before it lead nowhere.
func (f *follower[R]) upTo(key id.ID) (its []R, err error) {
	for {
		if !f.ahead {
			f.row, err, f.ahead = f.next()
			if err != nil {
				return nil, fmt.Errorf("reading table %s: %w", f.table, err)
			}
			if !f.ahead {
				return its, nil
			}
			f.c.report.Rows[f.table]++
		}
		switch at := f.key(f.row); {
		case at > key:
			return its, nil
		case at < key:
			f.c.fault(f.table, fmt.Sprintf("of %s %d", f.to, at), f.want, "none") //guard:internal/audit.TestDamagedDatabase
		default:
			its = append(its, f.row)
		}
		f.ahead = false
	}
}
