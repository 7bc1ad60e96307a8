package journal

import (
	"fmt"
	"io"
	"path/filepath"

	"faquan/internal/vfs"
)

// Open opens the journal of a directory, or makes one. It finds the end, cuts a torn tail, makes everything before it
// durable once more, and then calls replay (which may be nil) for each record after opts.From, in order. An error of
// replay ends Open and is returned as it is.
//
// Errors to expect: one that wraps vfs.ErrLocked while another process has the journal, *DamageError, *VersionError, and
// those of the file system.
func Open(opts Options, replay func(Record) error) (*Journal, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	if err := opts.FS.MkdirAll(opts.Dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	lock, err := opts.FS.Lock(filepath.Join(opts.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{opts: opts, lock: lock}
	if err := j.recover(replay); err != nil {
		_ = j.release() // the first error is the one to tell
		return nil, err
	}
	j.keepReserve()
	j.startMaker()
	return j, nil
}

// recover looks at everything before it changes anything.
func (j *Journal) recover(replay func(Record) error) error {
	l, err := survey(j.opts.FS, j.opts.Dir)
	if err != nil {
		return err
	}
	if len(l.segs) == 0 {
		if err := j.removeAll(l.temps); err != nil {
			return err
		}
		return j.begin()
	}
	if l, err = j.lockTail(l); err != nil {
		return err
	}
	start, err := l.holding(j.opts.From + 1)
	if err != nil {
		return err
	}
	t, err := j.openTail(l.tail())
	if err != nil {
		return err
	}
	unfit, err := j.openSpare(l)
	if err != nil {
		return err
	}
	if err := j.settle(l.tail(), &t); err != nil {
		return err
	}
	if err := j.removeAll(append(l.temps, unfit...)); err != nil {
		return err
	}
	if err := j.lock.SyncDir(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if replay == nil {
		return nil
	}
	return readRange(j.opts.FS, l, start, j.opts.From, j.head.Seq, replay)
}

// begin makes the first segment of a new journal. Its header is written before it gets its name, so that there is never a
// first segment without one.
func (j *Journal) begin() error {
	if j.opts.KnownDurable > 0 {
		return &DamageError{Segment: j.opts.Dir, Seq: 1, Reason: fmt.Sprintf(
			"there are no segments, but record %d is known to have been durable", j.opts.KnownDurable)}
	}
	var id journalID
	if _, err := io.ReadFull(j.opts.Rand, id[:]); err != nil {
		return fmt.Errorf("journal: reading random bytes for an id: %w", err)
	}
	h := header{
		align: int64(j.opts.Align), segment: 1, size: j.opts.SegmentBytes,
		firstSeq: 1, prev: id.genesis(), id: id,
	}
	f, err := j.makeSegment(h.segment, h.encode(), immediately)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.use(f, h, tail{end: h.align, head: Head{Hash: h.prev}})
	if err := f.Lock(); err != nil { //guard:TestHardLinks
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// lockTail opens and locks the last segment. The directory's lock does not keep out a process that has the same files in
// another directory, as hard links.
//
// It returns a second survey, since the first one may be older than the last write of a process that held the lock until
// a moment ago. If that process has gone on to another segment, it is still running.
func (j *Journal) lockTail(l *layout) (*layout, error) {
	path := l.tail().path
	f, err := j.opts.FS.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.file = f // released when anything fails
	//guard:TestHardLinks
	if err := f.Lock(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if l, err = survey(j.opts.FS, j.opts.Dir); err != nil {
		return nil, err
	}
	if len(l.segs) == 0 || l.tail().path != path { //guard:TestSegmentChangeBesideOpen without l.tail().path != path
		return nil, fmt.Errorf("journal: %s is no longer the last segment: %w", path, vfs.ErrLocked)
	}
	return l, nil
}

// use makes a segment the current one.
func (j *Journal) use(f vfs.File, h header, t tail) {
	j.file, j.seg, j.seed = f, h, h.id.crcSeed()
	j.off, j.head, j.sealed, j.clean = t.end, t.head, t.sealed, t.clean
	j.filled.Store(j.off)
}

// openTail finds the end in the last segment and makes it the current one.
func (j *Journal) openTail(seg *segment) (tail, error) {
	t, err := readTail(j.file, seg, func(*frame) error { return nil })
	if err != nil {
		return t, err
	}
	if t.head.Seq < j.opts.KnownDurable { //guard:TestFilesMissingOrChanged|TestEveryBitFlipped
		return t, seg.damage(t.end, t.head.Seq+1, "the journal ends with record %d, but record %d is known to have been durable",
			t.head.Seq, j.opts.KnownDurable)
	}
	j.use(j.file, seg.header, t)
	return t, nil
}

// tail is the end of a segment.
type tail struct {
	head    Head
	end     int64  // where the next frame goes
	last    int64  // offset of what was written last: a frame, the header or the seal
	lastEnd int64  // and its end
	residue int64  // bytes in [end, residue) are not all zero; 0: there are none
	reason  string // what is at end instead of a frame, when there is residue
	sealed  bool
	clean   bool // the last frame is a clean stop
}

// readTail reads a segment to its end. In the last one it decides whether what is there is a torn tail (which it describes)
// or damage (an error).
func readTail(f vfs.File, seg *segment, visit func(*frame) error) (tail, error) {
	s := newScanner(f, seg.header)
	t := tail{last: 0, lastEnd: seg.align}
	stopped, err := s.frames(func(fr *frame) error {
		t.last, t.lastEnd, t.clean = fr.offset, fr.offset+fr.bytes(), fr.typ == typeCleanStop
		return visit(fr)
	})
	if err != nil {
		return t, err
	}
	t.end, t.head, t.reason = s.off, Head{Seq: s.seq, Hash: s.hash}, string(stopped)
	if seg.seal != nil {
		t.sealed = true
		t.last, t.lastEnd = seg.size-seg.align, seg.size
		return t, checkSealed(seg, s, stopped)
	}
	rest, err := s.rest(s.off, s.off)
	if err != nil {
		return t, err
	}
	if rest.proof != nil { //guard:TestEveryBitFlipped
		return t, seg.damage(s.off, s.seq+1, "%v, but the frame at offset %d (record %d) was written after this one was durable",
			stopped, rest.proof.offset, rest.proof.seq)
	}
	t.residue = rest.end
	return t, nil
}

// frames calls visit for each frame up to the first block that is none, and returns what is there.
func (s *scanner) frames(visit func(*frame) error) (stopped invalid, err error) {
	for {
		fr, err := s.next()
		if none, ok := err.(invalid); ok {
			return none, nil
		}
		if err == nil {
			err = visit(&fr)
		}
		if err != nil {
			return "", err
		}
	}
}

// checkSealed reports whether the frames of a sealed segment end as its seal says.
func checkSealed(seg *segment, s *scanner, stopped invalid) error {
	want := seg.seal
	if s.off != want.end || s.seq != want.lastSeq {
		return seg.damage(s.off, s.seq+1, "%v, but the seal says that the segment ends at offset %d with record %d",
			stopped, want.end, want.lastSeq)
	}
	if s.hash != want.hash { //guard:TestSealHoldsTheFrames
		return seg.damage(s.last, s.seq, "the chain hash of the last record is not that of the seal")
	}
	return nil
}

// settle leaves the tail as an Append finds it after another: the last frame durable, zeros behind it.
func (j *Journal) settle(seg *segment, t *tail) error {
	if err := rewrite(j.file, t); err != nil {
		return fmt.Errorf("journal: recover %s: %w", seg.path, err)
	}
	if t.residue > t.end {
		j.opts.Logger.Warn("journal: cut a torn tail, which was never acknowledged",
			"segment", seg.path, "offset", t.end, "bytes", t.residue-t.end, "last_seq", t.head.Seq, "reason", t.reason)
	}
	return nil
}

// rewrite cuts a torn tail and makes what was written last durable. It writes the same bytes once more, since a failed
// sync in an earlier process may have left them in the page cache, marked as clean, and not on the disk.
func rewrite(f vfs.File, t *tail) error {
	if err := writeZeros(f, t.end, t.residue); err != nil {
		return err
	}
	b := make([]byte, t.lastEnd-t.last)
	if n, err := f.ReadAt(b, t.last); n < len(b) {
		return err
	}
	if _, err := f.WriteAt(b, t.last); err != nil { //guard:TestShownMeansDurable|TestErrorAtEveryCall|TestRandomHistories
		return err
	}
	return f.Sync()
}

// openSpare takes over the segment that was made ahead, if there is one. One that is not as it should be is returned for
// removal, unless there are frames in it: then a header is lost.
func (j *Journal) openSpare(l *layout) (unfit []string, err error) {
	if l.spare == "" {
		return nil, nil
	}
	f, err := j.opts.FS.Open(l.spare)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	size, used, err := readSpare(f, l)
	if err == nil && size == j.opts.SegmentBytes && used == 0 {
		j.next = f
		return nil, nil
	}
	f.Close()
	if err != nil {
		return nil, err
	}
	j.opts.Logger.Info("journal: the prepared segment is made again", "segment", l.spare, "size", size, "used", used)
	return []string{l.spare}, nil
}

// readSpare looks through a segment without a header. It returns its size and the end of what is not zero.
func readSpare(f vfs.File, l *layout) (size, used int64, err error) {
	size, err = f.Size()
	if err != nil {
		return 0, 0, fmt.Errorf("journal: %w", err)
	}
	t := l.tail()
	s := &scanner{f: f, seed: t.id.crcSeed(), seg: header{segment: t.segment + 1, size: size, align: minAlign}, ahead: windowBytes}
	rest, err := s.rest(0, -1)
	if err == nil && rest.proof != nil {
		err = &DamageError{Segment: l.spare, Seq: rest.proof.seq, Reason: fmt.Sprintf(
			"the segment has no valid header, but the frame at offset %d (record %d) is intact", rest.proof.offset, rest.proof.seq)}
	}
	return size, rest.end, err
}

func (j *Journal) removeAll(paths []string) error {
	for _, path := range paths {
		if err := j.opts.FS.Remove(path); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}
