package journal

import (
	"errors"
	"strings"
	"testing"

	"faquan/internal/vfs/faultfs"
)

// These tests write headers, seals and frames with right checksums and wrong
// content, so that each check behind the checksum is met alone.

func write(t *testing.T, fsys *faultfs.FS, path string, off int64, b []byte) {
	t.Helper()
	f, err := fsys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func wantReason(t *testing.T, err error, part string) {
	t.Helper()
	if reason := wantDamage(t, err).Reason; !strings.Contains(reason, part) {
		t.Fatalf("reason %q, want one with %q", reason, part)
	}
}

func TestCraftedHeaders(t *testing.T) {
	cases := []struct {
		reason string
		seg    int
		change func(*header)
	}{
		{"that of segment 9", 0, func(h *header) { h.segment = 9 }},
		{"its header says", 0, func(h *header) { h.size += h.align }},
		{"does not begin where it should", 0, func(h *header) { h.prev[0] ^= 1 }},
		{"another journal", 1, func(h *header) { h.id[0] ^= 1 }},
		{"does not continue", 1, func(h *header) { h.firstSeq++ }},
		{"does not continue", 2, func(h *header) { h.prev[0] ^= 1 }},
	}
	for _, c := range cases {
		fsys, _ := filled(t, 7, false)
		l, err := survey(fsys, testDir)
		if err != nil {
			t.Fatal(err)
		}
		h := l.segs[c.seg].header
		c.change(&h)
		write(t, fsys, l.segs[c.seg].path, 0, h.encode())
		// A seal is read with the journal's id: keep it sound for the new one.
		if s := l.segs[c.seg].seal; s != nil {
			write(t, fsys, l.segs[c.seg].path, 4096-512, s.encode(h.align, h.id.crcSeed()))
		}
		_, err = Open(tiny(fsys), nil)
		wantReason(t, err, c.reason)
	}
	fsys, _ := filled(t, 7, false)
	if err := fsys.Remove(segPath(2)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(tiny(fsys), nil)
	wantReason(t, err, "missing")
	wantEqual(t, "file", wantDamage(t, err).Segment, segPath(2))
}

func TestCraftedSeals(t *testing.T) {
	h := header{align: 1024, segment: 3, size: 8192, firstSeq: 10}
	good := seal{segment: 3, lastSeq: 12, end: 2048}
	if _, err := decodeSeal(good.encode(h.align, h.id.crcSeed()), h); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*seal){
		"other segment":  func(s *seal) { s.segment = 4 },
		"early sequence": func(s *seal) { s.lastSeq = 8 },
		"end too early":  func(s *seal) { s.end = 512 },
		"end too late":   func(s *seal) { s.end = 8192 },
	} {
		s := good
		change(&s)
		if _, err := decodeSeal(s.encode(h.align, h.id.crcSeed()), h); err == nil {
			t.Errorf("%s: the seal was accepted", name)
		}
	}
	b := good.encode(h.align, h.id.crcSeed())
	b[1000] = 1
	if _, err := decodeSeal(b, h); err == nil {
		t.Error("bytes behind the seal were accepted")
	}
}

func TestFrameLengthIsBounded(t *testing.T) {
	b := make([]byte, 512)
	encodeFrame(b, frameHeader{typ: typeRecord, align: 512, seq: 1}, nil, 0, [32]byte{})
	for length, good := range map[int]bool{0: true, MaxRecordBytes: true, MaxRecordBytes + 1: false} {
		b[8], b[9], b[10], b[11] = byte(length), byte(length>>8), byte(length>>16), byte(length>>24)
		if _, err := decodeFrameHeader(b); (err == nil) != good {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

// craft writes a frame into the tail of a journal of seven records, at some
// blocks behind its end, and returns the file system.
func craft(t *testing.T, blocks int64, change func(*frameHeader, *[32]byte)) (*faultfs.FS, error) {
	t.Helper()
	fsys := faultfs.New(seeded(1))
	o := tiny(fsys)
	o.SegmentBytes = 16384
	j, _ := mustOpen(t, o)
	mustAppend(t, j, 7)
	h := frameHeader{
		typ: typeRecord, align: 512, segment: 1, seq: j.head.Seq + 1 + uint64(blocks),
		durable: j.off + blocks*512,
	}
	prev := j.head.Hash
	change(&h, &prev)
	b := make([]byte, 512)
	encodeFrame(b, h, nil, j.seed, prev)
	at := j.off + blocks*512
	fsys = fsys.CrashProcess()
	write(t, fsys, segPath(1), at, b)
	o.FS = fsys
	j, err := Open(o, nil)
	if err != nil {
		return fsys, err
	}
	if got := j.Head().Seq; got != 7 && got != 8 {
		t.Fatalf("head %d", got)
	}
	if j.Head().Seq == 8 {
		return fsys, errAccepted
	}
	return fsys, nil
}

var errAccepted = errors.New("the frame was accepted as the next")

func TestCraftedFrames(t *testing.T) {
	unchanged := func(*frameHeader, *[32]byte) {}
	if _, err := craft(t, 0, unchanged); err != errAccepted {
		t.Fatalf("the next frame: %v", err)
	}
	notNext := map[string]func(*frameHeader, *[32]byte){
		"sequence":             func(h *frameHeader, _ *[32]byte) { h.seq++ },
		"old sequence":         func(h *frameHeader, _ *[32]byte) { h.seq-- },
		"segment":              func(h *frameHeader, _ *[32]byte) { h.segment++ },
		"alignment":            func(h *frameHeader, _ *[32]byte) { h.align = 1024 },
		"clean stop elsewhere": func(h *frameHeader, _ *[32]byte) { h.typ = typeCleanStop },
	}
	for name, change := range notNext {
		if _, err := craft(t, 0, change); err != nil {
			t.Errorf("%s: %v, want a torn tail", name, err)
		}
	}
	_, err := craft(t, 2, unchanged)
	wantReason(t, err, "was written after this one was durable")
	noProof := map[string]func(*frameHeader, *[32]byte){
		// Sectors of one sync reorder: such a frame may have overtaken the hole.
		"durable offset before the hole": func(h *frameHeader, _ *[32]byte) { h.durable -= 2 * 512 },
		"left by another segment":        func(h *frameHeader, _ *[32]byte) { h.segment++ },
	}
	for name, change := range noProof {
		if _, err := craft(t, 2, change); err != nil {
			t.Errorf("%s: %v, want a torn tail", name, err)
		}
	}
}

func TestCraftedCleanStop(t *testing.T) {
	stop := func(wrong byte) *faultfs.FS {
		fsys, _ := craft(t, 5, func(h *frameHeader, _ *[32]byte) { h.durable = 0 }) // a residue, cut
		o := tiny(fsys.CrashProcess())
		o.SegmentBytes = 16384
		j, _ := mustOpen(t, o)
		h := frameHeader{typ: typeCleanStop, align: 512, segment: 1, seq: 7, durable: j.off}
		hash := j.head.Hash
		hash[0] ^= wrong
		b := make([]byte, 512)
		encodeFrame(b, h, nil, j.seed, hash)
		fsys = o.FS.(*faultfs.FS).CrashProcess()
		write(t, fsys, segPath(1), j.off, b)
		return fsys
	}
	for wrong, clean := range map[byte]bool{0: true, 1: false} {
		report, err := Verify(stop(wrong), testDir, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "clean", report.CleanStop, clean)
		wantEqual(t, "residue", report.Residue != nil, !clean)
	}
}
