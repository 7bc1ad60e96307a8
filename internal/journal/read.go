package journal

import (
	"errors"
	"fmt"

	"faquan/internal/vfs"
)

// Range is a range of sequences: those greater than After, up to UpTo. UpTo 0
// means all.
type Range struct {
	After, UpTo uint64
}

// errEnough ends a reading that has all it wanted.
var errEnough = errors.New("enough")

// Read calls fn for each record in a range, in order. It takes no lock and
// changes nothing, so it may run beside the process that appends; then UpTo must
// be set, to a sequence that was acknowledged, since what lies beyond is moving.
// It checks what Open checks, for the segments it reads.
func Read(fsys vfs.FS, dir string, r Range, fn func(Record) error) error {
	l, err := survey(fsys, dir)
	if err != nil {
		return err
	}
	if len(l.segs) == 0 {
		return fmt.Errorf("journal: no journal in %s", dir)
	}
	start, err := l.holding(r.After + 1)
	if err != nil {
		return err
	}
	return readRange(fsys, l, start, r, fn)
}

// readRange reads a range from segment start on.
func readRange(fsys vfs.FS, l *layout, start int, r Range, fn func(Record) error) error {
	if r.UpTo > 0 && r.UpTo <= r.After {
		return nil
	}
	last := r.After
	for i := start; i < len(l.segs); i++ {
		seg := &l.segs[i]
		err := readSegment(fsys, seg, i == len(l.segs)-1, func(fr *frame) error {
			if fr.typ == typeRecord && fr.seq > r.After {
				if err := fn(fr.record(seg.path)); err != nil {
					return err
				}
			}
			last = max(last, fr.seq)
			if r.UpTo > 0 && fr.seq >= r.UpTo {
				return errEnough
			}
			return nil
		})
		if err == errEnough {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if last < r.UpTo {
		return l.tail().damage(0, last+1, "the journal ends with record %d, but record %d is known to have been durable", last, r.UpTo)
	}
	return nil
}

func (f *frame) record(path string) Record {
	return Record{Seq: f.seq, Kind: f.kind, Payload: f.payload(), Hash: f.hash, Segment: path, Offset: f.offset}
}

// readSegment calls visit for each frame of a segment and checks its end.
func readSegment(fsys vfs.FS, seg *segment, last bool, visit func(*frame) error) error {
	f, err := fsys.OpenRead(seg.path)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	if last {
		_, err := readTail(f, seg, visit)
		return err
	}
	s := newScanner(f, seg.header)
	stopped, err := s.frames(visit)
	if err != nil {
		return err
	}
	return checkSealed(seg, s, stopped)
}
