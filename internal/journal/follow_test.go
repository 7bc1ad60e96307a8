package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"faquan/internal/vfs"
	"faquan/internal/vfs/faultfs"
)

// followed reads records with a new follower, up to and including record upTo, and checks their content.
func followed(t *testing.T, fsys vfs.FS, from, upTo uint64) error {
	t.Helper()
	f, err := Follow(fsys, testDir, from)
	if err != nil {
		return err
	}
	defer f.Close()
	r := reader{t: t, from: from - 1, last: from - 1}
	for {
		rec, ok, err := f.Next(upTo)
		if err != nil {
			return err
		}
		if !ok {
			wantEqual(t, "last record", r.last, max(upTo, from-1))
			return nil
		}
		_ = r.replay(rec) // it has no error
	}
}

func TestFollowFromEachRecord(t *testing.T) {
	for _, clean := range []bool{false, true} {
		fsys, head := filled(t, 30, clean)
		for from := uint64(1); from <= head.Seq+2; from++ {
			for upTo := range head.Seq + 1 {
				if err := followed(t, fsys, from, upTo); err != nil {
					t.Fatalf("from %d up to %d: %v", from, upTo, err)
				}
			}
		}
		wantEqual(t, "open files", fsys.OpenFiles(), 0)
	}
}

// followWorld is a journal with followers beside it, on one disk that stays when the process that appends is restarted.
type followWorld struct {
	*rapid.T
	fs        *faultfs.FS
	opts      Options
	j         *Journal
	payloads  [][]byte // acknowledged
	hashes    [][32]byte
	garbage   int64 // bytes behind the end that an append in flight has left; 0: none
	followers []*testFollower
}

type testFollower struct {
	*Follower
	next uint64 // the record that must come next
}

func (w *followWorld) noError(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *followWorld) head() uint64 { return uint64(len(w.payloads)) }

func (w *followWorld) open() {
	j, err := Open(w.opts, nil)
	w.noError(err)
	if j.Head().Seq != w.head() {
		w.Fatalf("the journal ends with record %d, %d were acknowledged", j.Head().Seq, w.head())
	}
	w.j, w.garbage = j, 0
}

// write puts bytes into the current segment, behind the end.
func (w *followWorld) write(b []byte) {
	f, err := w.fs.Open(filepath.Join(testDir, segmentName(w.j.seg.segment)))
	w.noError(err)
	defer f.Close()
	_, err = f.WriteAt(b, w.j.off)
	w.noError(err)
}

func (w *followWorld) drawPayload(most int) []byte {
	p := make([]byte, rapid.IntRange(0, most).Draw(w.T, "size"))
	for i := range p {
		p[i] = byte(len(p) + i)
	}
	if len(p) > 0 {
		p[0] = byte(w.head())
	}
	return p
}

func (w *followWorld) append(*rapid.T) {
	if w.garbage > 0 { // the append in flight was taken back
		w.write(make([]byte, w.garbage))
		w.garbage = 0
	}
	for range rapid.IntRange(1, 5).Draw(w.T, "records") {
		p := w.drawPayload(w.j.MaxPayload() / rapid.SampledFrom([]int{1, 2, 5, 20}).Draw(w.T, "part"))
		_, err := w.j.Append(byte(len(p)), p)
		w.noError(err)
		w.payloads, w.hashes = append(w.payloads, p), append(w.hashes, w.j.Head().Hash)
	}
}

// inFlight leaves what an append may have written when it is not finished: a frame that may still change, a part of it,
// or anything else.
func (w *followWorld) inFlight(*rapid.T) {
	if w.garbage > 0 || !w.j.fits(0) {
		w.Skip()
	}
	room := w.j.seg.size - 2*w.j.seg.align - w.j.off
	p := w.drawPayload(int(room - frameHeaderBytes))
	b := make([]byte, frameBytes(len(p), w.j.seg.align))
	h := frameHeader{
		kind: 99, typ: typeRecord, align: w.j.seg.align, segment: w.j.seg.segment, seq: w.head() + 1, durable: w.j.off,
	}
	encodeFrame(b, h, p, w.j.seed, [32]byte{1})
	if rapid.Bool().Draw(w.T, "torn") {
		b[rapid.IntRange(0, len(b)-1).Draw(w.T, "at")] ^= 1
	}
	w.garbage = int64(len(b))
	w.write(b)
}

// prepare makes the next segment, and perhaps a part of its header.
func (w *followWorld) prepare(*rapid.T) {
	w.noError(w.j.Prepare())
	if rapid.Bool().Draw(w.T, "header") {
		_, err := w.j.next.WriteAt(headerMagic[:], 0)
		w.noError(err)
	}
}

func (w *followWorld) stop(*rapid.T) {
	if w.garbage > 0 {
		w.Skip()
	}
	w.noError(w.j.Close())
	w.open()
}

func (w *followWorld) kill(*rapid.T) {
	w.noError(w.j.release())
	if w.garbage > 0 {
		// A frame that is whole would be replayed: what was never acknowledged may be there, but not in this test.
		w.write([]byte{0})
	}
	w.open()
}

func (w *followWorld) follow(*rapid.T) {
	from := rapid.Uint64Range(1, w.head()+5).Draw(w.T, "from")
	f, err := Follow(w.fs, testDir, from)
	w.noError(err)
	if f.ID() != w.j.ID() {
		w.Fatalf("the follower's journal is %x, not %x", f.ID(), w.j.ID())
	}
	w.followers = append(w.followers, &testFollower{f, from})
}

func (w *followWorld) read(*rapid.T) {
	if len(w.followers) == 0 {
		w.Skip()
	}
	f := rapid.SampledFrom(w.followers).Draw(w.T, "follower")
	upTo := w.head()
	if rapid.Bool().Draw(w.T, "earlier") {
		upTo = rapid.Uint64Range(0, w.head()).Draw(w.T, "up to")
	}
	for range rapid.IntRange(1, 10).Draw(w.T, "records") {
		r, ok, err := f.Next(upTo)
		w.noError(err)
		if ok != (f.next <= upTo) {
			w.Fatalf("up to %d, with record %d to come: got record %d, %v", upTo, f.next, r.Seq, ok)
		}
		if !ok {
			return
		}
		want := w.payloads[f.next-1]
		if r.Seq != f.next || r.Kind != byte(len(want)) || !bytes.Equal(r.Payload, want) || r.Hash != w.hashes[f.next-1] {
			w.Fatalf("record %d came in the place of %d, or with other content", r.Seq, f.next)
		}
		f.next++
	}
}

// Followers read exactly what was acknowledged, whatever happens in between, and whatever is behind it.
func TestFollowBesideAppends(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fsys := faultfs.New(seeded(1))
		w := &followWorld{T: t, fs: fsys, opts: tiny(fsys)}
		w.opts.SegmentBytes = rapid.SampledFrom([]int64{4096, 16384, 3 * windowBytes}).Draw(t, "segment")
		w.open()
		t.Repeat(map[string]func(*rapid.T){
			"append": w.append, "append more": w.append, "in flight": w.inFlight, "prepare": w.prepare, "stop": w.stop, "kill": w.kill,
			"follow": w.follow, "read": w.read, "read more": w.read,
		})
		for _, f := range w.followers {
			w.noError(f.Close())
		}
		w.noError(w.j.release())
		if n := fsys.OpenFiles(); n != 0 {
			t.Fatalf("%d files are still open", n)
		}
	})
}

// A follower that waits for a record touches no file.
func TestFollowFromTheFuture(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	f, err := Follow(fsys, testDir, 20)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq < 20; seq++ {
		mustAppend(t, j, 1)
		before := fsys.Ops()
		if _, ok, err := f.Next(seq); ok || err != nil {
			t.Fatalf("up to %d: %v, %v", seq, ok, err)
		}
		wantEqual(t, "operations", fsys.Ops()-before, 0)
	}
	mustAppend(t, j, 1)
	if r, ok, err := f.Next(20); !ok || err != nil || r.Seq != 20 {
		t.Fatalf("got record %d, %v, %v", r.Seq, ok, err)
	}
	mustClose(t, j)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A bit flipped in what a follower needs is found before a record from behind it is returned, and nothing else is.
func TestFollowFindsEveryFlippedBit(t *testing.T) {
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	const n = 7
	fsys, _ := filled(t, n, true)
	l, err := survey(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "segments", len(l.segs), 3)
	for i := range l.segs {
		seg := &l.segs[i]
		end := seg.align // of what matters
		if _, err := readSegment(fsys, seg, func(fr *frame) error {
			if fr.typ == typeRecord {
				end = fr.offset + fr.bytes()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for bit := int64(0); bit < seg.size*8; bit += step {
			at := bit / 8
			matters := at < end || seg.seal != nil && at >= seg.size-seg.align
			for _, from := range []uint64{1, seg.firstSeq, n} {
				if from > seg.firstSeq && i < 2 { // it may not be read at all
					continue
				}
				if err := fsys.FlipBit(seg.path, bit); err != nil {
					t.Fatal(err)
				}
				err := followed(t, fsys, from, n)
				what := fmt.Sprintf("from %d, %s, byte %d, bit %d", from, seg.path, at, bit%8)
				var damage *DamageError
				switch {
				case !matters && err != nil:
					t.Fatalf("%s, which is not needed: %v", what, err)
				case matters && !errors.As(err, &damage):
					t.Fatalf("%s: got %v, want a *DamageError", what, err)
				case matters && (damage.Segment != seg.path || damage.Offset > at):
					t.Fatalf("%s: the damage was placed at %s, offset %d", what, damage.Segment, damage.Offset)
				}
				if err := fsys.FlipBit(seg.path, bit); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	wantEqual(t, "open files", fsys.OpenFiles(), 0)
}

func TestFollowFilesMissingOrChanged(t *testing.T) {
	cases := map[string]struct {
		change func(*faultfs.FS) error
		reason string
	}{
		"first removed":       {func(f *faultfs.FS) error { return f.Remove(segPath(1)) }, "are missing"},
		"middle removed":      {func(f *faultfs.FS) error { return f.Remove(segPath(2)) }, "the file is missing"},
		"last removed":        {func(f *faultfs.FS) error { return f.Remove(segPath(3)) }, "the file is missing"},
		"first cut":           {func(f *faultfs.FS) error { return f.Truncate(segPath(1), 1024) }, "1024 bytes"},
		"last emptied":        {func(f *faultfs.FS) error { return f.Truncate(segPath(3), 0) }, "0 bytes"},
		"swapped":             {func(f *faultfs.FS) error { return f.Rename(segPath(2), segPath(1)) }, "that of segment 2"},
		"tail written zero":   {func(f *faultfs.FS) error { return zeroFrom(f, segPath(3), 512) }, "known to have been durable"},
		"last record removed": {func(f *faultfs.FS) error { return zeroLast(t, f) }, "known to have been durable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fsys, _ := filled(t, 7, false)
			if err := c.change(fsys); err != nil {
				t.Fatal(err)
			}
			open := fsys.OpenFiles()
			wantReason(t, followed(t, fsys, 1, 7), c.reason)
			wantEqual(t, "open files", fsys.OpenFiles(), open)
		})
	}
	t.Run("not from a segment that was removed", func(t *testing.T) {
		fsys, _ := filled(t, 7, false)
		l, err := survey(fsys, testDir)
		if err != nil {
			t.Fatal(err)
		}
		if err := fsys.Remove(segPath(1)); err != nil {
			t.Fatal(err)
		}
		if err := followed(t, fsys, l.segs[1].firstSeq, 7); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFollowChecksLinks(t *testing.T) {
	for _, c := range []struct {
		reason string
		change func(*header)
	}{
		{"another journal", func(h *header) { h.id[0] ^= 1 }},
		{"does not continue", func(h *header) { h.firstSeq++ }},
		{"does not continue", func(h *header) { h.prev[0] ^= 1 }},
	} {
		fsys, _ := filled(t, 7, false)
		l, err := survey(fsys, testDir)
		if err != nil {
			t.Fatal(err)
		}
		h := l.segs[1].header
		c.change(&h)
		write(t, fsys, segPath(2), 0, h.encode())
		open := fsys.OpenFiles()
		wantReason(t, followed(t, fsys, 1, 7), c.reason)
		wantEqual(t, "open files", fsys.OpenFiles(), open)
	}
}

// A segment of another journal is noticed also by a follower that begins in it.
func TestFollowAnotherJournal(t *testing.T) {
	fsys, _ := filled(t, 7, false)
	o := tiny(faultfs.New(seeded(1)))
	o.Rand = randReader{seeded(2)}
	j, _ := mustOpen(t, o)
	mustAppend(t, j, 7)
	data, err := faultfs.ReadFile(o.FS, segPath(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := faultfs.WriteFile(fsys, segPath(2), data); err != nil {
		t.Fatal(err)
	}
	l, err := survey(o.FS, testDir)
	if err != nil {
		t.Fatal(err)
	}
	first := l.segs[1].firstSeq
	wantReason(t, followed(t, fsys, first, first), "another journal")
	wantEqual(t, "open files", fsys.OpenFiles(), 0)
}

func TestFollowRefuses(t *testing.T) {
	fsys, _ := filled(t, 3, true)
	var damage *DamageError
	if _, err := Follow(fsys, testDir, 0); err == nil || errors.As(err, &damage) {
		t.Errorf("record 0: got %v, want an error that is not damage", err)
	}
	if _, err := Follow(fsys, "/data", 1); err == nil {
		t.Error("a directory without a journal was accepted")
	}
	l, err := survey(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	b := l.segs[0].encode()
	le.PutUint32(b[8:], formatVersion+1)
	le.PutUint32(b[508:], crc32.Checksum(b[:508], castagnoli))
	write(t, fsys, segPath(1), 0, b)
	var newer *VersionError
	if _, err := Follow(fsys, testDir, 1); !errors.As(err, &newer) || newer.Segment != segPath(1) {
		t.Errorf("a newer version: got %v, want a *VersionError", err)
	}
}

// However many segments there are, few are opened.
func TestFollowOpensFewFiles(t *testing.T) {
	fsys := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(fsys))
	for j.seg.segment < 300 {
		mustAppend(t, j, 1)
	}
	head := j.Head().Seq
	before := fsys.OpenFiles()
	for _, from := range []uint64{1, head / 3, head - 1, head} {
		opened := 0
		fsys.FailFunc(func(op faultfs.Op) faultfs.Fault {
			if op.Kind == faultfs.Open {
				opened++
			}
			return faultfs.Fault{}
		})
		f, err := Follow(fsys, testDir, from)
		if err != nil {
			t.Fatal(err)
		}
		r, ok, err := f.Next(head)
		if !ok || err != nil || r.Seq != from {
			t.Fatalf("from %d: got record %d, %v, %v", from, r.Seq, ok, err)
		}
		if opened > 11 { // the first segment, nine headers, and the segment
			t.Errorf("from %d of %d: %d files opened", from, head, opened)
		}
		wantEqual(t, "files kept open", fsys.OpenFiles(), before+1)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every operation fails once. The call is repeated, and nothing is lost or left open.
func TestFollowErrorAtEveryCall(t *testing.T) {
	fsys, head := filled(t, 30, true)
	for n := 1; ; n++ {
		met := false
		ops := 0
		fsys.FailFunc(func(faultfs.Op) faultfs.Fault {
			if ops++; ops != n {
				return faultfs.Fault{}
			}
			met = true
			return faultfs.Fault{Err: syscall.EMFILE}
		})
		r := reader{t: t}
		var f *Follower
		var rec Record
		var ok bool
		for r.last < head.Seq {
			failed := met
			var err error
			if f == nil {
				f, err = Follow(fsys, testDir, 1)
			} else if rec, ok, err = f.Next(head.Seq); ok {
				_ = r.replay(rec)
			}
			if err != nil && (failed || !met || !errors.Is(err, syscall.EMFILE)) {
				t.Fatalf("operation %d: %v", n, err)
			}
			if err == nil && met && !failed {
				t.Fatalf("operation %d: the error was lost", n)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "open files", fsys.OpenFiles(), 0)
		if !met {
			break
		}
	}
}

// Real files, the goroutine that makes segments, and followers in goroutines of their own.
func TestFollowOnARealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, _ := mustOpen(t, Options{Dir: dir, SegmentBytes: 256 << 10, Background: true})
	const n = 300
	var acked atomic.Uint64
	done := make(chan error)
	follow := func() error {
		f, err := Follow(vfs.OS, dir, 1)
		if err != nil {
			return err
		}
		defer f.Close()
		r := reader{t: t}
		for r.last < n {
			rec, ok, err := f.Next(acked.Load())
			if err != nil {
				return err
			}
			if ok {
				_ = r.replay(rec)
			}
		}
		return nil
	}
	for range 2 {
		go func() { done <- follow() }()
	}
	for range n {
		mustAppend(t, j, 1)
		acked.Store(j.Head().Seq)
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
}

func TestFollowAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(Options{Dir: dir, SegmentBytes: 16 << 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	p := make([]byte, 50000)
	for range 200 {
		if _, err := j.Append(1, p); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Follow(vfs.OS, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	upTo := uint64(0)
	next := func() {
		upTo++
		if _, ok, err := f.Next(min(upTo/10*10+10, 200)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	for range 30 {
		next()
	}
	wantEqual(t, "allocations", testing.AllocsPerRun(100, next), 0.0)
}

func TestID(t *testing.T) {
	fsys, _ := filled(t, 30, true)
	j, _ := mustOpen(t, tiny(fsys))
	id := j.ID()
	if again := j.ID(); id == [16]byte{} || again != id {
		t.Fatalf("the id is %x, then %x", id, again)
	}
	mustAppend(t, j, 10)
	wantEqual(t, "id after segments", j.ID(), id)
	f, err := Follow(fsys, testDir, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "id of the follower", f.ID(), id)
	o := tiny(faultfs.New(seeded(1)))
	o.Rand = randReader{seeded(2)}
	other, _ := mustOpen(t, o)
	if other.ID() == id {
		t.Fatal("two journals have the same id")
	}
}
