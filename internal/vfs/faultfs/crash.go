package faultfs

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash cuts the power and returns the file system that the next start finds.
// This one is dead from then on.
//
// One cut in four keeps everything that was written and one in four nothing;
// the others decide sector by sector and name by name with odds of their own,
// because histories in which nearly everything survives are rare otherwise.
func (f *FS) Crash(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	keep := [...]float64{0, 1, rng.Float64(), rng.Float64()}[rng.IntN(4)]
	f.dead = true
	next := f.clone(rng)
	names := maps.Clone(f.durable)
	for _, c := range f.pending {
		if rng.Float64() < keep {
			c.apply(names)
		}
	}
	next.names, next.durable, next.pending = names, maps.Clone(names), nil
	for _, id := range sortedKeys(next.inodes) {
		next.inodes[id].crash(rng, keep)
	}
	next.collect()
	return next
}

// CrashProcess ends the process (kill -9): what was written stays in the cache,
// synced or not, and locks end. This file system is dead from then on.
func (f *FS) CrashProcess() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	next := f.clone(f.rng)
	next.collect()
	return next
}

// Clone returns an independent copy without locks and planned faults, drawing
// from the given random source. The file system itself goes on.
func (f *FS) Clone(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clone(rng)
}

// Fingerprint returns a hash over everything that programs see and the disk holds, to compare two runs of one seed.
func (f *FS) Fingerprint() [32]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := sha256.New()
	add := func(b []byte) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, names := range []map[string]int{f.names, f.durable} {
		for _, name := range sortedKeys(names) {
			ino := f.inodes[names[name]]
			add([]byte(name))
			add(ino.data)
			add(ino.disk[:min(ino.diskSize, int64(len(ino.disk)))])
		}
	}
	return [32]byte(h.Sum(nil))
}

func (f *FS) clone(rng *rand.Rand) *FS {
	next := New(rng)
	next.nextID = f.nextID
	next.names, next.durable = maps.Clone(f.names), maps.Clone(f.durable)
	next.pending = slices.Clone(f.pending) // the sets in it never change
	next.dirs = maps.Clone(f.dirs)
	next.capacity, next.readOnly = f.capacity, f.readOnly
	for id, ino := range f.inodes {
		next.inodes[id] = ino.clone()
	}
	return next
}

func (ino *inode) clone() *inode {
	next := *ino
	next.locker = nil
	next.data, next.disk = slices.Clone(ino.data), slices.Clone(ino.disk)
	next.dirty = make(map[int64][][]byte, len(ino.dirty))
	for sector, versions := range ino.dirty {
		next.dirty[sector] = slices.Clone(versions) // the values never change
	}
	return &next
}

// crash leaves of a file what the disk happens to hold.
func (ino *inode) crash(rng *rand.Rand, keep float64) {
	size := ino.diskSize
	if grown := int64(len(ino.data)); grown != size && rng.Float64() < keep {
		size = grown
	}
	for _, sector := range sortedKeys(ino.dirty) {
		if rng.Float64() < keep {
			ino.persist(sector, ino.survivor(rng, sector))
		}
	}
	clear(ino.dirty)
	if missing := size - int64(len(ino.disk)); missing > 0 {
		ino.disk = append(ino.disk, make([]byte, missing)...)
	}
	ino.disk = ino.disk[:size]
	ino.data, ino.diskSize = slices.Clone(ino.disk), size
	ino.allocated = max(ino.allocated, roundUp(size))
}

// survivor draws what a dirty sector holds after a power cut: mostly the newest
// value, sometimes an older one, sometimes a mix torn at some byte.
func (ino *inode) survivor(rng *rand.Rand, sector int64) []byte {
	newest := ino.sector(ino.data, sector)
	older := append([][]byte{ino.sector(ino.disk, sector)}, ino.dirty[sector]...)
	other := older[rng.IntN(len(older))]
	switch rng.IntN(8) {
	case 0:
		return other
	case 1:
		cut := rng.IntN(SectorBytes)
		return append(newest[:cut:cut], other[cut:]...)
	case 2:
		cut := rng.IntN(SectorBytes)
		return append(other[:cut:cut], newest[cut:]...)
	}
	return newest
}

// collect drops files that no name leads to.
func (f *FS) collect() {
	reached := map[int]bool{}
	for _, names := range []map[string]int{f.names, f.durable} {
		for _, id := range names {
			reached[id] = true
		}
	}
	for _, c := range f.pending {
		for _, id := range c.set {
			reached[id] = true
		}
	}
	for id := range f.inodes {
		if !reached[id] {
			delete(f.inodes, id)
		}
	}
}
