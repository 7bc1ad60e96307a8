package session

import (
	"context"
	"strconv"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Info describes a session without its key, and may be shown.
type Info struct {
	Digest   benefit.Digest
	Kind     string // access, refresh or code
	App      string // its name
	Merchant string // its name
	User     string // its name, else its id; empty: none
	Made     benefit.Instant
	Expires  benefit.Instant // 0: never
	State    string          // good, expired or ended
}

// Filter selects the sessions to list.
type Filter struct {
	App string // only those of the app with this name; empty: all
	All bool   // also those that are no longer valid
}

var kinds = map[benefit.SessionKind]string{
	benefit.AccessSession: "access", benefit.RefreshSession: "refresh", benefit.CodeSession: "code",
}

// List returns the sessions in their state at now, in the order of their digests.
func List(ctx context.Context, r store.Reader, cat *benefit.Catalogue, now benefit.Instant, f Filter) ([]Info, error) {
	var all []Info
	for s, err := range store.All(ctx, r, benefit.Sessions) {
		if err != nil {
			return nil, err
		}
		info := Info{Digest: s.Digest, Kind: kinds[s.Kind], Made: s.Made, Expires: s.Expires, State: stateOf(s, now)}
		if a := cat.Apps[s.App]; a != nil {
			info.App = a.Name
		}
		if m := cat.Merchants[s.Merchant]; m != nil {
			info.Merchant = m.Name
		}
		if f.App != "" && info.App != f.App || !f.All && info.State != "good" {
			continue
		}
		if s.User != 0 {
			u, err := r.User(ctx, s.User)
			if err != nil {
				return nil, err
			}
			if info.User = strconv.FormatInt(int64(s.User), 10); u != nil && u.Name != "" {
				info.User = u.Name
			}
		}
		all = append(all, info)
	}
	return all, nil
}

func stateOf(s *benefit.Session, now benefit.Instant) string {
	switch {
	case s.Ended != 0:
		return "ended"
	case s.ExpiredAt(now):
		return "expired"
	}
	return "good"
}
