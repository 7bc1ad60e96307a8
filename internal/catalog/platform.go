package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// Platform holds the platform's own settings: the entity of kind benefit.PlatformEntity with the id platformID.
type Platform struct {
	// AlipayPrivateKey signs the answers of the Alipay gateway: PKCS#8, sealed.
	AlipayPrivateKey []byte `json:"alipay_private_key,omitzero"`
}

// platformID is the id of the only platform entity.
const platformID = 1

// platformKey is the context for which the private key is sealed.
const platformKey = "platform/alipay_private_key"

// PlatformOf returns the platform's settings among stored entities; the zero Platform when there are none.
func PlatformOf(entities []benefit.Entity) (Platform, error) {
	var platform Platform
	for _, e := range entities {
		if e.Kind != benefit.PlatformEntity || e.ID != platformID {
			continue
		}
		if err := json.Unmarshal(e.Body, &platform); err != nil {
			return Platform{}, fmt.Errorf("the platform's settings: %w", err)
		}
	}
	return platform, nil
}

// Key returns the opened private key; nil when there is none yet. Errors wrap those of package seal.
func (p Platform) Key(box *seal.Box) (*rsa.PrivateKey, error) {
	if len(p.AlipayPrivateKey) == 0 {
		return nil, nil
	}
	der, err := box.Open(p.AlipayPrivateKey, platformKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", platformKey, err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: is a %T, not an RSA key", platformKey, key)
	}
	return private, nil
}

// with returns the settings with another key, as an entity.
func (p Platform) with(key *rsa.PrivateKey, box *seal.Box) (benefit.Entity, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return benefit.Entity{}, err
	}
	p.AlipayPrivateKey = box.Seal(der, platformKey)
	body, err := json.Marshal(p)
	return benefit.Entity{Kind: benefit.PlatformEntity, ID: platformID, Body: body}, err
}

// storedPlatform returns the platform's settings in a store.
func storedPlatform(ctx context.Context, r store.Reader) (Platform, error) {
	entities, _, err := r.Entities(ctx)
	if err != nil {
		return Platform{}, err
	}
	return PlatformOf(entities)
}

// ChangeFunc has the form of engine.ChangeFunc.
type ChangeFunc = func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error)

// NewPlatformKey returns a new key for the platform.
func NewPlatformKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, minKeyBits) }

// EnsurePlatformKey returns the change of the first start: it makes a private key when there is none, and otherwise
// changes nothing.
func EnsurePlatformKey(box *seal.Box) ChangeFunc {
	return func(ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
		platform, err := storedPlatform(ctx, r)
		if err != nil || len(platform.AlipayPrivateKey) > 0 {
			return nil, err
		}
		key, err := NewPlatformKey()
		if err != nil {
			return nil, err
		}
		return RotatePlatformKey(box, key)(ctx, r, cat, env)
	}
}

// RotatePlatformKey returns the change that replaces the platform's key with another one of 2048 bits or more. Answers
// are signed with it from then on: callers need its public key at once.
func RotatePlatformKey(box *seal.Box, key *rsa.PrivateKey) ChangeFunc {
	return func(ctx context.Context, r store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		if err := checkPlatformKey(key); err != nil {
			return nil, err
		}
		platform, err := storedPlatform(ctx, r)
		if err != nil {
			return nil, err
		}
		entity, err := platform.with(key, box)
		if err != nil {
			return nil, err
		}
		return &benefit.Changes{Catalogue: cat.Version + 1, Rows: benefit.RowsOf(benefit.Entities.Rows(entity))}, nil
	}
}

// checkPlatformKey refuses a key that is too short for the platform.
func checkPlatformKey(key *rsa.PrivateKey) error {
	if n := key.N.BitLen(); n < minKeyBits {
		return fmt.Errorf("the key has %d bits, at least %d are needed", n, minKeyBits)
	}
	return nil
}

// platformDoc replaces the platform's private key with that of the file.
func (p *planner) platformDoc() error {
	d := p.file.platform
	if d == nil || d.key == nil {
		return nil
	}
	platform, err := storedPlatform(p.ctx, p.r)
	if err != nil {
		return err
	}
	key, err := platform.Key(p.box)
	switch {
	case err != nil && !errors.Is(err, seal.ErrWrongKey):
		return err
	case key != nil && key.Equal(d.key):
		p.plan.Same++
		return nil
	}
	entity, err := platform.with(d.key, p.box)
	if err != nil {
		return err
	}
	p.entities = append(p.entities, entity)
	was, now := mapping{}, platformNode(secret)
	if len(platform.AlipayPrivateKey) > 0 {
		was, now = now, platformNode(anotherSecret)
	}
	p.record(Change{Kind: "platform", Line: d.line}, was, now)
	return nil
}

// SealedValues reports whether entities have sealed values, so that a missing key file is a loss and not a first start.
// Sessions are sealed as well, but need no check, because every store in use has the platform's key.
func SealedValues(entities []benefit.Entity) bool {
	for _, e := range entities {
		if e.Kind == benefit.AppEntity && bytes.Contains(e.Body, []byte(`"app_secret"`)) ||
			e.Kind == benefit.PlatformEntity && bytes.Contains(e.Body, []byte(`"alipay_private_key"`)) {
			return true
		}
	}
	return false
}
