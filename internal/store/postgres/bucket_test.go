package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Stored rows depend on these: they may never change.
func TestBucketsArePinned(t *testing.T) {
	for name, want := range map[string]int16{"": 20, "ALIPAY:2088302001456115": 734, "p-1": 3, "优酷": 157} {
		sum := sha256.Sum256([]byte(name))
		if got := bucketOf(benefit.Digest(sum[:16])); got != want {
			t.Errorf("bucketOf the digest of %q: %d, want %d", name, got, want)
		}
	}
	open := benefit.Identifier{Type: benefit.OpenID, Value: "open", App: 7}
	for _, c := range []struct {
		ident  benefit.Identifier
		bucket int16
		hash   string
	}{
		{benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"}, 734, "b45b6f0f6bb8de4a37a006494675c2d5"},
		{open, 293, "c87e93c533e6a130dc1ce83770fd8692"},
		{nameLink("n"), 189, "2fc5f6a73f629ec32a73bb64369c6921"},
	} {
		at := linkPlace(c.ident)
		bucket, hash := at.Bucket, at.Hash
		if got := hex.EncodeToString(hash.Bytes[:]); bucket != c.bucket || got != c.hash || !hash.Valid {
			t.Errorf("%v: bucket %d, hash %s; want %d, %s", c.ident, bucket, got, c.bucket, c.hash)
		}
	}
	if claim := benefit.ClaimIDOf("t/1", "k"); bucketOf(claim) != 862 || uuidOf(claim).String() != "6cdf4ddc-3236-975e-b0f1-506a6c0abfef" {
		t.Errorf("the claim of t/1 k is in bucket %d", bucketOf(claim))
	}
	trace := traceHash("trace")
	if got := hex.EncodeToString(trace.Bytes[:]); got != "63c596e11a44a7ae94b11ef572fa0741" || !trace.Valid {
		t.Errorf("traceHash: %s", got)
	}
	if traceHash("").Valid {
		t.Error("the trace id of issuances that have none is not null")
	}
}

// The bucket of a digest is the one of the text.
func TestBucketOfADigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		sum := sha256.Sum256([]byte(text))
		if got, want := int(bucketOf(benefit.Digest(sum[:16]))), id.BucketOf(text); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
		i := id.ID(rapid.Int64Min(0).Draw(t, "id"))
		if int(homeBucket(i)) != i.Bucket() {
			t.Fatalf("homeBucket(%d) = %d", i, homeBucket(i))
		}
	})
}
