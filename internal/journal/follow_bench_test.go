package journal

import (
	"fmt"
	"testing"

	"faquan/internal/vfs"
)

// BenchmarkFollow compares a follower with Read, record by record. Behind reads what was appended long ago; beside asks
// for each record as soon as it was acknowledged, so that it always meets the end.
func BenchmarkFollow(b *testing.B) {
	for _, size := range []int{350, 40 << 10} {
		n := uint64(min(150<<20/size, 60000))
		dir := b.TempDir()
		j, err := Open(Options{FS: unsynced{vfs.OS}, Dir: dir}, nil)
		if err != nil {
			b.Fatal(err)
		}
		payload := make([]byte, size)
		for range n {
			if _, err := j.Append(1, payload); err != nil {
				b.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("read/%d", size), func(b *testing.B) {
			perRecord(b, n, func() error {
				return Read(vfs.OS, dir, n, func(Record) error { return nil })
			})
		})
		b.Run(fmt.Sprintf("behind/%d", size), func(b *testing.B) {
			perRecord(b, n, func() error { return followAll(dir, n, func(uint64) uint64 { return n }) })
		})
		b.Run(fmt.Sprintf("beside/%d", size), func(b *testing.B) {
			perRecord(b, n, func() error { return followAll(dir, n, func(seq uint64) uint64 { return seq }) })
		})
	}
}

// perRecord reports the time of one record of n.
func perRecord(b *testing.B, n uint64, read func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := read(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

func followAll(dir string, n uint64, upTo func(seq uint64) uint64) error {
	f, err := Follow(vfs.OS, dir, 1)
	if err != nil {
		return err
	}
	defer f.Close()
	for seq := uint64(1); seq <= n; seq++ {
		if r, ok, err := f.Next(upTo(seq)); err != nil || !ok || r.Seq != seq {
			return fmt.Errorf("record %d: got %d, %v, %v", seq, r.Seq, ok, err)
		}
	}
	return nil
}

// unsynced is a file system whose files need no syncs, for a journal that is made to be read.
type unsynced struct{ vfs.FS }

func (u unsynced) Create(name string) (vfs.File, error) {
	f, err := u.FS.Create(name)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) SyncData() error { return nil }
func (unsyncedFile) Sync() error     { return nil }
