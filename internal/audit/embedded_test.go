package audit

import (
	"fmt"
	"testing"

	"faquan/internal/store/embedded"
	"faquan/internal/store/storetest"
)

// directory is a data directory whose generations and overlays are tiny, so that little makes many.
type directory struct{ o embedded.Options }

func newDirectory(t testing.TB) directory {
	return directory{embedded.Options{
		Dir: t.TempDir(), SegmentBytes: 256 << 10, Foreground: true, GenerationSize: 20, MaxOverlay: 40, CacheEntries: 10,
	}}
}

func (d directory) open(t testing.TB) *embedded.Store {
	t.Helper()
	st, err := embedded.Open(d.o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return st
}

func closeStore(t testing.TB, st *embedded.Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func (d directory) audit(t testing.TB) *Report {
	t.Helper()
	report, err := Embedded(t.Context(), EmbeddedOptions{Store: d.o, Options: Options{LookupEvery: 1}})
	if err != nil {
		t.Fatalf("Embedded: %v", err)
	}
	return report
}

// A healthy directory has no findings and no doubts, whatever has happened in it: closed, and beside the process
// that serves it.
func TestHealthyDirectory(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			d := newDirectory(t)
			w := storetest.NewWorld(storetest.Seeded(seed))
			st := d.open(t)
			defer func() { st.Close() }()
			c := storetest.NewCommitter(st, w.Catalogue(), seed)
			write(t, st, w.Clock, w.Setup().Changes)
			chance := storetest.Seeded(^seed)
			for range 100 {
				s := w.Next()
				if s.Changes != nil {
					write(t, st, s.Clock, s.Changes)
				} else if _, err := c.Issue(t.Context(), s.Clock, s.Requests...); err != nil {
					t.Fatalf("issuing: %v", err)
				}
				c.Catalogue = w.Catalogue()
				switch chance(20) {
				case 0:
					closeStore(t, st)
					st = d.open(t)
					c.Store = st
				case 1:
					if err := st.Flush(); err != nil {
						t.Fatalf("Flush: %v", err)
					}
				}
			}
			for _, live := range []bool{true, false} {
				if !live {
					closeStore(t, st)
				}
				report := d.audit(t)
				wantFindings(t, report)
				if len(report.Doubts) > 0 {
					t.Errorf("doubts: %+v", report.Doubts)
				}
				if report.Embedded.Live != live || report.Checked.Issuances == 0 && live == false {
					t.Errorf("live is %v, want %v; %d issuances", report.Embedded.Live, live, report.Checked.Issuances)
				}
			}
		})
	}
}
