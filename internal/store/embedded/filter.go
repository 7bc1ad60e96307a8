package embedded

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// filter is a split-block Bloom filter: it says "certainly not" or "perhaps" of a 64-bit hash. One look-up touches one
// 32-byte block. With 16 bits for each of capacity keys about one answer in a thousand is a needless "perhaps"; with
// more keys than that the rate rises, and nothing else goes wrong.
//
// An answer of the store never depends on a filter being there. One that is there must know everything that was
// committed: every record is noted in it before the memtable takes the record.
type filter struct {
	blocks [][8]uint32
}

const filterBitsPerKey = 16

func newFilter(capacity int) *filter {
	return &filter{blocks: make([][8]uint32, max(capacity*filterBitsPerKey/256, 1))}
}

// salts spread one 32-bit hash over the eight words of a block; any odd numbers with well mixed bits do.
var salts = [8]uint32{0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1, 0xd3a2646d, 0xfd7046c5, 0xb55a4f09}

// block picks the block by the upper half of the hash; the lower half picks the bits in it.
func (f *filter) block(hash uint64) *[8]uint32 {
	return &f.blocks[(hash>>32)*uint64(len(f.blocks))>>32]
}

func (f *filter) add(hash uint64) {
	b := f.block(hash)
	for k := range b {
		b[k] |= 1 << (uint32(hash) * salts[k] >> 27)
	}
}

// mayContain reports whether the filter may contain the hash; a filter that is nil may contain every one.
func (f *filter) mayContain(hash uint64) bool {
	if f == nil {
		return true
	}
	b := f.block(hash)
	for k := range b {
		if b[k]&(1<<(uint32(hash)*salts[k]>>27)) == 0 {
			return false
		}
	}
	return true
}

// or adds everything that another filter of the same size holds.
func (f *filter) or(other *filter) {
	for i := range f.blocks {
		for k := range f.blocks[i] {
			f.blocks[i][k] |= other.blocks[i][k]
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// marshal writes the filter with a checksum: a bit that was lost from it would hide a key.
func (f *filter) marshal() []byte {
	out := make([]byte, 4, 4+32*len(f.blocks))
	for i := range f.blocks {
		for _, word := range f.blocks[i] {
			out = binary.LittleEndian.AppendUint32(out, word)
		}
	}
	binary.LittleEndian.PutUint32(out, crc32.Checksum(out[4:], castagnoli))
	return out
}

var errFilter = errors.New("the stored filter is damaged")

func unmarshalFilter(data []byte) (*filter, error) {
	//guard:TestDamagedFilter|TestDamagedStoredFilter without crc32.Checksum(data[4:], castagnoli) != binary.LittleEndian.Uint32(data)
	if len(data) < 36 || (len(data)-4)%32 != 0 || crc32.Checksum(data[4:], castagnoli) != binary.LittleEndian.Uint32(data) {
		return nil, errFilter
	}
	f := &filter{blocks: make([][8]uint32, (len(data)-4)/32)}
	data = data[4:]
	for i := range f.blocks {
		for k := range f.blocks[i] {
			f.blocks[i][k] = binary.LittleEndian.Uint32(data)
			data = data[4:]
		}
	}
	return f, nil
}
