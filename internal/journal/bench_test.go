package journal

import (
	"fmt"
	"path/filepath"
	"testing"

	"faquan/internal/vfs"
)

var benchSizes = []int{350, 45 << 10, 180 << 10}

// BenchmarkAppend measures one record per sync on the real file system of the
// temporary directory (set TMPDIR to the disk in question). Beside it: bare, the
// same write and fdatasync over blocks that exist, without anything else, which
// is the ceiling; growing, a file that grows and is fsynced, which is the
// obvious alternative.
func BenchmarkAppend(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("journal/%d", size), func(b *testing.B) { benchJournal(b, size) })
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) { benchBare(b, size) })
		b.Run(fmt.Sprintf("growing/%d", size), func(b *testing.B) { benchGrowing(b, size) })
	}
}

func benchJournal(b *testing.B, size int) {
	j, err := Open(Options{Dir: b.TempDir(), Background: true}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := j.Prepare(); err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Append(1, payload); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

func benchBare(b *testing.B, size int) {
	const file = 64 << 20
	f := benchFile(b)
	if err := fill(f, file, nil, immediately); err != nil {
		b.Fatal(err)
	}
	frame := make([]byte, frameBytes(size, 4096))
	for i := range frame {
		frame[i] = 1
	}
	b.SetBytes(int64(size))
	off := int64(0)
	for b.Loop() {
		if off+int64(len(frame)) > file {
			off = 0
		}
		if _, err := f.WriteAt(frame, off); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		off += int64(len(frame))
	}
}

func benchGrowing(b *testing.B, size int) {
	f := benchFile(b)
	frame := make([]byte, size)
	b.SetBytes(int64(size))
	off := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(frame, off); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		off += int64(size)
	}
}

func benchFile(b *testing.B) vfs.File {
	f, err := vfs.OS.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}
