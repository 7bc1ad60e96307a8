package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// The reasons for which no session was issued or ended. Other errors are those of engine.Engine.Change: nothing has
// changed unless the error is engine.ErrUnknown or that of a failed store.
var (
	ErrNoApp      = errors.New("there is no such app")
	ErrNoMerchant = errors.New("there is no such merchant")
	ErrNoUser     = errors.New("there is no such user")
	ErrNotFound   = errors.New("there is no such session")
	ErrExpired    = errors.New("the session has expired")
	ErrEnded      = errors.New("the session was already used or revoked")
	ErrRedirect   = errors.New("the redirect_uri is not the one that the code was sent to")
	ErrLifetime   = errors.New("a lifetime must be from 0 to 100 years")
)

// maxLifetime bounds the lifetime of a session, so that every expiry can be printed.
const maxLifetime = 100 * 365 * 24 * time.Hour

// Lifetimes are the lifetimes of what OAuth issues. Each is cut to milliseconds.
type Lifetimes struct {
	Code    time.Duration // default 10 minutes
	Access  time.Duration // default 24 hours
	Refresh time.Duration // default 30 days; each refresh makes a new one
}

// Options are the options of a Service.
type Options struct {
	// Change commits a change: engine.Engine.Change.
	Change func(ctx context.Context, fn engine.ChangeFunc) error
	// Read opens a view of the store: store.Store.Read. Only Revoke by the beginning of a digest needs it.
	Read func(ctx context.Context) (store.Reader, error)
	// Session looks up a session: see store.Session. With it, codes and refresh tokens that cannot succeed are refused
	// without a change, because all issuing waits for a change. When it is nil, the change refuses them.
	Session func(ctx context.Context, digest benefit.Digest) (*benefit.Session, error)
	// Box seals the keys of sessions, which an export with secrets shows.
	Box *seal.Box
	// Forget, unless nil, is called after every change with the sessions that it touched, before the method that made the
	// change returns. See gateway.Sessions.Forget.
	Forget func(...benefit.Digest)
	// Clock returns what expiries are compared with; default time.Now.
	Clock func() time.Time
	Lifetimes
}

// Service issues sessions and ends them. It is safe for concurrent use.
type Service struct{ o Options }

// NewService returns a service with the options, where zero values are the defaults.
func NewService(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Forget == nil {
		o.Forget = func(...benefit.Digest) {}
	}
	o.Code = cmp.Or(max(o.Code, 0), 10*time.Minute)
	o.Access = cmp.Or(max(o.Access, 0), 24*time.Hour)
	o.Refresh = cmp.Or(max(o.Refresh, 0), 30*24*time.Hour)
	return &Service{o}
}

// Order is an operator's request for a session.
type Order struct {
	App      string // its name
	Merchant string // its name; empty: the app's own
	User     string // a name, or TYPE:value, where OPEN_ID is that of the app; empty: none
	// Lifetime is how long the session is valid; 0: forever.
	Lifetime time.Duration
	// Refresh is the lifetime of a refresh session, which is issued too; 0: none is issued.
	Refresh time.Duration
}

// Grant is what was issued. Its keys are shown only once: the store keeps their digests.
type Grant struct {
	Access         string
	Refresh        string // empty: none was issued
	Made           benefit.Instant
	Expires        benefit.Instant // 0: never
	RefreshExpires benefit.Instant // 0: never
	Digest         benefit.Digest  // of Access

	Merchant *benefit.Merchant
	User     *benefit.User // nil: none
}

// New issues a session for an operator. It fails with ErrNoApp, ErrNoMerchant, ErrNoUser or ErrLifetime.
func (d *Service) New(ctx context.Context, o Order) (*Grant, error) {
	if min(o.Lifetime, o.Refresh) < 0 || max(o.Lifetime, o.Refresh) > maxLifetime {
		return nil, ErrLifetime
	}
	return commit(ctx, d, func(p *plan) (*Grant, error) {
		base, err := p.parties(o)
		if err != nil {
			return nil, err
		}
		if o.Refresh == 0 {
			access, key := p.begin(benefit.AccessSession, base, o.Lifetime)
			p.put(access)
			return p.grant(access, key, nil, "")
		}
		head, key := p.begin(benefit.RefreshSession, base, o.Refresh)
		head.Family = head.Digest
		return p.addGrant(head, head, key, o.Lifetime)
	})
}

// Consent is what a person agreed to: the app may act for a merchant, and possibly a user receives.
type Consent struct {
	App      benefit.AppID
	Merchant string // its name
	User     string // as in an Order; empty: none
	Redirect string // the redirect_uri that the code is sent to
}

// Authorize issues an authorization code.
func (d *Service) Authorize(ctx context.Context, c Consent) (code string, err error) {
	return commit(ctx, d, func(p *plan) (code string, err error) {
		app := p.cat.Apps[c.App]
		if app == nil {
			return "", ErrNoApp
		}
		base, err := p.parties(Order{App: app.Name, Merchant: c.Merchant, User: c.User})
		if err != nil {
			return "", err
		}
		head, code := p.begin(benefit.CodeSession, base, d.o.Code)
		head.Redirect, head.Family = c.Redirect, head.Digest
		p.put(head)
		return code, nil
	})
}

// AnyRedirect replaces the redirect_uri in a protocol without one: there the signature of the app is the proof.
const AnyRedirect = ""

// Exchange issues a session for an authorization code of the app, and ends the code. The redirect is the one that the
// code was sent to, or AnyRedirect. It fails with ErrNotFound, ErrExpired, ErrRedirect or ErrEnded. With ErrEnded, what
// was issued for the code before has ended, too.
func (d *Service) Exchange(ctx context.Context, app benefit.AppID, code, redirect string) (*Grant, error) {
	if err := d.checkOrder(ctx, app, code, benefit.CodeSession); err != nil {
		return nil, err
	}
	return commit(ctx, d, func(p *plan) (*Grant, error) {
		head, err := p.find(app, code, benefit.CodeSession)
		switch {
		case err != nil:
			return nil, err
		case head.Ended != 0: //guard:TestOneOfManySucceeds
			p.refused = ErrEnded
			return nil, p.endFamily(head) //guard:TestReuseRevokes
		case head.ExpiredAt(p.now):
			return nil, ErrExpired
		case redirect != AnyRedirect && redirect != head.Redirect: //guard:TestExchange
			return nil, ErrRedirect
		}
		head.Ended = p.now
		refresh, key := p.begin(benefit.RefreshSession, head, d.o.Lifetimes.Refresh)
		return p.addGrant(head, refresh, key, d.o.Access)
	})
}

// Refresh issues a session for a refresh session of the app; it replaces the one of the family that is in force. It fails
// with ErrNotFound, ErrExpired or ErrEnded.
func (d *Service) Refresh(ctx context.Context, app benefit.AppID, token string) (*Grant, error) {
	if err := d.checkOrder(ctx, app, token, benefit.RefreshSession); err != nil {
		return nil, err
	}
	return commit(ctx, d, func(p *plan) (*Grant, error) {
		old, err := p.find(app, token, benefit.RefreshSession)
		switch {
		case err != nil:
			return nil, err
		case old.Ended != 0: //guard:TestOneOfManySucceeds
			return nil, ErrEnded
		case old.ExpiredAt(p.now):
			return nil, ErrExpired
		}
		head, err := p.row(old.Family)
		if err != nil {
			return nil, err
		}
		if err := p.endFamily(head); err != nil { //guard:TestRefreshRotates
			return nil, err
		}
		refresh, key := p.begin(benefit.RefreshSession, old, d.o.Lifetimes.Refresh)
		return p.addGrant(head, refresh, key, d.o.Access)
	})
}

// checkOrder returns the error of a code or refresh token that a change would only refuse, and nil for any other. It relies
// on what cannot change any more: a key that was never issued, or a session that has ended or expired. A code that was
// used before still needs the change while something that was issued for it is in force.
func (d *Service) checkOrder(ctx context.Context, app benefit.AppID, key string, kind benefit.SessionKind) error {
	if d.o.Session == nil { //guard:TestRefusedWithoutAChange without d.o.Session == nil
		return nil
	}
	s, err := d.o.Session(ctx, benefit.SessionDigest(key))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", engine.ErrNotIssued, err)
	case !grantedTo(s, app, kind):
		return ErrNotFound
	case s.Ended == 0 && s.ExpiredAt(benefit.InstantOf(d.o.Clock())):
		return ErrExpired
	case s.Ended == 0:
		return nil
	}
	if kind != benefit.CodeSession {
		return ErrEnded
	}
	for _, digest := range []benefit.Digest{s.Access, s.Refresh, s.Digest} {
		given, err := d.o.Session(ctx, digest)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", engine.ErrNotIssued, err)
		case given == nil && digest == (benefit.Digest{}):
		case given == nil || given.Ended == 0:
			return nil
		case digest == s.Digest && (given.Access != s.Access || given.Refresh != s.Refresh): // refreshed meanwhile
			return nil
		}
	}
	return ErrEnded
}
