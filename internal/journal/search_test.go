package journal

import (
	"errors"
	"testing"

	"faquan/internal/vfs/faultfs"
)

// Search finds each record, also when not all that is there may be looked at, and asks about few segments.
func TestSearch(t *testing.T) {
	const n = 60
	for _, clean := range []bool{true, false} {
		fsys, _ := filled(t, n, clean)
		heads := []Head{{}}
		if err := Read(fsys, testDir, 0, func(r Record) error {
			heads = append(heads, Head{Seq: r.Seq, Hash: r.Hash})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for upTo := uint64(0); upTo <= n; upTo += 1 + upTo/20 {
			for want := uint64(0); want <= n; want++ {
				asked := 0
				got, err := Search(fsys, testDir, upTo, func(r Record) (bool, error) {
					if asked++; r.Seq > upTo {
						t.Fatalf("asked about record %d, which is beyond %d", r.Seq, upTo)
					}
					return r.Seq <= want, nil
				})
				if err != nil || got != heads[min(want, upTo)] {
					t.Fatalf("up to %d: got record %d, want %d; %v", upTo, got.Seq, min(want, upTo), err)
				}
				if asked > 20 {
					t.Errorf("up to %d: %d records were looked at for record %d", upTo, asked, want)
				}
			}
		}
		wantEqual(t, "open files", fsys.OpenFiles(), 0)
	}
}

func TestSearchErrors(t *testing.T) {
	const n = 60
	fsys, _ := filled(t, n, true)
	mine := errors.New("mine")
	for at := range 5 {
		asked := 0
		_, err := Search(fsys, testDir, n, func(Record) (bool, error) {
			if asked++; asked > at {
				return false, mine
			}
			return true, nil
		})
		if !errors.Is(err, mine) {
			t.Errorf("call %d: the error of the caller is lost: %v", at, err)
		}
	}
	if err := fsys.FlipBit(segPath(1), 8*600); err != nil {
		t.Fatal(err)
	}
	_, err := Search(fsys, testDir, n, func(r Record) (bool, error) { return r.Seq < 2, nil })
	wantDamage(t, err)
	wantEqual(t, "open files", fsys.OpenFiles(), 0)
	if _, err := Search(faultfs.New(seeded(1)), testDir, n, nil); err == nil {
		t.Error("a directory without a journal was accepted")
	}
}
