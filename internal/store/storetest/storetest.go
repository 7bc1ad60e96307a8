// Package storetest is the specification of a store, as tests.
//
// A store passes when [Run] does. A driver's own test is a few lines:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Harness {
//			dir := t.TempDir()
//			return storetest.Harness{
//				Open: func(t testing.TB) store.Store { … open dir … },
//			}
//		})
//	}
//
// The suite comes in three parts. Cases write rows by hand and read every field of them back. Compared cases do
// the same to the plain store of package memory and ask both for everything. Random histories issue, freeze,
// link, pause and restock on both at once, close and crash the store at random places, and want equal outcomes, which
// package oracle judges, and equal rows at the end; a failure names the seed that repeats it.
//
// The helpers are for other tests, too: [Catalogue] and its neighbours build small catalogues and requests,
// [Committer] issues batches on a store without a queue, [ContentsOf] reads all that a store holds, and [World]
// makes random histories.
package storetest

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/table"
)

// Harness is one place where a store keeps its rows: a directory, a database. It starts empty.
type Harness struct {
	// Open opens the store on what the place holds. It is called again after each Close and Crash.
	Open func(t testing.TB) store.Store
	// Crash abandons an open store the way a process that is killed does: without Close, in whatever state it
	// is. What it had acknowledged must be there at the next Open. Nil when the store cannot be abandoned.
	Crash func(t testing.TB, st store.Store)
	// Lose removes all issuances, or all users, and leaves everything that names them. Nil where nothing can.
	Lose func(t testing.TB, st store.Store, what Lost)
}

// Lost is the kind of rows that Harness.Lose removes.
type Lost int

// What can be lost.
const (
	LostIssuances Lost = iota
	LostUsers
)

// Run holds a store to its contract. newHarness is called once for each test, with a place of its own; it may call
// t.Parallel. With -short there are fewer random histories.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"Empty", testEmpty},
		{"Clock", testClock},
		{"Rollback", testRollback},
		{"Visibility", testVisibility},
		{"CancelledCommit", testCancelledCommit},
		{"Claims", testClaims},
		{"Issuances", testIssuances},
		{"Continued", testContinued},
		{"VoucherLookup", testVoucherLookup},
		{"VouchersBeside", testVouchersBeside},
		{"Counters", testCounters},
		{"Participations", testParticipations},
		{"Rows", testRows},
		{"GetAll", testGetAll},
		{"Vouchers", testVouchers},
		{"OldVouchers", testOldVouchers},
		{"VouchersAtOnce", testVouchersAtOnce},
		{"Codes", testCodes},
		{"Rebinding", testRebinding},
		{"ReboundAtOnce", testReboundAtOnce},
		{"Traces", testTraces},
		{"Versions", testVersions},
		{"RecipientsByID", testRecipientsByID},
		{"LoadTwice", testLoadTwice},
		{"Users", testUsers},
		{"Persons", testPersons},
		{"Sessions", testSessions},
		{"Entities", testEntities},
		{"Paging", testPaging},
		{"Recent", testRecent},
		{"Lists", testLists},
		{"ListsOfOneMoment", testListsOfOneMoment},
		{"PagesBeside", testPagesBeside},
		{"Finder", testFinder},
		{"ManyRows", testManyRows},
		{"StoppedIteration", testStoppedIteration},
		{"ReadingBeside", testReadingBeside},
		{"Feed", testFeed},
		{"Damage", testDamage},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, newHarness(t)) })
	}
	t.Run("Histories", func(t *testing.T) { testHistories(t, newHarness) })
}

// open opens the harness's store and closes it with the test.
func (h Harness) open(t *testing.T) store.Store {
	t.Helper()
	st := h.Open(t)
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// reopen closes the store and opens it again.
func (h Harness) reopen(t testing.TB, st store.Store) store.Store {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return h.Open(t)
}

// Contents are all the rows of a store.
type Contents struct {
	Issuances []*benefit.Issuance
	Users     []*benefit.User
	Rows      map[string][]any // of each kind that has any, with their own types
	Entities  []benefit.Entity
	Version   int64 // of the catalogue
}

// RowsOf returns the rows of a table among all contents.
func RowsOf[K comparable, V any](c *Contents, t *table.Table[K, V]) (rows []V) {
	for _, v := range c.Rows[t.Name] {
		rows = append(rows, v.(V))
	}
	return rows
}

// ContentsOf reads everything that the store holds, in the order in which the store gives it.
func ContentsOf(ctx context.Context, st store.Store) (*Contents, error) {
	r, err := st.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c, err := contents(ctx, r)
	if err != nil {
		return nil, err
	}
	// The short way to the catalogue must say what the snapshot says.
	entities, version, err := st.Entities(ctx)
	if err != nil {
		return nil, err
	}
	if diff := Diff(c.Entities, entities); diff != "" || version != c.Version {
		return nil, fmt.Errorf("Entities: version %d, the snapshot has %d; (-snapshot +got):\n%s", version, c.Version, diff)
	}
	return c, nil
}

func contents(ctx context.Context, r store.Reader) (*Contents, error) {
	c := &Contents{Rows: map[string][]any{}}
	var err error
	collect(&c.Issuances, &err, r.AllIssuances(ctx))
	collect(&c.Users, &err, r.AllUsers(ctx))
	for _, kind := range table.Kinds() {
		var rows []any
		collect(&rows, &err, decoded(kind, r.Scan(ctx, kind, nil)))
		if len(rows) > 0 {
			c.Rows[kind.Name] = rows
		}
	}
	if err != nil {
		return nil, err
	}
	c.Entities, c.Version, err = r.Entities(ctx)
	return c, err
}

// decoded iterates over rows with their own type.
func decoded(kind *table.Kind, rows iter.Seq2[*table.Row, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for row, err := range rows {
			var v any
			if err == nil {
				v, err = kind.Decode(row)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// collect appends what a table holds, unless an earlier table failed.
func collect[V any](all *[]V, failed *error, table func(yield func(V, error) bool)) {
	if *failed != nil {
		return
	}
	for v, err := range table {
		if err != nil {
			*failed = err
			return
		}
		*all = append(*all, v)
	}
}

// Diff returns how two values differ, unexported fields included; empty and absent lists are the same to it. It is
// empty when they do not differ.
func Diff(want, got any) string {
	if reflect.DeepEqual(want, got) { // cmp takes its time
		return ""
	}
	if state, ok := want.(*benefit.State); ok {
		if other, ok := got.(*benefit.State); ok {
			return DiffStates(state, other)
		}
	}
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	return cmp.Diff(want, got, all, cmpopts.EquateEmpty(), cmp.Transformer("changes", func(c benefit.Changes) map[string]any {
		return map[string]any{"now": c.Now, "issuances": c.Issuances, "users": c.Users, "catalogue": c.Catalogue, "rows": rowsIn(c.Rows), "steps": c.Steps}
	}))
}

// rowsIn returns rows with their own types, by the names of their kinds.
func rowsIn(all []table.Rows) map[string][]any {
	in := map[string][]any{}
	var row table.Row
	for _, rows := range all {
		for i := range rows.Len() {
			rows.Read(i, &row)
			v, err := rows.Kind().Decode(&row)
			if err != nil {
				v = err
			}
			in[rows.Kind().Name] = append(in[rows.Kind().Name], v)
		}
	}
	return in
}

// mustContents is ContentsOf in a test.
func mustContents(t testing.TB, st store.Store) *Contents {
	t.Helper()
	c, err := ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatalf("reading everything: %v", err)
	}
	return c
}

// mustRead opens a reader that is closed with the test.
func mustRead(t testing.TB, st store.Store) store.Reader {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// mustBegin begins a batch.
func mustBegin(t testing.TB, st store.Store, clock benefit.Instant) store.Tx {
	t.Helper()
	tx, err := st.Begin(t.Context(), clock)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return tx
}

// mustBeginChange begins a batch that may write anything.
func mustBeginChange(t testing.TB, st store.Store, clock benefit.Instant) store.Tx {
	t.Helper()
	tx, err := st.BeginChange(t.Context(), clock)
	if err != nil {
		t.Fatalf("BeginChange: %v", err)
	}
	return tx
}

// mustWrite commits rows that the test made by hand.
func mustWrite(t testing.TB, st store.Store, clock benefit.Instant, changes *benefit.Changes) {
	t.Helper()
	if err := Write(t.Context(), st, clock, changes); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

// wanted is what a test has loaded.
type wanted struct {
	Claims         []benefit.ClaimKey
	Recipients     []benefit.Identifier
	Vouchers       []id.ID
	Templates      []benefit.TemplateID // their counters, in total and of the day of the batch
	Quotas         []benefit.QuotaKey
	Participations []benefit.ParticipationKey
	Rows           func(*table.State) // asks for others
}

// keys returns what is wanted, for a state at its Now.
func (w *wanted) keys(st *benefit.State) *benefit.Keys {
	k := &benefit.Keys{Claims: w.Claims, Recipients: w.Recipients, Vouchers: w.Vouchers}
	for _, t := range w.Templates {
		k.Locks = append(k.Locks, benefit.Lock{Kind: benefit.TemplateLock, ID: int64(t)})
		benefit.TemplateCounts.Want(st.Rows(), t)
		benefit.TemplateDays.Want(st.Rows(), benefit.TemplateDayKey{Template: t, Day: st.Now.Day()})
	}
	for _, q := range w.Quotas {
		benefit.Quotas.Want(st.Rows(), q)
	}
	for _, p := range w.Participations {
		benefit.Participations.Want(st.Rows(), p)
	}
	if w.Rows != nil {
		w.Rows(st.Rows())
	}
	k.Rows = st.Rows().Wanted()
	return k
}

// mustLoad loads rows in a batch of their own, which is rolled back.
func mustLoad(t testing.TB, st store.Store, clock benefit.Instant, w *wanted) *benefit.State {
	t.Helper()
	tx := mustBegin(t, st, clock)
	defer tx.Rollback()
	state := benefit.NewState()
	state.Reset(tx.Now())
	if err := tx.Load(t.Context(), w.keys(state), state); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return state
}

// want compares, and reports what is different.
func want(t testing.TB, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) { // Diff takes its time
		return
	}
	if diff := Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// found fails the test when a reader's method answered an error, and passes the row on.
func found[V any](t testing.TB) func(V, error) V {
	return func(v V, err error) V {
		t.Helper()
		if err != nil {
			t.Fatalf("reading: %v", err)
		}
		return v
	}
}
