package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"syscall"

	"faquan/internal/vfs"
)

// Options say where a journal is and how it is kept. Only Dir is required.
type Options struct {
	FS  vfs.FS // default vfs.OS
	Dir string // made when it is missing

	// SegmentBytes is the size of new segments, default 64 MiB, rounded up to Align. It bounds the size of a record, see
	// MaxPayload.
	SegmentBytes int64
	// Align is what frames are padded to in new segments: a power of two, 512 to 65536, default 4096. At 4096 no drive
	// rewrites a sector that holds an acknowledged record; 512 saves room and assumes drives that never damage a
	// neighbouring sector.
	Align int

	// From is the last record that the owner has already: Open replays those after it, and reads no segment that lies
	// wholly before it beyond header and seal.
	From uint64
	// KnownDurable is the highest sequence that the owner has seen somewhere durable. A journal that ends before it is
	// damaged, not torn. From counts too.
	KnownDurable uint64

	// Background lets a goroutine make the next segment, at a pace that leaves the disk to the appends. Without it no
	// goroutine is started and the next segment is made in Prepare, or else in the Append that needs it.
	Background bool

	// Syncing is called before a record is synced; the function that it returns is called when that is done. Metrics
	// measure the time between the two. It may be nil.
	Syncing func() (synced func())

	Logger *slog.Logger // default: discards
	Rand   io.Reader    // for the id of a new journal; default crypto/rand
}

// Record is one record as it is read back.
type Record struct {
	Seq     uint64 // 1 is the first
	Kind    byte   // as given to Append
	Payload []byte // valid only until the callback returns, or until the next call of Follower.Next
	Hash    [32]byte
	Segment string // path of the file
	Offset  int64  // of the frame in it
}

// Head names the last record: its sequence (0 before the first one) and the chain hash, which commits to it and to every
// record before it.
type Head struct {
	Seq  uint64
	Hash [32]byte
}

// Journal is an open journal. One goroutine at a time may use it.
type Journal struct {
	opts Options
	lock vfs.Lock
	seed uint32

	seg    header // of the current segment
	file   vfs.File
	off    int64 // where the next frame goes
	sealed bool  // the current segment takes no more
	clean  bool  // the last frame is a clean stop
	head   Head
	buf    []byte // for one frame, reused

	next       vfs.File // the next segment, when it is ready
	maker      *maker   // making it; nil when none is at work
	reserve    vfs.File // see keepReserve; of the maker while it is at work
	filled     atomic.Int64
	lowOnSpace atomic.Bool // the last attempt to make the next segment failed

	failed *FailedError
	closed bool
}

func (o *Options) complete() error {
	o.FS = cmp.Or(o.FS, vfs.OS)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 64<<20)
	o.Align = cmp.Or(o.Align, 4096)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Rand = cmp.Or(o.Rand, rand.Reader)
	if o.Syncing == nil {
		o.Syncing = func() func() { return func() {} }
	}
	o.KnownDurable = max(o.KnownDurable, o.From)
	if o.Dir == "" || !validAlign(int64(o.Align)) || o.SegmentBytes < 8*int64(o.Align) {
		return fmt.Errorf("journal: invalid options: directory %q, alignment %d, segments of %d bytes", o.Dir, o.Align, o.SegmentBytes)
	}
	o.SegmentBytes = (o.SegmentBytes + int64(o.Align) - 1) &^ (int64(o.Align) - 1)
	return nil
}

// MaxPayload returns how many bytes a record may have: at most MaxRecordBytes, and no more than fit into one segment.
func (j *Journal) MaxPayload() int {
	room := j.opts.SegmentBytes - 3*int64(j.opts.Align) // header, clean stop, seal
	return int(min(MaxRecordBytes, room-frameHeaderBytes))
}

// Head returns the last record's sequence and chain hash.
func (j *Journal) Head() Head { return j.head }

// ID returns the random bytes that tell this journal from every other one. They never change.
func (j *Journal) ID() [16]byte { return j.seg.id }

// Append writes one record and syncs it. When it returns a sequence and no error the record is durable; the package
// comment describes the errors. The payload is not kept. It allocates nothing unless the payload is larger than any
// before or a new segment begins.
func (j *Journal) Append(kind byte, payload []byte) (uint64, error) {
	if err := j.usable(); err != nil {
		return 0, err
	}
	if len(payload) > j.MaxPayload() {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), j.MaxPayload())
	}
	if !j.fits(len(payload)) {
		if err := j.roll(); err != nil {
			return 0, err
		}
	}
	h := frameHeader{kind: kind, typ: typeRecord, seq: j.head.Seq + 1}
	hash, err := j.writeFrame(h, payload)
	if err != nil {
		return 0, err
	}
	j.head = Head{Seq: h.seq, Hash: hash}
	j.clean = false
	return h.seq, nil
}

func (j *Journal) usable() error {
	if j.closed {
		return ErrClosed
	}
	if j.failed != nil { //guard:TestErrorAtEveryCall|TestWhatLatches
		return j.failed
	}
	return nil
}

// fits reports whether a record has room in the current segment, with a block left for a clean stop and one for the seal.
func (j *Journal) fits(length int) bool {
	return !j.sealed && j.off+frameBytes(length, j.seg.align) <= j.seg.size-2*j.seg.align
}

// writeFrame puts a frame at the end and makes it durable. Since every frame is synced before the next, everything before
// the end is durable.
func (j *Journal) writeFrame(h frameHeader, payload []byte) ([32]byte, error) {
	h.align, h.segment, h.durable = j.seg.align, j.seg.segment, j.off
	size := frameBytes(len(payload), h.align)
	if int64(cap(j.buf)) < size {
		j.buf = make([]byte, size)
	}
	b := j.buf[:size]
	hash := encodeFrame(b, h, payload, j.seed, j.head.Hash)
	if err := j.put(j.file, b, j.off); err != nil {
		return hash, err
	}
	j.off += size
	j.filled.Store(j.off)
	return hash, nil
}

// put writes bytes over zeros and syncs them.
func (j *Journal) put(f vfs.File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err != nil {
		return j.cutBack(f, off, min(len(b), max(n, int(j.seg.align))), err)
	}
	synced := j.opts.Syncing()
	//guard:internal/sim.TestSim$ -sim.seeds=30
	err = f.SyncData() //guard:TestPowerCutAtEveryCall
	synced()
	if err != nil {
		return j.fail(err)
	}
	return nil
}

// cutBack takes a failed write back: once its first n bytes are zeros again, and synced, nothing of it can be taken for a
// frame. Where that does not succeed, or the disk itself reports an error, the outcome is unknown.
func (j *Journal) cutBack(f vfs.File, off int64, n int, cause error) error {
	if errors.Is(cause, syscall.EIO) {
		return j.fail(cause)
	}
	if err := writeZeros(f, off, off+int64(n)); err != nil {
		return j.fail(errors.Join(cause, err))
	}
	if err := f.SyncData(); err != nil {
		return j.fail(errors.Join(cause, err))
	}
	return j.notWritten(cause)
}

// notWritten returns the error of a step of an Append whose record is certainly not written, unless the journal has failed.
func (j *Journal) notWritten(err error) error {
	if err == nil || j.failed != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotWritten, err)
}

func writeZeros(f vfs.File, off, end int64) error {
	for off < end {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// fail latches: nothing is written or synced any more.
func (j *Journal) fail(err error) error {
	j.failed = &FailedError{Seq: j.head.Seq + 1, Err: err}
	j.opts.Logger.Error("journal failed, the outcome of the current record is unknown", "seq", j.failed.Seq, "err", err)
	return j.failed
}

// roll seals the current segment and begins the next one. When it fails without latching, the following Append continues
// where it stopped.
func (j *Journal) roll() error {
	if err := j.lockResult(j.lock.Check()); err != nil { //guard:TestLockLost$
		return err
	}
	if err := j.notWritten(j.Prepare()); err != nil {
		return err
	}
	if err := j.lockResult(j.next.Lock()); err != nil { //guard:TestHardLinks|TestNextSegmentLocked
		return err
	}
	if !j.sealed {
		s := seal{segment: j.seg.segment, lastSeq: j.head.Seq, end: j.off, hash: j.head.Hash}
		if err := j.put(j.file, s.encode(j.seg.align, j.seed), j.seg.size-j.seg.align); err != nil {
			return err
		}
		j.sealed = true
	}
	h := header{
		align: int64(j.opts.Align), segment: j.seg.segment + 1, size: j.opts.SegmentBytes,
		firstSeq: j.head.Seq + 1, prev: j.head.Hash, id: j.seg.id,
	}
	if err := j.put(j.next, h.encode(), 0); err != nil {
		return err
	}
	old := j.file
	j.file, j.seg = j.next, h
	j.off, j.sealed, j.clean, j.next = h.align, false, false, nil
	j.filled.Store(j.off)
	if err := old.Close(); err != nil { // all of it is synced: nothing is lost
		j.opts.Logger.Warn("journal: closing a full segment failed", "err", err)
	}
	j.keepReserve()
	j.startMaker()
	return nil
}

// lockResult returns the error of an operation on a lock as one of Append. It latches when another process may be writing
// to the journal: it has the lock, or ours is no longer where that process would look for it.
func (j *Journal) lockResult(err error) error {
	if errors.Is(err, vfs.ErrLockLost) || errors.Is(err, vfs.ErrLocked) {
		return j.fail(err)
	}
	return j.notWritten(err)
}

// Close notes a clean stop in the journal and releases the directory. After an error of Append that latched, it only
// releases, and returns that error.
func (j *Journal) Close() error {
	if j.closed {
		return nil
	}
	j.stopMaker()
	err := j.usable()
	if err == nil {
		err = j.lockResult(j.lock.Check())
	}
	if err == nil && !j.sealed && !j.clean {
		_, err = j.writeFrame(frameHeader{typ: typeCleanStop, seq: j.head.Seq}, nil)
	}
	j.closed = true
	return errors.Join(err, j.release())
}

// release closes what is open and ends the lock.
func (j *Journal) release() error {
	var errs []error
	for _, f := range []vfs.File{j.file, j.next, j.reserve} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, j.lock.Close())...)
}
