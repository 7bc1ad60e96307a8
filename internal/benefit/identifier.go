package benefit

import (
	"fmt"
	"strings"
	"unicode"
)

// Types of identifiers that faquan knows by name. Operators may use any other as a primary type.
const (
	AlipayID = "ALIPAY"
	TaobaoID = "TAOBAO"
	OpenID   = "OPEN_ID" // belongs to one app
	Login    = "LOGIN"   // alias: a mobile number or an e-mail address
	Nick     = "NICK"    // alias: a Taobao nick
)

// The longest parts of an identifier, in characters.
const (
	MaxIdentifier     = 128 // the value
	MaxAlipayID       = 16  // the value of an ALIPAY identifier
	MaxIdentifierType = 32
)

// ValidIdentifierType reports whether a text can be a type of identifiers: printable ASCII without spaces, a colon or a
// slash, which would make one identifier read like another, and without an @ at the front, which is for identifiers
// that only faquan makes: see RefTo.
func ValidIdentifierType(t string) bool {
	for i := 0; i < len(t); i++ {
		//guard:internal/gateway/top.TestRecipientOfADecision without t[i] == ':'
		//guard:internal/gateway/top.TestRecipientOfADecision without t[i] == '/'
		if t[i] <= ' ' || t[i] > '~' || t[i] == ':' || t[i] == '/' {
			return false
		}
	}
	//guard:internal/gateway/top.TestRecipientOfADecision without t[0] != '@'
	//guard:internal/catalog.TestWrongFilesAreRefused without t[0] != '@'
	return t != "" && len(t) <= MaxIdentifierType && t[0] != '@'
}

// CanonicalType returns the well-known identifier type that equals t except for case, or "". As a type of its own it would
// create a second user, with fresh limits, for a recipient who already has one.
func CanonicalType(t string) string {
	for _, known := range []string{AlipayID, TaobaoID, OpenID, Login, Nick} {
		if t != known && strings.EqualFold(t, known) {
			return known
		}
	}
	return ""
}

// Identifier names a user: a type and a value, and for an OPEN_ID the app that it belongs to.
type Identifier struct {
	Type  string `json:"type"`
	Value string `json:"value"`
	App   AppID  `json:"app,omitzero"`
}

// IsAlias reports whether identifiers of the type only point to users known by others, so that they never create a user.
func IsAlias(t string) bool { return t == Login || t == Nick }

// String returns the identifier's canonical text, from which the home bucket of a user is taken.
func (i Identifier) String() string {
	if i.App != 0 {
		return fmt.Sprintf("%s/%d:%s", i.Type, i.App, i.Value)
	}
	return i.Type + ":" + i.Value
}

// IdentifierRule is a rule for the value of an identifier. Its text says which, for the operator.
type IdentifierRule string

// The rules. The first also keeps out U+FFFE and U+FFFF, which XML cannot carry. A value that breaks one would be a
// user of its own, with fresh limits, beside the one who is meant.
const (
	RuleControl     IdentifierRule = "has a control character"
	RuleSpace       IdentifierRule = "begins or ends with white space"
	RulePlaceholder IdentifierRule = "is a placeholder that programs write for a missing value"
	RuleDigits      IdentifierRule = "must be 1 to 16 decimal digits"
	RuleUserID      IdentifierRule = "must be 16 decimal digits that begin with 2088" // on the Alipay gateway alone
)

// Breaks returns the rule that the identifier's value breaks, or "". It is the rule for every way in: calls and catalogue
// files. Users from before the rule may have such identifiers: they keep them, and what was bound by them is replayed.
func (i Identifier) Breaks() IdentifierRule {
	v := i.Value
	switch {
	case strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF }):
		return RuleControl
	case strings.TrimSpace(v) != v:
		return RuleSpace
	case v == "undefined" || v == "null" || v == "[object Object]":
		return RulePlaceholder
	case i.Type == AlipayID && (v == "" || len(v) > MaxAlipayID || strings.Trim(v, "0123456789") != ""):
		return RuleDigits
	}
	return ""
}

// isUserID reports whether the value has the form of a user_id on the Alipay platform.
func (i Identifier) isUserID() bool {
	return i.Breaks() == "" && len(i.Value) == MaxAlipayID && strings.HasPrefix(i.Value, "2088")
}

// RecipientBreaks returns the rule that the request's recipient breaks as one who receives the template, or "". The
// template may be nil.
func (c *Catalogue) RecipientBreaks(r *Request, t *Template) IdentifierRule {
	if rule := r.Recipient.Breaks(); rule != "" {
		return rule
	}
	if !r.OnAlipay || r.Recipient.Type != AlipayID || t == nil || r.Recipient.isUserID() {
		return ""
	}
	if owner := c.Merchants[t.Merchant]; owner != nil && owner.AnyUserID {
		return ""
	}
	return RuleUserID
}

// takesType reports whether the template's owner accepts recipients that are named by the identifier's type. An owner
// who asks for registered recipients knows each of them, and an alias never makes a user: the list is against types that
// callers invent.
func (c *Catalogue) takesType(i Identifier, t *Template) bool {
	_, ref := i.Ref()
	owner := c.Merchants[t.Merchant]
	//guard:TestUserTypesOfAScene owner.TakesType(i.Type) -> i.Type != ""
	return ref || owner == nil || !owner.Open || owner.TakesType(i.Type)
}

// invalidRecipient returns why the request's recipient is wrong as a parameter, independent of the user it names; the
// template may be nil. It is looked at only for a key that is not bound.
func (c *Catalogue) invalidRecipient(r *Request, t *Template) Reason {
	if c.RecipientBreaks(r, t) != "" { //guard:TestEachReasonAlone/IDENTIFIER_INVALID
		return IdentifierInvalid
	}
	if t != nil && !c.takesType(r.Recipient, t) {
		return UserTypeNotAllowed
	}
	return NotRefused
}
