package embedded

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/embedded/sumvfs"
	"faquan/internal/store/storetest"
)

var everyBit = flag.Bool("flip.all", false, "flip every bit of the view and its log, not one of each byte or of fewer")

// flips calls fn for one bit of each step-th byte, another one from byte to byte; with -flip.all for every bit.
func flips(from, to, step int, fn func(at int, mask byte)) {
	if *everyBit {
		for at := from; at < to; at++ {
			for bit := range 8 {
				fn(at, 1<<bit)
			}
		}
		return
	}
	for k := 0; from+k*step < to; k++ {
		fn(from+k*step, 1<<(k%8))
	}
}

// askAgain asks in one batch for keys that were all issued. It reports whether they were replayed, and fails the test
// if any was issued again.
func askAgain(t *testing.T, s *Store, keys int, what string) error {
	t.Helper()
	var requests []*benefit.Request
	for n := range keys {
		requests = append(requests, storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", n%5), storetest.Line(1)))
	}
	all, err := newClient(s).Issue(t.Context(), storetest.Start, requests...)
	for n, o := range all {
		if err == nil && !o.Replayed {
			t.Fatalf("%s: k%d is issued again", what, n)
		}
	}
	return err
}

// flipping opens a file in which bytes can be changed and restored.
type flipping struct {
	*os.File
	was []byte
}

func openFlipping(t *testing.T, path string) *flipping {
	t.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &flipping{f, was}
}

func (f *flipping) flip(t *testing.T, at int, mask byte) {
	t.Helper()
	if _, err := f.WriteAt([]byte{f.was[at] ^ mask}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// stops reports whether a changed byte stops the store when all keys are asked for again. Then it restores the byte.
func (f *flipping) stops(t *testing.T, s *Store, at int, mask byte) bool {
	t.Helper()
	f.flip(t, at, mask)
	forget(t, s)
	what := fmt.Sprintf("byte %d of %s, bits %x", at, filepath.Base(f.Name()), mask)
	err := askAgain(t, s, 25, what)
	if err != nil {
		wantStopped(t, s, err, what)
	}
	f.flip(t, at, 0)
	return err != nil
}

// forget makes the next load read the view from its files.
func forget(t *testing.T, s *Store) {
	t.Helper()
	s.links.drop()
	s.quotas.drop()
	if err := execOn(s.loader, "PRAGMA shrink_memory"); err != nil {
		t.Fatal(err)
	}
}

// wantStopped checks that a store that has met a damaged view decides nothing more, and says what to do. Then it lets
// it go on.
func wantStopped(t *testing.T, s *Store, err error, what string) {
	t.Helper()
	_, again := s.Begin(t.Context(), storetest.Start)
	for _, err := range []error{err, again} {
		if !errors.Is(err, store.ErrFailed) || !errors.Is(err, ErrView) || !strings.Contains(fmt.Sprint(err), "faquan rebuild") {
			t.Fatalf("%s: %v", what, err)
		}
	}
	select {
	case err := <-s.Failed():
		if !errors.Is(err, store.ErrFailed) {
			t.Fatalf("%s: Failed gave %v", what, err)
		}
	default:
		t.Fatalf("%s: Failed gave nothing", what)
	}
	s.failed = nil
}

// A bit that flips in the view under a running store stops it, or is in nothing that decisions read: no key is issued
// twice.
func TestFlippedBits(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 10, MaxMemtable: 20, CacheEntries: 1})
	s := p.open(t)
	defer s.abandon()
	newClient(s).mustAsk(t, 0, 25)
	contentsOf(t, s) // flushes

	f := openFlipping(t, ViewPath(p.dir))
	pages, read := len(f.was)/4096, 0
	for page := range pages {
		stops, step := 0, 1024
		if f.stops(t, s, page*4096, 0xff) { // it is read: every byte of it
			read, step = read+1, sparse(7)
		}
		flips(page*4096, (page+1)*4096, step, func(at int, mask byte) {
			if f.stops(t, s, at, mask) {
				stops++
			}
		})
		if all := 4096 / step; step != 1024 && stops < all {
			t.Errorf("page %d: only %d of at least %d flips are noticed", page+1, stops, all)
		}
	}
	cuts := 0
	for page := range pages {
		if err := f.Truncate(int64(page*4096 + 3000)); err != nil {
			t.Fatal(err)
		}
		forget(t, s)
		what := fmt.Sprintf("cut in page %d", page+1)
		if err := askAgain(t, s, 25, what); err != nil {
			wantStopped(t, s, err, what)
			if strings.Contains(err.Error(), "does not match its checksum") {
				cuts++
			}
		}
		if _, err := f.WriteAt(f.was, 0); err != nil {
			t.Fatal(err)
		}
	}
	if cuts == 0 {
		t.Error("no cut is noticed by checksums")
	}
	forget(t, s)
	if err := askAgain(t, s, 25, "restored"); err != nil {
		t.Errorf("restored: %v", err)
	}
	if read < 4 { // of the schema, claims, issuances, links
		t.Errorf("only %d of %d pages are read", read, pages)
	}
}

// The same in the log, from which pages are read as long as a reader keeps them from being moved into the view; and a
// checkpoint does not make a damaged page look sound.
func TestFlippedLogBits(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 10, MaxMemtable: 20, CacheEntries: 1})
	s := p.open(t)
	defer s.abandon()
	c := newClient(s)
	c.mustAsk(t, 0, 5)
	r, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.mustAsk(t, 5, 25)
	contentsOf(t, s)

	f := openFlipping(t, ViewPath(p.dir)+sumvfs.LogSuffix)
	stops := 0
	flips(0, len(f.was), 11*sparse(7), func(at int, mask byte) {
		if f.stops(t, s, at, mask) {
			stops++
		}
	})
	if stops == 0 {
		t.Error("nothing was read from the log")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for at := 32 + 24; at < len(f.was); at += 24 + 4096 { // in each page
		f.flip(t, at, 1)
	}
	wantStopped(t, s, s.viewError(s.checkpoint("PASSIVE")), "a checkpoint of a damaged log")
}

// A store that was killed is opened with a bit flipped in what it left, while a checkpoint was under way or after it. It
// replays every key, or makes the view again and replays.
func TestFlippedAfterKill(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 10, MaxMemtable: 20, CacheEntries: 1})
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 9)
	contentsOf(t, s)
	if err := s.checkpoint("TRUNCATE"); err != nil {
		t.Fatal(err)
	}
	r, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.mustAsk(t, 9, 17)
	contentsOf(t, s)
	c.mustAsk(t, 17, 25)
	contentsOf(t, s)
	before, after := memDir(t), memDir(t)
	copyView(t, p.dir, before)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.checkpoint("PASSIVE"); err != nil {
		t.Fatal(err)
	}
	copyView(t, p.dir, after)
	p.kill(s)

	read := func(dir, suffix string) []byte {
		b, err := os.ReadFile(ViewPath(dir) + suffix)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old, moved, log, mark := read(before, ""), read(after, ""), read(after, sumvfs.LogSuffix), read(after, sumvfs.MarkSuffix)
	if bytes.Equal(old, moved) || len(moved)/4096 < 10 {
		t.Fatal("the checkpoint has moved nothing")
	}
	remade := 0
	open := func(view, log, mark []byte, what string) {
		t.Helper()
		if err := removeView(ViewPath(p.dir)); err != nil {
			t.Fatal(err)
		}
		for suffix, b := range map[string][]byte{"": view, sumvfs.LogSuffix: log, sumvfs.MarkSuffix: mark} {
			if err := os.WriteFile(ViewPath(p.dir)+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o := p.o
		o.JournalFS = p.disk.Clone(rand.New(rand.NewPCG(1, 1)))
		replayed := 0
		o.replayed = func(uint64, *benefit.Changes) { replayed++ }
		s, err := Open(o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer s.abandon()
		if replayed >= 25 {
			remade++
		}
		if err := askAgain(t, s, 25, what); err != nil {
			wantStopped(t, s, err, what)
		}
	}
	flipped := func(b []byte, at int, mask byte) []byte {
		b = bytes.Clone(b)
		b[at] ^= mask
		return b
	}
	views := map[string][]byte{"all moved": moved}
	for _, pages := range []int{2, 5, 10} { // a checkpoint moves them in this order
		views[fmt.Sprint(pages, " pages moved")] = append(bytes.Clone(moved[:pages*4096]), old[min(pages*4096, len(old)):]...)
	}
	for name, view := range views {
		for _, mark := range [][]byte{mark, nil, make([]byte, len(mark))} { // the last two are what a power cut leaves
			open(view, log, mark, name)
			if remade > 0 {
				t.Fatalf("%s, mark %x: a sound view is made again", name, mark)
			}
		}
	}
	for name, view := range views {
		remade = 0
		flip := func(at int, mask byte) {
			open(view, flipped(log, at, mask), mark, fmt.Sprintf("%s, byte %d of the log, bits %x", name, at, mask))
		}
		flips(0, 32+24, sparse(5), flip) // the header, and that of the first frame
		step := 997 * sparse(5)
		if *everyBit { // not here: each opens a store
			step = 61
		}
		for at := 32 + 24; at < len(log); at += step {
			flip(at, 1<<(at%8))
		}
		if remade == 0 {
			t.Errorf("%s: a view without its log is taken for sound", name)
		}
	}
	flips(0, len(mark), 1, func(at int, mask byte) {
		open(moved, log, flipped(mark, at, mask), fmt.Sprintf("byte %d of the mark, bits %x", at, mask))
	})
}

// Damage that only a reader meets stops the store, too.
func TestFlippedUnderReader(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	defer s.abandon()
	newClient(s).mustAsk(t, 0, 5)
	contentsOf(t, s)
	f := openFlipping(t, ViewPath(p.dir))
	for at := 0; at < len(f.was); at += 4096 {
		f.flip(t, at+2000, 1)
	}
	if _, err := storetest.ContentsOf(t.Context(), s); err == nil {
		t.Error("a damaged view is read")
	}
	if _, err := s.Begin(t.Context(), storetest.Start); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Begin: %v", err)
	}
}

// The identifier of a user who is gone is not one that nobody has: whoever looks it up hears of the damage.
func TestLostUserIsLookedUp(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	if err := commit(t, s, fullUserOf(t, s, 1)); err != nil {
		t.Fatal(err)
	}
	contentsOf(t, s)
	ident := benefit.Identifier{Type: benefit.AlipayID, Value: "2088large"}
	if u, err := s.Recipient(t.Context(), ident); err != nil || u == nil {
		t.Fatalf("the user: %+v, %v", u, err)
	}
	if err := exec(s, "DELETE FROM user"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = p.open(t) // without what the caches hold
	defer s.abandon()
	u, err := s.Recipient(t.Context(), ident)
	if !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("the lost user: %+v, %v", u, err)
	}
	wantStopped(t, s, err, "the lost user")
}

// The flusher ends when it meets damage: nothing can be written any more, and the same error each second helps nobody.
func TestFlusherEnds(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.abandon()
	newClient(s).mustAsk(t, 0, 1)
	if err := exec(s, "DROP TABLE issuance"); err != nil {
		t.Fatal(err)
	}
	s.wakeFlusher()
	s.work.Add(1)
	ended := make(chan error, 1)
	go func() {
		s.flushLoop()
		s.stuck = nil                              // as when only the checkpoint failed
		s.o.Foreground, s.o.MaxMemtable = false, 0 // a batch that began before finds no room
		ended <- s.awaitView(t.Context())
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("a commit for which the memtable has no room: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on, or a commit waits for it")
	}
}

// Large rows lie on pages of their own, of which SQLite would like to read parts.
func TestFlippedOverflowPage(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	defer s.abandon()
	c := newClient(s)
	r := storetest.Request("large", "2088", storetest.Line(1))
	r.Note.Memo = strings.Repeat("x", 40_000)
	if _, err := c.Issue(t.Context(), storetest.Start, r); err != nil {
		t.Fatal(err)
	}
	contentsOf(t, s)
	f := openFlipping(t, ViewPath(p.dir))
	at := bytes.LastIndex(f.was, []byte(strings.Repeat("x", 1000)))
	f.flip(t, at, 1)
	forget(t, s)
	_, err := newClient(s).Issue(t.Context(), storetest.Start, r)
	wantStopped(t, s, err, "a page in the middle of a row")
	f.flip(t, at, 0)
	forget(t, s)
	if again, err := newClient(s).Issue(t.Context(), storetest.Start, r); err != nil || !again[0].Replayed {
		t.Errorf("restored: %v", err)
	}
}

// openSummed opens a view for a test to change, so that its pages keep checksums that match.
func openSummed(t testing.TB, path string) *sqlite.Conn {
	t.Helper()
	uri, err := sumvfs.URI(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(uri, sqlite.OpenReadWrite|sqlite.OpenURI)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
