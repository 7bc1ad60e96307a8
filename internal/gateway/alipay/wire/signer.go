package wire

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
)

// Signer signs answers. It is safe for concurrent use, keeps no reference to node, and its result must not be changed.
type Signer interface {
	// Sign returns the base64 of the signature of node under t.
	Sign(t SignType, node []byte) ([]byte, error)
}

// KeySigner signs with an RSA private key.
type KeySigner struct {
	key *rsa.PrivateKey
}

// NewKeySigner validates the key and computes once what makes each signature cheap. It refuses keys outside MinKeyBits
// to MaxKeyBits.
func NewKeySigner(key *rsa.PrivateKey) (*KeySigner, error) {
	if err := checkPublicKey(&key.PublicKey); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key.Precompute()
	return &KeySigner{key: key}, nil
}

// Sign implements Signer.
func (s *KeySigner) Sign(t SignType, node []byte) ([]byte, error) {
	hash, sum := t.digest(node)
	signature, err := rsa.SignPKCS1v15(nil, s.key, hash, sum)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, signature), nil
}

// FailureCache remembers the signatures of failures. An RSA signature costs about a millisecond of a core, and a caller
// in trouble gets the same words again and again; PKCS#1 v1.5 has no randomness, so the same bytes always have the same
// signature. Successes differ and are not kept.
type FailureCache struct {
	signer  Signer
	entries int

	mu        sync.Mutex
	now, last map[nodeKey][]byte
}

type nodeKey struct {
	signType SignType
	sum      [sha256.Size]byte
}

// maxCachedNode keeps long answers out of the cache, in bytes: they hold something of the request (a string to sign)
// and will not come again.
const maxCachedNode = 512

// NewFailureCache keeps up to twice entries signatures in front of s: when one generation is full it becomes the last
// one, and what is asked for from there moves on.
func NewFailureCache(s Signer, entries int) *FailureCache {
	return &FailureCache{signer: s, entries: max(entries, 1), now: map[nodeKey][]byte{}}
}

// Sign implements Signer.
func (c *FailureCache) Sign(t SignType, node []byte) ([]byte, error) {
	if len(node) > maxCachedNode || bytes.HasPrefix(node, []byte(`{"code":"10000"`)) {
		return c.signer.Sign(t, node)
	}
	key := nodeKey{signType: t, sum: sha256.Sum256(node)}
	if sign := c.find(key); sign != nil {
		return sign, nil
	}
	sign, err := c.signer.Sign(t, node)
	if err == nil {
		c.mu.Lock()
		c.add(key, sign)
		c.mu.Unlock()
	}
	return sign, err
}

// find returns a signature that is remembered, or else nil.
func (c *FailureCache) find(key nodeKey) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	sign := c.now[key]
	if sign == nil && c.last[key] != nil {
		sign = c.last[key]
		c.add(key, sign)
	}
	return sign
}

// add needs the lock.
func (c *FailureCache) add(key nodeKey, sign []byte) {
	if len(c.now) >= c.entries {
		c.last, c.now = c.now, make(map[nodeKey][]byte, c.entries)
	}
	c.now[key] = sign
}
