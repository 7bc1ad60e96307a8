package journal

import (
	"errors"
	"fmt"

	"faquan/internal/vfs"
)

// errEnough ends a reading that has all it wanted.
var errEnough = errors.New("enough")

// Read calls fn for each record up to upTo, in order; 0 means all. It takes no lock and changes nothing, so it may run
// beside the process that appends; then upTo must be a sequence that was acknowledged, since what lies beyond is moving.
// It checks what Open checks.
func Read(fsys vfs.FS, dir string, upTo uint64, fn func(Record) error) error {
	l, err := surveyWhole(fsys, dir)
	if err != nil {
		return err
	}
	return readRange(fsys, l, 0, 0, upTo, fn)
}

// surveyWhole surveys a journal from which no segment was removed.
func surveyWhole(fsys vfs.FS, dir string) (*layout, error) {
	l, err := survey(fsys, dir)
	if err != nil {
		return nil, err
	}
	if len(l.segs) == 0 {
		return nil, fmt.Errorf("journal: no journal in %s", dir)
	}
	_, err = l.holding(1)
	return l, err
}

// readRange reads the records greater than after, up to upTo, from segment start on. upTo 0 means all.
func readRange(fsys vfs.FS, l *layout, start int, after, upTo uint64, fn func(Record) error) error {
	if upTo > 0 && upTo <= after {
		return nil
	}
	last := after
	for i := start; i < len(l.segs); i++ {
		seg := &l.segs[i]
		_, err := readSegment(fsys, seg, func(fr *frame) error {
			if fr.typ == typeRecord && fr.seq > after {
				if err := fn(fr.record(seg.path)); err != nil {
					return err
				}
			}
			last = max(last, fr.seq)
			if upTo > 0 && fr.seq >= upTo {
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
	if last < upTo {
		return l.tail().damage(0, last+1, "the journal ends with record %d, but record %d is known to have been durable", last, upTo)
	}
	return nil
}

func (f *frame) record(path string) Record {
	return Record{Seq: f.seq, Kind: f.kind, Payload: f.payload(), Hash: f.hash, Segment: path, Offset: f.offset}
}

// readSegment calls visit for each frame of a segment and checks its end.
func readSegment(fsys vfs.FS, seg *segment, visit func(*frame) error) (tail, error) {
	f, err := fsys.OpenRead(seg.path)
	if err != nil {
		return tail{}, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	return readTail(f, seg, visit)
}
