package refusals

import (
	"log/slog"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/vfs"
)

// BenchmarkNote measures the memory of refusals, without files and with them. The files are written by another goroutine,
// which counts as far as it takes CPU that the calls would have: see BenchmarkWrite.
func BenchmarkNote(b *testing.B) {
	for name, keep := range map[string]int64{"memory": 0, "files": 256 << 20} {
		b.Run(name, func(b *testing.B) {
			recent := gateway.NewRefusals()
			a := Open(Options{Dir: b.TempDir(), Keep: keep, Recent: recent, Log: slog.New(slog.DiscardHandler)})
			c, now := refusal(), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				recent.Note(c, now)
			}
			if err := a.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(a.Status().Lost)/float64(b.N), "lost/op")
		})
	}
}

// BenchmarkWrite measures what the files cost for each refusal.
func BenchmarkWrite(b *testing.B) {
	w, err := openWriter(vfs.OS, b.TempDir(), 256<<20)
	if err != nil {
		b.Fatal(err)
	}
	calls := make([]gateway.Record, maxBatch)
	b.ReportAllocs()
	var number int64
	for b.Loop() {
		if number%maxBatch == 0 {
			for k := range calls {
				calls[k] = *refusal()
				calls[k].Number = number + int64(k) + 1
			}
		}
		if number++; number%maxBatch == 0 {
			if err := w.write(calls, 0); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFind measures a search of everything that 256 MiB have, for a key that is not there.
func BenchmarkFind(b *testing.B) {
	dir := b.TempDir()
	w, err := openWriter(vfs.OS, dir, 256<<20)
	if err != nil {
		b.Fatal(err)
	}
	calls := make([]gateway.Record, maxBatch)
	number := int64(0)
	for w.bytes() < 200<<20 {
		for k := range calls {
			number++
			calls[k] = *refusal()
			calls[k].Number = number
		}
		if err := w.write(calls, 0); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if found, err := find(vfs.OS, dir, func(c *gateway.Record) bool { return c.Reason == benefit.UserLimit }, 100, 1<<62); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric(float64(number), "refusals")
}
