package embedded

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// RecentIssuances iterates over the user's rows of the ledger in the order of commits, the newest first: through those
// of the memtables, and then, generation after generation, those of the view. It writes no memtable to the view, and
// neither a lock nor a read transaction is held while the caller looks at an issuance.
func (s *Store) RecentIssuances(ctx context.Context, user benefit.UserID) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		r := s.newRecent(user)
		for {
			part, err := r.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(part) == 0 {
				return
			}
			for _, i := range part {
				if !yield(i, nil) {
					return
				}
			}
		}
	}
}

// recent is an iteration over a user's issuances.
type recent struct {
	s         *Store
	user      benefit.UserID
	memtables []userRows     // not gone through yet, newest first
	gens      []int64        // of the view, not begun yet, newest first
	runs      []*ledgerRun   // of the generation that is under way
	before    int64          // the place in the order of commits at which the memtables begin: what is older is in the view
	size      int            // of the next part
	seen      map[id.ID]bool // an issuance has a row for each template, and for each time that it was continued
}

// How many issuances an iteration reads at once: few at first, as most callers stop early, then more. A memtable is
// locked for that many.
const (
	minRecent = 32
	maxRecent = 128
)

// newRecent notes what was committed so far.
func (s *Store) newRecent(user benefit.UserID) *recent {
	r := &recent{s: s, user: user, size: minRecent, seen: map[id.ID]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.before = commitOrder(s.seq+1, 0)
	for _, o := range []*memtable{s.active, s.flushing} {
		if o != nil && !o.empty() { //guard:TestFindersMoveNothing
			r.memtables = append(r.memtables, userRows{o: o, rows: o.ledger})
			r.before = commitOrder(o.first, 0)
		}
	}
	for _, g := range slices.Backward(s.gens) {
		r.gens = append(r.gens, g.gen)
	}
	return r
}

// next returns the next issuances; none at the end.
func (r *recent) next(ctx context.Context) (part []*benefit.Issuance, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size := r.size
	r.size = min(2*size, maxRecent)
	for len(r.memtables) > 0 {
		if part := r.fromMemtable(&r.memtables[0], size); len(part) > 0 {
			return part, nil
		}
		r.memtables = r.memtables[1:]
	}
	err = r.s.finder(ctx, r.s.finders).view(func(conn *sqlite.Conn) error {
		for len(part) == 0 && (len(r.runs) > 0 || len(r.gens) > 0) {
			if len(r.runs) == 0 {
				if r.runs, err = ledgerRuns(conn, r.gens[0], r.user, r.before); err != nil {
					return err
				}
				r.gens = r.gens[1:]
			}
			if part, err = r.fromView(conn, size); err != nil {
				return err
			}
		}
		return nil
	})
	return part, err
}

// first reports whether the issuance comes for the first time.
func (r *recent) first(issuance id.ID) bool {
	if issuance == 0 || r.seen[issuance] { //guard:TestConformance/RecentContinued$ without r.seen[issuance]
		return false
	}
	r.seen[issuance] = true
	return true
}

// userRows is the part of a memtable that an iteration reads.
type userRows struct {
	o    *memtable
	rows []ledgerRow // as of the start
	at   int32       // the user's next row, counted from 1; 0: none
	prev []int32     // see byUser
}

// fromMemtable returns the next issuances of a memtable, at most size.
func (r *recent) fromMemtable(x *userRows, size int) []*benefit.Issuance {
	if x.prev == nil {
		x.at, x.prev = x.o.byUser.newest(x.rows, r.user)
	}
	var wanted []int32
	for ; x.at > 0 && len(wanted) < size; x.at = x.prev[x.at-1] {
		if row := &x.rows[x.at-1]; r.first(row.issuance) {
			wanted = append(wanted, row.row)
		}
	}
	bodies := make([][]byte, len(wanted))
	r.s.mu.Lock()
	for k, row := range wanted {
		bodies[k] = x.o.bytes(x.o.issuances[row].body)
	}
	r.s.mu.Unlock()
	part := make([]*benefit.Issuance, len(wanted))
	for k, body := range bodies {
		part[k] = requireIssuance(body)
	}
	return part
}

// byUser finds the rows of a user in a ledger that grows. Those who ask make it, as far as they need it, so that a commit
// does not pay for it. Rows are counted from 1.
type byUser struct {
	mu   sync.Mutex
	last map[benefit.UserID]int32 // the user's newest row
	prev []int32                  // for each row the one of the same user before it, or 0
}

// newest returns the user's newest of the rows, 0 when there is none, and for each row the one before it. The rows are all
// that the ledger had at some moment.
func (b *byUser) newest(rows []ledgerRow, user benefit.UserID) (int32, []int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		b.last = map[benefit.UserID]int32{}
	}
	for k := len(b.prev); k < len(rows); k++ {
		b.prev = append(b.prev, b.last[rows[k].User])
		b.last[rows[k].User] = int32(k + 1)
	}
	at := b.last[user]
	for int(at) > len(rows) { // it came after the rows
		at = b.prev[at-1]
	}
	return at, b.prev
}

// ledgerRun is a user's rows of one template in one generation of the view, the newest first.
type ledgerRun struct {
	gen      int64
	template benefit.TemplateID
	rows     []listPosition // that were read and not taken yet
	before   int64          // rows from this place on were read
	ended    bool           // there are no older ones
}

// listPosition is the position of an issuance in the order of commits.
type listPosition struct {
	at       int64
	issuance id.ID
}

// runRows is how many rows of a run are read at a time.
const runRows = 64

// The statements of an iteration. Each is answered by the primary key of the ledger alone. LIMIT stands in the text:
// SQLite would plan a statement anew for each value of a parameter there.
var (
	nextTemplate = "SELECT template FROM ledger WHERE gen=? AND user=? AND template>? ORDER BY template LIMIT 1"
	nextPosition = fmt.Sprint("SELECT at, issuance FROM ledger WHERE gen=? AND user=? AND template=? AND at<? ORDER BY at DESC LIMIT ", runRows)
)

// ledgerRuns begins a generation: it finds the user's templates, one look-up for each.
func ledgerRuns(conn *sqlite.Conn, gen int64, user benefit.UserID, before int64) (runs []*ledgerRun, err error) {
	for last, more := int64(math.MinInt64), true; more; {
		more = false
		err := each(conn, nextTemplate, func(stmt *sqlite.Stmt) error {
			last, more = stmt.ColumnInt64(0), true
			runs = append(runs, &ledgerRun{gen: gen, template: benefit.TemplateID(last), before: before})
			return nil
		}, gen, user, last)
		if err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// fill reads more rows of the run when it has none.
func (l *ledgerRun) fill(conn *sqlite.Conn, user benefit.UserID) error {
	if len(l.rows) > 0 || l.ended {
		return nil
	}
	err := each(conn, nextPosition, func(stmt *sqlite.Stmt) error {
		l.before = stmt.ColumnInt64(0)
		l.rows = append(l.rows, listPosition{l.before, id.ID(stmt.ColumnInt64(1))})
		return nil
	}, l.gen, user, l.template, l.before)
	l.ended = len(l.rows) < runRows
	return err
}

// fromView returns the next issuances of the generation that is under way, at most size. None are left when it leaves no
// run.
func (r *recent) fromView(conn *sqlite.Conn, size int) (part []*benefit.Issuance, err error) {
	for len(part) < size && len(r.runs) > 0 {
		for _, run := range r.runs {
			if err := run.fill(conn, r.user); err != nil {
				return nil, err
			}
		}
		r.runs = slices.DeleteFunc(r.runs, func(l *ledgerRun) bool { return len(l.rows) == 0 })
		if len(r.runs) == 0 {
			break
		}
		newest := slices.MaxFunc(r.runs, func(a, b *ledgerRun) int { return cmp.Compare(a.rows[0].at, b.rows[0].at) })
		issuance := newest.rows[0].issuance
		newest.rows = newest.rows[1:]
		if r.first(issuance) {
			i, err := viewIssuance(conn, issuance)
			if err != nil {
				return nil, err
			}
			part = append(part, i)
		}
	}
	return part, nil
}
