package codec

import (
	"crypto/sha256"
	"encoding/binary"

	"faquan/internal/benefit"
)

// AppendIssuance appends the body of an issuance to b. Its first 8 bytes are its id, big-endian.
func AppendIssuance(b []byte, i *benefit.Issuance) []byte {
	e := coder{b: b}
	e.issuance(i)
	return e.b
}

// DecodeIssuance reads what AppendIssuance wrote.
func DecodeIssuance(body []byte) (*benefit.Issuance, error) {
	d, i := coder{b: body, reading: true}, &benefit.Issuance{}
	d.issuance(i)
	return i, d.whole()
}

// AppendUser appends the body of a user to b.
func AppendUser(b []byte, u *benefit.User) []byte {
	e := coder{b: b}
	e.user(u)
	return e.b
}

// DecodeUser reads what AppendUser wrote.
func DecodeUser(body []byte) (*benefit.User, error) {
	d, u := coder{b: body, reading: true}, &benefit.User{}
	d.user(u)
	return u, d.whole()
}

// IdentifierHash returns what an identifier is looked up by: 128 bits of SHA-256 over its parts. Stored rows depend on
// it.
func IdentifierHash(i benefit.Identifier) benefit.Digest {
	var room [192]byte
	b := binary.AppendUvarint(room[:0], uint64(len(i.Type)))
	b = append(b, i.Type...)
	b = binary.AppendVarint(b, int64(i.App))
	b = append(b, i.Value...)
	sum := sha256.Sum256(b)
	return benefit.Digest(sum[:16])
}
