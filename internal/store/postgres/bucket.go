package postgres

import (
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

// linkKey returns where the table link is the user that an identifier names. Its bucket is the home of a user that
// comes with it.
func linkKey(i benefit.Identifier) (bucket int16, hash uuid) {
	return int16(id.BucketOf(i.String())), uuidOf(codec.IdentifierHash(i))
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
