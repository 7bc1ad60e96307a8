// Package seal keeps the secrets of a catalogue unreadable at rest: app secrets, session keys and the platform's
// private key are sealed before they reach a store, a journal or a backup.
//
// There is one key for each data directory, 32 random bytes in the file secret.key that only its owner may read.
// [OpenKeyFile] makes it at the first start and checks it at every later one. [Box.Seal] and [Box.Open] use it:
// AES-256-GCM with a random nonce, which is sound for far more values than a catalogue ever has (2³²).
//
//	┌─────────┬──────────┬────────────┬──────────┐
//	│ version │ nonce    │ ciphertext │ tag      │
//	│ 1 byte  │ 12 bytes │            │ 16 bytes │
//	└─────────┴──────────┴────────────┴──────────┘
//
// A value is sealed for a context, such as "app/3/app_secret", and opens only for the same one. Write access to the
// store is therefore not enough to move the secret of one app to another.
//
// Access to the data directory includes the key: sealing protects what leaves the directory without the key file, such
// as a copy of the database, a journal segment or an export.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeySize is the size of a key in bytes.
const KeySize = 32

// version is the first byte of every sealed value. It is authenticated like the context, so it cannot be changed either.
const version = 1

// The reasons for which a sealed value does not open.
var (
	// ErrNotSealed is returned for bytes that Seal cannot have made.
	ErrNotSealed = errors.New("not a sealed value")
	// ErrNewer is returned when a later version of this program sealed the value.
	ErrNewer = errors.New("sealed in a newer form than this program knows; use the newer program")
	// ErrWrongKey is returned when the value was sealed under another key or for another context, or was changed
	// since. The three cannot be distinguished.
	ErrWrongKey = errors.New("cannot be decrypted: the key file is another one, or the value was moved or damaged")
)

// Box seals and opens under one key. It is safe for concurrent use.
type Box struct {
	aead  cipher.AEAD
	proof []byte
	draws []byte
}

// New returns the box of a key of KeySize bytes.
func New(key []byte) (*Box, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a sealing key has %d bytes, not %d", KeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	proof, err := hkdf.Key(sha256.New, key, nil, "faquan key check", KeySize)
	if err != nil {
		return nil, err
	}
	draws, err := hkdf.Key(sha256.New, key, nil, "faquan weighted draws", KeySize)
	if err != nil {
		return nil, err
	}
	return &Box{aead: aead, proof: proof, draws: draws}, nil
}

// Proof returns 32 bytes that are the same for the same key, differ between keys, and reveal nothing about the key.
// Processes that share a database keep it there, so that a process with another key is refused before it seals anything.
func (b *Box) Proof() []byte { return bytes.Clone(b.proof) }

// DrawSecret returns 32 bytes that are the same for the same key and reveal nothing about it; WEIGHTED scenes draw with
// them. All processes that share a database have the same key, and so do its copies and restored backups.
func (b *Box) DrawSecret() []byte { return bytes.Clone(b.draws) }

// Seal seals a secret for a context. Sealing the same secret twice returns different bytes.
func (b *Box) Seal(secret []byte, context string) []byte {
	return b.aead.Seal([]byte{version}, nil, secret, bound(context))
}

// Open returns the secret that was sealed for the context. Its errors wrap ErrNotSealed, ErrNewer or ErrWrongKey and name
// the context, never the value.
func (b *Box) Open(sealed []byte, context string) ([]byte, error) {
	switch {
	case len(sealed) == 0:
		return nil, fmt.Errorf("%s: %w", context, ErrNotSealed)
	case sealed[0] != version:
		return nil, fmt.Errorf("%s: %w (form %d)", context, ErrNewer, sealed[0])
	case len(sealed) < 1+b.aead.Overhead():
		return nil, fmt.Errorf("%s: %w", context, ErrNotSealed)
	}
	secret, err := b.aead.Open(nil, nil, sealed[1:], bound(context))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", context, ErrWrongKey)
	}
	return secret, nil
}

// bound returns the additional data that is authenticated with the secret.
func bound(context string) []byte { return append([]byte{version}, context...) }
