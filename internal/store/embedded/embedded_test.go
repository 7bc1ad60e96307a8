package embedded

import (
	"math/rand/v2"
	"testing"

	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs/faultfs"
)

// abandon leaves the store as a killed process does: nothing is flushed, nothing is noted. The journal's lock
// goes with its file system.
func (s *Store) abandon() {
	s.closing.Do(func() {
		close(s.stop)
		s.work.Wait()
		_ = s.closeFinders()
		s.loader.Close()
		s.writer.Close()
		s.sums.Close()
		s.lock.Close()
	})
}

// place is a data directory whose journal lies on a file system that can crash.
type testPlace struct {
	dir  string
	disk *faultfs.FS
	o    Options
}

func newPlace(t testing.TB, o Options) *testPlace {
	o.Dir = t.TempDir()
	o.JournalDir, o.SegmentBytes = "journal", 1<<20
	return &testPlace{dir: o.Dir, disk: faultfs.New(rand.New(rand.NewPCG(1, 0))), o: o}
}

func (p *testPlace) open(t testing.TB) *Store {
	t.Helper()
	p.o.JournalFS = p.disk
	s, err := Open(p.o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

// kill ends the process that has the store; powerCut takes away what was not synced as well.
func (p *testPlace) kill(s *Store) {
	s.abandon()
	p.disk = p.disk.CrashProcess()
}

func (p *testPlace) powerCut(s *Store, r *rand.Rand) {
	s.abandon()
	p.disk = p.disk.Crash(r)
}

func (p *testPlace) harness() storetest.Harness {
	return storetest.Harness{
		Open:  func(t testing.TB) store.Store { return p.open(t) },
		Crash: func(_ testing.TB, st store.Store) { p.kill(st.(*Store)) },
		Lose: func(t testing.TB, st store.Store, what storetest.Lost) {
			if err := exec(st.(*Store), "DELETE FROM "+[]string{"issuance", "user"}[what]); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		t.Parallel()
		return newPlace(t, Options{}).harness()
	})
}

// Tiny generations, memtables and caches take the paths that are rare otherwise.
func TestConformanceTiny(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		t.Parallel()
		return newPlace(t, Options{GenerationSize: 7, MaxMemtable: 8, CacheEntries: 3, Foreground: true}).harness()
	})
}
