package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// userDocs merges the users of the file with the stored ones. A user is found by name, else by identifiers. An identifier
// never moves from one user to another, because vouchers and limits belong to users; and none is ever removed, because an
// unknown identifier might make a new user with fresh limits.
func (p *planner) userDocs() error {
	seen := map[benefit.UserID]int{} // lines
	for _, d := range p.file.users {
		old, fits, err := p.match(d)
		if err != nil {
			return err
		}
		if !fits {
			continue
		}
		u := d.over(old)
		if len(u.Identifiers) == 0 {
			p.report(d.line, "user %q: ids is missing; a new user needs at least one identifier", u.Name)
			continue
		}
		if old == nil {
			u.ID = p.env.IDs.Block(0, home(u), 1) // 0: as early as the generator allows
		} else if line, twice := seen[u.ID]; twice {
			p.report(d.line, "%s is already stated in line %d", userLabel(u), line)
		}
		seen[u.ID] = d.line
		if u.Name != "" {
			p.users[u.Name] = u
		}
		for _, ident := range u.Identifiers {
			p.identifiers[ident] = u
		}
		if err := p.userChange(d, old, u); err != nil {
			return err
		}
	}
	return nil
}

// home returns the bucket of a new user: that of the person, if any, so that the users of a person share it.
func home(u *benefit.User) int {
	if u.Person != "" {
		return id.BucketOf(u.Person)
	}
	return id.BucketOf(u.Identifiers[0].String())
}

// match returns the user that a doc states, nil when it is a new one. It also resolves the doc's identifiers.
func (p *planner) match(d *userDoc) (old *benefit.User, fits bool, err error) {
	reported := len(p.all)
	for k := range d.idents {
		i := &d.idents[k]
		i.App = p.apps.find(&p.problems, userLabel(&d.user), i.app)
		if slices.ContainsFunc(d.idents[:k], func(x identDoc) bool { return x.Identifier == i.Identifier }) {
			p.report(i.line, "%s: %s is given twice", userLabel(&d.user), i.Type)
		} else if u := p.identifiers[i.Identifier]; u != nil {
			p.report(i.line, "%s: this %s already belongs to %s", userLabel(&d.user), i.Type, userLabel(u))
		}
	}
	if len(p.all) > reported {
		return nil, false, nil
	}
	if d.user.Name != "" {
		if old, err = p.r.UserByName(p.ctx, d.user.Name); err != nil {
			return nil, false, err
		}
	}
	for _, i := range d.idents {
		if old != nil && slices.Contains(old.Identifiers, i.Identifier) {
			continue // stored already, as almost all of a file that is applied again
		}
		holder, err := p.r.Recipient(p.ctx, i.Identifier)
		if err != nil {
			return nil, false, err
		}
		switch {
		case holder == nil:
		case old == nil && (holder.Name == "" || d.user.Name == ""):
			old = holder // known by this identifier; a user without a name gets one so
		case old == nil || holder.ID != old.ID:
			p.report(i.line, "%s: this %s already belongs to %s, and identifiers cannot move between users",
				userLabel(&d.user), i.Type, userLabel(holder))
		}
	}
	return old, len(p.all) == reported, nil
}

// over returns the stored user merged with the doc.
func (d *userDoc) over(old *benefit.User) *benefit.User {
	u := d.user
	if old != nil {
		u.ID = old.ID
		u.Name = cmp.Or(u.Name, old.Name)
		if !d.has("status") {
			u.Frozen = old.Frozen
		}
		u.Identifiers = slices.Clone(old.Identifiers)
	}
	for _, i := range d.idents {
		if !slices.Contains(u.Identifiers, i.Identifier) {
			u.Identifiers = append(u.Identifiers, i.Identifier)
		}
	}
	for _, i := range u.Identifiers {
		if i.Type == benefit.AlipayID {
			u.Alipay = i.Value
			break
		}
	}
	return &u
}

// userLabel returns a user's name for messages, without an identifier.
func userLabel(u *benefit.User) string {
	switch {
	case u.Name != "":
		return fmt.Sprintf("user %q", u.Name)
	case u.ID != 0:
		return fmt.Sprintf("the user without a name %d", u.ID)
	}
	return "user"
}

func (p *planner) userChange(d *userDoc, old, u *benefit.User) error {
	same, err := p.same(old, u)
	if err != nil || same {
		return err
	}
	p.changes.Users = append(p.changes.Users, u)
	was := mapping{}
	if old != nil {
		was = userNode(old, p.tables)
	}
	p.record(Change{Kind: "user", Name: u.Name, Line: d.line}, was, userNode(u, p.tables))
	return nil
}

// SessionKey returns the context for which the key of a session is sealed.
func SessionKey(d benefit.Digest) string { return "session/" + d.String() }

// sessionDocs merges the sessions of the file with the stored ones. A session is found by its key. Its state is kept: a
// file that is applied again does not make a revoked session valid.
func (p *planner) sessionDocs() error {
	seen := map[benefit.Digest]int{}
	for _, d := range p.file.sessions {
		s := &benefit.Session{Digest: benefit.SessionDigest(d.key), Expires: d.expires}
		if line, twice := seen[s.Digest]; twice {
			p.report(d.lineOf("key"), "session: the key is already used in line %d", line)
			continue
		}
		seen[s.Digest] = d.lineOf("key")
		s.App = p.apps.find(&p.problems, "session", d.app)
		s.Merchant = p.merchants.find(&p.problems, "session", d.merchant)
		if a := p.apps.all[s.App]; a != nil && !d.merchant.given() {
			s.Merchant = a.Merchant
		}
		user, err := p.sessionUser(d.user)
		if err != nil {
			return err
		}
		if user != nil {
			s.User = user.ID
		}
		old, err := store.Session(p.ctx, p.r, s.Digest)
		if err != nil {
			return err
		}
		var sealed []byte
		if old != nil {
			if old.Kind != benefit.AccessSession {
				p.report(d.lineOf("key"), "session: the key is an authorization code or a refresh token, not a session")
				continue
			}
			sealed = old.Sealed
			//guard:TestRevokedSessionStaysRevoked s.Ended -> _
			s.Made, s.Ended, s.Family, s.Access, s.Refresh = old.Made, old.Ended, old.Family, old.Access, old.Refresh
		}
		s.Sealed = p.resealed(sealed, d.key, SessionKey(s.Digest))
		if err := p.sessionChange(d, old, s, user); err != nil {
			return err
		}
	}
	return nil
}

// sessionUser returns the user of a session. It returns nil when the session has none, and reports a problem and returns
// nil when the reference dangles.
func (p *planner) sessionUser(r ref) (u *benefit.User, err error) {
	if !r.given() {
		return nil, nil
	}
	kind, value, byIdentifier := strings.Cut(r.name, ":")
	if byIdentifier {
		ident := benefit.Identifier{Type: kind, Value: value}
		if app, ok := strings.CutPrefix(kind, benefit.OpenID+"/"); ok {
			ident.Type, ident.App = benefit.OpenID, p.apps.find(&p.problems, "session", ref{app, r.line})
		}
		if u = p.identifiers[ident]; u == nil {
			u, err = p.r.Recipient(p.ctx, ident)
		}
	} else if u = p.users[r.name]; u == nil {
		u, err = p.r.UserByName(p.ctx, r.name)
	}
	if u == nil && err == nil {
		if byIdentifier {
			p.report(r.line, "session: there is no user with this %s", clip(kind))
		} else {
			p.report(r.line, "session: there is no user %q", clip(r.name))
		}
	}
	return u, err
}

func (p *planner) sessionChange(d *sessionDoc, old, s *benefit.Session, user *benefit.User) error {
	same, err := p.same(old, s)
	if err != nil || same {
		return err
	}
	p.sessions = append(p.sessions, s)
	was := mapping{}
	if old != nil {
		user, err := userText(p.ctx, p.r, old.User, p.tables)
		if err != nil {
			return err
		}
		was = sessionNode(old, secret, user, p.tables)
	}
	name := fmt.Sprintf("%.8s… of app %s", s.Digest, p.apps.names[s.App])
	p.record(Change{Kind: "session", Name: name, Line: d.line}, was, sessionNode(s, secret, userRef(user, p.tables), p.tables))
	return nil
}

// userText returns the user of a session, as a file names it; "" for 0.
func userText(ctx context.Context, r store.Reader, id benefit.UserID, in *tables) (string, error) {
	if id == 0 {
		return "", nil
	}
	u, err := r.User(ctx, id)
	if err != nil {
		return "", err
	}
	return userRef(u, in), nil
}
