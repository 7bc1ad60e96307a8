package benefit

import "slices"

// TokenScope is something that a token permits.
type TokenScope string

// The scopes. Their names are stored.
const (
	MayQuery      TokenScope = "query" // vouchers, and what became of a key
	MayRedeem     TokenScope = "redeem"
	MayReverse    TokenScope = "reverse"
	MayVoid       TokenScope = "void"
	MayExtend     TokenScope = "extend"
	MayExpire     TokenScope = "expire"
	MayReadEvents TokenScope = "events" // of the merchant's templates and vouchers
)

// TokenScopes lists all scopes.
func TokenScopes() []TokenScope {
	return []TokenScope{MayQuery, MayRedeem, MayReverse, MayVoid, MayExtend, MayExpire, MayReadEvents}
}

// Token is the permission of a program to call the JSON API for an app. Its secret has more than 256 random bits and is not
// stored: a token is looked up by the digest of what the caller sends.
type Token struct {
	Digest  Digest       `json:"digest"` // TokenDigest of the secret
	App     AppID        `json:"app"`
	Scopes  []TokenScope `json:"scopes"`
	Label   string       `json:"label,omitzero"` // for operators
	Made    Instant      `json:"made"`
	Expires Instant      `json:"expires,omitzero"` // the first instant at which it is over; 0: never
	Revoked Instant      `json:"revoked,omitzero"` // 0: it was not
}

// ExpiredAt reports whether the token is over at now by its expiry alone.
//
//guard:internal/token.TestExpiryIsExact now >= t.Expires -> now > t.Expires
func (t *Token) ExpiredAt(now Instant) bool { return t.Expires != 0 && now >= t.Expires }

// Permits reports whether the token has the scope.
func (t *Token) Permits(s TokenScope) bool { return slices.Contains(t.Scopes, s) }

// TokenDigest returns what a token is looked up by: the beginning of a SHA-256. A slow hash, as for passwords, would
// protect nothing more: the secret is random and too long to be guessed, whoever has its digest. A look-up by it takes the
// place of a comparison in constant time: what a caller could learn from its timing is about digests, not about secrets.
func TokenDigest(secret string) Digest { return digest(appendText(appendText(nil, "token"), secret)) }
