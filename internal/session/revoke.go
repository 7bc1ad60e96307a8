package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// ErrAmbiguous is returned when the digests of several sessions begin with the prefix.
var ErrAmbiguous = errors.New("more than one session begins with these digits; give more")

// Revoke ends a session and everything else of its family. The session is named by its key, or by its digest in hex, of
// which the first 8 digits are enough. Revoke returns the number of sessions that ended: 0 when all had ended before.
// It fails with ErrNotFound or ErrAmbiguous.
func (d *Service) Revoke(ctx context.Context, name string) (ended int, err error) {
	ended, err = d.revoke(ctx, benefit.SessionDigest(name))
	if !errors.Is(err, ErrNotFound) {
		return ended, err
	}
	digest, err := d.digestOf(ctx, strings.ToLower(strings.TrimSuffix(name, "…")))
	if err != nil {
		return 0, err
	}
	return d.revoke(ctx, digest)
}

func (d *Service) revoke(ctx context.Context, digest benefit.Digest) (ended int, err error) {
	return commit(ctx, d, func(p *plan) (int, error) {
		s, err := p.lookUp(digest)
		if err != nil {
			return 0, err
		}
		if s == nil {
			return 0, ErrNotFound
		}
		head := s
		if s.Family != (benefit.Digest{}) {
			if head, err = p.row(s.Family); err != nil {
				return 0, err
			}
		}
		if err := p.endFamily(head); err != nil {
			return 0, err
		}
		p.end(s)
		return len(p.changed), nil
	})
}

// digestOf returns the only digest that begins with the hex digits.
func (d *Service) digestOf(ctx context.Context, prefix string) (benefit.Digest, error) {
	found, count, err := store.DigestWithPrefix(ctx, d.o.Read, benefit.Sessions, func(v *benefit.Session) benefit.Digest { return v.Digest }, prefix)
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
