package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"faquan/internal/vfs"
)

// Follower reads the records of a journal in order, beside the process that appends them. One goroutine at a time may use
// it.
type Follower struct {
	fsys vfs.FS
	dir  string
	id   journalID
	from uint64 // the first record to return

	seg  segment
	scan *scanner // of seg; nil until record from has been looked for
	// fresh is the highest record that had been acknowledged when the scanner read its window. Bytes of the window that
	// belong to later records may be out of date.
	fresh uint64
}

// Follow returns a Follower whose first record has the sequence from (1 is the first). That record may still have to be
// appended. Follow takes no lock and changes nothing. It fails for a directory without a journal, with a *DamageError when
// the first segments are missing or damaged, and with a *VersionError when a newer program wrote them.
func Follow(fsys vfs.FS, dir string, from uint64) (*Follower, error) {
	if from == 0 { //guard:TestFollowRefuses
		return nil, errors.New("journal: follow from record 0: the first record is 1")
	}
	f := &Follower{fsys: fsys, dir: dir, from: from}
	ids, err := f.segments()
	if err != nil {
		return nil, err
	}
	file, first, err := f.open(ids[0])
	if err != nil {
		return nil, err
	}
	f.id = first.id
	_ = file.Close() // it was only read

	if first.firstSeq > from { //guard:TestFollowFilesMissingOrChanged
		return nil, first.beginsAfter(from)
	}
	return f, nil
}

// ID returns the id of the journal, see Journal.ID.
func (f *Follower) ID() [16]byte { return f.id }

// Next returns the next record if its sequence is at most upTo, and false if not. upTo must be 0 or a record that was
// acknowledged, since what lies beyond is moving. The record is valid until the next call.
//
// The error is a *DamageError when an acknowledged record is gone or changed. After an error of the file system the call
// may be repeated.
func (f *Follower) Next(upTo uint64) (r Record, ok bool, err error) {
	if f.scan == nil {
		if upTo < f.from { //guard:TestFollowFromTheFuture
			return Record{}, false, nil
		}
		if err := f.start(); err != nil {
			return Record{}, false, err
		}
	}
	for f.scan.seq < upTo { //guard:TestFollowFromEachRecord f.scan.seq < upTo -> true
		fr, err := f.frame(upTo)
		if err != nil {
			return Record{}, false, err
		}
		if fr.typ == typeRecord && fr.seq >= f.from {
			return fr.record(f.seg.path), true, nil
		}
	}
	return Record{}, false, nil
}

// Close releases the file. The Follower must not be used afterwards.
func (f *Follower) Close() error {
	if f.scan == nil {
		return nil
	}
	return f.scan.f.Close()
}

// start opens the segment that has record from, which was acknowledged. It reads the headers of a few segments only.
func (f *Follower) start() error {
	return f.startBefore(func(h header) (bool, error) { return h.firstSeq > f.from, nil }) //guard:TestFollowFromEachRecord
}

// startBefore opens the segment before the first one of which beyond returns true. It asks about a few segments only, and
// never about the first.
func (f *Follower) startBefore(beyond func(header) (bool, error)) error {
	ids, err := f.segments()
	if err != nil {
		return err
	}
	low, high := 0, len(ids) // the segment is among ids[low:high]
	for high-low > 1 {
		mid := (low + high) / 2
		path := filepath.Join(f.dir, segmentName(ids[mid]))
		h, err := readHeader(f.fsys, path, ids[mid])
		bad, none := err.(invalid)
		switch {
		//guard:TestFollowBesideAppends
		case none && mid == len(ids)-1: // made ahead, and its header perhaps just being written
			high = mid
		case none: //guard:TestFollowFindsEveryFlippedBit
			return &DamageError{Segment: path, Reason: string(bad)}
		case err != nil:
			return err
		default:
			behind, err := beyond(h)
			if err != nil {
				return err
			}
			if behind {
				high = mid
			} else {
				low = mid
			}
		}
	}
	return f.startIn(ids[low])
}

// startIn opens a segment, in which there must be a record.
func (f *Follower) startIn(id uint64) error {
	file, seg, err := f.open(id)
	if err != nil {
		return err
	}
	if seg.id != f.id { //guard:TestFollowAnotherJournal
		_ = file.Close()
		return seg.damage(0, seg.firstSeq, "the segment belongs to another journal")
	}
	f.seg, f.scan = seg, newScanner(file, seg.header)
	return nil
}

// segments returns the ids of the segments in order, at least one.
func (f *Follower) segments() ([]uint64, error) {
	ids, _, err := listSegments(f.fsys, f.dir)
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("journal: no journal in %s", f.dir)
	}
	return ids, err
}

// open opens a segment in which there must be a record.
func (f *Follower) open(id uint64) (vfs.File, segment, error) {
	path := filepath.Join(f.dir, segmentName(id))
	file, h, err := openSegment(f.fsys, path, id)
	if bad, none := err.(invalid); none {
		err = &DamageError{Segment: path, Reason: string(bad)}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &DamageError{Segment: path, Reason: "the file is missing"}
	}
	return file, segment{header: h, path: path}, err
}

// frame returns the next frame, of this segment or of the one after it. There must be one, since not all records up to
// upTo have been read.
func (f *Follower) frame(upTo uint64) (frame, error) {
	for {
		if f.scan.seq >= f.fresh { //guard:TestFollowBesideAppends
			f.scan.window = f.scan.window[:0] // read it again
			f.scan.ahead = f.readAhead(upTo)
			f.fresh = upTo
		}
		fr, err := f.scan.next()
		stopped, end := err.(invalid)
		if !end {
			return fr, err
		}
		if err := f.nextSegment(stopped, upTo); err != nil {
			return frame{}, err
		}
	}
}

// readAhead returns how much to read so that the records up to upTo are in it, if they are as large as the one before.
// Reading a whole window for each record at the end of the journal would cost more than all else.
func (f *Follower) readAhead(upTo uint64) int64 {
	records := int64(min(upTo-f.scan.seq, windowBytes/minAlign))
	return min(windowBytes, records*(f.scan.off-f.scan.last))
}

// nextSegment goes on to the segment after the current one, which must be sealed where the scanner has stopped.
func (f *Follower) nextSegment(stopped invalid, upTo uint64) error {
	s := f.scan
	var err error
	f.seg.seal, err = sealOf(s.f, f.seg.header)
	if bad, none := err.(invalid); none { //guard:TestFollowFindsEveryFlippedBit
		return f.seg.damage(s.off, s.seq+1, "%v, and no seal in the last block (%v), but record %d is known to have been durable",
			stopped, bad, upTo)
	}
	if err != nil {
		return err
	}
	if err := checkSealed(&f.seg, s, stopped); err != nil { //guard:TestFollowFindsEveryFlippedBit
		return err
	}
	file, next, err := f.open(f.seg.segment + 1)
	if err != nil {
		return err
	}
	if err := next.continues(&f.seg); err != nil { //guard:TestFollowChecksLinks
		_ = file.Close()
		return err
	}
	f.seg, f.scan = next, newScanner(file, next.header)
	f.scan.window = s.window[:0]
	_ = s.f.Close() // it was only read
	return nil
}
