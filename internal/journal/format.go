package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// le is the order of the bytes of numbers on disk.
var le = binary.LittleEndian

const (
	formatVersion = 1

	// blockBytes is the size of the part of a header or seal that its CRC covers; the rest up to the segment's alignment
	// is zero.
	blockBytes = 512

	minAlign = 512
	maxAlign = 64 << 10

	// MaxRecordBytes bounds the payload of any record of any journal, and so what a reader allocates before it has
	// checked anything.
	MaxRecordBytes = 16 << 20
)

var (
	headerMagic = [8]byte{'f', 'q', 'j', 'o', 'u', 'r', 'n', 1}
	sealMagic   = [8]byte{'f', 'q', 's', 'e', 'a', 'l', 0, 1}
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)

	zeros [64 << 10]byte // never written
)

// invalid describes why bytes are not what should be in their place.
type invalid string

func (i invalid) Error() string { return string(i) }

const errZero invalid = "zeros"

// journalID tells journals apart: drawn at random when one is made.
type journalID [16]byte

// crcSeed returns where the CRC of frames and seals starts. Because it is not known outside the directory, bytes in a
// payload cannot pass for a frame.
func (id journalID) crcSeed() uint32 { return crc32.Checksum(id[:], castagnoli) }

// genesis returns the chain hash before the first record.
func (id journalID) genesis() [32]byte {
	return sha256.Sum256(append([]byte("faquan journal "), id[:]...))
}

// header is the first block of a segment:
//
//	0 magic  8 version  12 align  16 segment  24 size  32 first sequence
//	40 chain hash before it  72 journal id  88 zeros  508 CRC32C
//
// In every version the magic, the version and the CRC stay where they are.
type header struct {
	align    int64
	segment  uint64
	size     int64
	firstSeq uint64
	prev     [32]byte
	id       journalID
}

func (h header) encode() []byte {
	b := make([]byte, h.align)
	copy(b, headerMagic[:])
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], uint32(h.align))
	le.PutUint64(b[16:], h.segment)
	le.PutUint64(b[24:], uint64(h.size))
	le.PutUint64(b[32:], h.firstSeq)
	copy(b[40:], h.prev[:])
	copy(b[72:], h.id[:])
	le.PutUint32(b[508:], crc32.Checksum(b[:508], castagnoli))
	return b
}

// decodeHeader reads the first blockBytes of a segment. It fails with errZero or another invalid, or a *VersionError.
func decodeHeader(b []byte) (header, error) {
	if isZero(b[:blockBytes]) {
		return header{}, errZero
	}
	if !bytes.Equal(b[:8], headerMagic[:]) {
		return header{}, invalid("this is not a segment header")
	}
	if le.Uint32(b[508:]) != crc32.Checksum(b[:508], castagnoli) {
		return header{}, invalid("the checksum of the segment header does not match")
	}
	if v := le.Uint32(b[8:]); v > formatVersion {
		return header{}, &VersionError{Version: v}
	}
	h := header{
		align:    int64(le.Uint32(b[12:])),
		segment:  le.Uint64(b[16:]),
		size:     int64(le.Uint64(b[24:])),
		firstSeq: le.Uint64(b[32:]),
		prev:     [32]byte(b[40:72]),
		id:       journalID(b[72:88]),
	}
	if !validAlign(h.align) || h.size%h.align != 0 || h.size < 4*h.align || h.firstSeq == 0 {
		return header{}, invalid("the segment header is invalid")
	}
	return h, nil
}

func validAlign(n int64) bool { return n >= minAlign && n <= maxAlign && n&(n-1) == 0 }

// seal is the last block of a full segment:
//
//	0 magic  8 version  12 zeros  16 segment  24 last sequence  32 end of the frames
//	40 chain hash  72 zeros  508 CRC32C, started from the journal's seed
type seal struct {
	segment uint64
	lastSeq uint64
	end     int64
	hash    [32]byte
}

func (s seal) encode(align int64, seed uint32) []byte {
	b := make([]byte, align)
	copy(b, sealMagic[:])
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], s.segment)
	le.PutUint64(b[24:], s.lastSeq)
	le.PutUint64(b[32:], uint64(s.end))
	copy(b[40:], s.hash[:])
	le.PutUint32(b[508:], crc32.Update(seed, castagnoli, b[:508]))
	return b
}

// decodeSeal reads the last block of a segment; errZero when it is all zero.
func decodeSeal(b []byte, h header) (seal, error) {
	if isZero(b) {
		return seal{}, errZero
	}
	if !bytes.Equal(b[:8], sealMagic[:]) ||
		le.Uint32(b[508:]) != crc32.Update(h.id.crcSeed(), castagnoli, b[:508]) {
		return seal{}, invalid("the checksum of the seal does not match")
	}
	s := seal{
		segment: le.Uint64(b[16:]),
		lastSeq: le.Uint64(b[24:]),
		end:     int64(le.Uint64(b[32:])),
		hash:    [32]byte(b[40:72]),
	}
	if s.segment != h.segment || s.lastSeq+1 < h.firstSeq || s.end < h.align || s.end > h.size-h.align ||
		!isZero(b[blockBytes:]) {
		return seal{}, invalid("the seal is invalid")
	}
	return s, nil
}

// A frame starts with
//
//	0 magic  4 CRC32C of everything after it, padding included
//	8 payload length  12 kind  13 type  14 log2 of the alignment  15 zero
//	16 segment  24 sequence  32 durable offset  40 chain hash  72 payload
//
// A clean stop has the sequence and chain hash of the record before it.
const (
	frameMagic       = 0x314d5246 // "FRM1"
	frameHeaderBytes = 72

	typeRecord    = 1
	typeCleanStop = 2
)

type frameHeader struct {
	length  int // of the payload
	kind    byte
	typ     byte
	align   int64
	segment uint64
	seq     uint64
	durable int64 // everything before this offset of the segment was synced
	hash    [32]byte
}

// bytes returns how much room the frame takes, padding included.
func (h *frameHeader) bytes() int64 { return frameBytes(h.length, h.align) }

func frameBytes(length int, align int64) int64 {
	return (frameHeaderBytes + int64(length) + align - 1) &^ (align - 1)
}

// encodeFrame writes a frame into b, which has exactly its size, and returns the chain hash that follows prev. A clean
// stop passes prev on.
func encodeFrame(b []byte, h frameHeader, payload []byte, seed uint32, prev [32]byte) [32]byte {
	le.PutUint32(b[0:], frameMagic)
	le.PutUint32(b[8:], uint32(len(payload)))
	b[12], b[13], b[14], b[15] = h.kind, h.typ, byte(bits.TrailingZeros64(uint64(h.align))), 0
	le.PutUint64(b[16:], h.segment)
	le.PutUint64(b[24:], h.seq)
	le.PutUint64(b[32:], uint64(h.durable))
	copy(b[40:], prev[:])
	end := frameHeaderBytes + copy(b[frameHeaderBytes:], payload)
	clear(b[end:])
	if h.typ == typeRecord {
		prev = sha256.Sum256(b[8:end])
		copy(b[40:], prev[:])
	}
	le.PutUint32(b[4:], crc32.Update(seed, castagnoli, b[8:]))
	return prev
}

// decodeFrameHeader reads and bounds the first frameHeaderBytes of a frame, before anything is known to be right. It
// returns errZero when they are zero.
func decodeFrameHeader(b []byte) (frameHeader, error) {
	if len(b) >= frameHeaderBytes && isZero(b[:frameHeaderBytes]) {
		return frameHeader{}, errZero
	}
	if len(b) < frameHeaderBytes || le.Uint32(b) != frameMagic {
		return frameHeader{}, invalid("this is not a record")
	}
	length, shift := le.Uint32(b[8:]), b[14]
	if length > MaxRecordBytes || shift > 16 || !validAlign(1<<shift) || b[15] != 0 ||
		b[13] != typeRecord && b[13] != typeCleanStop || b[13] == typeCleanStop && length != 0 {
		return frameHeader{}, invalid("the header of the record is invalid")
	}
	return frameHeader{
		length:  int(length),
		kind:    b[12],
		typ:     b[13],
		align:   1 << shift,
		segment: le.Uint64(b[16:]),
		seq:     le.Uint64(b[24:]),
		durable: int64(le.Uint64(b[32:])),
		hash:    [32]byte(b[40:72]),
	}, nil
}

// checkFrame reports whether b, a whole frame with its padding, is as written.
func checkFrame(b []byte, seed uint32) bool {
	return le.Uint32(b[4:]) == crc32.Update(seed, castagnoli, b[8:])
}

// chainHash computes what a record's hash must be after prev. It leaves b as it was.
func chainHash(b []byte, length int, prev [32]byte) [32]byte {
	var own [32]byte
	copy(own[:], b[40:72])
	copy(b[40:72], prev[:])
	sum := sha256.Sum256(b[8 : frameHeaderBytes+length])
	copy(b[40:72], own[:])
	return sum
}

func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
