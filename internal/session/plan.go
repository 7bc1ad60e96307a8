package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/store"
)

// plan is a change in progress in the committer.
type plan struct {
	ctx context.Context
	d   *Service
	r   store.Reader
	cat *benefit.Catalogue
	now benefit.Instant

	rows    map[benefit.Digest]*benefit.Session // the rows that were read: copies, which may be changed
	changed []*benefit.Session
	refused error // the error for the caller, although there is something to commit
}

// commit lets fn plan a change in the committer, and commits the rows that it put. An error of fn changes nothing.
func commit[T any](ctx context.Context, d *Service, fn func(p *plan) (T, error)) (result T, err error) {
	p := new(plan)
	err = d.o.Change(ctx, func(
		ctx context.Context, r store.Reader, cat *benefit.Catalogue, _ benefit.Env,
	) (*benefit.Changes, error) {
		// It may be the second time: what a first attempt changed is not read as if it stood in the store.
		*p = plan{d: d, rows: map[benefit.Digest]*benefit.Session{}} //guard:TestChangeIsPlannedAgain map[benefit.Digest]*benefit.Session{} -> p.rows, changed: p.changed
		p.ctx, p.r, p.cat, p.now = ctx, r, cat, benefit.InstantOf(d.o.Clock())
		var err error
		if result, err = fn(p); err != nil {
			return nil, err
		}
		return &benefit.Changes{Rows: benefit.RowsOf(benefit.Sessions.Rows(p.changed...))}, nil
	})
	// After an error, too: when the outcome is unknown, the change may have been made.
	if len(p.changed) > 0 {
		touched := make([]benefit.Digest, len(p.changed))
		for k, s := range p.changed {
			touched[k] = s.Digest
		}
		d.o.Forget(touched...) //guard:TestRevokeIsExact
	}
	if err == nil {
		err = p.refused
	}
	if err != nil {
		var none T
		return none, err
	}
	return result, nil
}

// put adds a row to the change.
func (p *plan) put(s *benefit.Session) {
	if !slices.Contains(p.changed, s) {
		p.rows[s.Digest] = s
		p.changed = append(p.changed, s)
	}
}

// row returns a row that another row names, to be changed and put. It must exist.
func (p *plan) row(digest benefit.Digest) (*benefit.Session, error) {
	s, err := p.lookUp(digest)
	if s == nil && err == nil {
		err = fmt.Errorf("session %.8s… is missing from its family", digest)
	}
	return s, err
}

// lookUp returns a copy of a row, the same at each call; nil when there is none.
func (p *plan) lookUp(digest benefit.Digest) (*benefit.Session, error) {
	if s := p.rows[digest]; s != nil {
		return s, nil
	}
	s, err := store.Session(p.ctx, p.r, digest)
	if s == nil || err != nil {
		return nil, err
	}
	own := *s
	p.rows[digest] = &own
	return &own, nil
}

// find returns the session of a key. A session of another app, or of another kind, is not found, so that its existence
// is not revealed.
func (p *plan) find(app benefit.AppID, key string, kind benefit.SessionKind) (*benefit.Session, error) {
	s, err := p.lookUp(benefit.SessionDigest(key))
	if err != nil {
		return nil, err
	}
	if !grantedTo(s, app, kind) {
		return nil, ErrNotFound
	}
	return s, nil
}

// grantedTo reports whether a session is of the kind, and was issued to the app.
func grantedTo(s *benefit.Session, app benefit.AppID, kind benefit.SessionKind) bool {
	//guard:TestExchange without s.App == app
	return s != nil && s.App == app && s.Kind == kind //guard:TestRefreshRotates without s.Kind == kind
}

// end ends a session, unless it has already ended.
func (p *plan) end(s *benefit.Session) {
	if s.Ended == 0 {
		s.Ended = p.now
		p.put(s)
	}
}

// endFamily ends all sessions of a family that are in force.
func (p *plan) endFamily(head *benefit.Session) error {
	for _, digest := range []benefit.Digest{head.Access, head.Refresh} {
		if digest == (benefit.Digest{}) {
			continue
		}
		s, err := p.row(digest)
		if err != nil {
			return err
		}
		p.end(s)
	}
	p.end(head)
	return nil
}

// begin returns a session for the parties of another one, with a new key of 130 random bits.
func (p *plan) begin(kind benefit.SessionKind, of *benefit.Session, lifetime time.Duration) (*benefit.Session, string) {
	key := rand.Text()
	s := &benefit.Session{
		Digest: benefit.SessionDigest(key), Kind: kind, App: of.App, Merchant: of.Merchant, User: of.User,
		Made: p.now, Family: of.Family,
	}
	if kind == benefit.AccessSession { // the others are never exported
		s.Sealed = p.d.o.Box.Seal([]byte(key), catalog.SessionKey(s.Digest))
	}
	if lifetime > 0 {
		s.Expires = p.now + benefit.Instant(max(lifetime.Milliseconds(), 1))
	}
	return s, key
}

// addGrant puts a new access session, and the refresh session with the key, in force in the family of the head.
func (p *plan) addGrant(head, refresh *benefit.Session, key string, lifetime time.Duration) (*Grant, error) {
	access, accessKey := p.begin(benefit.AccessSession, head, lifetime)
	head.Access, head.Refresh = access.Digest, refresh.Digest
	for _, s := range []*benefit.Session{access, refresh, head} {
		p.put(s)
	}
	return p.grant(access, accessKey, refresh, key)
}

// grant returns the result for the caller. The refresh session may be nil.
func (p *plan) grant(access *benefit.Session, key string, refresh *benefit.Session, refreshKey string) (*Grant, error) {
	g := &Grant{
		Access: key, Refresh: refreshKey, Made: access.Made, Expires: access.Expires, Digest: access.Digest,
		Merchant: p.cat.Merchants[access.Merchant],
	}
	if refresh != nil {
		g.RefreshExpires = refresh.Expires
	}
	if access.User == 0 {
		return g, nil
	}
	var err error
	g.User, err = p.r.User(p.ctx, access.User)
	return g, err
}

// parties returns the app, the merchant and the user with the names.
func (p *plan) parties(o Order) (*benefit.Session, error) {
	app := named(p.cat.Apps, o.App, func(a *benefit.App) string { return a.Name })
	if app == nil {
		return nil, fmt.Errorf("app %.64q: %w", o.App, ErrNoApp)
	}
	s := &benefit.Session{App: app.ID, Merchant: app.Merchant}
	if o.Merchant != "" {
		m := named(p.cat.Merchants, o.Merchant, func(m *benefit.Merchant) string { return m.Name })
		if m == nil {
			return nil, fmt.Errorf("merchant %.64q: %w", o.Merchant, ErrNoMerchant)
		}
		s.Merchant = m.ID
	}
	if o.User == "" {
		return s, nil
	}
	u, err := p.user(app.ID, o.User)
	if err == nil && u == nil {
		err = ErrNoUser // without the text: it may be a phone number
	}
	if err != nil {
		return nil, err
	}
	s.User = u.ID
	return s, nil
}

// user returns the user with a name or a TYPE:value; nil when there is none.
func (p *plan) user(app benefit.AppID, text string) (*benefit.User, error) {
	kind, value, byIdentifier := strings.Cut(text, ":")
	if !byIdentifier {
		return p.r.UserByName(p.ctx, text)
	}
	ident := benefit.Identifier{Type: kind, Value: value}
	if kind == benefit.OpenID {
		ident.App = app
	}
	return p.r.Recipient(p.ctx, ident)
}

// named returns the entity with a name; nil when there is none.
func named[K comparable, V any](all map[K]*V, name string, of func(*V) string) *V {
	for _, v := range all {
		if of(v) == name {
			return v
		}
	}
	return nil
}
