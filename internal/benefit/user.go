package benefit

import (
	"fmt"
	"strconv"
	"strings"

	"faquan/internal/id"
)

// UserID is faquan's own id of a user. It carries the user's home bucket.
type UserID = id.ID

// PlainUser is the user of which an identifier is all: what an unknown recipient becomes with its first issue.
func PlainUser(u UserID, i Identifier) *User {
	user := &User{ID: u, Identifiers: []Identifier{i}, Unregistered: true}
	if i.Type == AlipayID {
		user.Alipay = i.Value
	}
	return user
}

// Plain says that the user's identifier is all there is to it, so that a store need not read more than that.
func (u *User) Plain() bool {
	return u.Unregistered && len(u.Identifiers) == 1 && u.Name == "" && !u.Frozen && u.Person == "" && len(u.Attributes) == 0 &&
		u.Alipay == PlainUser(u.ID, u.Identifiers[0]).Alipay
}

// Types of identifiers that faquan knows by name. Operators may use any other as a primary type.
const (
	AlipayID = "ALIPAY"
	TaobaoID = "TAOBAO"
	OpenID   = "OPEN_ID" // belongs to one app
	Login    = "LOGIN"   // alias: a mobile number or an e-mail address
	Nick     = "NICK"    // alias: a Taobao nick
)

// Miswritten gives the type of identifiers that faquan knows by name and that t is but for upper and lower case, else
// "". As a type of its own it would make a second user, with fresh limits, of somebody who has one.
func Miswritten(t string) string {
	for _, known := range []string{AlipayID, TaobaoID, OpenID, Login, Nick} {
		if t != known && strings.EqualFold(t, known) {
			return known
		}
	}
	return ""
}

// MaxIdentifier is the longest identifier value, in characters.
const MaxIdentifier = 128

// Identifier names a user: a type and a value, and for an OPEN_ID the app that it belongs to.
type Identifier struct {
	Type  string `json:"type"`
	Value string `json:"value"`
	App   AppID  `json:"app,omitzero"`
}

// userRef is the type of an identifier that names a user by faquan's own id.
const userRef = "@USER"

// RefTo names a user by id: the recipient of calls whose recipient is the session's user. Such an identifier is no
// user's own, and no caller can send one: operators' types do not begin with @.
func RefTo(u UserID) Identifier {
	return Identifier{Type: userRef, Value: strconv.FormatInt(int64(u), 10)}
}

// Ref is the user that an identifier made by RefTo names.
func (i Identifier) Ref() (u UserID, ok bool) {
	if i.Type != userRef {
		return 0, false
	}
	n, err := strconv.ParseInt(i.Value, 10, 64)
	return UserID(n), err == nil
}

// Alias says that the identifier only points to a user that is known by another one, so that it can never
// make a new user.
func (i Identifier) Alias() bool { return i.Type == Login || i.Type == Nick }

// String is the identifier's canonical text, from which the home bucket of a user is taken.
func (i Identifier) String() string {
	if i.App != 0 {
		return fmt.Sprintf("%s/%d:%s", i.Type, i.App, i.Value)
	}
	return i.Type + ":" + i.Value
}

// User receives vouchers.
type User struct {
	ID     UserID `json:"id"`
	Name   string `json:"name,omitzero"` // the operator's handle, for users of a catalogue file
	Frozen bool   `json:"frozen,omitzero"`
	// Unregistered says that issuing made the user and the operator's directory does not name it. Merchants who accept
	// registered recipients only do not know it.
	Unregistered bool `json:"unregistered,omitzero"`
	// Person groups the users of one natural person; empty: a person of its own.
	Person string `json:"person,omitzero"`
	// Alipay is the user's first ALIPAY id, which Alipay's answers show when another identifier was sent.
	Alipay string `json:"alipay,omitzero"`
	// Attributes is a JSON object of what rules may ask about the user.
	Attributes []byte `json:"attributes,omitzero"`
	// Identifiers are all that name the user, in the order in which they were given.
	Identifiers []Identifier `json:"identifiers,omitzero"`
}

// SessionKind says what the key of a session is good for.
type SessionKind uint8

// The kinds of sessions. The numbers are stored.
const (
	AccessSession  SessionKind = 0 // calls come with it: session on TOP, app_auth_token on Alipay
	RefreshSession SessionKind = 1 // buys the next access session, once
	CodeSession    SessionKind = 2 // an authorization code: buys the first access session, once
)

// Session is a grant that an app acts for a merchant and, for some calls, that a user receives. Its key is a
// secret: it is looked up by its digest and kept sealed.
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
	Made     Instant     `json:"made,omitzero"`    // 0: not known
	Expires  Instant     `json:"expires,omitzero"` // the first instant at which it is over; 0: never
	// Ended is when the session was revoked, or used up, or replaced by the next one; 0: it was not.
	Ended    Instant `json:"ended,omitzero"`
	Redirect string  `json:"redirect,omitzero"` // of a code: the redirect_uri that it was sent to
	Family   Digest  `json:"family,omitzero"`   // the head of the family; zero: the session stands alone
	Access   Digest  `json:"access,omitzero"`   // of a head: the family's access session in force
	Refresh  Digest  `json:"refresh,omitzero"`  // of a head: the family's refresh session in force
}

// ExpiredAt says that the session is over at now by its expiry alone.
func (s *Session) ExpiredAt(now Instant) bool { return s.Expires != 0 && now >= s.Expires }

// GoodAt says that the session's key is good at now, for what its kind is for.
func (s *Session) GoodAt(now Instant) bool { return s.Ended == 0 && !s.ExpiredAt(now) }

// SessionDigest is what a session is looked up by.
func SessionDigest(key string) Digest { return digest([]byte("session"), []byte(key)) }
