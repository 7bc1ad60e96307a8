package journal

import "faquan/internal/vfs"

// Search returns the last of the records up to upTo for which before is true, and a zero Head when there is none. It takes
// for granted that before is true for all records up to some one and false for those behind it, as sort.Search does, and
// reads one segment and a record of a few others. upTo and the errors are as in Follower.Next; errors of before are returned.
func Search(fsys vfs.FS, dir string, upTo uint64, before func(Record) (bool, error)) (last Head, err error) {
	f, err := Follow(fsys, dir, 1)
	if err != nil || upTo == 0 {
		return Head{}, err
	}
	if err := f.startBefore(func(h header) (bool, error) { return f.beginsBehind(h, upTo, before) }); err != nil {
		return Head{}, err
	}
	defer f.Close()
	for {
		r, ok, err := f.Next(upTo)
		if err != nil || !ok {
			return last, err
		}
		if found, err := before(r); err != nil || !found {
			return last, err
		}
		last = Head{Seq: r.Seq, Hash: r.Hash}
	}
}

// beginsBehind reports whether before is false for the first record of a segment, or there is none up to upTo.
func (f *Follower) beginsBehind(h header, upTo uint64, before func(Record) (bool, error)) (bool, error) {
	if h.firstSeq > upTo { //guard:TestSearch
		return true, nil
	}
	first := Follower{fsys: f.fsys, dir: f.dir, id: f.id, from: h.firstSeq}
	if err := first.startIn(h.segment); err != nil {
		return false, err
	}
	defer first.Close()
	r, _, err := first.Next(upTo)
	if err != nil {
		return false, err
	}
	found, err := before(r)
	return !found, err
}
