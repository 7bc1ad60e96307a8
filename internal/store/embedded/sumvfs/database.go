// Package sumvfs lets SQLite notice every bit of a database that changed on disk. SQLite itself keeps no checksums of its
// pages: a flipped bit in an index makes a row that is there impossible to find, silently.
//
// Each page of the database file ends with its number and a CRC-32C over all the rest of it. Both are written when a page
// is written and compared whenever one is read, index pages, overflow pages and the schema included, so SQLite's cache
// holds nothing that was not checked. A page that does not match makes the read fail with SQLITE_IOERR_DATA. It is what
// SQLite's checksum VFS does, which the Go port lacks.
//
// Pages in the write-ahead log have no such bytes: SQLite sums a frame up before it gives it to the VFS. For them an open
// Database keeps the checksums in memory, of what the log held when it was opened and of everything written to it since.
//
// A log that an ended process has left is recovered by SQLite up to the first frame that does not match. That is right for a
// torn tail, but not when a later frame has been moved into the database by then: old and new pages would be mixed. Before
// each checkpoint Mark therefore notes how much of the log may be moved, and Open compares.
//
// Pages and checksums in memory are not protected, nor is the shared memory beside the log, which whoever opens the database
// first makes anew.
package sumvfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"
)

// What the names of the files beside the database end with.
const (
	LogSuffix    = "-wal"
	SharedSuffix = "-shm"
	MarkSuffix   = "-mark"
)

// ErrDamaged is returned by Open for a database that must not be used.
var ErrDamaged = errors.New("the database is damaged")

// Database is a database that this process may write to. While it is open, URI leads to it.
type Database struct {
	path    string
	damaged func(error)

	mu     sync.Mutex
	frames []uint32 // checksums of the pages in the log's frames
	salt   [8]byte  // what tells the log's frames from those of its earlier rounds
}

// databases are those that are open, by path. Of two with one path the later counts.
var databases sync.Map // of string to *Database

// Open prepares a database to be opened with URI, and makes an empty one where there is none. No other process may have
// it open to write. damaged is called with what does not match whenever a read fails for that; it may be called by any
// goroutine that uses a connection.
func Open(path string, damaged func(error)) (*Database, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	// The rest of the header is checked with its page.
	if header, err := readHeader(path); err != nil {
		return nil, err
	} else if header[20] != reserved {
		return nil, fmt.Errorf("%w: its pages have no room for checksums", ErrDamaged)
	}
	d := &Database{path: path, damaged: damaged}
	if err := d.readLog(); err != nil {
		return nil, err
	}
	databases.Store(path, d)
	return d, nil
}

// Close ends what Open began. The connections must be closed.
func (d *Database) Close() { databases.CompareAndDelete(d.path, d) }

// Remove deletes a database and the files beside it.
func Remove(path string) error {
	for _, suffix := range []string{"", LogSuffix, SharedSuffix, MarkSuffix} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// create makes an empty database where there is none, or a file without a byte. SQLite could make one, too, but not with
// reserved bytes.
func create(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := Remove(path); err != nil { // a log that is left belongs to another database
		return err
	}
	// What is left out is zero.
	page := make([]byte, pageSize)
	copy(page, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(page[16:], pageSize)
	copy(page[18:], []byte{
		2, 2, // written and read with a write-ahead log
		reserved, 64, 32, 32,
	})
	binary.BigEndian.PutUint32(page[24:], 1) // change counter
	binary.BigEndian.PutUint32(page[28:], 1) // pages
	binary.BigEndian.PutUint32(page[92:], 1) // the change counter for which the number of pages is valid
	page[100] = 13                           // an empty table: the schema
	binary.BigEndian.PutUint16(page[105:], pageSize-reserved)
	stamp(page, 1)
	return writeStart(path, page)
}

// writeStart writes the first bytes of a file, which it makes when it is missing.
func writeStart(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// PlainVersion returns the user_version of a database whose pages SQLite wrote without checksums; 0 for any other, and
// when there is none.
func PlainVersion(path string) (int, error) {
	header, err := readHeader(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && header[20] != 0 {
		return 0, nil
	}
	return int(binary.BigEndian.Uint32(header[60:])), err
}

// readHeader reads the header of a database: https://www.sqlite.org/fileformat2.html#the_database_header.
func readHeader(path string) (header [100]byte, err error) {
	err = readSome(path, header[:])
	return header, err
}

// readSome reads the first bytes of a file. What the file lacks stays zero.
func readSome(path string, b []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	return ignoreEnd(err)
}

func (d *Database) isFrame(k int, sum uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return k < len(d.frames) && d.frames[k] == sum
}

// noteFrame remembers the checksum of a frame. SQLite may write one again that is not committed yet.
func (d *Database) noteFrame(k int, sum uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.frames) <= k {
		d.frames = append(d.frames, 0)
	}
	d.frames[k] = sum
}

func (d *Database) noteSalt(header []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.salt[:], header[16:])
}

// Mark notes that the first frames of the log may be moved into the database from now on. Call it before each checkpoint.
// The mark is not synced. It matters when a process was killed, and is there then; SQLite syncs the log before it moves
// anything, so after a power cut that took the mark the log is whole.
func (d *Database) Mark(frames int) error {
	if frames <= 0 {
		return nil
	}
	var m [16]byte
	d.mu.Lock()
	copy(m[:8], d.salt[:])
	d.mu.Unlock()
	binary.BigEndian.PutUint32(m[8:], uint32(frames))
	binary.BigEndian.PutUint32(m[12:], crc32.Checksum(m[:12], castagnoli))
	return writeStart(d.path+MarkSuffix, m[:])
}

// readLog learns the checksums of a log that was left, and refuses it when it lacks frames of which the database may hold
// some. A log that is gone is believed: SQLite deletes one only when all of it is in the database.
func (d *Database) readLog() error {
	f, err := os.Open(d.path + LogSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	committed, err := d.recover(f)
	if err != nil {
		return err
	}
	var m [16]byte
	if err := readSome(d.path+MarkSuffix, m[:]); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing of the log was ever moved
	} else if err != nil {
		return err
	}
	//guard:internal/store/embedded.TestFlippedAfterKill
	if m == ([16]byte{}) { // made, but what it says was lost in a power cut; see Mark
		return nil
	}
	marked := int(binary.BigEndian.Uint32(m[8:]))
	switch {
	case binary.BigEndian.Uint32(m[12:]) != crc32.Checksum(m[:12], castagnoli):
		return fmt.Errorf("%w: %s does not match its checksum", ErrDamaged, d.path+MarkSuffix)
	case committed < 0: //guard:internal/store/embedded.TestFlippedAfterKill
		return fmt.Errorf("%w: the header of %s does not match its checksum", ErrDamaged, d.path+LogSuffix)
	case [8]byte(m[:8]) == d.salt && committed < marked: //guard:internal/store/embedded.TestFlippedAfterKill
		return fmt.Errorf("%w: frame %d of %s does not match its checksum, and the database may hold later ones",
			ErrDamaged, len(d.frames)+1, d.path+LogSuffix)
	}
	return nil // whole; or begun anew after the mark, when all of the earlier round was in the database
}

// recover reads a log as SQLite recovers it: up to the first frame that does not match. It returns how many frames are
// committed; -1 when not even the header is right. See https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
func (d *Database) recover(f io.Reader) (committed int, err error) {
	header := make([]byte, logHeader)
	if _, err := io.ReadFull(f, header); err != nil {
		return -1, ignoreEnd(err)
	}
	magic := binary.BigEndian.Uint32(header)
	sum := logSum{order: binary.LittleEndian}
	if magic&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(header[:24])
	if magic&^1 != 0x377f0682 || binary.BigEndian.Uint32(header[8:]) != pageSize || !sum.is(header[24:]) {
		return -1, nil
	}
	d.salt = [8]byte(header[16:])
	b := make([]byte, frameSize)
	for {
		if _, err := io.ReadFull(f, b); err != nil {
			return committed, ignoreEnd(err)
		}
		sum.add(b[:8])
		sum.add(b[frameHeader:])
		if [8]byte(b[8:]) != d.salt || !sum.is(b[16:]) {
			return committed, nil
		}
		d.frames = append(d.frames, crc32.Checksum(b[frameHeader:], castagnoli))
		if binary.BigEndian.Uint32(b[4:]) != 0 { // the database's size after a commit
			committed = len(d.frames)
		}
	}
}

func ignoreEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// logSum is the running checksum of the write-ahead log.
type logSum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (s *logSum) add(data []byte) {
	for ; len(data) > 0; data = data[8:] {
		s.a += s.order.Uint32(data) + s.b
		s.b += s.order.Uint32(data[4:]) + s.a
	}
}

func (s *logSum) is(stored []byte) bool {
	return binary.BigEndian.Uint32(stored) == s.a && binary.BigEndian.Uint32(stored[4:]) == s.b
}
