package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// minPrefix is the minimum number of hex digits of a digest that name a session.
const minPrefix = 8

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

// digestOf returns the only digest that begins with the hex digits. It may read all sessions, so it runs outside of the
// committer, which is safe because digests never change.
func (d *Service) digestOf(ctx context.Context, prefix string) (found benefit.Digest, err error) {
	switch {
	case len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef") != "":
		return found, ErrNotFound
	case len(prefix) == hex.EncodedLen(len(found)):
		return found, found.UnmarshalText([]byte(prefix))
	}
	r, err := d.o.Read(ctx)
	if err != nil {
		return found, err
	}
	defer r.Close()
	count := 0
	for s, err := range store.All(ctx, r, benefit.Sessions) {
		if err != nil {
			return found, err
		}
		if strings.HasPrefix(s.Digest.String(), prefix) {
			found, count = s.Digest, count+1
		}
	}
	switch count {
	case 0:
		return found, ErrNotFound
	case 1:
		return found, nil
	}
	return found, fmt.Errorf("%s: %w", prefix, ErrAmbiguous)
}
