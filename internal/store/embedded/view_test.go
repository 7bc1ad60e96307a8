package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/store/embedded/sumvfs"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
	"faquan/internal/vfs"
)

// Whatever becomes of the view, as long as it is what the view once was or nothing at all, the store is the same
// after the next start.
func TestLostViews(t *testing.T) {
	views := map[string]func(t *testing.T, p *testPlace, older string){
		"as it was": func(*testing.T, *testPlace, string) {},
		"gone": func(t *testing.T, p *testPlace, _ string) {
			if err := removeView(ViewPath(p.dir)); err != nil {
				t.Fatal(err)
			}
		},
		"an older copy": func(t *testing.T, p *testPlace, older string) { copyView(t, older, p.dir) },
		"without its log": func(t *testing.T, p *testPlace, _ string) {
			if err := os.Remove(ViewPath(p.dir) + "-wal"); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		},
		"no database": func(t *testing.T, p *testPlace, _ string) {
			if err := os.WriteFile(ViewPath(p.dir), []byte(strings.Repeat("not a database ", 9999)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"cut in half": func(t *testing.T, p *testPlace, _ string) {
			if err := os.Remove(ViewPath(p.dir) + "-wal"); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if err := os.Truncate(ViewPath(p.dir), 40_000); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, p *testPlace, _ string) {
			if err := os.Truncate(ViewPath(p.dir), 0); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, lose := range views {
		for _, o := range []Options{{}, {GenerationSize: 5, MaxMemtable: 8, CacheEntries: 1}} {
			t.Run(fmt.Sprint(name, " ", o.GenerationSize), func(t *testing.T) {
				p, older, image := newMemPlace(t, o), memDir(t), memDir(t)
				s := p.open(t)
				c := newClient(s)
				c.mustAsk(t, 0, 12)
				want := contentsOf(t, s) // flushes
				copyView(t, p.dir, older)
				c.mustAsk(t, 12, 24)
				want = contentsOf(t, s)
				c.mustAsk(t, 24, 26) // in the journal alone
				copyView(t, p.dir, image)
				p.kill(s)
				copyView(t, image, p.dir) // closing the connections has tidied it up
				lose(t, p, older)

				s = p.open(t)
				defer s.Close()
				c.wantTold(t, s)
				got := contentsOf(t, s)
				if len(got.Issuances) != 26 || len(want.Issuances) != 24 {
					t.Errorf("%d issuances, want 26", len(got.Issuances))
				}
				for n := range 26 {
					again, err := newClient(s).Issue(t.Context(), storetest.Start, storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", n%5), storetest.Line(1)))
					if err != nil || !again[0].Replayed {
						t.Errorf("k%d is issued again: %+v, %v", n, again, err)
					}
				}
			})
		}
	}
}

// A changed bit in any page of the view is noticed, and then the view is made again or cannot be read; or it changes
// nothing of what is read.
func TestFlippedPages(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 10, MaxMemtable: 20})
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 25)
	want := contentsOf(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	whole, err := os.ReadFile(ViewPath(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	page := int(binary.BigEndian.Uint16(whole[16:]))
	outcomes := map[string]int{}
	for at := 0; at < len(whole); at += sparse(5) * page {
		for _, off := range []int{0, 3, 5, 9, page - 3, page - 40, page - 200} {
			flipped := bytes.Clone(whole)
			flipped[at+off] ^= 0x10
			if err := removeView(ViewPath(p.dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(ViewPath(p.dir), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			outcomes[p.openFlipped(t, want, fmt.Sprintf("byte %d of page %d", off, at/page+1))]++
		}
	}
	t.Log(outcomes)
	if !testing.Short() && (len(whole)/page < 10 || outcomes["refused"] == 0 || outcomes["same"] == 0) {
		t.Errorf("the flips do not show much: %d pages, %v", len(whole)/page, outcomes)
	}
}

// openFlipped opens a place with a changed view. It works on a copy of the journal's disk.
func (p *testPlace) openFlipped(t *testing.T, want *storetest.Contents, what string) string {
	t.Helper()
	o := p.o
	o.JournalFS = p.disk.Clone(rand.New(rand.NewPCG(1, 1)))
	found := p.audited(t, o, what)
	s, err := Open(o)
	if err == nil {
		defer s.abandon()
		var got *storetest.Contents
		if got, err = storetest.ContentsOf(t.Context(), s); err == nil {
			switch {
			case storetest.Diff(want, got) == "":
				return "same"
			default:
				t.Errorf("%s: what is read is wrong (found by the comparison with the journal: %t)", what, found)
				return "wrong"
			}
		}
	}
	if !damaged(err) && !strings.Contains(err.Error(), "view") && !errors.Is(err, codec.ErrMalformed) && !strings.Contains(err.Error(), "newer faquan") {
		t.Errorf("%s: the error does not name the view: %v", what, err)
	}
	return "refused"
}

// audited reports whether the comparison with the journal finds something.
func (p *testPlace) audited(t *testing.T, o Options, what string) bool {
	t.Helper()
	check, err := OpenCheck(t.Context(), o)
	if err != nil {
		return true
	}
	defer check.Close()
	report, err := check.Compare(t.Context(), 5)
	return err != nil || len(report.Faults) > 0
}

// A view that belongs to another journal is made again when it claims to be as far as this one, and stops the
// start when it claims to be further: then the journal may have lost its end.
func TestViewOfAnotherJournal(t *testing.T) {
	mine, other := newMemPlace(t, Options{}), newMemPlace(t, Options{})
	a, b := mine.open(t), other.open(t)
	ca, cb := newClient(a), newClient(b)
	ca.mustAsk(t, 0, 6)
	cb.mustAsk(t, 100, 104)
	want := contentsOf(t, a)
	contentsOf(t, b)
	mine.kill(a)
	copyView(t, other.dir, mine.dir)
	a = mine.open(t)
	wantSame(t, "after a start with another's view", want, contentsOf(t, a))
	mine.kill(a)

	cb.mustAsk(t, 104, 112)
	contentsOf(t, b)
	copyView(t, other.dir, mine.dir)
	other.kill(b)
	mine.o.JournalFS = mine.disk
	var damage *journal.DamageError
	if s, err := Open(mine.o); !errors.As(err, &damage) {
		t.Errorf("a view that is ahead of the journal: %v", err)
		if err == nil {
			s.abandon()
		}
	}
}

// An audit of a view whose program knew fewer kinds of rows says so; a start notes the kinds of this one.
func TestKindsOfAnOlderProgram(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn := openSummed(t, ViewPath(p.dir))
	if err := sqlitex.ExecuteTransient(conn, "UPDATE position SET kinds = '1/1'", nil); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	check := func() error {
		c, err := OpenCheck(t.Context(), p.o)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "older faquan") {
		t.Errorf("before this program has opened it: %v", err)
	}
	if err := p.open(t).Close(); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What a newer program wrote is refused, and not touched.
func TestNewer(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		p.o.JournalFS = p.disk
		if s, err := Open(p.o); err == nil || !strings.Contains(err.Error(), "newer faquan") {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				s.abandon()
			}
		}
		p.disk = p.disk.CrashProcess()
	}
	execute := func(statement string) {
		t.Helper()
		conn := openSummed(t, ViewPath(p.dir))
		defer conn.Close()
		if err := sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
			t.Fatal(err)
		}
	}
	execute(fmt.Sprint("PRAGMA user_version=", viewVersion+1))
	refused("a newer schema")
	execute(fmt.Sprint("PRAGMA user_version=", viewVersion))
	execute("UPDATE position SET kinds = kinds || ' 255/1'")
	refused("a newer kind of rows")
	execute(fmt.Sprintf("UPDATE position SET kinds = '%s'", table.Described()))

	sound, _ := codec.EncodeChanges(nil, &benefit.Changes{Now: storetest.Start}, nil)
	for what, record := range map[string]struct {
		kind    byte
		payload []byte
	}{
		"a newer record": {recordKind, []byte{codec.RecordFormat + 1, 1, 2, 3}}, "a newer kind of record": {recordKind + 1, sound},
	} {
		before := p.disk.Clone(rand.New(rand.NewPCG(1, 1)))
		j, err := journal.Open(journal.Options{FS: p.disk, Dir: p.o.JournalDir, SegmentBytes: p.o.SegmentBytes}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Append(record.kind, record.payload); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		refused(what)
		p.disk = before
	}
	s = p.open(t)
	defer s.Close()
	if n := len(contentsOf(t, s).Issuances); n != 3 {
		t.Errorf("%d issuances afterwards", n)
	}
}

// Two processes cannot have one directory; the second one does not touch it.
func TestTwoOpens(t *testing.T) {
	if dir := os.Getenv("FAQUAN_TEST_OPEN"); dir != "" { // the other process
		_, err := Open(Options{Dir: dir, SegmentBytes: 1 << 20})
		fmt.Println("locked:", errors.Is(err, vfs.ErrLocked), err)
		return
	}
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, SegmentBytes: 1 << 20}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second Open: %v", err)
	}
	if err := Rebuild(Options{Dir: dir, SegmentBytes: 1 << 20}, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("Rebuild of an open store: %v", err)
	}
	other := osexec.Command(os.Args[0], "-test.run=^TestTwoOpens$")
	other.Env = append(os.Environ(), "FAQUAN_TEST_OPEN="+dir)
	out, err := other.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "locked: true") {
		t.Errorf("another process: %v\n%s", err, out)
	}
	newClient(s).mustAsk(t, 0, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir, SegmentBytes: 1 << 20}); err != nil {
		t.Fatalf("after Close: %v", err)
	}
	defer s.Close()
}

// Deleting both lock files does not let a second process in.
func TestLockFilesDeleted(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, d := range []string{dir, JournalDir(dir)} {
		if err := os.Remove(filepath.Join(d, lockName)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(Options{Dir: dir, SegmentBytes: 1 << 20}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second Open: %v", err)
	}
	if err := Rebuild(Options{Dir: dir, SegmentBytes: 1 << 20}, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("Rebuild of an open store: %v", err)
	}
}

// A copy of the directory made of hard links does not share the view with the original.
func TestViewHardLinks(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	o := Options{Dir: dir, SegmentBytes: 1 << 20}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	newClient(s).mustAsk(t, 0, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(ViewPath(dir), ViewPath(other)); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := len(contentsOf(t, s).Issuances); n != 3 {
		t.Errorf("%d issuances", n)
	}
	mine, err1 := os.Stat(ViewPath(dir))
	theirs, err2 := os.Stat(ViewPath(other))
	if err := errors.Join(err1, err2); err != nil || os.SameFile(mine, theirs) {
		t.Errorf("both directories have one view (%v)", err)
	}
}

// A store whose directory was moved away commits nothing more, though its journal is in the middle of a segment.
func TestDirectoryReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := Options{Dir: dir, SegmentBytes: 1 << 20, FlushAfter: time.Hour} // the view is written by Flush alone
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newClient(s)
	c.mustAsk(t, 0, 2)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	moved := dir + "-moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(moved)); err != nil {
		t.Fatal(err)
	}
	second, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first store has failed", func() bool {
		_, err := s.Begin(t.Context(), 0)
		return errors.Is(err, store.ErrFailed) && errors.Is(err, vfs.ErrLockLost)
	})
	if err := c.ask(2); !errors.Is(err, store.ErrFailed) {
		t.Errorf("issuing on the first store: %v", err)
	}
	newClient(second).mustAsk(t, 2, 4)
	if err := second.Flush(); err != nil {
		t.Fatal(err)
	}
	files := func() map[string]string {
		found := map[string]string{}
		for _, suffix := range []string{"", sumvfs.LogSuffix, sumvfs.MarkSuffix} {
			b, err := os.ReadFile(ViewPath(dir) + suffix)
			found[suffix] = fmt.Sprint(err, sha256.Sum256(b))
		}
		return found
	}
	before := files()
	if err := s.Close(); !errors.Is(err, vfs.ErrLockLost) {
		t.Errorf("Close of the first store: %v", err)
	}
	if diff := cmp.Diff(before, files()); diff != "" {
		t.Errorf("Close of the first store changed the view of the second (-before +after):\n%s", diff)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if second, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n := len(contentsOf(t, second).Issuances); n != 4 {
		t.Errorf("%d issuances in the second store", n)
	}
}

// The lock comes first: a second process must not even remove a view that it takes for damaged.
func TestSecondOpenKeepsTheView(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 2)
	contentsOf(t, s)
	if err := exec(s, "UPDATE position SET hash=x'00', seq=0"); err != nil { // as good as damaged
		t.Fatal(err)
	}
	before, err := os.Stat(ViewPath(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	p.o.JournalFS = p.disk
	if _, err := Open(p.o); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("a second Open: %v", err)
	}
	if after, err := os.Stat(ViewPath(p.dir)); err != nil || !os.SameFile(before, after) {
		t.Errorf("the view of the first is another file now: %v", err)
	}
	s.abandon()
}

// A view that cannot be written holds commits back when the memtable is full, refuses them, and lets them go on when it
// can be written again. Nothing is lost meanwhile.
func TestStuckView(t *testing.T) {
	for _, foreground := range []bool{true, false} {
		t.Run(fmt.Sprint("foreground ", foreground), func(t *testing.T) {
			p := newMemPlace(t, Options{MaxMemtable: 40, FlushAfter: 5 * time.Millisecond})
			p.o.Foreground = foreground
			s := p.open(t)
			c := newClient(s)
			c.mustAsk(t, 0, 5)
			s.limitPages(t, true)
			n := 5
			var err error
			for ; err == nil && n < 2000; n++ {
				err = c.ask(n)
			}
			if !errors.Is(err, store.ErrNotCommitted) || sqlite.ErrCode(err).ToPrimary() != sqlite.ResultFull {
				t.Fatalf("a commit that the view holds back: %v", err)
			}
			s.limitPages(t, false)
			if err := s.Flush(); err != nil {
				t.Fatalf("Flush: %v", err)
			}
			c.mustAsk(t, n, n+5)
			c.wantTold(t, s)
			p.kill(s)
			s = p.open(t)
			defer s.Close()
			c.wantTold(t, s)
		})
	}
}

// limitPages lets the view grow no more, or without bound.
func (s *Store) limitPages(t *testing.T, on bool) {
	t.Helper()
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	limit := "1"
	if !on {
		limit = "1000000000"
	}
	if err := exec(s, "PRAGMA max_page_count="+limit); err != nil {
		t.Fatal(err)
	}
}

// An identifier that was taken from a user names nobody, and one that was given to another names the other: in the
// memtable, in the view, and after a start.
func TestMovedIdentifiers(t *testing.T) {
	p := newMemPlace(t, Options{CacheEntries: 1})
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 2)
	users := contentsOf(t, s).Users
	a, b := *users[0], *users[1]
	was, is := a.Identifiers[0], benefit.Identifier{Type: benefit.AlipayID, Value: "2088moved"}
	a.Identifiers, a.Alipay = []benefit.Identifier{is}, is.Value
	check := func(when string) {
		t.Helper()
		tx, err := s.Begin(t.Context(), storetest.Start)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		state, want := benefit.NewState(), benefit.NewState()
		keys := &benefit.Keys{Recipients: []benefit.Identifier{was, is, b.Identifiers[0]}}
		if err := tx.Load(t.Context(), keys, state); err != nil {
			t.Fatal(err)
		}
		want.SetRecipient(was, nil, nil)
		if len(b.Identifiers) == 2 {
			want.SetRecipient(was, &b, nil)
		}
		want.SetRecipient(is, &a, nil)
		want.SetRecipient(b.Identifiers[0], &b, nil)
		if diff := storetest.Diff(want, state); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	throughout := func(what string, changed ...*benefit.User) {
		t.Helper()
		if err := commit(t, s, &benefit.Changes{Users: changed}); err != nil {
			t.Fatal(err)
		}
		check(what + ", in the memtable")
		contentsOf(t, s)
		check(what + ", in the view")
		p.kill(s)
		s = p.open(t)
		check(what + ", after a start")
		if err := removeView(ViewPath(p.dir)); err != nil {
			t.Fatal(err)
		}
		p.kill(s)
		s = p.open(t)
		check(what + ", from the journal alone")
	}
	throughout("taken from a user who had no other", &a)
	b.Identifiers = append(b.Identifiers[:1:1], was)
	throughout("given to another user", &b)
	b.Identifiers = b.Identifiers[:1]
	throughout("taken from it again", &b)
	s.abandon()
}

// A clock that was in the next day for a batch without issues, and steps back, does not hide the day's counters.
func TestDayAfterStepBack(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.Close()
	cat := storetest.Catalogue(storetest.Template(1, func(t *benefit.Template) { t.Stock.CountPerDay = 1 }))
	c := storetest.NewCommitter(s, cat, 1)
	ask := func(key string, clock benefit.Instant, template benefit.TemplateID) benefit.Reason {
		t.Helper()
		all, err := c.Issue(t.Context(), clock, storetest.Request(key, "20881", storetest.Line(template)))
		if err != nil {
			t.Fatal(err)
		}
		return all[0].Reason
	}
	const day = 24 * 60 * 60 * 1000
	if r := ask("a", storetest.Start, 1); r != benefit.NotRefused {
		t.Fatalf("the first of the day: %v", r)
	}
	contentsOf(t, s)
	s.rows.drop() // as after a start
	c.Catalogue = storetest.Catalogue(storetest.Template(1, func(t *benefit.Template) { t.Status = benefit.Paused }))
	if r := ask("b", storetest.Start+day, 1); r != benefit.TemplatePaused {
		t.Fatalf("while it is paused: %v", r)
	}
	c.Catalogue = cat
	if r := ask("c", storetest.Start+1, 1); r != benefit.DayStockEmpty {
		t.Errorf("the second of the day: %v", r)
	}
}

// A data directory may have any name, which the URI of its view carries.
func TestOddPath(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.Dir = filepath.Join(p.o.Dir, "a b+c&d=e%20f?g#h\xff")
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 3)
	contentsOf(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
