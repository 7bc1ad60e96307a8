package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"testing"

	"faquan/internal/vfs"
	"faquan/internal/vfs/faultfs"
)

func segPath(id uint64) string { return filepath.Join(testDir, segmentName(id)) }

// lastFrame returns where the last frame of the journal is.
func lastFrame(t *testing.T, fsys vfs.FS) (path string, off int64) {
	t.Helper()
	l, err := survey(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	seg := l.tail()
	_, err = readSegment(fsys, seg, func(fr *frame) error {
		off = fr.offset
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seg.path, off
}

// seal and header are longer than their content when blocks are larger.
func TestEveryByteOfLargerBlocksFlipped(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	o := tiny(fsys)
	o.Align, o.SegmentBytes = 1024, 8192
	j, _ := mustOpen(t, o)
	mustAppend(t, j, 10)
	f := flipper{t: t, fsys: fsys.CrashProcess(), n: 10, head: j.Head()}
	f.lastPath, f.lastOff = lastFrame(t, f.fsys)
	l, err := survey(f.fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, seg := range l.segs {
		for at := range seg.size {
			f.flip(seg.path, at*8+at%8)
		}
	}
}

// Every bit of every segment is flipped, one at a time. Verify and Open must
// name the segment, or, where a crash could have left the same, cut what was
// behind the last acknowledged frame; never may another content come out.
func TestEveryBitFlipped(t *testing.T) {
	step := int64(1)
	if testing.Short() {
		step = 13
	}
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			const n = 7
			fsys, head := filled(t, n, clean)
			f := flipper{t: t, fsys: fsys, n: n, clean: clean, head: head}
			f.lastPath, f.lastOff = lastFrame(t, fsys)
			l, err := survey(fsys, testDir)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "segments", len(l.segs), 3)
			for _, seg := range l.segs {
				for bit := int64(0); bit < seg.size*8; bit += step {
					f.flip(seg.path, bit)
				}
			}
			wantEqual(t, "all is as before", fsys.Fingerprint(), f.before())
		})
	}
}

type flipper struct {
	t        *testing.T
	fsys     *faultfs.FS
	n        int
	clean    bool
	head     Head
	lastPath string
	lastOff  int64
}

func (f *flipper) before() [32]byte {
	fsys, _ := filled(f.t, f.n, f.clean)
	return fsys.Fingerprint()
}

func (f *flipper) flip(path string, bit int64) {
	f.t.Helper()
	if err := f.fsys.FlipBit(path, bit); err != nil {
		f.t.Fatal(err)
	}
	what := fmt.Sprintf("%s, byte %d, bit %d", path, bit/8, bit%8)
	// In the last frame, and behind it, damage and a torn append look alike.
	undecided := path == f.lastPath && bit/8 >= f.lastOff
	report, err := Verify(f.fsys, testDir, VerifyOptions{})
	f.wantFound(what, path, bit/8, err, undecided && report.Residue != nil)
	if bit%8 == bit/8%8 { // Open works on a copy, which takes longer
		f.open(what, path, bit/8, undecided)
	}
	if err := f.fsys.FlipBit(path, bit); err != nil {
		f.t.Fatal(err)
	}
}

func (f *flipper) wantFound(what, path string, at int64, err error, excused bool) {
	f.t.Helper()
	var damage *DamageError
	switch {
	case err == nil && !excused:
		f.t.Fatalf("%s: nothing was noticed", what)
	case err == nil:
	case !errors.As(err, &damage):
		f.t.Fatalf("%s: got %v, want a *DamageError", what, err)
	case damage.Segment != path || damage.Offset > at:
		f.t.Fatalf("%s: the damage was placed at %s, offset %d", what, damage.Segment, damage.Offset)
	}
}

func (f *flipper) open(what, path string, at int64, undecided bool) {
	f.t.Helper()
	o := tiny(f.fsys.Clone(seeded(1)))
	r := reader{t: f.t}
	j, err := Open(o, r.replay)
	if err != nil {
		f.wantFound(what, path, at, err, false)
		return
	}
	defer j.Close()
	lost := uint64(f.n) - j.Head().Seq
	if lost > 1 || lost == 1 && !(undecided && !f.clean) {
		f.t.Fatalf("%s: Open lost %d records in silence", what, lost)
	}
	if lost == 0 {
		wantEqual(f.t, what, r.last, uint64(f.n))
		return
	}
	o.KnownDurable = uint64(f.n)
	o.FS = f.fsys.Clone(seeded(1))
	_, err = Open(o, nil)
	wantDamage(f.t, err)
}

// A flipped bit in the segment made ahead is met by Verify and mended by Open.
func TestSpareIsMadeAnew(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	mustAppend(t, j, 2)
	if err := j.Prepare(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	for _, at := range []int64{0, 511, 2000, 4095} {
		copied := fsys.Clone(seeded(1))
		if err := copied.FlipBit(segPath(2), at*8); err != nil {
			t.Fatal(err)
		}
		report, err := Verify(copied, testDir, VerifyOptions{})
		if err != nil || report.Residue == nil || report.Residue.Segment != segPath(2) {
			t.Fatalf("Verify: %+v, %v", report, err)
		}
		j, _ := mustOpen(t, tiny(copied))
		mustAppend(t, j, 10)
		mustClose(t, j)
		if report, err := Verify(copied, testDir, VerifyOptions{}); err != nil || report.Residue != nil {
			t.Fatalf("Verify after Open: %+v, %v", report, err)
		}
	}
}

// What careless copying and restoring does to a directory.
func TestFilesMissingOrChanged(t *testing.T) {
	other := func(fsys *faultfs.FS) error {
		o := tiny(faultfs.New(seeded(1)))
		o.Rand = randReader{seeded(2)}
		j, err := Open(o, nil)
		if err != nil {
			return err
		}
		mustAppend(t, j, 7)
		data, err := faultfs.ReadFile(o.FS, segPath(2))
		if err != nil {
			return err
		}
		return faultfs.WriteFile(fsys, segPath(2), data)
	}
	cases := map[string]func(*faultfs.FS) error{
		"first removed":  func(f *faultfs.FS) error { return f.Remove(segPath(1)) },
		"middle removed": func(f *faultfs.FS) error { return f.Remove(segPath(2)) },
		"last removed":   func(f *faultfs.FS) error { return f.Remove(segPath(3)) },
		"all removed": func(f *faultfs.FS) error {
			return errors.Join(f.Remove(segPath(1)), f.Remove(segPath(2)), f.Remove(segPath(3)))
		},
		"first cut":           func(f *faultfs.FS) error { return f.Truncate(segPath(1), 1024) },
		"last cut":            func(f *faultfs.FS) error { return f.Truncate(segPath(3), 1024) },
		"last emptied":        func(f *faultfs.FS) error { return f.Truncate(segPath(3), 0) },
		"swapped":             func(f *faultfs.FS) error { return f.Rename(segPath(2), segPath(1)) },
		"of another journal":  other,
		"tail written zero":   func(f *faultfs.FS) error { return zeroFrom(f, segPath(3), 512) },
		"last record removed": func(f *faultfs.FS) error { return zeroLast(t, f) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			fsys, head := filled(t, 7, false)
			if err := change(fsys); err != nil {
				t.Fatal(err)
			}
			_, verifyErr := Verify(fsys, testDir, VerifyOptions{Heads: []Head{head}})
			o := tiny(fsys)
			o.KnownDurable = 7
			_, err := Open(o, nil)
			wantDamage(t, err)
			if verifyErr == nil {
				t.Fatal("Verify noticed nothing")
			}
		})
	}
}

func zeroFrom(f *faultfs.FS, path string, off int64) error {
	file, err := f.Open(path)
	if err != nil {
		return err
	}
	return writeZeros(file, off, 4096)
}

func zeroLast(t *testing.T, f *faultfs.FS) error {
	path, off := lastFrame(t, f)
	return zeroFrom(f, path, off)
}

// A record replaced together with its checksum is found by the chain, one
// replaced together with all that follow it by a head noted elsewhere.
func TestForgery(t *testing.T) {
	fsys, head := filled(t, 7, true)
	l, err := survey(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	var forged frame
	_, err = readSegment(fsys, &l.segs[1], func(fr *frame) error {
		if fr.length > 0 && forged.raw == nil {
			forged = *fr
			forged.raw = append([]byte(nil), fr.raw...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	forged.raw[frameHeaderBytes] ^= 1
	binary.LittleEndian.PutUint32(forged.raw[4:], crc32.Update(l.segs[1].id.crcSeed(), castagnoli, forged.raw[8:]))
	f, err := fsys.Open(segPath(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(forged.raw, forged.offset); err != nil {
		t.Fatal(err)
	}
	_, err = Verify(fsys, testDir, VerifyOptions{})
	damage := wantDamage(t, err)
	wantEqual(t, "place", []any{damage.Segment, damage.Offset, damage.Seq}, []any{segPath(2), forged.offset, forged.seq})

	fsys, _ = filled(t, 7, true)
	head.Hash[0] ^= 1
	_, err = Verify(fsys, testDir, VerifyOptions{Heads: []Head{head}})
	wantEqual(t, "sequence", wantDamage(t, err).Seq, uint64(7))
}

// forgeLast replaces the last frame of a segment by another that is sound in
// itself, chain hash included.
func forgeLast(t *testing.T, fsys *faultfs.FS, seg *segment) int64 {
	t.Helper()
	var raw []byte
	var at int64
	var prev, before [32]byte
	_, err := readSegment(fsys, seg, func(fr *frame) error {
		prev, before = before, fr.hash
		raw, at = append(raw[:0], fr.raw...), fr.offset
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := decodeFrameHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	h.kind++
	encodeFrame(raw, h, raw[frameHeaderBytes:frameHeaderBytes+h.length], seg.id.crcSeed(), prev)
	f, err := fsys.Open(seg.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(raw, at); err != nil {
		t.Fatal(err)
	}
	return at
}

// The seal holds what the frames before it must be, for Open as for Verify.
func TestSealHoldsTheFrames(t *testing.T) {
	fsys, _ := filled(t, 7, false)
	l, err := survey(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	at := forgeLast(t, fsys, &l.segs[0])
	_, err = Open(tiny(fsys), nil)
	if err != nil {
		t.Fatalf("Open reads no more of a sealed segment than it replays: %v", err)
	}
	fsys = fsys.CrashProcess()
	_, err = Open(tiny(fsys), func(Record) error { return nil })
	damage := wantDamage(t, err)
	wantEqual(t, "segment", damage.Segment, segPath(1))
	_, err = Verify(fsys, testDir, VerifyOptions{})
	wantEqual(t, "place", wantDamage(t, err).Offset, at)

	// A clean stop at the end of a sealed segment has no hash of its own.
	fsys, _ = filled(t, 4, true)
	j, _ := mustOpen(t, tiny(fsys))
	mustAppend(t, j, 1)
	mustClose(t, j)
	_, off := lastFrame(t, fsys)
	wantEqual(t, "frame of the second segment", off, int64(512+1024))
	if err := zeroBlock(fsys, segPath(1), 4096-2*512); err != nil {
		t.Fatal(err)
	}
	_, err = Open(tiny(fsys), func(Record) error { return nil })
	wantEqual(t, "segment", wantDamage(t, err).Segment, segPath(1))
}

func zeroBlock(f *faultfs.FS, path string, off int64) error {
	file, err := f.Open(path)
	if err != nil {
		return err
	}
	return writeZeros(file, off, off+512)
}

// Bytes of the journal itself inside a payload that was torn are no proof.
func TestPayloadThatLooksLikeFrames(t *testing.T) {
	other, _ := filled(t, 7, false)
	image, err := faultfs.ReadFile(other, segPath(1))
	if err != nil {
		t.Fatal(err)
	}
	o := tiny(faultfs.New(seeded(1)))
	o.Rand, o.SegmentBytes = randReader{seeded(2)}, 16384 // another journal
	j, err := Open(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The image begins at a block: this is what a caller could send at will.
	if _, err := j.Append(1, append(make([]byte, 512-frameHeaderBytes), image...)); err != nil {
		t.Fatal(err)
	}
	fsys := o.FS.(*faultfs.FS).CrashProcess()
	if err := fsys.FlipBit(segPath(1), 8*600); err != nil {
		t.Fatal(err)
	}
	o.FS = fsys
	j, err = Open(o, nil)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	wantEqual(t, "records", j.Head().Seq, uint64(0))
}

func TestNewerVersionIsRefused(t *testing.T) {
	fsys, _ := filled(t, 3, true)
	f, err := fsys.Open(segPath(1))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, blockBytes)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(b[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(b[508:], crc32.Checksum(b[:508], castagnoli))
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	_, err = Open(tiny(fsys), nil)
	var newer *VersionError
	if !errors.As(err, &newer) || newer.Version != formatVersion+1 {
		t.Fatalf("got %v, want a *VersionError", err)
	}
}
