package embedded

import (
	"fmt"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// blockView keeps everybody from writing to the view until the returned function is called.
func blockView(t *testing.T, s *Store) (unblock func()) {
	t.Helper()
	if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA busy_timeout=0", nil); err != nil {
		t.Fatal(err)
	}
	conn, err := openConn(ViewPath(s.o.Dir), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteTransient(conn, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A flush that failed leaves its memtable behind. What was committed since is written with the next one as well, so
// that whoever reads then sees all of it.
func TestReadAfterFailedFlush(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.Close()
	c := newClient(s)
	c.mustAsk(t, 0, 3)
	unblock := blockView(t, s)
	if err := s.Flush(); err == nil {
		t.Fatal("the view was written while it was locked")
	}
	c.mustAsk(t, 3, 5)
	unblock()
	c.wantTold(t, s)
}

// A damaged filter takes the other one of its generation with it: alone, it would not hear of what comes until both
// are made again, and hide it.
func TestHalfOfTheFilters(t *testing.T) {
	for _, damaged := range []string{"claims", "quotas"} {
		p := newMemPlace(t, Options{CacheEntries: 1})
		s := p.open(t)
		newClient(s).mustAsk(t, 0, 5)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		conn, err := openConn(ViewPath(p.dir), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := sqlitex.ExecuteTransient(conn, "UPDATE generation SET "+damaged+"=zeroblob(64)", nil); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		s = p.open(t)
		c := newClient(s)
		c.mustAsk(t, 5, 10)
		for n := range 10 { // a new user each, whose quota is in the view alone afterwards
			key := fmt.Sprint("new", n)
			ask := func(key string) *benefit.Request {
				return storetest.Request(key, fmt.Sprint("2099", n), storetest.Line(1))
			}
			first := storetest.Issue(t, s, c.Catalogue, ask(key))
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			newClient(s).mustAsk(t, 100+10*n, 110+10*n) // out of the caches
			if again := storetest.Issue(t, s, c.Catalogue, ask(key)); !again[0].Replayed || again[0].Issuance.ID != first[0].Issuance.ID {
				t.Errorf("damaged %s: %s was issued again", damaged, key)
			}
			second := storetest.Issue(t, s, c.Catalogue, ask(key+" again"))
			if seen := second[0].Issuance.Lines[0].Seen.User; seen != 1 {
				t.Errorf("damaged %s: the second voucher of a user saw %d before it, want 1", damaged, seen)
			}
		}
		s.Close()
	}
}

// Commits wait for the view by what the memtable takes of the memory, not only by how many issuances it holds.
func TestMemtableOfLargeNotes(t *testing.T) {
	s := newMemPlace(t, Options{MaxMemtable: 64}).open(t)
	defer s.Close()
	note := benefit.Note{Extend: strings.Repeat("x", 8<<10)}
	for n := range 20 {
		r := storetest.Request(fmt.Sprint("large", n), "20881", storetest.Line(1))
		r.Note = note
		storetest.Issue(t, s, storetest.Catalogue(storetest.Template(1)), r)
		if s.active.size > 80<<10 {
			t.Fatalf("the memtable holds %d bytes", s.active.size)
		}
	}
}

// Who still reads when the store was closed, and its view could not be written, gets an error.
func TestReadAfterClose(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	newClient(s).mustAsk(t, 0, 1)
	unblock := blockView(t, s)
	if err := s.Close(); err == nil {
		t.Error("Close: the view was written while it was locked")
	}
	unblock()
	if _, err := s.Read(t.Context()); err == nil {
		t.Error("Read: what was acknowledged cannot be in the view")
	}
}
