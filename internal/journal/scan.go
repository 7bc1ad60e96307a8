package journal

import (
	"fmt"
	"io"

	"faquan/internal/vfs"
)

// windowBytes is how much of a segment is read at once, unless a frame is larger.
const windowBytes = 256 << 10

// frame is a frame that was read and found good. Its bytes are valid until the scanner moves on.
type frame struct {
	frameHeader
	offset int64
	raw    []byte
}

func (f *frame) payload() []byte {
	return f.raw[frameHeaderBytes : frameHeaderBytes+f.length]
}

// scanner reads the frames of one segment in order.
type scanner struct {
	f     vfs.File
	seg   header
	seed  uint32
	limit int64 // frames end here at the latest; behind it is the seal

	off  int64    // of the next frame
	last int64    // of the frame before it
	seq  uint64   // of the last record
	hash [32]byte // chain hash of the last record

	window    []byte
	windowOff int64
	ahead     int64 // how much to read at once, at most windowBytes
}

func newScanner(f vfs.File, seg header) *scanner {
	return &scanner{
		f: f, seg: seg, seed: seg.id.crcSeed(), limit: seg.size - seg.align,
		off: seg.align, seq: seg.firstSeq - 1, hash: seg.prev, ahead: windowBytes,
	}
}

// next returns the next frame. It fails with errZero where no frame begins, and with another invalid where something else
// is in its place.
func (s *scanner) next() (frame, error) {
	if s.off >= s.limit {
		return frame{}, errZero
	}
	f, err := s.frameAt(s.off, s.limit, s.seg.align)
	if err == nil {
		err = s.follows(&f.frameHeader)
	}
	if err != nil {
		return frame{}, err
	}
	s.last = s.off
	s.off += f.bytes()
	s.seq, s.hash = f.seq, f.hash
	return f, nil
}

// frameAt returns the intact frame of the segment at off, which ends at limit or before. align is what it is padded to; 0: any.
func (s *scanner) frameAt(off, limit, align int64) (frame, error) {
	b, err := s.peek(off, min(frameHeaderBytes, s.seg.size-off))
	if err != nil {
		return frame{}, err
	}
	h, err := decodeFrameHeader(b)
	if err != nil {
		return frame{}, err
	}
	if align != 0 && h.align != align || h.segment != s.seg.segment || off+h.bytes() > limit {
		return frame{}, invalid("the header of the record does not fit this segment")
	}
	if b, err = s.peek(off, h.bytes()); err != nil {
		return frame{}, err
	}
	if !checkFrame(b, s.seed) { //guard:TestEveryBitFlipped
		return frame{}, invalid("the checksum of the record does not match")
	}
	return frame{frameHeader: h, offset: off, raw: b}, nil
}

// follows reports whether an intact frame is the one that must come next.
func (s *scanner) follows(h *frameHeader) error {
	want := s.seq
	if h.typ == typeRecord {
		want++
	}
	if h.seq != want {
		return invalid(fmt.Sprintf("an intact record, but number %d in the place of %d", h.seq, want))
	}
	if h.typ == typeCleanStop && h.hash != s.hash {
		return invalid("a clean stop with another chain hash than the record before it")
	}
	return nil
}

// peek returns n bytes at off, valid until the next call.
func (s *scanner) peek(off, n int64) ([]byte, error) {
	if off < s.windowOff || off+n > s.windowOff+int64(len(s.window)) {
		size := min(max(n, s.ahead), s.seg.size-off)
		if int64(cap(s.window)) < size {
			s.window = make([]byte, size)
		}
		s.window, s.windowOff = s.window[:size], off
		if m, err := s.f.ReadAt(s.window, off); int64(m) < size {
			s.window = s.window[:0]
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("journal: read: %w", err)
		}
	}
	from := off - s.windowOff
	return s.window[from : from+n], nil
}

// remains describes what follows the last frame.
type remains struct {
	end   int64  // of the last block that is not zero; 0 when all are
	proof *frame // one that was written after the bad block was durable, without its bytes; nil: there is none
}

// rest looks through everything from an offset on: for what is not zero, and for proof that the bytes at bad, where a
// frame or a header should be, were durable.
func (s *scanner) rest(from, bad int64) (remains, error) {
	var r remains
	for off := from; off < s.seg.size; off += s.seg.align {
		b, err := s.peek(off, min(s.seg.align, s.seg.size-off))
		if err != nil {
			return r, err
		}
		if isZero(b) {
			continue
		}
		r.end = off + int64(len(b))
		if r.proof == nil && off > bad {
			if r.proof, err = s.proofAt(off, bad); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// proofAt returns the intact frame at off whose durable offset lies beyond bad; nil when there is none.
func (s *scanner) proofAt(off, bad int64) (*frame, error) {
	f, err := s.frameAt(off, s.seg.size, 0)
	if _, none := err.(invalid); none || err == nil && f.durable <= bad {
		return nil, nil
	}
	f.raw = nil
	return &f, err
}
