package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/embedded/sumvfs"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs/faultfs"
)

// memDir returns a directory in memory, where there is such a place, for tests that open many stores.
func memDir(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "faquan-embedded-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newMemPlace is newPlace in memory, with small segments and without background work.
func newMemPlace(t testing.TB, o Options) *testPlace {
	o.Dir, o.TempDir, o.Foreground = memDir(t), memDir(t), true
	o.JournalDir, o.SegmentBytes = "journal", 64<<10
	return &testPlace{dir: o.Dir, disk: faultfs.New(rand.New(rand.NewPCG(1, 0))), o: o}
}

// client issues to a store and remembers what it was told.
type client struct {
	*storetest.Committer
	told map[string]*benefit.Issuance // by key: what was acknowledged
	not  map[string]bool              // keys of which it was told that nothing was committed
}

// drop forgets everything.
func (c *cache[K, V]) drop() { c.young, c.old = map[K]V{}, nil }

// newClient makes a client of a store with the catalogue of template 1, without limits.
func newClient(st store.Store) *client {
	return &client{
		Committer: storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1),
		told:      map[string]*benefit.Issuance{}, not: map[string]bool{},
	}
}

// ask issues one voucher of template 1 under the key, to one of five users.
func (c *client) ask(n int) error {
	key := fmt.Sprint("k", n)
	r := storetest.Request(key, fmt.Sprint("2088", n%5), storetest.Line(1))
	all, err := c.Issue(context.Background(), storetest.Start+benefit.Instant(n), r)
	switch {
	case err == nil:
		c.told[key] = all[0].Issuance
	case errors.Is(err, store.ErrNotCommitted):
		c.not[key] = true
	}
	return err
}

// mustAsk asks for the keys from, from+1, … to-1.
func (c *client) mustAsk(t testing.TB, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := c.ask(n); err != nil {
			t.Fatalf("issuing k%d: %v", n, err)
		}
	}
}

// wantTold checks that the store holds what the client was told, nothing that it was told is not there, and
// counters that are those of the vouchers.
func (c *client) wantTold(t testing.TB, st store.Store) {
	t.Helper()
	all, err := storetest.ContentsOf(context.Background(), st)
	if err != nil {
		t.Fatalf("reading everything: %v", err)
	}
	found := map[string]*benefit.Issuance{}
	quotas := map[benefit.UserID]int64{}
	for _, i := range all.Issuances {
		found[i.Key] = i
		quotas[i.User]++
	}
	for key, i := range c.told {
		if diff := storetest.Diff(i, found[key]); diff != "" {
			t.Errorf("%s, which was acknowledged (-told +found):\n%s", key, diff)
		}
	}
	for key := range c.not {
		if found[key] != nil {
			t.Errorf("%s is there, though it was told not to be", key)
		}
	}
	counts := storetest.RowsOf(all, benefit.TemplateCounts)
	if len(all.Issuances) > 0 && (len(counts) != 1 || counts[0].Count != int64(len(all.Issuances))) {
		t.Errorf("%d issuances, and the counters %+v", len(all.Issuances), counts)
	}
	for _, q := range storetest.RowsOf(all, benefit.Quotas) {
		if q.Total != quotas[q.User] {
			t.Errorf("the quota %+v, and %d issuances", q, quotas[q.User])
		}
	}
}

// contentsOf reads everything.
func contentsOf(t testing.TB, st store.Store) *storetest.Contents {
	t.Helper()
	all, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatalf("reading everything: %v", err)
	}
	return all
}

func wantSame(t testing.TB, what string, want, got *storetest.Contents) {
	t.Helper()
	if diff := storetest.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// copyView copies the files of a view that is not being written to, over what is there.
func copyView(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := removeView(ViewPath(to)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", sumvfs.LogSuffix, sumvfs.MarkSuffix} {
		in, err := os.Open(ViewPath(from) + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(ViewPath(to) + suffix)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, in)
		if err := errors.Join(err, out.Close(), in.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// commit writes rows that no decision made.
func commit(t testing.TB, s *Store, c *benefit.Changes) error {
	t.Helper()
	return storetest.Write(t.Context(), s, storetest.Start, c)
}

// fullUserOf returns a user with so many bytes of attributes.
func fullUserOf(t testing.TB, s *Store, size int) *benefit.Changes {
	t.Helper()
	ids := storetest.Env(s, 9).IDs
	return &benefit.Changes{Users: []*benefit.User{{
		ID: ids.Block(int64(storetest.Start), 1, 1), Name: "large", Attributes: make([]byte, size),
		Identifiers: []benefit.Identifier{{Type: benefit.AlipayID, Value: "2088large"}},
	}}}
}

// manyIssuances are n issuances of template 1 without counters.
func manyIssuances(n int) *benefit.Changes {
	c := &benefit.Changes{}
	for k := range n {
		line := storetest.Line(1)
		first := id.ID(1)<<40 + id.ID(k)
		c.Issuances = append(c.Issuances, &benefit.Issuance{
			ID: first, Scope: "t/1", Key: fmt.Sprint(k), App: 1, User: 7,
			Lines: []benefit.IssuedLine{{Line: line, First: first, Amounts: []money.Fen{5}, Issued: 1, At: storetest.Start}},
		})
	}
	return c
}

// exec runs a statement on the view behind the store's back.
func exec(s *Store, query string) error { return execOn(s.writer, query) }

func execOn(conn *sqlite.Conn, query string) error { return sqlitex.ExecuteTransient(conn, query, nil) }

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// sparse returns the stride of a loop over every case: 1, or n when the tests are to be short.
func sparse(n int) int {
	if testing.Short() {
		return n
	}
	return 1
}
