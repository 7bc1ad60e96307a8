package benefit

import (
	"strconv"

	"faquan/internal/id"
)

// UserID is faquan's own id of a user. It carries the user's home bucket.
type UserID = id.ID

// PlainUser returns a user that has nothing but an identifier: an unknown recipient after its first issue.
func PlainUser(u UserID, i Identifier) *User {
	user := &User{ID: u, Identifiers: []Identifier{i}, Unregistered: true}
	if i.Type == AlipayID {
		user.Alipay = i.Value
	}
	return user
}

// Plain reports whether the user has nothing but its identifier, so that a store need not read its row.
func (u *User) Plain() bool {
	return u.Unregistered && len(u.Identifiers) == 1 && u.Name == "" && !u.Frozen && u.Person == "" && len(u.Attributes) == 0 &&
		u.Alipay == PlainUser(u.ID, u.Identifiers[0]).Alipay
}

// userRef is the type of an identifier that names a user by faquan's own id.
const userRef = "@USER"

// RefTo names a user by id: the recipient of calls whose recipient is the session's user. Such an identifier is no
// user's own, and no caller can send one: operators' types do not begin with @.
func RefTo(u UserID) Identifier {
	return Identifier{Type: userRef, Value: strconv.FormatInt(int64(u), 10)}
}

// Ref returns the user that an identifier made by RefTo names.
func (i Identifier) Ref() (u UserID, ok bool) {
	if i.Type != userRef {
		return 0, false
	}
	n, err := strconv.ParseInt(i.Value, 10, 64)
	return UserID(n), err == nil
}

// User receives vouchers.
type User struct {
	ID     UserID `json:"id"`
	Name   string `json:"name,omitzero"` // the operator's handle, for users of a catalogue file
	Frozen bool   `json:"frozen,omitzero"`
	// Unregistered reports whether issuing made the user and the operator's directory does not name it. Merchants who
	// accept registered recipients only do not know it.
	Unregistered bool         `json:"unregistered,omitzero"`
	Person       string       `json:"person,omitzero"`      // groups the users of one natural person; empty: a person of its own
	Alipay       string       `json:"alipay,omitzero"`      // the first ALIPAY id, which Alipay's answers show when another identifier was sent
	Attributes   []byte       `json:"attributes,omitzero"`  // a JSON object of what rules may ask about the user
	Identifiers  []Identifier `json:"identifiers,omitzero"` // all that name the user, in the order in which they were given
}

// SessionKind is the purpose of a session's key.
type SessionKind uint8

// The kinds of sessions. The numbers are stored.
const (
	AccessSession  SessionKind = 0 // calls come with it: session on TOP, app_auth_token on Alipay
	RefreshSession SessionKind = 1 // buys the next access session, once
	CodeSession    SessionKind = 2 // an authorization code: buys the first access session, once
)

// Session is the permission of an app to act for a merchant and, in calls whose recipient is the session's user, to
// issue to that user. Its key is a secret: it is looked up by its digest and kept sealed.
//
// What was given out for one consent is a family. The row that began it, its head, knows the two sessions of the
// family that are in force, and all others know the head, so that a family can be ended as a whole.
type Session struct {
	Digest   Digest      `json:"digest"` // SessionDigest of the key
	Sealed   []byte      `json:"sealed"` // the key itself, for export; empty for what is not exported
	Kind     SessionKind `json:"kind,omitzero"`
	App      AppID       `json:"app"`
	Merchant MerchantID  `json:"merchant"`
	User     UserID      `json:"user,omitzero"`
	Made     Instant     `json:"made,omitzero"`     // 0: not known
	Expires  Instant     `json:"expires,omitzero"`  // the first instant at which it is over; 0: never
	Ended    Instant     `json:"ended,omitzero"`    // when the session was revoked, or used up, or replaced by the next one; 0: it was not
	Redirect string      `json:"redirect,omitzero"` // of a code: the redirect_uri that it was sent to
	Family   Digest      `json:"family,omitzero"`   // the head of the family; zero: the session stands alone
	Access   Digest      `json:"access,omitzero"`   // of a head: the family's access session in force
	Refresh  Digest      `json:"refresh,omitzero"`  // of a head: the family's refresh session in force
}

// ExpiredAt reports whether the session is over at now by its expiry alone.
//
//guard:internal/session.TestExpiryIsExact now >= s.Expires -> now > s.Expires
func (s *Session) ExpiredAt(now Instant) bool { return s.Expires != 0 && now >= s.Expires }

// SessionDigest returns what a session is looked up by.
func SessionDigest(key string) Digest { return digest(appendText(appendText(nil, "session"), key)) }
