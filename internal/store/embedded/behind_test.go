package embedded

import (
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"
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

// A flush that failed leaves its overlay behind. What was committed since is written with the next one as well, so
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
