package control

import (
	"context"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/token"
)

// The calls about tokens: see the methods of Service.
var (
	MakeToken = newCall("/token/make", "If a token was made, its secret is lost: `faquan token list` shows it, revoke it and make another",
		(*Service).MakeToken)
	RevokeToken = newCall("/token/revoke", "Revoking it again is safe", (*Service).RevokeToken)
	ListTokens  = newCall("/token/list", "", (*Service).ListTokens)
)

func (d *Service) tokens() *token.Service {
	return token.NewService(token.Options{Change: d.changing("token"), Read: d.Store.Read})
}

// MakeToken makes a token; the answer has its secret.
func (d *Service) MakeToken(ctx context.Context, o token.Order) (*token.Grant, error) {
	return d.tokens().Make(ctx, o)
}

// RevokeToken ends a token. It returns false when it had ended before.
func (d *Service) RevokeToken(ctx context.Context, name string) (revoked bool, err error) {
	return d.tokens().Revoke(ctx, name)
}

// ListTokens returns tokens without their secrets.
func (d *Service) ListTokens(ctx context.Context, f token.Filter) ([]token.Info, error) {
	r, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cat, err := catalogueOf(ctx, r)
	if err != nil {
		return nil, err
	}
	return token.List(ctx, r, cat, benefit.InstantOf(time.Now()), f)
}
