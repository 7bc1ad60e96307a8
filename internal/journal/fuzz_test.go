package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"faquan/internal/vfs/faultfs"
)

// FuzzFrame decodes arbitrary bytes as a frame. What is accepted must be exactly
// what encodeFrame would write.
func FuzzFrame(f *testing.F) {
	b := make([]byte, 1024)
	h := frameHeader{kind: 3, typ: typeRecord, align: 512, segment: 1, seq: 7, durable: 512}
	encodeFrame(b, h, payload(5), 0, [32]byte{1})
	f.Add(b)
	f.Add(b[:600])
	f.Add(make([]byte, 512))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < frameHeaderBytes {
			return
		}
		mendFrames(b, 0)
		h, err := decodeFrameHeader(b)
		if err != nil || h.bytes() > int64(len(b)) {
			return
		}
		b = b[:h.bytes()]
		p := b[frameHeaderBytes : frameHeaderBytes+h.length]
		if !checkFrame(b, 0) || !isZero(b[frameHeaderBytes+h.length:]) || h.typ != typeRecord {
			return
		}
		again := make([]byte, len(b))
		copy(again, b[:0])
		prev := [32]byte{9}
		hash := encodeFrame(again, h, p, 0, prev)
		if chainHash(again, h.length, prev) != hash {
			t.Fatal("the chain hash of a frame is not the one it was written with")
		}
		copy(again[40:72], b[40:72])
		binary.LittleEndian.PutUint32(again[4:], crc32.Update(0, castagnoli, again[8:]))
		if !bytes.Equal(again, b) {
			t.Fatalf("encode of decode is another frame:\n%x\n%x", b[:frameHeaderBytes], again[:frameHeaderBytes])
		}
	})
}

// FuzzSegments opens two arbitrary files as a journal. Nothing may panic; what
// Verify accepts, Open accepts, and what Open has mended is right.
func FuzzSegments(f *testing.F) {
	for _, clean := range []bool{false, true} {
		for _, n := range []int{0, 2, 5, 7} {
			fsys := faultfs.New(seeded(1))
			j, err := Open(tiny(fsys), nil)
			if err != nil {
				f.Fatal(err)
			}
			for range n {
				if _, err := j.Append(1, payload(j.Head().Seq+1)); err != nil {
					f.Fatal(err)
				}
			}
			if clean {
				if err := j.Close(); err != nil {
					f.Fatal(err)
				}
			}
			first, _ := faultfs.ReadFile(fsys, segPath(1))
			second, _ := faultfs.ReadFile(fsys, segPath(2)) // may be missing
			f.Add(first, second)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		fsys := faultfs.New(rand.New(rand.NewPCG(1, 1)))
		if err := fsys.MkdirAll(testDir); err != nil {
			t.Fatal(err)
		}
		for i, data := range [][]byte{first, second} {
			if len(data) == 0 {
				continue
			}
			data = bytes.Clone(data)
			mendSegment(data)
			if err := faultfs.WriteFile(fsys, segPath(uint64(i+1)), data); err != nil {
				t.Fatal(err)
			}
		}
		report, verifyErr := Verify(fsys, testDir, VerifyOptions{})
		j, err := Open(tiny(fsys), func(Record) error { return nil })
		if verifyErr == nil && err != nil {
			t.Fatalf("Verify found nothing, Open says: %v", err)
		}
		if err != nil || verifyErr != nil {
			return
		}
		if j.Head() != report.Head {
			t.Fatalf("Verify ends at %v, Open at %v", report.Head, j.Head())
		}
		if j.Head().Seq > 1<<60 {
			return // no room for another number
		}
		if _, err := j.Append(1, payload(6)); err != nil {
			t.Fatalf("Append: %v", err)
		}
		report, err = Verify(fsys, testDir, VerifyOptions{})
		if err != nil || report.Residue != nil || report.Head != j.Head() {
			t.Fatalf("Verify after Open: %+v, %v", report, err)
		}
	})
}

// mendSegment puts right the checksums of a mutated segment, so that the fuzzer
// gets past them.
func mendSegment(b []byte) {
	if len(b) < blockBytes {
		return
	}
	id := journalID(b[72:88])
	if bytes.Equal(b[:8], headerMagic[:]) {
		binary.LittleEndian.PutUint64(b[24:], uint64(len(b)))
		binary.LittleEndian.PutUint32(b[508:], crc32.Checksum(b[:508], castagnoli))
	}
	for off := blockBytes; off+blockBytes <= len(b); off += blockBytes {
		block := b[off:]
		if bytes.Equal(block[:8], sealMagic[:]) {
			binary.LittleEndian.PutUint32(block[508:], crc32.Update(id.crcSeed(), castagnoli, block[:508]))
		}
		mendFrames(block, id.crcSeed())
	}
}

func mendFrames(b []byte, seed uint32) {
	if h, err := decodeFrameHeader(b); err == nil && h.bytes() <= int64(len(b)) {
		binary.LittleEndian.PutUint32(b[4:], crc32.Update(seed, castagnoli, b[8:h.bytes()]))
	}
}
