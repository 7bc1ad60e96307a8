package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// feedStore opens a store on a database of its own.
func feedStore(t testing.TB, srv *pgtest.Server) *Store {
	t.Helper()
	return openFeed(t, srv.Database(t))
}

func openFeed(t testing.TB, url string) *Store {
	t.Helper()
	st, err := Open(t.Context(), Options{URL: url, CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// mark returns changes that do nothing but leave a number in the feed.
func mark(n int64, now benefit.Instant) *benefit.Changes {
	event := benefit.TemplateEvent{Type: benefit.TemplateSoldOutEvent, Template: 1, Count: n}
	return &benefit.Changes{Now: now, Steps: []benefit.Step{{Templates: []benefit.TemplateEvent{event}}}}
}

// leave commits numbers, one by one.
func leave(t testing.TB, st *Store, now benefit.Instant, numbers ...int64) {
	t.Helper()
	for _, n := range numbers {
		b := beginFeed(t, st)
		if err := b.Commit(t.Context(), mark(n, now)); err != nil {
			t.Fatal(err)
		}
	}
}

func beginFeed(t testing.TB, st *Store) *tx {
	t.Helper()
	b, err := st.Begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return b.(*tx)
}

// feedFollower reads a feed of marks.
type feedFollower struct {
	st    *Store
	at    store.Place
	marks []int64
}

func followFeed(t testing.TB, st *Store) *feedFollower {
	t.Helper()
	at, err := st.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &feedFollower{st: st, at: at}
}

// read reads what there is behind the place, a few commits at a time.
func (f *feedFollower) read(t testing.TB) {
	t.Helper()
	for {
		page, err := f.st.Commits(t.Context(), f.at, 3)
		if err != nil {
			t.Fatal(err)
		}
		before := f.at
		for _, c := range page {
			if c.Place == before {
				continue
			}
			if c.Seq != f.at.Seq+1 {
				t.Fatalf("commit %d behind commit %d", c.Seq, f.at.Seq)
			}
			f.at = c.Place
			f.marks = append(f.marks, c.Steps[0].Templates[0].Count)
		}
		if f.at == before {
			return
		}
	}
}

func (f *feedFollower) want(t testing.TB, want ...int64) {
	t.Helper()
	f.read(t)
	if !slices.Equal(f.marks, want) {
		t.Errorf("the feed has %v, want %v", f.marks, want)
	}
}

// What transactions of a schedule do, each in this order. The lock step begins the batch and waits for its locks.
const (
	lockStep = iota
	writeStep
	commitStep
	allSteps
)

// schedules are the orders in which transactions with the given locks can take their steps.
type schedules struct {
	locks [][]benefit.TemplateID // of each transaction, in the order in which they are taken
	all   [][]int                // of each schedule, the transaction that takes its next step
}

// lockModel is who has and who waits for which locks: the first to wait is the first to get a lock.
type lockModel struct {
	locks [][]benefit.TemplateID
	taken []int                        // of each transaction: how many of its locks it has
	queue map[benefit.TemplateID][]int // the holder, and those that wait
}

func newLockModel(locks [][]benefit.TemplateID) *lockModel {
	return &lockModel{locks: locks, taken: make([]int, len(locks)), queue: map[benefit.TemplateID][]int{}}
}

func (m *lockModel) blocked(n int) bool { return m.taken[n] < len(m.locks[n]) }

// acquire lets a transaction take its next locks.
func (m *lockModel) acquire(n int) {
	for m.blocked(n) {
		l := m.locks[n][m.taken[n]]
		if !slices.Contains(m.queue[l], n) {
			m.queue[l] = append(m.queue[l], n)
		}
		if m.queue[l][0] != n {
			return
		}
		m.taken[n]++
	}
}

// release lets go of the locks of a transaction, and returns those that have all of theirs now.
func (m *lockModel) release(n int) (ready []int) {
	for _, l := range m.locks[n] {
		m.queue[l] = m.queue[l][1:]
	}
	for _, l := range m.locks[n] {
		if q := m.queue[l]; len(q) > 0 && m.blocked(q[0]) {
			if m.acquire(q[0]); !m.blocked(q[0]) {
				ready = append(ready, q[0])
			}
		}
	}
	return ready
}

// replay returns the model after some steps, and how many each transaction has taken.
func replay(locks [][]benefit.TemplateID, order []int) (*lockModel, []int) {
	m, steps := newLockModel(locks), make([]int, len(locks))
	for _, n := range order {
		switch steps[n] {
		case lockStep:
			m.acquire(n)
		case commitStep:
			m.release(n)
		}
		steps[n]++
	}
	return m, steps
}

// alone reports whether a transaction has locks that no other one wants.
func (s *schedules) alone(n int) bool {
	for other, locks := range s.locks {
		if other != n && slices.ContainsFunc(locks, func(l benefit.TemplateID) bool { return slices.Contains(s.locks[n], l) }) {
			return false
		}
	}
	return true
}

// extend adds all schedules that begin with the given steps. Of two transactions that could change places, the first begins
// first.
func (s *schedules) extend(order []int) {
	if len(order) == allSteps*len(s.locks) {
		s.all = append(s.all, slices.Clone(order))
		return
	}
	m, steps := replay(s.locks, order)
	for n := range s.locks {
		twin := n > 0 && (slices.Equal(s.locks[n-1], s.locks[n]) || s.alone(n-1) && s.alone(n))
		if steps[n] == allSteps || steps[n] == writeStep && m.blocked(n) || twin && steps[n] == lockStep && steps[n-1] == lockStep {
			continue
		}
		s.extend(append(order, n))
	}
}

// feedSchedule takes transactions through a schedule.
type feedSchedule struct {
	st    *Store
	watch *pgx.Conn
	model *lockModel
	txs   []*tx
	locks []chan error // of each transaction: ready when its lock step is done
	done  []int64      // marks in the order of their commits
}

func (s *feedSchedule) step(t testing.TB, n, step int) {
	t.Helper()
	switch step {
	case lockStep:
		s.txs[n], s.locks[n] = beginFeed(t, s.st), make(chan error, 1)
		keys := &benefit.Keys{}
		for _, l := range s.model.locks[n] {
			keys.Locks = append(keys.Locks, benefit.Lock{Kind: benefit.TemplateLock, ID: int64(l)})
		}
		go func() { s.locks[n] <- s.txs[n].Load(context.Background(), keys, benefit.NewState()) }()
		if s.model.acquire(n); !s.model.blocked(n) {
			s.locked(t, n)
			return
		}
		s.waits(t)
	case writeStep:
		if err := s.txs[n].write(t.Context(), mark(int64(n), 1)); err != nil {
			t.Fatal(err)
		}
	case commitStep:
		if err := s.txs[n].commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.done = append(s.done, int64(n))
		for _, next := range s.model.release(n) {
			s.locked(t, next)
		}
		s.waits(t)
	}
}

// locked waits until a transaction has its locks.
func (s *feedSchedule) locked(t testing.TB, n int) {
	t.Helper()
	select {
	case err := <-s.locks[n]:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("transaction %d does not get its locks", n)
	}
}

// waits waits until all transactions wait for a lock that the model has waiting.
func (s *feedSchedule) waits(t testing.TB) {
	t.Helper()
	var pids []int32
	for n, b := range s.txs {
		if b != nil && b.conn != nil && s.model.blocked(n) {
			pids = append(pids, int32(b.conn.Conn().PgConn().PID()))
		}
	}
	for end := time.Now().Add(30 * time.Second); len(pids) > 0; time.Sleep(time.Millisecond) {
		var waiting int
		const ask = `SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid = ANY($1)`
		if err := s.watch.QueryRow(t.Context(), ask, pids).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting == len(pids) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d transactions wait", waiting, len(pids))
		}
	}
}

// In whatever order transactions lock, write and commit, and wherever between them the sequencer runs, a reader sees each
// commit once, and behind those of the earlier holders of its locks.
func TestFeedOrder(t *testing.T) {
	for name, locks := range map[string][][]benefit.TemplateID{
		"apart":       {{1}, {2}, {3}},
		"two of them": {{1}, {1}, {2}},
		"one lock":    {{1}, {1}, {1}},
		"a chain":     {{1, 2, 3}, {2}, {3}}, // the first waits twice, and others begin meanwhile
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := &schedules{locks: locks}
			all.extend(nil)
			st := feedStore(t, pgtest.Shared(t))
			watch, err := pgx.ConnectConfig(t.Context(), st.reading.Config().ConnConfig)
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Close(context.Background())
			draw := rand.New(rand.NewPCG(uint64(len(name)), 0))
			tries := 0
			for k, order := range all.all {
				if testing.Short() && k%9 != 0 {
					continue
				}
				for _, one := range []int{allSteps * len(locks), 3} { // a round at the end only, or behind every third step
					runFeedSchedule(t, st, watch, locks, order, func() bool { return draw.IntN(one) == 0 && one == 3 })
					tries++
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d of %d schedules", tries, 2*len(all.all))
		})
	}
}

func runFeedSchedule(t *testing.T, st *Store, watch *pgx.Conn, locks [][]benefit.TemplateID, order []int, round func() bool) {
	t.Helper()
	f := followFeed(t, st)
	s := &feedSchedule{
		st: st, watch: watch, model: newLockModel(locks), txs: make([]*tx, len(locks)), locks: make([]chan error, len(locks)),
	}
	defer func() {
		for _, b := range s.txs {
			if b != nil {
				b.Rollback()
			}
		}
	}()
	var trace strings.Builder
	sequence := func() {
		if err := st.SequenceFeed(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(&trace, " sequence")
		f.read(t)
	}
	steps := make([]int, len(locks))
	for _, n := range order {
		s.step(t, n, steps[n])
		fmt.Fprint(&trace, " ", n, []string{"locks", "writes", "commits"}[steps[n]])
		steps[n]++
		if round() {
			sequence()
		}
	}
	sequence()
	if len(f.marks) != len(locks) {
		t.Errorf("%v: the feed has %v", &trace, f.marks)
	}
	for k, n := range s.done {
		if !slices.Contains(f.marks, n) {
			t.Errorf("%v: transaction %d is missing", &trace, n)
		}
		for _, later := range s.done[k+1:] {
			shared := slices.ContainsFunc(locks[n], func(l benefit.TemplateID) bool { return slices.Contains(locks[later], l) })
			if shared && slices.Index(f.marks, n) > slices.Index(f.marks, later) {
				t.Errorf("%v: the feed has %v, and %d may rest on %d", &trace, f.marks, later, n)
			}
		}
	}
}

// A round that finds another under way waits for it, and numbers what that has left. Both see what was committed meanwhile.
func TestFeedRoundsTakeTurns(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	st, other := openFeed(t, url), openFeed(t, url)
	f := followFeed(t, st)
	leave(t, st, 1, 1, 2)
	first, err := st.reading.BeginTx(t.Context(), feedRound)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback(context.Background())
	if n, err := numberVisible(t.Context(), first, 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	done := make(chan error, 1)
	go func() { done <- other.SequenceFeed(context.Background()) }()
	waitForLock(t, other, done)
	leave(t, st, 1, 3)
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("the second round: %v", err)
	}
	f.want(t, 1, 2, 3)
}

// A sequencer that dies in the middle of a round leaves everything to the next one.
func TestSequencerDies(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	st, other := openFeed(t, url), openFeed(t, url)
	f := followFeed(t, other)
	leave(t, st, 1, 1, 2, 3)
	round, err := st.reading.BeginTx(t.Context(), feedRound)
	if err != nil {
		t.Fatal(err)
	}
	defer round.Rollback(context.Background())
	if n, err := numberVisible(t.Context(), round, 2); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := other.reading.Exec(t.Context(), "SELECT pg_terminate_backend($1, 5000)", int32(round.Conn().PgConn().PID())); err != nil {
		t.Fatal(err)
	}
	if err := round.Commit(t.Context()); err == nil {
		t.Error("the round of a connection that was ended has committed")
	}
	f.want(t)
	if err := other.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want(t, 1, 2, 3)
}

// Two processes sequence while others commit and connections are ended. A reader sees each commit once, and those of one lock in
// order.
func TestSequencersUnderLoad(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader := openFeed(t, url)
	f := followFeed(t, reader)
	ended := make(chan struct{}, 2)
	for range 2 {
		st := openFeed(t, url)
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				_ = st.SequenceFeed(ctx) // it fails when its connection is ended
			}
		}()
	}
	const each = 60
	writers := make(chan error, 3)
	for w := range 3 {
		st := openFeed(t, url)
		go func() { writers <- leaveMany(ctx, st, int64(w+1), each) }()
	}
	left := 3
	for left > 0 {
		select {
		case err := <-writers:
			if left--; err != nil {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Millisecond):
			const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
AND query LIKE '%feed_state%' AND pid <> pg_backend_pid() LIMIT 1`
			if _, err := reader.issuing.Exec(ctx, end); err != nil {
				t.Fatal(err)
			}
		}
		f.read(t)
	}
	stop()
	<-ended
	<-ended
	if err := reader.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.read(t)
	wantFeedOf(t, f, 3, each)
}

// leaveMany commits numbers under the lock of a template: 1000 times the template, and more.
func leaveMany(ctx context.Context, st *Store, template int64, n int64) error {
	for k := range n {
		b, err := st.Begin(ctx, 1)
		if err != nil {
			return err
		}
		keys := &benefit.Keys{Locks: []benefit.Lock{{Kind: benefit.TemplateLock, ID: template}}}
		if err := b.Load(ctx, keys, benefit.NewState()); err != nil {
			return err
		}
		if err := b.Commit(ctx, mark(template*1000+k, 1)); err != nil {
			return err
		}
	}
	return nil
}

// wantFeedOf wants what leaveMany has left under some templates, each in order.
func wantFeedOf(t testing.TB, f *feedFollower, templates, each int64) {
	t.Helper()
	next := map[int64]int64{}
	for _, n := range f.marks {
		if of := n / 1000; n%1000 != next[of] {
			t.Fatalf("of template %d there is %d behind %d", of, n%1000, next[of]-1)
		}
		next[n/1000]++
	}
	for of := int64(1); of <= templates; of++ {
		if next[of] != each {
			t.Errorf("of template %d there are %d commits, want %d", of, next[of], each)
		}
	}
}

// A server that is killed gives the same numbers after it has come again, and later commits come behind.
func TestFeedAfterAKilledServer(t *testing.T) {
	srv := pgtest.Start(t)
	st := feedStore(t, srv)
	f := followFeed(t, st)
	leave(t, st, 1, 1, 2)
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want(t, 1, 2)
	leave(t, st, 1, 3)
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	srv.StartAgain(t)
	again := openFeed(t, srv.URL(st.reading.Config().ConnConfig.Database))
	leave(t, again, 1, 4)
	if err := again.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.st = again
	f.want(t, 1, 2, 3, 4)
}

// The oldest commits are removed, a few at a time, and a place from which one is missing is gone.
func TestRemoveFeed(t *testing.T) {
	st := feedStore(t, pgtest.Shared(t))
	begin := followFeed(t, st)
	leave(t, st, 10, 1, 2)
	leave(t, st, 5, 3) // its batch took long
	leave(t, st, 20, 4)
	leave(t, st, 30, 5)
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := st.Commits(t.Context(), begin.at, 100)
	if err != nil || len(all) != 5 {
		t.Fatal(len(all), err)
	}
	for _, c := range []struct {
		before          benefit.Instant
		limit, removed  int
		first, sinceTen int64 // the place of the first commit that is kept, and that before it
	}{
		{before: 10, limit: 100, removed: 0, first: 1, sinceTen: 0},
		{before: 11, limit: 2, removed: 2, first: 3, sinceTen: 2},
		{before: 11, limit: 100, removed: 1, first: 4, sinceTen: 3},
		{before: 1000, limit: 100, removed: 2, first: 6, sinceTen: 5},
		{before: 1000, limit: 100, removed: 0, first: 6, sinceTen: 5},
	} {
		removed, err := st.RemoveFeed(t.Context(), c.before, c.limit)
		if removed != c.removed || err != nil {
			t.Errorf("before %d: %d removed, want %d; %v", c.before, removed, c.removed, err)
		}
		if since, err := st.FeedSince(t.Context(), 10); since.Seq != c.sinceTen || err != nil {
			t.Errorf("before %d: since 10 is %d, want %d; %v", c.before, since.Seq, c.sinceTen, err)
		}
		for k, from := range append([]store.Place{begin.at}, all[0].Place, all[1].Place, all[2].Place, all[3].Place, all[4].Place) {
			page, err := st.Commits(t.Context(), from, 100)
			if gone := from.Seq < c.first-1; gone != errors.Is(err, store.ErrPlaceGone) || !gone && err != nil {
				t.Errorf("before %d: from %d: %v", c.before, k, err)
			} else if want := 5 - max(from.Seq-1, c.first-1, 0); !gone && int64(len(page)) != want {
				t.Errorf("before %d: from %d: %d commits, want %d", c.before, k, len(page), want)
			}
		}
	}
	leave(t, st, 40, 6)
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &feedFollower{st: st, at: all[4].Place}
	f.want(t, 6)
	if since, err := st.FeedSince(t.Context(), 40); since.Seq != 5 || err != nil {
		t.Errorf("since 40 is %d; %v", since.Seq, err)
	}
}

// A reader that is under way while rows are removed sees all of them.
func TestFeedIsReadAtOneMoment(t *testing.T) {
	st := feedStore(t, pgtest.Shared(t))
	f := followFeed(t, st)
	leave(t, st, 1, 1, 2)
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commits(t.Context(), f.at, 10); err != nil { // its statements are prepared
		t.Fatal(err)
	}
	removal, err := st.issuing.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer removal.Rollback(context.Background())
	if _, err := removal.Exec(t.Context(), "LOCK TABLE feed"); err != nil { // the reader gets to its second statement
		t.Fatal(err)
	}
	if n, err := removeOldest(t.Context(), removal, 2, 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	var page []*store.Commit
	done := make(chan error, 1)
	go func() {
		var err error
		page, err = st.Commits(context.Background(), f.at, 10)
		done <- err
	}()
	waitForLock(t, st, done)
	if err := removal.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || len(page) != 2 {
		t.Errorf("%d commits, want 2; %v", len(page), err)
	}
}

// waitForLock waits until a connection to the database waits for a lock, and fails when done comes first.
func waitForLock(t testing.TB, st *Store, done <-chan error) {
	t.Helper()
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
		const ask = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
		if err := st.issuing.QueryRow(t.Context(), ask).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
}

// Places from before the history was renewed are refused, and those after it hold.
func TestRenewFeedHistory(t *testing.T) {
	st := feedStore(t, pgtest.Shared(t))
	leave(t, st, 1, 1)
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := followFeed(t, st)
	for name, renew := range map[string]func() error{
		"by the store": func() error { return st.RenewFeedHistory(t.Context()) },
		"by hand": func() error { // see docs/postgresql.md
			_, err := st.issuing.Exec(t.Context(), "UPDATE feed_state SET history = gen_random_uuid()")
			return err
		},
	} {
		if err := renew(); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Commits(t.Context(), before.at, 1); !errors.Is(err, store.ErrForeignPlace) {
			t.Errorf("%s: a place from before: %v", name, err)
		}
		after := followFeed(t, st)
		if after.at.Seq != before.at.Seq {
			t.Errorf("%s: the end is %d, want %d", name, after.at.Seq, before.at.Seq)
		}
		after.want(t)
		before = after
	}
}

// A page with many steps ends early, but never so early that a reader cannot get on.
func TestFeedPagesAreBounded(t *testing.T) {
	st := feedStore(t, pgtest.Shared(t))
	f := followFeed(t, st)
	large := mark(1, 1)
	large.Steps = slices.Repeat(large.Steps, maxPageSteps)
	for range 4 {
		if err := beginFeed(t, st).Commit(t.Context(), large); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if page, err := st.Commits(t.Context(), f.at, 100); err != nil || len(page) != 2 {
		t.Errorf("%d commits, want 2; %v", len(page), err)
	}
	f.want(t, 1, 1, 1, 1)
}

// A commit, or an issuance of it, whose bytes nobody can have written is damage.
func TestDamagedFeed(t *testing.T) {
	for _, damage := range []string{`UPDATE feed SET body = '\xff'`, `UPDATE issuance SET body = '\xff'`} {
		st := feedStore(t, pgtest.Shared(t))
		f := followFeed(t, st)
		c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
		_, err := c.Issue(t.Context(), storetest.Start, storetest.Request("k", "1", storetest.Line(1)))
		if err := errors.Join(err, st.SequenceFeed(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := st.issuing.Exec(t.Context(), damage); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Commits(t.Context(), f.at, 10); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got %v", damage, err)
		}
	}
}

// A commit whose rows are lost is damage.
func TestFeedOfLostRows(t *testing.T) {
	st := feedStore(t, pgtest.Shared(t))
	f := followFeed(t, st)
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
	if _, err := c.Issue(t.Context(), storetest.Start, storetest.Request("k", "1", storetest.Line(1))); err != nil {
		t.Fatal(err)
	}
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if page, err := st.Commits(t.Context(), f.at, 10); err != nil || len(page) != 1 {
		t.Fatal(page, err)
	}
	if _, err := st.issuing.Exec(t.Context(), "DELETE FROM issuance"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commits(t.Context(), f.at, 10); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}
