package embedded

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"sync"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Lists of issuances, newest first. What the memtables list and what the view lists are put together by id: so nothing is
// written to the view for a list, and a list lacks nothing that was committed.

// RecentIssuances lists a user's issuances.
func (s *Store) RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, list{
		memtable: func(o *memtable) iter.Seq[id.ID] { return o.byUser.idsOf(o.ledger, user) },
		view: func(conn *sqlite.Conn, gens []int64, into *newestIDs) error {
			return newLedgerWalk(conn, user, into).generations(gens)
		},
	})
}

// RecentOfTemplate lists the issuances that have a line of the template.
func (s *Store) RecentOfTemplate(ctx context.Context, template benefit.TemplateID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return s.newest(ctx, before, list{
		memtable: func(o *memtable) iter.Seq[id.ID] { return backward(o.lists[template]) },
		view: func(conn *sqlite.Conn, _ []int64, into *newestIDs) error {
			return templateInView(conn, template, into)
		},
	})
}

// RecentOfTrace lists the issuances whose callers gave the trace id.
func (s *Store) RecentOfTrace(ctx context.Context, traceID string, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	hash := traceHash(traceID)
	all := s.newest(ctx, before, list{
		memtable: func(o *memtable) iter.Seq[id.ID] { return tracedIDs(o.traces, hash) },
		view: func(conn *sqlite.Conn, gens []int64, into *newestIDs) error {
			return traceInView(conn, gens, hash, into)
		},
	})
	return func(yield func(*benefit.Issuance, error) bool) {
		if traceID == "" {
			return
		}
		for i, err := range all {
			//guard:TestTraces without err == nil && i.Note.TraceID != traceID
			if err == nil && i.Note.TraceID != traceID { // another text with the same hash
				continue
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

// list is how the ids of a list are found.
type list struct {
	// memtable returns an iterator over the ids that a memtable lists, in any order, the quicker the closer it is to the newest
	// first. It is called with the store's lock; the iterator is not, and goes over what the memtable listed then.
	memtable func(o *memtable) iter.Seq[id.ID]
	// view adds the ids that the view lists, as far as they can be among the newest.
	view func(conn *sqlite.Conn, gens []int64, into *newestIDs) error
}

func (s *Store) newest(ctx context.Context, before id.ID, l list) iter.Seq2[*benefit.Issuance, error] {
	return store.Newest(before, func(below id.ID, limit int) ([]*benefit.Issuance, id.ID, error) {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		return s.part(ctx, l, &newestIDs{below: below, limit: limit})
	})
}

// part reads the newest issuances of a list, and returns the id below which the others are. The memtables come before the view:
// see finder.
func (s *Store) part(ctx context.Context, l list, ids *newestIDs) ([]*benefit.Issuance, id.ID, error) {
	memtables := s.memtables(l.memtable)
	for _, o := range memtables {
		for i := range o.ids {
			ids.add(i)
		}
	}
	s.mu.Lock()
	gens := s.gensWith(func(*generation) bool { return true })
	s.mu.Unlock()
	var part []*benefit.Issuance
	err := s.finder(ctx, s.finders).view(func(conn *sqlite.Conn) error {
		if err := l.view(conn, gens, ids); err != nil {
			return err
		}
		for _, i := range ids.all {
			found := s.inMemory(memtables, i) // first: it may have been continued since it came to the view
			if found == nil {
				var err error
				if found, err = viewIssuance(conn, i); err != nil {
					return err
				}
			}
			part = append(part, found)
		}
		return nil
	})
	if err != nil || len(part) < ids.limit {
		return part, 0, err
	}
	return part, ids.all[ids.limit-1], nil
}

// inMemory returns an issuance of one of the memtables; nil when none has it.
func (s *Store) inMemory(memtables []memtableRows, i id.ID) *benefit.Issuance {
	for _, o := range memtables {
		if at, ok := o.byID.lastUntil(o.issuances, i); ok && at.id == i {
			return s.issuanceAt(o.memtable, at.row)
		}
	}
	return nil
}

// newestIDs keeps the newest of the ids that are added, each once: at most limit of those below an id, by descending id.
type newestIDs struct {
	below id.ID
	limit int
	all   []id.ID
}

func (n *newestIDs) add(i id.ID) {
	if i >= n.below || !n.takes(i) {
		return
	}
	at, found := slices.BinarySearchFunc(n.all, i, func(a, b id.ID) int { return cmp.Compare(b, a) })
	if found {
		return
	}
	n.all = slices.Insert(n.all, at, i)
	n.all = n.all[:min(len(n.all), n.limit)]
}

// takes reports whether an id would be kept, for its size.
func (n *newestIDs) takes(i id.ID) bool { return len(n.all) < n.limit || i > n.all[n.limit-1] }

func backward(ids []id.ID) iter.Seq[id.ID] {
	return func(yield func(id.ID) bool) {
		for _, i := range slices.Backward(ids) {
			if !yield(i) {
				return
			}
		}
	}
}

func tracedIDs(rows []traceRow, hash int64) iter.Seq[id.ID] {
	return func(yield func(id.ID) bool) {
		for k := len(rows) - 1; k >= 0; k-- {
			if rows[k].hash == hash && !yield(rows[k].id) {
				return
			}
		}
	}
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

// idsOf returns an iterator over the issuances that the rows list for a user.
func (b *byUser) idsOf(rows []ledgerRow, user benefit.UserID) iter.Seq[id.ID] {
	return func(yield func(id.ID) bool) {
		at, prev := b.newest(rows, user)
		for ; at > 0; at = prev[at-1] {
			if i := rows[at-1].issuance; i != 0 && !yield(i) { //guard:TestRecentWithoutIssuances without i != 0
				return
			}
		}
	}
}

// The statements of a template's list. Of the blocks of a template, those of one flush do not overlap, and those of two by no
// more than one millisecond of ids.
const (
	blocksAround = "SELECT last, first, ids FROM template_block WHERE template=? AND last>=? ORDER BY last"
	blocksBelow  = "SELECT last, ids FROM template_block WHERE template=? AND last<? ORDER BY last DESC"
)

// templateInView adds what the view lists of a template.
func templateInView(conn *sqlite.Conn, template benefit.TemplateID, into *newestIDs) error {
	add := func(packed []byte) {
		for _, i := range slices.Backward(unpackIDs(packed)) {
			into.add(i)
		}
	}
	// Blocks that end at the id or behind it may have ids below it: any that end in its millisecond; and one that ends later,
	// but it need not be the first of those that end in the same millisecond.
	end := int64(math.MaxInt64)
	err := each(conn, blocksAround, func(stmt *sqlite.Stmt) error {
		last, first := id.ID(stmt.ColumnInt64(0)), id.ID(stmt.ColumnInt64(1))
		if last.Millis() > end { //guard:TestTemplateListReadsWhatItGives
			return errEnough
		}
		//guard:TestPagesOfACrowdedMillisecond without last.Millis() > into.below.Millis()
		if last.Millis() > into.below.Millis() {
			end = last.Millis()
		}
		if first < into.below {
			add(columnBytes(stmt, 2))
		}
		return nil
	}, template, into.below)
	if err != nil && err != errEnough {
		return err
	}
	err = each(conn, blocksBelow, func(stmt *sqlite.Stmt) error {
		if !into.takes(id.ID(stmt.ColumnInt64(0))) { //guard:TestTemplateListReadsWhatItGives
			return errEnough
		}
		add(columnBytes(stmt, 1))
		return nil
	}, template, into.below)
	if err == errEnough {
		err = nil
	}
	return err
}

const traceBelow = "SELECT id FROM trace WHERE gen=? AND hash=? AND id<? ORDER BY id DESC"

// traceInView adds what the view lists under the hash of a trace id.
func traceInView(conn *sqlite.Conn, gens []int64, hash int64, into *newestIDs) error {
	for _, gen := range gens {
		err := each(conn, traceBelow, func(stmt *sqlite.Stmt) error {
			i := id.ID(stmt.ColumnInt64(0))
			if !into.takes(i) {
				return errEnough
			}
			into.add(i)
			return nil
		}, gen, hash, into.below)
		if err != nil && err != errEnough {
			return err
		}
	}
	return nil
}
