package postgres

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgtype"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
)

// uuid is the stored form of 128 bits of a hash: 16 bytes, and half of what bytea or text would take in an index.
type uuid = pgtype.UUID

func uuidOf(d benefit.Digest) uuid { return uuid{Bytes: d, Valid: true} }

// bucketOf returns the bucket of a digest, 0 to 1023: what id.BucketOf says of the text that was hashed.
func bucketOf(d benefit.Digest) int16 { return int16(binary.BigEndian.Uint64(d[:8]) % id.Buckets) } //guard:TestBucket d[:8] -> d[8:]

// homeBucket returns the bucket that an id carries.
func homeBucket(i id.ID) int16 { return int16(i.Bucket()) }

// place is where a row is that is found by a hash.
type place struct {
	Bucket int16
	Hash   uuid
}

func placeOf(d benefit.Digest) place { return place{bucketOf(d), uuidOf(d)} }

// linkPlace returns where the table link has the user that an identifier names. Its bucket is the home of a user that
// comes with it.
func linkPlace(i benefit.Identifier) place {
	return place{int16(id.BucketOf(i.String())), uuidOf(codec.IdentifierHash(i))}
}

// comparePlaces orders places as the primary keys of their tables do.
func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), bytes.Compare(a.Hash.Bytes[:], b.Hash.Bytes[:]))
}

// placeColumns returns the places of rows as parameters.
func placeColumns[R any](rows []R, of func(R) place) (buckets []int16, hashes []uuid) {
	buckets, hashes = make([]int16, len(rows)), make([]uuid, len(rows))
	for k, r := range rows {
		at := of(r)
		buckets[k], hashes[k] = at.Bucket, at.Hash
	}
	return buckets, hashes
}

// compareIDs orders ids of rows that are in their home buckets, as the primary keys of their tables do.
func compareIDs(a, b id.ID) int {
	return cmp.Or(cmp.Compare(homeBucket(a), homeBucket(b)), cmp.Compare(a, b))
}

// idColumns returns ids as parameters, with the buckets that they carry.
func idColumns(all []id.ID) (buckets []int16, ids []int64) {
	for _, i := range all {
		buckets, ids = append(buckets, homeBucket(i)), append(ids, int64(i))
	}
	return buckets, ids
}

// nameLink returns the identifier under which the table link keeps the operator's handle of a user. No caller can send
// it: operators' types do not begin with @.
func nameLink(name string) benefit.Identifier { return benefit.Identifier{Type: "@NAME", Value: name} }

// traceHash returns what issuances are found by that have a trace id. It is null for those that have none.
func traceHash(traceID string) uuid {
	if traceID == "" {
		return uuid{}
	}
	sum := sha256.Sum256([]byte("trace/" + traceID))
	return uuidOf(benefit.Digest(sum[:16]))
}
