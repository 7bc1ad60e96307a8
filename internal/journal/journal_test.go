package journal

import (
	"errors"
	"testing"

	"faquan/internal/vfs"
	"faquan/internal/vfs/faultfs"
)

func TestReadsBackWhatWasAppended(t *testing.T) {
	for n := range 40 {
		for _, clean := range []bool{false, true} {
			fsys, head := filled(t, n, clean)
			j, last := mustOpen(t, tiny(fsys))
			wantEqual(t, "last record", last, uint64(n))
			wantEqual(t, "head", j.Head(), head)
			mustAppend(t, j, 5)
			mustClose(t, j)
			report, err := Verify(fsys, testDir, VerifyOptions{Heads: []Head{head, j.Head()}})
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			wantEqual(t, "records", report.Records, int64(n+5))
			wantEqual(t, "clean", report.CleanStop, true)
		}
	}
}

func TestReplayStartsAfterFrom(t *testing.T) {
	fsys, _ := filled(t, 30, true)
	for from := range uint64(31) {
		o := tiny(fsys)
		o.From = from
		j, last := mustOpen(t, o)
		wantEqual(t, "last record", last, uint64(30))
		mustClose(t, j)
	}
}

func TestReadRange(t *testing.T) {
	fsys, _ := filled(t, 30, false)
	for after := range uint64(31) {
		for upTo := after; upTo <= 30; upTo++ {
			r := reader{t: t, from: after}
			if err := Read(fsys, testDir, Range{After: after, UpTo: upTo}, r.replay); err != nil {
				t.Fatalf("Read (%d, %d]: %v", after, upTo, err)
			}
			want := upTo
			if upTo == after && upTo > 0 {
				want = 0 // nothing was asked for
			} else if upTo == 0 {
				want = 30
			}
			wantEqual(t, "last record", r.last, want)
		}
	}
	wantDamage(t, Read(fsys, testDir, Range{After: 3, UpTo: 31}, func(Record) error { return nil }))
}

func TestOneProcessAtATime(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	if _, err := Open(tiny(fsys), nil); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second Open: got %v, want ErrLocked", err)
	}
	mustClose(t, j)
	j, _ = mustOpen(t, tiny(fsys))
	mustClose(t, j)
}
