// Package id makes and reads the ids that faquan generates: time-ordered 63-bit numbers that carry the home
// bucket of the user they belong to.
//
//	 40 bits                       10 bits   13 bits
//	┌─────────────────────────────┬─────────┬──────────────┐
//	│ milliseconds since 2024     │ bucket  │ sequence     │
//	└─────────────────────────────┴─────────┴──────────────┘
//
// Time first, so that rows append instead of scattering over an index. The bucket, so that a voucher id alone
// says on which node of a distributed database its row lives. The sequence starts at a random place in each
// millisecond, so that processes that share a database rarely draw the same id (and notice when they do: see
// NewSharedGenerator), and so that an id says little about how many were issued.
//
// Ids are identifiers, not secrets: who must not be able to guess uses a certificate code.
package id

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Buckets is the number of home buckets. It is pinned: changing it would move every user.
const Buckets = 1024

const (
	bucketBits   = 10
	sequenceBits = 13
	sequences    = 1 << sequenceBits
	// epochMillis is 2024-01-01T00:00:00Z. 40 bits of milliseconds last until November 2058.
	epochMillis = 1_704_067_200_000
)

// MaxMillis is the last Unix millisecond that an id can carry.
const MaxMillis = epochMillis + 1<<40 - 1

// MaxBlock is the largest number of ids that one call of Generator.Block gives.
const MaxBlock = sequences / 2

// ID is a generated id. The zero ID means none.
type ID int64

// String returns the id as a decimal number.
func (i ID) String() string { return strconv.FormatInt(int64(i), 10) }

// Millis returns the instant that the id carries, in Unix milliseconds. It is close to the moment of its making, and
// never earlier; it runs ahead when a bucket needs more than about 4,096 ids in one millisecond, or a key is
// bound twice in one.
func (i ID) Millis() int64 { return int64(i>>(bucketBits+sequenceBits)) + epochMillis }

// Bucket returns the home bucket that the id carries, 0 to 1023.
func (i ID) Bucket() int { return int(i>>sequenceBits) & (Buckets - 1) }

// Begin returns the least id of the same millisecond and bucket. Those that one call of Generator.Block gave lie between it
// and the last of them.
func (i ID) Begin() ID { return i >> sequenceBits << sequenceBits }

// Before returns an id that is less than all that carry the Unix millisecond or a later one; 0 when all ids do.
func Before(millis int64) ID {
	if millis <= epochMillis {
		return 0
	}
	return ID((min(millis, MaxMillis)-epochMillis)<<(bucketBits+sequenceBits) - 1)
}

// BucketOf returns the home bucket of a name: the first eight bytes of its SHA-256, big-endian, modulo Buckets. The
// function is pinned by a golden test, because stored rows depend on it.
func BucketOf(name string) int {
	sum := sha256.Sum256([]byte(name))
	return int(binary.BigEndian.Uint64(sum[:8]) % Buckets)
}

// zone is the +08:00 in which the wire shows dates.
var zone = time.FixedZone("+08:00", 8*60*60)

// longLen is the length of the form that Long gives.
const longLen = 28

// Long returns the 28-digit form that the Alipay gateway shows as voucher_id: the date at +08:00 as yyyyMMdd, then the
// number with leading zeros to 20 digits.
func (i ID) Long() string {
	b := time.UnixMilli(i.Millis()).In(zone).AppendFormat(make([]byte, 0, longLen), "20060102")
	digits := strconv.AppendInt(make([]byte, 0, 20), int64(i), 10)
	for range longLen - len(b) - len(digits) {
		b = append(b, '0')
	}
	return string(append(b, digits...))
}

// ErrNotLong is returned by ParseLong for text that Long cannot have made.
var ErrNotLong = errors.New("not a voucher id: must have 28 digits, the first eight of them a date")

// ParseLong reads what Long wrote. A date that does not match the number is refused, so that a mistyped id is
// not taken for another one.
func ParseLong(s string) (ID, error) {
	if len(s) != longLen {
		return 0, fmt.Errorf("%w: length %d", ErrNotLong, len(s))
	}
	n, err := strconv.ParseInt(s[8:], 10, 64)
	if err != nil || n <= 0 || ID(n).Long() != s {
		return 0, fmt.Errorf("%w: %q", ErrNotLong, s)
	}
	return ID(n), nil
}

// Generator makes ids. It never makes one twice, whatever its clock does, and the milliseconds that its ids carry
// never go back. It is not safe for concurrent use: the committer owns one.
type Generator struct {
	rand   *rand.Rand
	shared bool
	millis int64 // in use
	slots  [Buckets]slot
}

// slot is the next free number of a bucket in a millisecond.
type slot struct {
	millis int64
	next   int
}

// NewGenerator makes a generator whose ids all carry a millisecond after afterMillis: the last one that ids
// of this store may carry (0 for a new store).
func NewGenerator(r *rand.Rand, afterMillis int64) *Generator {
	return &Generator{rand: r, millis: max(afterMillis, epochMillis) + 1}
}

// NewSharedGenerator makes a generator for a store to which others give ids, too, whose first ids are unique there. Two
// such generators may draw the same block; but then its first id is the same, which the store notices. Blocks that
// overlap anywhere else are not made: see classes.
func NewSharedGenerator(r *rand.Rand, afterMillis int64) *Generator {
	g := NewGenerator(r, afterMillis)
	g.shared = true
	return g
}

// class is a part of the numbers of a millisecond and bucket, in slots of one size that start at its multiples.
type class struct{ from, to, size int }

// classes keep blocks of shared generators apart, or the same: a block takes slots of the first class that it fits in,
// a single id among them, so two blocks are of different classes, of different slots, or begin with the same id.
var classes = [...]class{{0, 2048, 1}, {2048, 4096, 16}, {4096, sequences, MaxBlock}}

func classOf(n int) class {
	for _, c := range classes {
		if n <= c.size {
			return c
		}
	}
	panic("id: no class") // Block has checked n
}

// blockIn returns the number at which a block of the class begins in the millisecond in use, or in the next one. Within
// a millisecond and bucket the numbers only grow.
func (g *Generator) blockIn(s *slot, c class) int {
	if s.millis == g.millis && s.next+c.size > c.to {
		g.millis++
	}
	if s.millis != g.millis {
		*s = slot{millis: g.millis}
	}
	if s.next < c.from {
		s.next = c.from + g.rand.IntN((c.to-c.from)/c.size)*c.size
	}
	first := s.next
	s.next += c.size
	return first
}

// Block allocates n consecutive ids of the bucket, and returns the first. All of them carry the same millisecond,
// nowMillis or later. n is 1 to MaxBlock. Block panics when that millisecond is after MaxMillis.
func (g *Generator) Block(nowMillis int64, bucket, n int) ID {
	if n < 1 || n > MaxBlock || bucket < 0 || bucket >= Buckets {
		panic(fmt.Sprintf("id: a block of %d in bucket %d", n, bucket))
	}
	g.millis = max(g.millis, nowMillis) //guard:TestGeneratorNeverRepeats max(g.millis, nowMillis) -> nowMillis
	s := &g.slots[bucket]
	if g.shared { //guard:TestSharedGeneratorsOverlapFromTheFirst
		first := g.blockIn(s, classOf(n))
		return idOf(s.millis, bucket, first)
	}
	if s.millis == g.millis && s.next+n > sequences {
		g.millis++
	}
	if s.millis != g.millis {
		// The start is in the lower half, so that at least MaxBlock numbers follow it.
		*s = slot{millis: g.millis, next: g.rand.IntN(sequences / 2)}
	}
	first := s.next
	s.next += n
	return idOf(s.millis, bucket, first)
}

func idOf(millis int64, bucket, sequence int) ID {
	if millis > MaxMillis { //guard:TestIDsEnd
		panic(fmt.Sprintf("id: no id can carry millisecond %d", millis))
	}
	return ID((millis-epochMillis)<<(bucketBits+sequenceBits) | int64(bucket)<<sequenceBits | int64(sequence))
}
