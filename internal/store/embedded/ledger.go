package embedded

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// ledgerWalk goes through a user's rows of the ledger in the view, in the order of commits, the newest first, and adds the
// issuances to a list by id. It goes no further than it must.
//
// For a user ids grow from commit to commit, so the rows that issuances came with have the order of the ids. But an issuance
// that was continued has more rows, each at the commit that did it, and nothing in a row says whether it is the first one. An
// issuance that cannot be continued has one commit, so all older ones have lower ids. Of those that can, the instants of their
// lines say enough: see take.
type ledgerWalk struct {
	conn *sqlite.Conn
	user benefit.UserID
	into *newestIDs

	before int64               // issuances below into.below came at a place in the order of commits before this one
	runs   []*ledgerRun        // of the generation that is under way
	seen   map[id.ID]bool      // an issuance has a row for each template as well
	open   []*benefit.Issuance // that can be continued: whether they came with a row of those seen is not known yet
	unseen id.ID               // issuances that no row was seen of have lower ids
}

func newLedgerWalk(conn *sqlite.Conn, user benefit.UserID, into *newestIDs) *ledgerWalk {
	return &ledgerWalk{conn: conn, user: user, into: into, before: math.MaxInt64, seen: map[id.ID]bool{}, unseen: math.MaxInt64}
}

// generations goes through generations, of which the newest comes first.
func (w *ledgerWalk) generations(gens []int64) error {
	for _, gen := range gens {
		if err := w.begin(gen); err != nil {
			return err
		}
		for {
			row, ok, err := w.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if row.issuance >= w.into.below || w.seen[row.issuance] {
				continue
			}
			w.seen[row.issuance] = true
			i, err := viewIssuance(w.conn, row.issuance)
			if err != nil {
				return err
			}
			w.into.add(row.issuance)
			if w.take(i); !w.into.takes(w.unseen - 1) {
				return nil
			}
		}
	}
	return nil
}

// take learns from an issuance, by one of its rows, which ids those that no row was seen of may have.
func (w *ledgerWalk) take(i *benefit.Issuance) {
	if !i.Continues { //guard:TestConformance/Lists$ !i.Continues -> true
		w.unseen = min(w.unseen, i.ID)
		return
	}
	w.open = append(w.open, i)
	at := i.At()
	//guard:TestConformance/Lists$
	if slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.At != at }) {
		return // one line was issued later than another, or has issued nothing and may have been closed later
	}
	// Every commit that wrote it was at this instant, so all older commits were no later. An issuance that was first issued
	// later than this came with one of the rows that were seen.
	w.open = slices.DeleteFunc(w.open, func(o *benefit.Issuance) bool {
		if o.At() <= at { //guard:TestConformance/ListsOfOneMoment o.At() <= at -> o.At() < at
			return false
		}
		w.unseen = min(w.unseen, o.ID)
		return true
	})
}

// next returns the newest row of the generation that was not returned yet.
func (w *ledgerWalk) next() (row listPosition, ok bool, err error) {
	for _, run := range w.runs {
		if err := w.fill(run); err != nil {
			return row, false, err
		}
	}
	w.runs = slices.DeleteFunc(w.runs, func(l *ledgerRun) bool { return len(l.rows) == 0 })
	if len(w.runs) == 0 {
		return row, false, nil
	}
	newest := slices.MaxFunc(w.runs, func(a, b *ledgerRun) int { return cmp.Compare(a.rows[0].at, b.rows[0].at) })
	row, newest.rows = newest.rows[0], newest.rows[1:]
	return row, true, nil
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

// The statements of a walk. Each is answered by the primary key of the ledger alone. LIMIT stands in the text: SQLite would plan
// a statement anew for each value of a parameter there.
var (
	nextTemplate  = "SELECT template FROM ledger WHERE gen=? AND user=? AND template>? ORDER BY template LIMIT 1"
	rowsBefore    = "SELECT at, issuance FROM ledger WHERE gen=? AND user=? AND template=? AND at<? AND issuance<>0 ORDER BY at DESC LIMIT "
	nextPosition  = rowsBefore + "1"
	nextPositions = fmt.Sprint(rowsBefore, runRows)
)

// begin finds the user's templates in a generation, one look-up for each, and the place where the list begins.
func (w *ledgerWalk) begin(gen int64) error {
	w.runs = nil
	for last, more := int64(math.MinInt64), true; more; {
		more = false
		err := each(w.conn, nextTemplate, func(stmt *sqlite.Stmt) error {
			last, more = stmt.ColumnInt64(0), true
			w.runs = append(w.runs, &ledgerRun{gen: gen, template: benefit.TemplateID(last)})
			return nil
		}, gen, w.user, last)
		if err != nil {
			return err
		}
	}
	for _, run := range w.runs {
		if err := w.skip(run); err != nil {
			return err
		}
	}
	for _, run := range w.runs {
		run.before = w.before //guard:TestRecentReadsWhatItGives w.before -> math.MaxInt64
	}
	return nil
}

// skip moves the place where the list begins back in a run, as far as its rows say that only issuances came from there on that
// the list leaves out. A row that its issuance did not come with may mislead the search: then the list begins later than it
// could, and rows are passed over.
func (w *ledgerWalk) skip(run *ledgerRun) error {
	if w.into.below == math.MaxInt64 {
		return nil
	}
	for from, middle := int64(0), w.before; w.before-from > oneRecord; middle = from + (w.before-from)/2 {
		row, err := one(w.conn, nextPosition, readPositionInList, run.gen, w.user, run.template, middle)
		switch {
		case err != nil:
			return err
		case row.issuance >= w.into.below:
			w.before = row.at
		case middle == w.before:
			return nil
		default:
			from = middle
		}
	}
	return nil
}

// oneRecord is how many places one journal record has in the order of commits.
var oneRecord = commitOrder(1, 0)

func readPositionInList(stmt *sqlite.Stmt) (listPosition, error) {
	return listPosition{stmt.ColumnInt64(0), id.ID(stmt.ColumnInt64(1))}, nil
}

// fill reads more rows of the run when it has none.
func (w *ledgerWalk) fill(run *ledgerRun) error {
	if len(run.rows) > 0 || run.ended {
		return nil
	}
	err := each(w.conn, nextPositions, func(stmt *sqlite.Stmt) error {
		row, err := readPositionInList(stmt)
		run.before = row.at
		run.rows = append(run.rows, row)
		return err
	}, run.gen, w.user, run.template, run.before)
	run.ended = len(run.rows) < runRows
	return err
}
