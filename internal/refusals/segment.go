package refusals

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/gateway"
	"faquan/internal/vfs"
)

// A segment is full when it has maxSegment bytes, or an eighth of all that may be kept. MinKeep leaves room in it for the
// largest record.
const (
	maxSegment  = 8 << 20
	minSegments = 8
	MinKeep     = 1 << 20
)

const segmentSuffix = ".seg"

// segmentName returns the name of a segment by the number of its first record, so that names sort as the numbers do.
func segmentName(first int64) string { return fmt.Sprintf("%016x%s", first, segmentSuffix) }

// segments lists the segments of a directory by the numbers of their first records, in order.
func segments(fsys vfs.FS, dir string) ([]int64, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, segmentSuffix)
		if first, err := strconv.ParseInt(digits, 16, 64); ok && err == nil && name == segmentName(first) {
			all = append(all, first)
		}
	}
	slices.Sort(all)
	return all, nil
}

func readSegment(fsys vfs.FS, dir string, first int64) ([]byte, error) {
	f, err := fsys.OpenRead(filepath.Join(dir, segmentName(first)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], err
}

// find returns the refusals of a directory that match and have a number less than before, newest first, at most limit. A
// process may write the directory meanwhile.
func find(fsys vfs.FS, dir string, match func(*gateway.Record) bool, limit int, before int64) (found []gateway.Record, err error) {
	all, err := segments(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("refusals: %w", err)
	}
	for _, first := range slices.Backward(all) {
		if len(found) >= limit {
			break
		}
		data, err := readSegment(fsys, dir, first)
		if errors.Is(err, fs.ErrNotExist) { //guard:TestFindWhileWriting
			continue // it has just been removed
		}
		if err != nil {
			return nil, fmt.Errorf("refusals: %w", err)
		}
		records, _ := frames(data)
		for _, record := range slices.Backward(records) {
			c, err := decode(record)
			if err != nil || c.Number >= before || !match(c) { //guard:TestFindReturnsEachOnce without c.Number >= before
				continue
			}
			if found = append(found, *c); len(found) >= limit {
				break
			}
		}
		// What a failed write left at the end of an older segment was written again to this one.
		before = min(before, first) //guard:TestFailedOperations
	}
	return found, nil
}

// writer appends refusals to the segments of a directory that belongs to it. It is not safe for concurrent use.
type writer struct {
	fs   vfs.FS
	dir  string
	keep int64 // bytes of all segments

	sizes map[int64]int64 // of the segments, by the number of their first record
	order []int64         // the segments, oldest first
	file  vfs.File        // the newest segment; nil: the next record begins one
	last  int64           // the number of the newest record; 0: none
	encoder
}

// openWriter opens a directory, and removes what is more than keep.
func openWriter(fsys vfs.FS, dir string, keep int64) (*writer, error) {
	w := &writer{fs: fsys, dir: dir, keep: keep, sizes: map[int64]int64{}}
	var err error
	if w.order, err = segments(fsys, dir); err != nil {
		return nil, err
	}
	for _, first := range w.order {
		if w.sizes[first], err = w.sizeOf(first); err != nil {
			return nil, err
		}
	}
	if err := w.makeRoom(0); err != nil {
		return nil, err
	}
	if len(w.order) == 0 {
		return w, nil
	}
	return w, w.openNewest()
}

func (w *writer) sizeOf(first int64) (int64, error) {
	f, err := w.fs.OpenRead(filepath.Join(w.dir, segmentName(first)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// openNewest finds the last number, and continues the newest segment if it is intact.
func (w *writer) openNewest() error {
	first := w.order[len(w.order)-1]
	data, err := readSegment(w.fs, w.dir, first)
	if err != nil {
		return err
	}
	w.last = first - 1
	records, size := frames(data)
	if len(records) > 0 {
		c, err := decode(records[len(records)-1])
		if err != nil {
			return err
		}
		w.last = c.Number
	}
	if size != int64(len(data)) { //guard:TestDamagedSegment
		return nil // reading it ends at the damage
	}
	w.file, err = w.fs.Open(filepath.Join(w.dir, segmentName(first)))
	return err
}

// write appends refusals; their numbers in the files are greater by base than those in memory. After an error it is not
// known which of them are in the files; they may be written again.
func (w *writer) write(all []gateway.Record, base int64) error {
	first := base + all[0].Number
	for k := range all {
		number := base + all[k].Number
		w.frame(&all[k], number)
		if len(w.b) < int(w.segmentBytes()/2) && k < len(all)-1 {
			continue
		}
		err := w.append(first)
		w.b = w.b[:0]
		if err != nil {
			w.abandon() // it may end with half a record
			return err
		}
		w.last, first = number, number+1
	}
	return nil
}

// abandon lets the next write begin a segment.
func (w *writer) abandon() {
	if w.file != nil {
		w.file.Close()
		w.file = nil //guard:TestFullDisk
	}
}

// append writes the buffer, whose first record has the number, or a later one where numbers are missing.
func (w *writer) append(first int64) error {
	if w.file == nil || w.sizes[w.newest()]+int64(len(w.b)) > w.segmentBytes() {
		if err := w.rotate(first); err != nil {
			return err
		}
	}
	at := w.newest()
	n, err := w.file.WriteAt(w.b, w.sizes[at])
	w.sizes[at] += int64(n)
	return err
}

func (w *writer) newest() int64 { return w.order[len(w.order)-1] }

func (w *writer) segmentBytes() int64 { return min(maxSegment, w.keep/minSegments) }

// rotate begins a segment.
func (w *writer) rotate(first int64) error {
	w.abandon()
	if err := w.makeRoom(w.segmentBytes()); err != nil {
		return err
	}
	file, err := w.fs.Create(filepath.Join(w.dir, segmentName(first)))
	if err != nil {
		return err
	}
	w.file = file
	if w.sizes[first] = 0; !slices.Contains(w.order, first) { // else a failed write began it
		w.order = append(w.order, first)
	}
	return nil
}

// makeRoom removes the oldest segments until the bytes fit.
func (w *writer) makeRoom(bytes int64) error {
	for len(w.order) > 0 && w.bytes()+bytes > w.keep { //guard:TestRotation without w.bytes()+bytes > w.keep
		oldest := w.order[0]
		err := w.fs.Remove(filepath.Join(w.dir, segmentName(oldest)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(w.sizes, oldest)
		w.order = w.order[1:]
	}
	return nil
}

func (w *writer) bytes() (sum int64) {
	for _, size := range w.sizes {
		sum += size
	}
	return sum
}

func (w *writer) close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
