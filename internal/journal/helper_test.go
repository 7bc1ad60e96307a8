package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/vfs/faultfs"
)

const testDir = "/data/journal"

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// randReader gives journals of one seed the same id.
type randReader struct{ rng *rand.Rand }

func (r randReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.rng.Uint32())
	}
	return len(p), nil
}

// tiny are options under which a dozen records fill several segments.
func tiny(fsys *faultfs.FS) Options {
	return Options{FS: fsys, Dir: testDir, SegmentBytes: 4096, Align: 512, Rand: randReader{seeded(1)}}
}

// payload returns what record seq holds: its size varies, its bytes follow from seq.
func payload(seq uint64) []byte {
	sizes := []int{0, 1, 300, 440, 441, 900, 1500}
	p := make([]byte, sizes[seq%uint64(len(sizes))])
	for i := range p {
		p[i] = byte(seq*31 + uint64(i))
	}
	if len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, seq)
	}
	return p
}

func kindOf(seq uint64) byte { return byte(seq * 7) }

// reader checks that records arrive in order with the content of payload.
type reader struct {
	t    *testing.T
	from uint64
	last uint64
}

func (r *reader) replay(rec Record) error {
	r.t.Helper()
	if r.last == 0 {
		r.last = r.from
	}
	if rec.Seq != r.last+1 {
		r.t.Fatalf("record %d follows %d", rec.Seq, r.last)
	}
	if rec.Kind != kindOf(rec.Seq) || !bytes.Equal(rec.Payload, payload(rec.Seq)) {
		r.t.Fatalf("record %d was read back with other content", rec.Seq)
	}
	r.last = rec.Seq
	return nil
}

func mustOpen(t *testing.T, o Options) (*Journal, uint64) {
	t.Helper()
	r := reader{t: t, from: o.From}
	j, err := Open(o, r.replay)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return j, max(r.last, o.From)
}

func mustAppend(t *testing.T, j *Journal, n int) {
	t.Helper()
	for range n {
		seq := j.Head().Seq + 1
		got, err := j.Append(kindOf(seq), payload(seq))
		if err != nil {
			t.Fatalf("Append %d: %v", seq, err)
		}
		wantEqual(t, "sequence", got, seq)
	}
}

func mustClose(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s differs (-want +got):\n%s", what, diff)
	}
}

func wantDamage(t *testing.T, err error) *DamageError {
	t.Helper()
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Fatalf("got error %v, want a *DamageError", err)
	}
	return damage
}

// filled returns a file system with a journal of n records, and its head. It was
// closed when clean is set, else its process was killed.
func filled(t *testing.T, n int, clean bool) (*faultfs.FS, Head) {
	t.Helper()
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	mustAppend(t, j, n)
	if clean {
		mustClose(t, j)
	}
	return fsys.CrashProcess(), j.Head()
}
