package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs/faultfs"
)

// feedEnd returns the end of the feed.
func feedEnd(t testing.TB, s *Store) store.Place {
	t.Helper()
	end, err := s.FeedEnd(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// readOn reads a page behind a place, and checks that the place's commit comes first. It returns the place behind the page.
func readOn(s store.Feed, from store.Place, limit int) ([]*store.Commit, store.Place, error) {
	page, err := s.Commits(context.Background(), from, limit)
	if err != nil {
		return nil, from, err
	}
	if from.Seq > 0 {
		if len(page) == 0 || page[0].Place != from {
			return nil, from, fmt.Errorf("the page of %v does not begin with its commit", from)
		}
		page = page[1:]
	}
	for k, c := range page {
		if c.Seq != from.Seq+int64(k)+1 {
			return nil, from, fmt.Errorf("commit %d in the place of %d", c.Seq, from.Seq+int64(k)+1)
		}
	}
	if len(page) > 0 {
		from = page[len(page)-1].Place
	}
	return page, from, nil
}

// readAll reads on until there is nothing more.
func readAll(t testing.TB, s store.Feed, from store.Place, limit int) (all []*store.Commit) {
	t.Helper()
	for {
		page, next, err := readOn(s, from, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all, from = append(all, page...), next
	}
}

func start(s *Store) store.Place { return store.Place{Check: s.history} }

// A place of another store is refused, and so is one of this store when a backup was put in its place and written on.
func TestForeignPlace(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 20)
	common := feedEnd(t, s)
	p.kill(s)
	restored := newMemPlace(t, Options{})
	restored.disk = p.disk.Clone(rand.New(rand.NewPCG(2, 0)))
	stores := []*Store{p.open(t), restored.open(t), newMemPlace(t, Options{}).open(t)}
	newClient(stores[0]).mustAsk(t, 100, 103)
	newClient(stores[1]).mustAsk(t, 200, 203)
	newClient(stores[2]).mustAsk(t, 0, 30)
	for k, s := range stores {
		end := feedEnd(t, s)
		if k < 2 {
			if n := len(readAll(t, s, common, 2)); n != 3 {
				t.Errorf("store %d: %d commits behind the common past, want 3", k, n)
			}
		}
		for what, from := range map[string]store.Place{
			"behind the end": {Seq: end.Seq + 1, Check: end.Check}, "negative": {Seq: -1, Check: end.Check}, "far": {Seq: 1 << 62},
			"the start of another": {Check: [4]byte{1, 2, 3, 4}}, "the end with another check": {Seq: end.Seq, Check: common.Check},
			"the end of the next store": feedEnd(t, stores[(k+1)%3]), "the start of another store": start(stores[2-k/2*2]),
		} {
			if _, err := s.Commits(t.Context(), from, 10); !errors.Is(err, store.ErrForeignPlace) {
				t.Errorf("store %d: %s: %v", k, what, err)
			}
		}
	}
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for k, disk := range []*faultfs.FS{p.disk, restored.disk} {
		if n := disk.OpenFiles(); n != 0 {
			t.Errorf("store %d: %d files are open", k, n)
		}
	}
}

// Places stay those of their commits through crashes, and what was acknowledged stays in the feed.
func TestFeedAfterCrashes(t *testing.T) {
	p := newMemPlace(t, Options{MaxMemtable: 8})
	s := p.open(t)
	r := rand.New(rand.NewPCG(1, 1))
	var known []*store.Commit
	for life := range 6 {
		c := newClient(s)
		c.mustAsk(t, 20*life, 20*life+15)
		all := readAll(t, s, start(s), 7)
		if life > 0 {
			wantCommits(t, known, all[:len(known)])
			wantCommits(t, all[len(known):], readAll(t, s, known[len(known)-1].Place, 7))
		}
		if issued := issuedIn(all[len(known):]); len(issued) != len(c.told) {
			t.Errorf("life %d: the feed has %d issues of %d", life, len(issued), len(c.told))
		}
		if known = all; life%2 == 0 {
			p.powerCut(s, r)
		} else {
			p.kill(s)
		}
		s = p.open(t)
	}
	p.kill(s)
}

func wantCommits(t testing.TB, want, got []*store.Commit) {
	t.Helper()
	if diff := storetest.Diff(want, got); diff != "" {
		t.Errorf("commits (-want +got):\n%s", diff)
	}
}

// issuedIn returns the keys that were issued to in commits.
func issuedIn(all []*store.Commit) (keys []string) {
	for _, c := range all {
		for _, s := range c.Steps {
			keys = append(keys, s.Issuance.Key)
		}
	}
	return keys
}

// A consumer that goes on where it stopped opens no file; few files are open, and none in the end.
func TestCursorPool(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.SegmentBytes = 1 << 20 // one holds all
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 100)
	before := p.disk.OpenFiles()
	places := []store.Place{start(s)}
	for _, c := range readAll(t, s, start(s), 50) {
		places = append(places, c.Place)
	}
	for _, from := range slices.Backward(places) { // none is where a cursor stands
		if _, _, err := readOn(s, from, 3); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.disk.OpenFiles() - before; n != maxCursors {
		t.Errorf("%d files are open for readers, want %d", n, maxCursors)
	}
	at := make([]store.Place, maxCursors)
	for k := range at {
		at[k] = places[20*k]
	}
	read := func() {
		for k := range at {
			_, next, err := readOn(s, at[k], 2)
			if err != nil {
				t.Fatal(err)
			}
			at[k] = next
		}
	}
	read()
	opened := map[string]int{}
	p.disk.FailFunc(func(op faultfs.Op) faultfs.Fault {
		if op.Kind == faultfs.Open {
			opened[filepath.Base(op.Name)]++
		}
		return faultfs.Fault{}
	})
	for range 5 {
		read()
	}
	p.disk.FailFunc(nil)
	if len(opened) != 0 {
		t.Errorf("files opened: %v", opened)
	}
	late := s.cursors.take(at[0])
	if late == nil {
		t.Fatal("there is no cursor at the place of the last page")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.cursors.put(late)
	if n := p.disk.OpenFiles(); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
	if _, err := s.Commits(t.Context(), places[1], 5); !errors.Is(err, errClosed) {
		t.Errorf("a closed store: %v", err)
	}
}

// Large commits do not come by the hundred.
func TestLargePages(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.SegmentBytes = 4 << 20
	s := p.open(t)
	defer p.kill(s)
	const n, size = 12, 400 << 10
	for range n {
		if err := commit(t, s, fullUserOf(t, s, size)); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.Commits(t.Context(), start(s), 100)
	if most := pageBytes/size + 1; err != nil || len(page) == 0 || len(page) > most {
		t.Errorf("%d commits of %d KiB in one page, want at most %d; %v", len(page), size>>10, most, err)
	}
	if all := readAll(t, s, start(s), 100); len(all) != n {
		t.Errorf("%d commits, want %d", len(all), n)
	}
}

// FeedSince finds the commit of each instant, in whatever segment it is.
func TestFeedSince(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	defer p.kill(s)
	if at, err := s.FeedSince(t.Context(), 1); err != nil || at != start(s) {
		t.Errorf("in an empty store: %v, %v", at, err)
	}
	c := newClient(s)
	for n := 0; n < 120; n += 1 + n%3 { // with instants that nothing was done at
		c.mustAsk(t, n, n+1)
		if n%5 == 0 {
			c.mustAsk(t, n, n+1) // and replays, which are no commits
		}
	}
	all := readAll(t, s, start(s), 50)
	for n := benefit.Instant(-1); n <= 121; n++ {
		since, want := storetest.Start+n, start(s)
		for _, c := range all {
			if c.Now >= since {
				break
			}
			want = c.Place
		}
		if got, err := s.FeedSince(t.Context(), since); err != nil || got != want {
			t.Errorf("since %d: %v, want %v; %v", n, got, want, err)
		}
	}
}

// What an old record of the journal has suffered is an error of who reads it. Issuing goes on.
func TestFeedOfADamagedJournal(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	defer p.kill(s)
	c := newClient(s)
	c.mustAsk(t, 0, 40)
	end := feedEnd(t, s)
	if _, _, err := readOn(s, end, 2); err != nil {
		t.Fatal(err)
	}
	if err := p.disk.FlipBit("journal/00000001.seg", 8*(2*4096+100)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var damage *journal.DamageError
		if _, err := s.Commits(t.Context(), start(s), 10); !errors.As(err, &damage) {
			t.Fatalf("got %v, want a *DamageError", err)
		}
		if _, err := s.FeedSince(t.Context(), storetest.Start+3); !errors.As(err, &damage) {
			t.Fatalf("FeedSince: got %v, want a *DamageError", err)
		}
		c.mustAsk(t, len(c.told), len(c.told)+1)
	}
	if all := readAll(t, s, end, 10); len(all) != 2 {
		t.Errorf("%d commits behind the end of before, want 2", len(all))
	}
	open := p.disk.OpenFiles()
	s.cursors.close()
	if n := open - p.disk.OpenFiles(); n != 1 {
		t.Errorf("%d readers were kept, want the one that met no damage", n)
	}
}

// A store that has failed has no feed either.
func TestFeedOfAFailedStore(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	defer s.abandon()
	c := newClient(s)
	c.mustAsk(t, 0, 3)
	p.disk.FailFunc(func(op faultfs.Op) faultfs.Fault {
		if op.Kind == faultfs.SyncData {
			return faultfs.Fault{Err: syscall.EIO}
		}
		return faultfs.Fault{}
	})
	if err := c.ask(3); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("issuing: %v", err)
	}
	_, end := s.FeedEnd(t.Context())
	_, since := s.FeedSince(t.Context(), 0)
	_, commits := s.Commits(t.Context(), start(s), 10)
	for _, err := range []error{end, since, commits} {
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("got %v, want the failure", err)
		}
	}
}

// Consumers of every pace, beside issuing and flushing, get each commit once and in order.
func TestFollowersBesideIssuing(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), SegmentBytes: 256 << 10, MaxMemtable: 50, FlushAfter: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	var followers sync.WaitGroup
	for k := range maxCursors + 2 {
		followers.Go(func() {
			at, read, deadline := start(s), []string{}, time.Now().Add(time.Minute)
			for len(read) < n && time.Now().Before(deadline) {
				page, next, err := readOn(s, at, 2+k*k)
				if err != nil {
					t.Errorf("follower %d: %v", k, err)
					return
				}
				read, at = append(read, issuedIn(page)...), next
				if k%2 == 0 {
					time.Sleep(time.Duration(k) * time.Millisecond)
				}
				if _, err := s.FeedSince(context.Background(), storetest.Start+benefit.Instant(len(read))); err != nil {
					t.Errorf("follower %d: since %d: %v", k, len(read), err)
				}
			}
			for k := range n {
				if k >= len(read) || read[k] != fmt.Sprint("k", k) {
					t.Errorf("follower %d has read %v", k, read)
					return
				}
			}
		})
	}
	newClient(s).mustAsk(t, 0, n)
	followers.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
