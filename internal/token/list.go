package token

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Info describes a token without its secret, and may be shown.
type Info struct {
	ID      string // the digest of the secret
	State   string // valid, expired or revoked
	App     string // its name
	Scopes  []benefit.TokenScope
	Label   string
	Made    benefit.Instant
	Expires benefit.Instant // 0: never
}

// Filter selects the tokens to list.
type Filter struct {
	App string // only those of the app with this name; empty: all
	All bool   // also those that are no longer valid
}

// List returns the tokens in their state at now, in the order of their digests.
func List(ctx context.Context, r store.Reader, cat *benefit.Catalogue, now benefit.Instant, f Filter) ([]Info, error) {
	var all []Info
	for t, err := range store.All(ctx, r, benefit.Tokens) {
		if err != nil {
			return nil, err
		}
		info := Info{ID: t.Digest.String(), State: "valid", Scopes: t.Scopes, Label: t.Label, Made: t.Made, Expires: t.Expires}
		switch {
		case t.Revoked != 0:
			info.State = "revoked"
		case t.ExpiredAt(now):
			info.State = "expired"
		}
		if a := cat.Apps[t.App]; a != nil {
			info.App = a.Name
		}
		if (f.App == "" || info.App == f.App) && (f.All || info.State == "valid") {
			all = append(all, info)
		}
	}
	return all, nil
}
