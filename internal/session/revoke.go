package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"faquan/internal/benefit"
)

// minPrefix is how many hex digits of a digest name a session, at least.
const minPrefix = 8

// ErrAmbiguous: a beginning of a digest is that of more than one session.
var ErrAmbiguous = errors.New("more than one session begins with these digits; give more")

// Revoke ends a session and everything else of its family. It is named by its key, or by its digest in hex, of which
// the first 8 digits or more will do. It gives the number of sessions that ended: 0 when all had ended before. It
// fails with ErrNotFound or ErrAmbiguous.
func (d *Desk) Revoke(ctx context.Context, name string) (ended int, err error) {
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

func (d *Desk) revoke(ctx context.Context, digest benefit.Digest) (ended int, err error) {
	err = d.commit(ctx, func(p *plan) error {
		s, err := p.lookUp(digest)
		if err != nil {
			return err
		}
		if s == nil {
			return ErrNotFound
		}
		head := s
		if s.Family != (benefit.Digest{}) {
			if head, err = p.row(s.Family); err != nil {
				return err
			}
		}
		if err := p.endFamily(head); err != nil {
			return err
		}
		p.end(s)
		ended = len(p.changed)
		return nil
	})
	return ended, err
}

// digestOf is the one digest that begins so, in hex. It may go through all sessions, so it does so outside of the
// committer: digests never change.
func (d *Desk) digestOf(ctx context.Context, prefix string) (found benefit.Digest, err error) {
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
	for s, err := range r.AllSessions(ctx) {
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
