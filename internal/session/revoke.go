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

// minPrefix is how many hex digits of a digest name a session, at least.
const minPrefix = 8

// ErrAmbiguous: a beginning of a digest is that of more than one session.
var ErrAmbiguous = errors.New("more than one session begins so: give more digits")

// Revoke ends a session and everything else of its family. It is named by its key, or by its digest in hex, of which
// the first 8 digits or more will do. It gives the number of sessions that ended: 0 when all had ended before.
func (d *Desk) Revoke(ctx context.Context, name string) (ended int, err error) {
	err = d.commit(ctx, func(p *plan) error {
		s, err := p.byName(name)
		if err != nil {
			return err
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

func (p *plan) byName(name string) (*benefit.Session, error) {
	s, err := p.lookUp(benefit.SessionDigest(name))
	if s != nil || err != nil {
		return s, err
	}
	prefix := strings.ToLower(strings.TrimSuffix(name, "…"))
	if len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, ErrNotFound
	}
	var found benefit.Digest
	if len(prefix) == hex.EncodedLen(len(found)) {
		hex.Decode(found[:], []byte(prefix)) // it is hex
	} else if found, err = digestOf(p.ctx, p.r, prefix); err != nil {
		return nil, err
	}
	if s, err = p.lookUp(found); s == nil && err == nil {
		err = ErrNotFound
	}
	return s, err
}

// digestOf is the one digest that begins so.
func digestOf(ctx context.Context, r store.Reader, prefix string) (found benefit.Digest, err error) {
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
