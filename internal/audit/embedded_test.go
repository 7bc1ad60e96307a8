package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store/embedded"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs"
)

// directory is a data directory whose generations and memtables are tiny, so that little makes many.
type directory struct{ o embedded.Options }

func newDirectory(t testing.TB) directory {
	return directory{embedded.Options{
		Dir: t.TempDir(), SegmentBytes: 256 << 10, Foreground: true, GenerationSize: 20, MaxMemtable: 40, CacheEntries: 10,
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
			chance := storetest.Seeded(^seed)
			for n := range 101 {
				s := w.Setup()
				if n > 0 {
					s = w.Next()
				}
				if err := w.Do(t.Context(), s, c); err != nil {
					t.Fatal(err)
				}
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

// What was not checked is told, with what to do about it; once that is done it is told no more.
func TestWhatIsNotChecked(t *testing.T) {
	d := newDirectory(t)
	st := d.open(t)
	crowdOf(t, st, 10, 1)
	closeStore(t, st)
	told := func(o EmbeddedOptions) (string, *Report) {
		o.Store = d.o
		report, err := Embedded(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(report.NotKept, "\n"), report
	}
	text, report := told(EmbeddedOptions{})
	for _, want := range []string{"--lookup-every 1", "--head RECORD:HASH", "one event, because"} {
		if !strings.Contains(text, want) {
			t.Errorf("not told: %s, in\n%s", want, text)
		}
	}
	head := journal.Head{Seq: report.Embedded.Journal.Seq}
	if _, err := hex.Decode(head.Hash[:], []byte(report.Embedded.Journal.Hash)); err != nil {
		t.Fatal(err)
	}
	text, report = told(EmbeddedOptions{Options: Options{LookupEvery: 1}, Heads: []journal.Head{head}})
	wantFindings(t, report)
	if strings.Contains(text, "--") || len(report.NotKept) != 1 {
		t.Errorf("all that can be checked was, and told as not checked is\n%s", text)
	}
	if text, _ = told(EmbeddedOptions{Options: Options{LookupEvery: -1}}); !strings.Contains(text, "--lookup-every -1 leaves that out") {
		t.Errorf("look-ups that are left out are not told:\n%s", text)
	}
}

// Beside a process that issues all the time, everything that the view has reached is audited, and nothing that is
// on its way is taken for a fault.
func TestBesideIssuing(t *testing.T) {
	o := embedded.Options{Dir: t.TempDir(), SegmentBytes: 256 << 10, GenerationSize: 40, MaxMemtable: 40, FlushAfter: 5 * time.Millisecond}
	st, err := embedded.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	crowdOf(t, st, 1, 1)
	done := make(chan error, 1)
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(crowdTemplate)), 1)
	go func() {
		var failed error
		for n := 0; n < 300 && failed == nil; n++ {
			request := storetest.Request(fmt.Sprint("b/", n), fmt.Sprint("2088", n%50), storetest.Line(crowdTemplate))
			_, failed = c.Issue(context.Background(), storetest.Start+benefit.Instant(n), request)
		}
		done <- failed
	}()
	var limit int64
	for issuing := true; issuing; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("issuing: %v", err)
			}
			issuing = false
		default:
		}
		report, err := Embedded(t.Context(), EmbeddedOptions{Store: o, Options: Options{LookupEvery: 20}})
		if err != nil {
			t.Fatalf("Embedded: %v", err)
		}
		wantFindings(t, report)
		if !report.Embedded.Live {
			t.Error("the directory is not taken for one that is open")
		}
		limit = max(limit, report.Checked.Vouchers)
	}
	closeStore(t, st)
	if limit < 10 {
		t.Errorf("at most %d vouchers were audited", limit)
	}
}

// An audit of a directory keeps others out while it lasts, and leaves everything as it was.
func TestLocked(t *testing.T) {
	d := newDirectory(t)
	closeStore(t, d.open(t))
	check, err := embedded.OpenCheck(t.Context(), d.o)
	if err != nil {
		t.Fatalf("OpenCheck: %v", err)
	}
	if _, err := embedded.Open(d.o); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("Open during a check: %v, want that it is locked", err)
	}
	if err := check.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	closeStore(t, d.open(t))
	if _, err := Embedded(t.Context(), EmbeddedOptions{Store: embedded.Options{Dir: d.o.Dir + "/none"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Embedded of no directory: %v, want that it does not exist", err)
	}
}

// A killed process leaves the view behind and a WAL beside it; both are read as they are.
func TestAfterKill(t *testing.T) {
	d := newDirectory(t)
	st := d.open(t)
	crowdOf(t, st, 30, 2)
	if err := st.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	crowdOf(t, st, 40, 1)
	// A head that was noted elsewhere may lie beyond what the view has reached beside a process that goes on.
	live, err := Embedded(t.Context(), EmbeddedOptions{Store: d.o, Heads: []journal.Head{{Seq: 1 << 40}}})
	if err != nil {
		t.Fatalf("Embedded: %v", err)
	}
	wantFindings(t, live)
	if !strings.Contains(fmt.Sprint(live.NotKept), fmt.Sprintf("the head %d, because", 1<<40)) {
		t.Errorf("a head that was not looked for is not told: %q", live.NotKept)
	}
	killed := d.copyOf(t) // while it is open: as the disk would be
	closeStore(t, st)
	report := killed.audit(t)
	wantFindings(t, report)
	if got := report.Checked.Issuances; got != 60 || !strings.Contains(fmt.Sprint(report.NotKept), "journal records behind") {
		t.Errorf("%d issuances, not checked %q, want 60 and that the view is behind", got, report.NotKept)
	}
	again := killed.open(t)
	closeStore(t, again)
	if got := killed.audit(t).Checked.Issuances; got != 100 {
		t.Errorf("%d issuances after the next start, want 100", got)
	}
}
