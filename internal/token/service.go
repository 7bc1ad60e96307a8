package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
)

// Prefix is the beginning of each secret, by which people and scanners of source code recognise one.
const Prefix = "fqt_"

// MaxLabel is the longest label, in characters.
const MaxLabel = 64

// maxLifetime bounds the lifetime of a token, so that every expiry can be printed.
const maxLifetime = 100 * 365 * 24 * time.Hour

// The reasons for which no token was made or revoked. Other errors are those of engine.Engine.Change: nothing has changed
// unless the error is engine.ErrUnknown or that of a failed store.
var (
	ErrNoApp     = errors.New("there is no such app")
	ErrNotFound  = errors.New("there is no such token")
	ErrAmbiguous = errors.New("more than one token begins with these digits; give more")
	ErrLifetime  = errors.New("a lifetime must be from 0 to 100 years")
	ErrLabel     = fmt.Errorf("a label must have at most %d characters, and no control characters", MaxLabel)
	ErrNoScope   = errors.New("a token needs at least one scope")
)

// Options are the options of a Service.
type Options struct {
	// Change commits a change: engine.Engine.Change.
	Change func(ctx context.Context, fn engine.ChangeFunc) error
	// Read opens a view of the store: store.Store.Read.
	Read func(ctx context.Context) (store.Reader, error)
	// Clock returns what expiries are counted from; default time.Now.
	Clock func() time.Time
}

// Service makes and revokes tokens. It is safe for concurrent use.
type Service struct{ o Options }

// NewService returns a service with the options.
func NewService(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Service{o}
}

// Order is an operator's request for a token.
type Order struct {
	App      string        // its name
	Scopes   []string      // at least one of benefit.TokenScopes
	Label    string        // for operators; may be empty
	Lifetime time.Duration // how long it is valid; 0: forever
}

// Grant is a token that was made. Its secret is shown only once: the store keeps its digest.
type Grant struct {
	Secret  string
	ID      string // by which Revoke takes it
	App     string
	Scopes  []benefit.TokenScope
	Expires benefit.Instant // 0: never
}

// secretLetters is the alphabet of rand.Text, and secretLength how many of them a secret has after the Prefix.
const (
	secretLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	secretLength  = 52
)

func newSecret() string { return Prefix + rand.Text() + rand.Text() } // of 130 random bits each

// IsSecret reports whether a text has the form of a secret. What has not need not be looked up.
func IsSecret(text string) bool {
	random, ok := strings.CutPrefix(text, Prefix)
	return ok && len(random) == secretLength && strings.Trim(random, secretLetters) == ""
}

// Make makes a token. It fails with ErrNoApp, ErrNoScope, ErrLifetime, ErrLabel, or for a scope that there is not.
func (s *Service) Make(ctx context.Context, o Order) (*Grant, error) {
	scopes, err := scopesOf(o.Scopes)
	switch {
	case err != nil:
		return nil, err
	case o.Lifetime < 0 || o.Lifetime > maxLifetime:
		return nil, ErrLifetime
	case utf8.RuneCountInString(o.Label) > MaxLabel || strings.ContainsFunc(o.Label, isControl) || !utf8.ValidString(o.Label):
		return nil, ErrLabel
	}
	secret := newSecret()
	t := &benefit.Token{Digest: benefit.TokenDigest(secret), Scopes: scopes, Label: o.Label, Made: s.now()}
	if o.Lifetime > 0 {
		t.Expires = t.Made + benefit.Instant(max(o.Lifetime.Milliseconds(), 1))
	}
	err = s.o.Change(ctx, func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		for _, a := range cat.Apps {
			if a.Name == o.App {
				made := *t
				made.App = a.ID
				return changes(&made), nil
			}
		}
		return nil, fmt.Errorf("app %.64q: %w", o.App, ErrNoApp)
	})
	if err != nil {
		return nil, err
	}
	return &Grant{Secret: secret, ID: t.Digest.String(), App: o.App, Scopes: scopes, Expires: t.Expires}, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// scopesOf returns the scopes with the names, in the order of benefit.TokenScopes, each once.
func scopesOf(names []string) (scopes []benefit.TokenScope, err error) {
	for _, name := range names {
		if !slices.Contains(benefit.TokenScopes(), benefit.TokenScope(name)) {
			return nil, fmt.Errorf("scope %.64q: there is no such scope; it must be one of %s", name, strings.Join(ScopeNames(), ", "))
		}
	}
	for _, scope := range benefit.TokenScopes() {
		if slices.Contains(names, string(scope)) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) == 0 {
		return nil, ErrNoScope
	}
	return scopes, nil
}

// ScopeNames returns the names of all scopes.
func ScopeNames() (names []string) {
	for _, scope := range benefit.TokenScopes() {
		names = append(names, string(scope))
	}
	return names
}

// Revoke ends a token, named by its id, of which the first 8 digits are enough, or by its secret. It returns false when it
// was already revoked. It fails with ErrNotFound or ErrAmbiguous.
func (s *Service) Revoke(ctx context.Context, name string) (revoked bool, err error) {
	digest := benefit.TokenDigest(name)
	if !strings.HasPrefix(name, Prefix) {
		if digest, err = s.digestOf(ctx, strings.ToLower(strings.TrimSuffix(name, "…"))); err != nil {
			return false, err
		}
	}
	err = s.o.Change(ctx, func(ctx context.Context, r store.Reader, _ *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		old, err := store.Token(ctx, r, digest)
		if err == nil && old == nil {
			err = ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		if revoked = old.Revoked == 0; !revoked {
			return nil, nil
		}
		ended := *old
		ended.Revoked = s.now()
		return changes(&ended), nil
	})
	return revoked && err == nil, err
}

// digestOf returns the only digest that begins with the hex digits.
func (s *Service) digestOf(ctx context.Context, prefix string) (benefit.Digest, error) {
	found, count, err := store.DigestWithPrefix(ctx, s.o.Read, benefit.Tokens, func(v *benefit.Token) benefit.Digest { return v.Digest }, prefix)
	switch {
	case err != nil:
		return found, err
	case count == 0:
		return found, ErrNotFound
	case count > 1:
		return found, fmt.Errorf("%s: %w", prefix, ErrAmbiguous)
	}
	return found, nil
}

func (s *Service) now() benefit.Instant { return benefit.InstantOf(s.o.Clock()) }

func changes(t *benefit.Token) *benefit.Changes {
	return &benefit.Changes{Rows: benefit.RowsOf(benefit.Tokens.Rows(t))}
}
