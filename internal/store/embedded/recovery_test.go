package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/journal"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs"
)

// fill runs a random history on a store and on the plain one.
func fill(t *testing.T, s *Store, seed uint64, steps int) *memory.Store {
	t.Helper()
	w, model := storetest.NewWorld(storetest.Seeded(seed)), memory.New()
	real, plain := storetest.NewCommitter(s, w.Catalogue(), seed), storetest.NewCommitter(model, w.Catalogue(), seed)
	step := w.Setup()
	for range steps {
		if err := w.Do(t.Context(), step, real, plain); err != nil {
			t.Fatal(err)
		}
		step = w.Next()
	}
	return model
}

// The journal alone is the whole store: without a view, and with one that Rebuild made, it holds the same.
func TestRebuild(t *testing.T) {
	for _, o := range []Options{{}, {GenerationSize: 9, MaxMemtable: 8, CacheEntries: 2}} {
		p := newMemPlace(t, o)
		s := p.open(t)
		want := contentsOf(t, fill(t, s, 7, 80))
		wantSame(t, "before", want, contentsOf(t, s))
		p.kill(s)

		if err := removeView(ViewPath(p.dir)); err != nil {
			t.Fatal(err)
		}
		s = p.open(t)
		wantSame(t, "without a view", want, contentsOf(t, s))
		if err := exec(s, "DELETE FROM issuance"); err != nil { // a view that is wrong, and does not show it
			t.Fatal(err)
		}
		p.kill(s)

		p.o.JournalFS = p.disk
		var done, total, calls uint64
		if err := Rebuild(p.o, func(d, n uint64) {
			if d != done+1 {
				t.Errorf("progress %d after %d", d, done)
			}
			done, total = d, n
			calls++
		}); err != nil {
			t.Fatalf("Rebuild: %v", err)
		}
		if done != total || calls != total || total == 0 {
			t.Errorf("progress came to %d of %d in %d calls", done, total, calls)
		}
		s = p.open(t)
		wantSame(t, "after Rebuild", want, contentsOf(t, s))
		if n := complete(s); n != len(s.gens) {
			t.Errorf("%d of %d generations have filters", n, len(s.gens))
		}
		if _, err := os.Stat(filepath.Join(p.dir, rebuildDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the place of the rebuild is left: %v", err)
		}
		p.kill(s)
	}
}

// What an interrupted Rebuild left is cleared away by the next one, and disturbs nobody meanwhile.
func TestRebuildAgain(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 5)
	want := contentsOf(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(p.dir, rebuildDir)
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ViewPath(left), []byte("half a view"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	wantSame(t, "beside it", want, contentsOf(t, s))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.o.JournalFS = p.disk
	if err := Rebuild(p.o, nil); err != nil {
		t.Fatalf("Rebuild: %v", err)
	}
	s = p.open(t)
	defer s.Close()
	wantSame(t, "after Rebuild", want, contentsOf(t, s))
}

// A view shows how far the journal was durable: one that lacks the end is damaged, and not a torn tail to be cut off, also
// when the view is about to be made again. The view stays, for the next start to know it as well.
func TestRebuildWithoutTheTail(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	shorter := p.disk.Clone(rand.New(rand.NewPCG(1, 1)))
	s = p.open(t)
	newClient(s).mustAsk(t, 3, 6)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.o.JournalFS = shorter
	var damage *journal.DamageError
	if err := Rebuild(p.o, nil); !errors.As(err, &damage) {
		t.Errorf("Rebuild: %v", err)
	}
	conn := openSummed(t, ViewPath(p.dir))
	if err := sqlitex.ExecuteTransient(conn, fmt.Sprint("PRAGMA user_version=", viewVersion-1), nil); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for range 2 {
		if s, err := Open(p.o); !errors.As(err, &damage) {
			t.Errorf("a start that has to make the view again: %v", err)
			if err == nil {
				s.abandon()
			}
		}
	}
}

// Where there is nothing to rebuild from, nothing is made, and the old view stays.
func TestRebuildRefused(t *testing.T) {
	dir := t.TempDir()
	if err := Rebuild(Options{Dir: dir}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a journal: %v", err)
	}
	if _, err := os.Stat(JournalDir(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a journal was made: %v", err)
	}

	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 5)
	contentsOf(t, s)
	p.o.JournalFS = p.disk
	if err := Rebuild(p.o, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(ViewPath(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.disk.FlipBit("journal/00000001.seg", 8*4200); err != nil {
		t.Fatal(err)
	}
	var damage *journal.DamageError
	if err := Rebuild(p.o, nil); !errors.As(err, &damage) {
		t.Errorf("of a damaged journal: %v", err)
	}
	if after, err := os.ReadFile(ViewPath(p.dir)); err != nil || string(after) != string(before) {
		t.Errorf("the old view was touched: %v", err)
	}
}

// A store that is closed a second time says what the first Close said, and does nothing.
func TestCloseTwice(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 2)
	if first, second := s.Close(), s.Close(); first != nil || second != nil {
		t.Errorf("Close: %v, then %v", first, second)
	}
	s = p.open(t)
	defer s.Close()
	wantReplays(t, s, 2)
}
