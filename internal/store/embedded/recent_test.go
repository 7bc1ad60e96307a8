package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// issueTo issues n vouchers of the templates in turn to one user, a commit for each, and returns the user.
func issueTo(t testing.TB, s *Store, recipient string, from, n int, templates ...benefit.TemplateID) benefit.UserID {
	t.Helper()
	var all []*benefit.Template
	for _, template := range templates {
		all = append(all, storetest.Template(template))
	}
	c := storetest.NewCommitter(s, storetest.Catalogue(all...), uint64(from)+1)
	var user benefit.UserID
	for k := range n {
		r := storetest.Request(fmt.Sprint(recipient, "-", from+k), recipient, storetest.Line(templates[k%len(templates)]))
		done, err := c.Issue(t.Context(), storetest.Start+benefit.Instant(from+k), r)
		if err != nil || done[0].Issuance == nil {
			t.Fatal(done, err)
		}
		user = done[0].Issuance.User
	}
	return user
}

// Rows are found in each of the places where they may lie, and asking for them moves none.
func TestFindersMoveNothing(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.abandon()
	user := issueTo(t, s, "20881", 0, 40, 1, 2)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	issueTo(t, s, "20881", 40, 30, 1, 2)
	s.swap() // a flush that goes no further
	issueTo(t, s, "20881", 70, 20, 1, 2)
	active, behind := s.active.first, s.flushing.first

	for n := range 90 {
		i, err := s.Claim(t.Context(), scope.Template(benefit.TemplateID(1+n%2)), fmt.Sprint("20881-", n))
		if err != nil || i == nil {
			t.Fatalf("Claim of %d: %v, %v", n, i, err)
		}
		if of, err := s.IssuanceOf(t.Context(), i.ID); err != nil || of == nil || of.ID != i.ID {
			t.Fatalf("IssuanceOf %d: %v, %v", n, of, err)
		}
		if of, err := s.IssuanceOf(t.Context(), i.ID+1); err != nil || of != nil {
			t.Fatalf("IssuanceOf what was not issued after %d: %v, %v", n, of, err)
		}
	}
	if u, err := s.Recipient(t.Context(), benefit.Identifier{Type: benefit.AlipayID, Value: "20881"}); err != nil || u == nil || u.ID != user {
		t.Errorf("Recipient: %v, %v", u, err)
	}
	for k, i := range storetest.Recent(t, s, user, -1) {
		if want := fmt.Sprint("20881-", 89-k); i.Key != want {
			t.Fatalf("element %d is %s, want %s", k, i.Key, want)
		}
	}
	at, err := readPosition(s.writer)
	if err != nil || at.seq != behind-1 {
		t.Errorf("the view has come to %d, %v", at.seq, err)
	}
	if s.active.first != active || s.flushing == nil || s.flushing.first != behind {
		t.Error("a memtable was moved")
	}
}

// An iteration that is under way, and questions that have all the connections, keep no commit, flush or checkpoint
// waiting.
func TestQueriesHoldUpNothing(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.abandon()
	user := issueTo(t, s, "20881", 0, 300, 1, 2)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(s.RecentIssuances(t.Context(), user, 0))
	defer stop()
	for range 20 {
		if _, err, ok := next(); err != nil || !ok {
			t.Fatal(err)
		}
	}
	issueTo(t, s, "20882", 0, 50, 1, 2)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	// A read transaction that is open would keep frames from being copied into the file.
	err := sqlitex.ExecuteTransient(s.writer, "PRAGMA wal_checkpoint(PASSIVE)", &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		if frames, copied := stmt.ColumnInt(1), stmt.ColumnInt(2); frames != copied || frames == 0 {
			t.Errorf("of %d frames %d are copied", frames, copied)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	// Neither the committer nor the flusher needs what the questions of callers have.
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	for range maxFinders {
		go func() {
			done <- s.finder(t.Context(), s.finders).view(func(*sqlite.Conn) error {
				entered <- struct{}{}
				<-leave
				return nil
			})
		}()
		<-entered
	}
	issueTo(t, s, "20881", 300, 10, 1, 2)
	issueTo(t, s, "20882", 50, 10, 1, 2)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	// Nor does a row that only the view has.
	s.rows.drop()
	s.quotas.drop()
	within, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	if c, ok, err := store.Get(within, s, benefit.TemplateCounts, 1); err != nil || !ok || c.Count == 0 {
		t.Errorf("the counters of a template: %+v, %v", c, err)
	}
	if q, ok, err := store.Get(within, s, benefit.Quotas, benefit.QuotaKey{User: user, Template: 1}); err != nil || !ok || q.Total == 0 {
		t.Errorf("a quota: %+v, %v", q, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Claim(ended, scope.Template(1), "20881-0"); !errors.Is(err, context.Canceled) {
		t.Errorf("a question without a connection: %v", err)
	}
	close(leave)
	for range maxFinders {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A page of a user's list costs the same however long the list is, and wherever the page is.
func TestRecentReadsWhatItGives(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.abandon()
	few, many := issueTo(t, s, "20881", 0, 200, 1, 2, 3), issueTo(t, s, "20882", 0, 3000, 1, 2, 3)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	read := func(user benefit.UserID, before id.ID) (rows int) {
		w := newLedgerWalk(s.loader, user, &newestIDs{below: before, limit: 21})
		if err := w.generations([]int64{1}); err != nil {
			t.Fatal(err)
		}
		if len(w.into.all) != 21 {
			t.Fatalf("%d are listed", len(w.into.all))
		}
		for _, run := range w.runs {
			rows += len(run.rows)
		}
		return rows + len(w.seen)
	}
	of := func(user benefit.UserID, at int) id.ID { return storetest.Recent(t, s, user, at+1)[at].ID }
	a := read(few, math.MaxInt64)
	for what, b := range map[string]int{"begins": read(many, math.MaxInt64), "goes on": read(many, of(many, 50)), "is nearly over": read(many, of(many, 2900))} {
		if a > 3*runRows || b > 3*runRows {
			t.Errorf("%d rows of a short list, %d of a long one that %s", a, b, what)
		}
	}
	for _, at := range []int{50, 2900} { // the rows before a page are not gone through
		before := of(many, at)
		place, err := one(s.loader, "SELECT at, issuance FROM ledger WHERE issuance=?", readPositionInList, int64(before))
		w := newLedgerWalk(s.loader, many, &newestIDs{below: before, limit: 21})
		if err := errors.Join(err, w.begin(1)); err != nil || len(w.runs) != 3 {
			t.Fatalf("%d runs, %v", len(w.runs), err)
		}
		for _, run := range w.runs {
			if run.before > place.at+3*oneRecord {
				t.Errorf("template %d begins %d records too late", run.template, (run.before-place.at)/oneRecord)
			}
		}
	}
	for query, want := range map[string]string{
		lastIssuance:  "SEARCH issuance USING INTEGER PRIMARY KEY (rowid<?)",
		nextTemplate:  "USING PRIMARY KEY (gen=? AND user=? AND template>?)",
		nextPosition:  "USING PRIMARY KEY (gen=? AND user=? AND template=? AND at<?)",
		nextPositions: "USING PRIMARY KEY (gen=? AND user=? AND template=? AND at<?)",
		blocksAround:  "USING PRIMARY KEY (template=? AND last>?)",
		blocksBelow:   "USING PRIMARY KEY (template=? AND last<?)",
		traceBelow:    "USING PRIMARY KEY (gen=? AND hash=? AND id<?)",
	} {
		var plan []string
		err := sqlitex.ExecuteTransient(s.loader, "EXPLAIN QUERY PLAN "+query, &sqlitex.ExecOptions{Args: make([]any, strings.Count(query, "?")), ResultFunc: func(stmt *sqlite.Stmt) error {
			plan = append(plan, stmt.ColumnText(3))
			return nil
		}})
		if err != nil || len(plan) != 1 || !strings.Contains(plan[0], want) {
			t.Errorf("%s: %q, %v", query, plan, err)
		}
	}
}

// A page of a template's list costs the same however long the list is, and wherever the page is.
func TestTemplateListReadsWhatItGives(t *testing.T) {
	s := newMemPlace(t, Options{GenerationSize: 5000}).open(t)
	defer s.abandon()
	const n, perCommit, perFlush = 20_000, 200, 2000
	first := func(n int) id.ID { return id.ID(1)<<40 + id.ID(n)<<23 + id.ID(n*7%id.Buckets)<<13 }
	for from := 0; from < n; from += perCommit {
		c := &benefit.Changes{}
		for k := range perCommit {
			c.Issuances = append(c.Issuances, listed(first(from+k), fmt.Sprint(from+k)))
		}
		err := commit(t, s, c)
		if err == nil && (from+perCommit)%perFlush == 0 {
			err = s.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const limit = 20
	for _, at := range []int{n, n - 1, n / 2, perFlush, 2*limit + 1} {
		before := id.ID(math.MaxInt64)
		if at < n {
			before = first(at)
		}
		// What is not read may be wrong: the blocks farther away than the next ones would list something else.
		wrong := binary.BigEndian.AppendUint64(nil, uint64(min(before, first(n))-1))
		rollback := sqlitex.Save(s.writer)
		err := each(s.writer, "UPDATE template_block SET first=1, ids=? WHERE last<? OR first>?", nil,
			wrong, int64(first(max(at-2*blockIDs, 0))), int64(first(at+2*blockIDs)))
		if err != nil {
			t.Fatal(err)
		}
		into := &newestIDs{below: before, limit: limit}
		if err := templateInView(s.writer, 1, into); err != nil || len(into.all) != limit || into.all[0] != first(at-1) || into.all[limit-1] != first(at-limit) {
			t.Errorf("%d before %d: %v, %v", len(into.all), at, into.all, err)
		}
		err = errors.New("to roll back")
		rollback(&err)
	}
}

// listed returns an issuance of one voucher of template 1 to user 7.
func listed(first id.ID, key string) *benefit.Issuance {
	return &benefit.Issuance{
		ID: first, Scope: "t/1", Key: key, App: 1, User: 7,
		Lines: []benefit.IssuedLine{{Line: storetest.Line(1), First: first, Amounts: make([]money.Fen, 1), Issued: 1, At: storetest.Start}},
	}
}

// Counters that change without an issuance, as when a voucher's stock goes back, are in the ledger and in no list.
func TestRecentWithoutIssuances(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.abandon()
	user := issueTo(t, s, "20881", 0, 3, 1)
	for _, when := range []string{"in the memtable", "in the view"} {
		for total := range int64(100) {
			quota := benefit.Quota{QuotaKey: benefit.QuotaKey{User: user, Template: 1}, Total: total}
			if err := commit(t, s, &benefit.Changes{Rows: benefit.RowsOf(benefit.Quotas.Rows(quota))}); err != nil {
				t.Fatal(err)
			}
		}
		all := storetest.Recent(t, s, user, -1)
		if len(all) != 3 || len(storetest.Recent(t, s, user, 2)) != 2 {
			t.Errorf("%s: %d issuances are listed", when, len(all))
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

// Lists are whole and in order while others commit and the view is written.
func TestRecentBesideCommits(t *testing.T) {
	o := Options{Dir: memDir(t), MaxMemtable: 16, GenerationSize: 50}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 300
	user := issueTo(t, s, "20881", 0, 1, 1, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		issueTo(t, s, "20881", 1, n-1, 1, 2)
	}()
	least := 1
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		all := storetest.Recent(t, s, user, -1)
		if len(all) < least {
			t.Fatalf("%d are listed, after %d were", len(all), least)
		}
		least = len(all)
		for k, i := range all {
			if want := fmt.Sprint("20881-", len(all)-1-k); i.Key != want {
				t.Fatalf("element %d of %d is %s, want %s", k, len(all), i.Key, want)
			}
		}
	}
	if least != n {
		t.Errorf("%d are listed at last, want %d", least, n)
	}
}

// Many ask for vouchers while others commit and the view is written: what was acknowledged is found, and nothing else.
func TestVouchersBesideCommits(t *testing.T) {
	s, err := Open(Options{Dir: memDir(t), MaxMemtable: 4000, GenerationSize: 5000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const commits, each = 300, 40
	first := func(n int) id.ID { return id.ID(1)<<40 + id.ID(n)<<23 + id.ID(n*7%id.Buckets)<<13 }
	var committed atomic.Int64
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for n := range commits {
				c := &benefit.Changes{}
				for k := range each {
					c.Issuances = append(c.Issuances, listed(first(n*each+k), fmt.Sprint(n, "-", k)))
				}
				if err := storetest.Write(t.Context(), s, storetest.Start, c); err != nil {
					return err
				}
				committed.Store(int64(n+1) * each)
			}
			return nil
		}()
	}()
	var askers sync.WaitGroup
	for seed := range uint64(4) {
		askers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for n := int64(0); n < commits*each && !t.Failed(); {
				if n = committed.Load(); n == 0 {
					continue
				}
				at := first(r.IntN(int(n)))
				if r.IntN(2) == 0 {
					at = first(int(n) - 1)
				}
				i, err := s.IssuanceOf(t.Context(), at)
				none, noneErr := s.IssuanceOf(t.Context(), at+1)
				if err != nil || noneErr != nil || i == nil || i.ID != at || none != nil {
					t.Errorf("of %d issuances, %d: %v, %v, and behind it %v, %v", n, at, i, err, none, noneErr)
				}
			}
		})
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	askers.Wait()
}

// A finder opens with a cache of its own size, so that callers' questions take little memory.
func TestCacheOfFinders(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.Close()
	err := s.finder(t.Context(), s.finders).view(func(conn *sqlite.Conn) error {
		size, err := textOf(conn, "PRAGMA cache_size")
		if size != finderCache {
			t.Errorf("the cache of a finder is %s, want %s", size, finderCache)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A closed store answers an error, and waits for nobody.
func TestFindersOfAClosedStore(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	user := issueTo(t, s, "20881", 0, 300, 1)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(s.RecentIssuances(t.Context(), user, 0))
	defer stop()
	if _, err, _ := next(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		_, err, ok := next()
		if !ok {
			t.Fatal("the iteration ended without an error")
		}
		if err != nil {
			break
		}
	}
	if _, err := s.Claim(t.Context(), scope.Template(1), "20881-1"); !errors.Is(err, errClosed) {
		t.Errorf("Claim: %v", err)
	}
}
