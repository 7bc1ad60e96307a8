package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/vfs"
)

const (
	segmentSuffix = ".seg"
	tempSuffix    = ".seg.tmp"
	lockName      = "LOCK"

	// fillBytes is how much of a new segment is written between two syncs: little enough not to hold up the appends that
	// go on meanwhile.
	fillBytes = 1 << 20
)

func segmentName(id uint64) string { return fmt.Sprintf("%08d%s", id, segmentSuffix) }

// segment is a file of the journal with a good header.
type segment struct {
	header
	path string
	seal *seal // nil when there is none, or only a torn one
}

// damage describes an error found in this segment.
func (s *segment) damage(off int64, seq uint64, format string, args ...any) error {
	return &DamageError{Segment: s.path, Offset: off, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}

// layout is what a directory holds: segments in order and, perhaps, one made ahead for the future.
type layout struct {
	segs  []segment
	spare string   // path of the segment without a header; "" when there is none
	temps []string // paths of files that were not finished
}

func (l *layout) tail() *segment { return &l.segs[len(l.segs)-1] }

// holding returns the index of the segment that has, or will have, record seq.
func (l *layout) holding(seq uint64) (int, error) {
	for i := len(l.segs) - 1; i >= 0; i-- {
		if l.segs[i].firstSeq <= seq {
			return i, nil
		}
	}
	return 0, l.segs[0].beginsAfter(seq)
}

// beginsAfter describes the loss of the segments before the first one, which held record seq.
func (s *segment) beginsAfter(seq uint64) error {
	return s.damage(0, seq, "the segments before this one, which begins with record %d, are missing", s.firstSeq)
}

// survey reads the headers and seals of all segments and checks that each continues the one before. It changes nothing.
//
// All headers are read before any seal: beside a running journal, a header that is there then means that the seal before
// it is there too.
func survey(fsys vfs.FS, dir string) (*layout, error) {
	ids, temps, err := listSegments(fsys, dir)
	if err != nil {
		return nil, err
	}
	l := &layout{temps: temps}
	for i, id := range ids {
		path := filepath.Join(dir, segmentName(id))
		if i > 0 && id != ids[i-1]+1 {
			return nil, &DamageError{Segment: filepath.Join(dir, segmentName(ids[i-1]+1)), Reason: "the file is missing"}
		}
		h, err := readHeader(fsys, path, id)
		bad, none := err.(invalid)
		switch {
		case err == nil:
			l.segs = append(l.segs, segment{header: h, path: path})
		case !none:
			return nil, err
		case i > 0 && i == len(ids)-1:
			l.spare = path
		default:
			return nil, &DamageError{Segment: path, Reason: string(bad)}
		}
	}
	for i := range l.segs {
		if err := l.readSeal(fsys, i); err != nil {
			return nil, err
		}
	}
	return l, l.checkLinks()
}

func listSegments(fsys vfs.FS, dir string) (ids []uint64, temps []string, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			temps = append(temps, filepath.Join(dir, name))
		}
		number, found := strings.CutSuffix(name, segmentSuffix)
		id, err := strconv.ParseUint(number, 10, 64)
		if found && err == nil && segmentName(id) == name {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, temps, nil
}

// readHeader reads the header of a segment. It fails as openSegment does.
func readHeader(fsys vfs.FS, path string, id uint64) (header, error) {
	f, h, err := openSegment(fsys, path, id)
	if err == nil {
		_ = f.Close() // it was only read
	}
	return h, err
}

// openSegment opens a segment for reading. It fails with an invalid when the file does not begin with the header of a
// segment.
func openSegment(fsys vfs.FS, path string, id uint64) (vfs.File, header, error) {
	f, err := fsys.OpenRead(path)
	if err != nil {
		return nil, header{}, fmt.Errorf("journal: %w", err)
	}
	h, err := headerOf(f, path, id)
	if err != nil {
		_ = f.Close() // it was only read
		return nil, header{}, err
	}
	return f, h, nil
}

func headerOf(f vfs.File, path string, id uint64) (header, error) {
	size, err := f.Size()
	if err != nil {
		return header{}, fmt.Errorf("journal: %w", err)
	}
	if size < blockBytes {
		return header{}, invalid(fmt.Sprintf("the file has only %d bytes", size))
	}
	b := make([]byte, min(size, maxAlign))
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return header{}, fmt.Errorf("journal: %w", err)
	}
	h, err := decodeHeader(b)
	if newer, ok := err.(*VersionError); ok {
		newer.Segment = path
	}
	if err != nil {
		return header{}, err
	}
	return h, checkHeader(path, h, b, size, id)
}

// checkHeader compares an intact header with the file that it is in. A failure is damage for certain: such a header was
// never written.
func checkHeader(path string, h header, b []byte, size int64, id uint64) error {
	reason := ""
	switch {
	case h.segment != id:
		reason = fmt.Sprintf("the header is that of segment %d", h.segment)
	case h.size != size:
		reason = fmt.Sprintf("the file has %d bytes, its header says %d", size, h.size)
	case !isZero(b[blockBytes:h.align]):
		reason = "there are bytes after the header that should be zero"
	case h.firstSeq == 1 && h.prev != h.id.genesis():
		reason = "the chain does not begin where it should"
	default:
		return nil
	}
	return &DamageError{Segment: path, Seq: h.firstSeq, Reason: reason}
}

func (l *layout) readSeal(fsys vfs.FS, i int) error {
	seg := &l.segs[i]
	f, err := fsys.OpenRead(seg.path)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	seg.seal, err = sealOf(f, seg.header)
	bad, none := err.(invalid)
	if err != nil && !none {
		return err
	}
	if none && i < len(l.segs)-1 {
		return seg.damage(seg.size-seg.align, 0, "no valid seal (%v), although another segment follows", bad)
	}
	return nil
}

// sealOf reads the seal of a segment. It fails with an invalid when there is none.
func sealOf(f vfs.File, h header) (*seal, error) {
	b := make([]byte, h.align)
	if n, err := f.ReadAt(b, h.size-h.align); n < len(b) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	s, err := decodeSeal(b, h)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// checkLinks compares each segment with the seal of the one before.
func (l *layout) checkLinks() error {
	for i := 1; i < len(l.segs); i++ {
		if err := l.segs[i].continues(&l.segs[i-1]); err != nil {
			return err
		}
	}
	return nil
}

// continues returns an error unless the segment belongs behind the one before, which is sealed.
func (s *segment) continues(before *segment) error {
	if s.id != before.id {
		return s.damage(0, s.firstSeq, "the segment belongs to another journal")
	}
	if s.firstSeq != before.seal.lastSeq+1 || s.prev != before.seal.hash {
		return s.damage(0, s.firstSeq, "the segment does not continue the one before, which ends with record %d", before.seal.lastSeq)
	}
	return nil
}

// dirSyncError is a failed sync of the directory: what it lists after a crash is unknown from then on.
type dirSyncError struct{ error }

func (e dirSyncError) Unwrap() error { return e.error }

// makeSegment makes a segment that is ready for use: filled with zeros behind first, durable under its name. pace is
// called between the steps and may wait, or end the work with an error. When it fails no file is left behind, unless the
// error is a dirSyncError. It may run beside appends, but only once at a time.
func (j *Journal) makeSegment(id uint64, first []byte, pace func(done int64) error) (_ vfs.File, err error) {
	defer func() { j.lowOnSpace.Store(err != nil && !errors.Is(err, errStopped)) }()
	fsys := j.opts.FS
	path := filepath.Join(j.opts.Dir, segmentName(id))
	temp := filepath.Join(j.opts.Dir, fmt.Sprintf("%08d%s", id, tempSuffix))
	f, err := j.create(temp)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	if err = fill(f, j.opts.SegmentBytes, first, pace); err == nil {
		err = fsys.Rename(temp, path)
	}
	if err != nil {
		f.Close()
		_ = fsys.Remove(temp) // the next start removes it otherwise
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	//guard:TestNoDescriptorAtEveryOpen|TestReserve j.lock.SyncDir() -> fsys.SyncDir(j.opts.Dir)
	if err := j.lock.SyncDir(); err != nil {
		f.Close()
		return nil, dirSyncError{fmt.Errorf("make %s: %w", path, err)}
	}
	return f, nil
}

// create makes a file, with the descriptor in reserve when there is no other.
func (j *Journal) create(name string) (vfs.File, error) {
	f, err := j.opts.FS.Create(name)
	if j.reserve == nil || !vfs.NoDescriptor(err) {
		return f, err
	}
	_ = j.reserve.Close() // it was only read
	j.reserve = nil
	return j.opts.FS.Create(name) //guard:TestReserve j.opts.FS.Create(name) -> f, err
}

// keepReserve opens a file that is not needed, so that the next segment can be made when connections have taken all other
// descriptors.
func (j *Journal) keepReserve() {
	if j.reserve == nil {
		j.reserve, _ = j.opts.FS.OpenRead(filepath.Join(j.opts.Dir, segmentName(j.seg.segment))) // it goes without
	}
}

func fill(f vfs.File, size int64, first []byte, pace func(done int64) error) error {
	if err := f.Allocate(size); err != nil {
		return err
	}
	chunk := make([]byte, min(size, fillBytes))
	for off := int64(0); off < size; off += int64(len(chunk)) {
		if err := pace(off); err != nil {
			return err
		}
		chunk = chunk[:min(size-off, int64(len(chunk)))]
		n := copy(chunk, first)
		if _, err := f.WriteAt(chunk, off); err != nil {
			return err
		}
		clear(chunk[:n])
		first = first[n:]
		if err := f.SyncData(); err != nil {
			return err
		}
	}
	return f.Sync()
}
