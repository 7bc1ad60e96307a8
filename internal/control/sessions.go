package control

import (
	"context"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/session"
)

// The calls about sessions: see the methods of Service.
var (
	NewSession = newCall("/session/new", "If a session was made, its key is lost: `faquan session list` shows it, revoke it and make another",
		(*Service).NewSession)
	RevokeSession = newCall("/session/revoke", "Revoking it again is safe", (*Service).RevokeSession)
	ListSessions  = newCall("/session/list", "", (*Service).ListSessions)
)

func (d *Service) sessions() *session.Service {
	return session.NewService(session.Options{Change: d.changing("session"), Read: d.Store.Read, Box: d.Box})
}

// NewSession issues a session; the answer has its key.
func (d *Service) NewSession(ctx context.Context, o session.Order) (*session.Grant, error) {
	return d.sessions().New(ctx, o)
}

// RevokeSession ends a session and its family, and returns how many ended.
func (d *Service) RevokeSession(ctx context.Context, name string) (ended int, err error) {
	return d.sessions().Revoke(ctx, name)
}

// ListSessions returns sessions without their keys.
func (d *Service) ListSessions(ctx context.Context, f session.Filter) ([]session.Info, error) {
	r, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cat, err := catalogueOf(ctx, r)
	if err != nil {
		return nil, err
	}
	return session.List(ctx, r, cat, benefit.InstantOf(time.Now()), f)
}
