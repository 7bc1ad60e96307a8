package catalog

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"faquan/internal/benefit"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/rule"
)

// Maximum lengths, in characters. Those that a protocol prescribes name it.
const (
	maxTitle     = 128
	maxAppID     = 32 // app_id of the Alipay gateway
	maxAppKey    = 64
	maxSecret    = 256
	maxSession   = 256
	maxPerson    = 64
	maxSendRate  = 1_000_000
	minKeyBits   = 2048               // of the platform's own key; callers' keys may be shorter, as wire allows
	maxAttribute = rule.MaxAttributes // bytes of JSON
	maxRedirect  = 2048
	maxRedirects = 32
)

// Methods returns the API methods that an app may be granted: the four that issue, and their helpers.
func Methods() []string {
	return []string{
		"alipay.marketing.voucher.send",
		"taobao.mobile.promotion.benefit.activity.send",
		"alibaba.alsc.upp.right.decisionsend",
		"tmall.nrt.certificate.send", "tmall.nrt.certificate.query",
		"taobao.user.seller.get", "taobao.time.get",
		"taobao.top.auth.token.create", "taobao.top.auth.token.refresh",
	}
}

// platformDoc and the other docs are entities as a file states them: valid in themselves, with references that are still
// names.
type platformDoc struct {
	sourcePos
	key *rsa.PrivateKey // nil when left out
}

func (p *parser) platform(n *yaml.Node) *platformDoc {
	o := p.object(n, "platform")
	if o == nil {
		return nil
	}
	d := &platformDoc{sourcePos: o.sourcePos}
	d.key = parsedKey(o, "alipay_private_key", "alipay_private_key_file", func(text string) (*rsa.PrivateKey, error) {
		key, err := wire.ParsePrivateKey(text)
		if err == nil {
			err = checkPlatformKey(key)
		}
		return key, err
	})
	o.done()
	return d
}

type merchantDoc struct {
	sourcePos
	merchant benefit.Merchant
}

func (p *parser) merchant(o *object) *merchantDoc {
	o.require("name")
	return &merchantDoc{sourcePos: o.sourcePos, merchant: benefit.Merchant{
		Name: scalar(o, "name", handle), Title: scalar(o, "title", text(maxTitle)),
		SellerID: scalar(o, "seller_id", wireNumber), Open: scalar(o, "recipients", openWords.read),
		UserTypes: o.userTypes(), AnyUserID: scalar(o, "alipay_user_ids", anyUserIDWords.read),
	}}
}

// anyType is the value of user_types that accepts any type.
const anyType = "any"

// userTypes reads a list of types; for any it returns none.
func (o *object) userTypes() []string {
	const field = "user_types"
	if n := o.nodes[field]; n != nil && n.Kind == yaml.ScalarNode {
		scalar(o, field, func(s string) (string, error) {
			if s != anyType {
				return "", fmt.Errorf("must be a list of types, or %s: %q", anyType, clip(s))
			}
			return s, nil
		})
		return nil
	}
	types := scalars(o, field, func(s string) (string, error) {
		s, err := identifierType(s)
		if err == nil && benefit.IsAlias(s) {
			err = fmt.Errorf("%s is an alias: it never makes a user, and is always accepted", s)
		}
		return s, err
	})
	unique(o, field, types)
	if o.empty(field) {
		o.report(field, "is an empty list: no recipient could be named; write %s, or set recipients: registered", anyType)
	}
	return types
}

type appDoc struct {
	sourcePos
	app      benefit.App
	merchant ref
	secret   string
}

func (p *parser) app(o *object) *appDoc {
	o.require("name", "merchant")
	d := &appDoc{sourcePos: o.sourcePos, merchant: o.ref("merchant"), app: benefit.App{
		Name:   scalar(o, "name", handle),
		AppKey: scalar(o, "app_key", callerID(maxAppKey)), AppID: scalar(o, "app_id", callerID(maxAppID)),
		RatePerSecond: scalar(o, "rate_per_second", number[int64](1, maxSendRate)),
		Disabled:      scalar(o, "status", disabledWords.read),
		Methods:       scalars(o, "methods", method),
		RedirectURIs:  scalars(o, "redirect_uris", redirectURI), ExplainSignature: scalar(o, "explain_signature", yesNo.read),
	}}
	d.secret = scalar(o, "app_secret", token(maxSecret))
	d.app.PublicKey = parsedKey(o, "public_key", "public_key_file", publicKey)
	d.app.SignTypes = scalars(o, "sign_types", signTypes.read)
	unique(o, "methods", d.app.Methods)
	unique(o, "sign_types", d.app.SignTypes)
	unique(o, "redirect_uris", d.app.RedirectURIs)
	if n := len(d.app.RedirectURIs); n > maxRedirects {
		o.report("redirect_uris", "has %d elements, at most %d are allowed", n, maxRedirects)
	}
	switch {
	case d.app.PublicKey != "" && !o.has("sign_types"):
		d.app.SignTypes = []string{"RSA2"}
	case o.empty("sign_types"):
		o.report("sign_types", "must not be empty; leave it out for RSA2")
	case o.has("sign_types") && !o.has("public_key") && !o.has("public_key_file"):
		o.report("sign_types", "needs a public_key to verify signatures with")
	}
	if o.empty("methods") {
		o.report("methods", "must not be empty; leave it out to grant all methods, or set status: DISABLED")
	}
	o.unsupported("encrypted requests", "aes_key")
	o.unsupported("certificate mode; give public_key", "certificate_mode", "app_cert", "app_cert_file", "alipay_root_cert", "alipay_root_cert_file")
	return d
}

func method(s string) (string, error) {
	if !slices.Contains(Methods(), s) {
		return "", fmt.Errorf("unknown method %q; known: %s", clip(s), strings.Join(Methods(), ", "))
	}
	return s, nil
}

// redirectURI reads an address to which a browser with an authorization code may be sent. It is compared byte by byte, so
// only plain addresses are allowed: a fragment would swallow the code, and a user name can look like another host.
func redirectURI(s string) (string, error) {
	if _, err := token(maxRedirect)(s); err != nil {
		return "", err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return "", fmt.Errorf("must be an absolute http or https address: %q", clip(s))
	case strings.Contains(s, "#"): //guard:TestWrongFilesAreRefused
		return "", fmt.Errorf("must have no fragment (#…): %q", clip(s))
	case u.User != nil:
		return "", errors.New("must have no user name or password")
	}
	return s, nil
}

// unique refuses a list with a duplicate.
func unique[T comparable](o *object, field string, all []T) {
	for k, v := range all {
		if slices.Contains(all[:k], v) {
			o.report(field, "%s is given twice", clip(fmt.Sprint(v)))
		}
	}
}

// publicKey reads a key in any common form, and returns it in the form that is stored.
func publicKey(text string) (string, error) {
	key, err := wire.ParsePublicKey(text)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}

type userDoc struct {
	sourcePos
	user   benefit.User
	idents []identDoc
}

// identDoc is an identifier; its app, if it has one, is still a name.
type identDoc struct {
	benefit.Identifier
	app  ref
	line int
}

func (p *parser) user(o *object) *userDoc {
	d := &userDoc{sourcePos: o.sourcePos, user: benefit.User{
		Name: scalar(o, "name", handle), Frozen: scalar(o, "status", frozenWords.read),
		Person: scalar(o, "person", text(maxPerson)),
	}}
	d.user.Unregistered = !scalar(o, "registered", yesNo.read) && o.has("registered")
	if n := o.take("attributes"); n != nil {
		d.user.Attributes = p.attributes(n, o.what+": attributes")
	}
	unchecked := scalar(o, "unchecked_ids", yesNo.read)
	if ids := o.object("ids"); ids != nil {
		for _, key := range ids.keys {
			d.idents = append(d.idents, ids.idents(key, unchecked)...)
		}
	}
	if !o.has("name") && len(d.idents) == 0 {
		p.report(o.line, "%s: needs a name or ids", o.what)
	}
	return d
}

// identifierType reads a type of identifiers.
func identifierType(s string) (string, error) {
	if !benefit.ValidIdentifierType(s) {
		return "", fmt.Errorf("an identifier type must have 1 to %d printable ASCII characters without white space, colon or slash, and must not begin with @",
			benefit.MaxIdentifierType)
	}
	if known := benefit.CanonicalType(s); known != "" {
		return "", fmt.Errorf("identifier type %q must be written %s", s, known)
	}
	return s, nil
}

// idents reads the identifiers of one type. Unchecked identifiers are those from before identifiers had rules.
func (o *object) idents(key *yaml.Node, unchecked bool) []identDoc {
	kind, err := identifierType(key.Value)
	if err != nil {
		o.p.report(key.Line, "%s: %v", o.what, err)
		o.take(key.Value)
		return nil
	}
	read := identifier(kind)
	if unchecked {
		read = uncheckedIdentifier
	}
	var all []identDoc
	for _, n := range o.elements(key.Value) {
		d := identDoc{line: n.Line}
		if kind == benefit.OpenID {
			open := o.p.object(n, o.what+": "+kind)
			if open == nil {
				continue
			}
			open.require("app", "id")
			d.app, d.Value = open.ref("app"), scalar(open, "id", read)
			open.done()
		} else {
			d.Value, _ = scalarNode(o.p, n, o.what+": "+kind, read)
		}
		if d.Value != "" {
			d.Type = kind
			all = append(all, d)
		}
	}
	return all
}

// identifier reads the value of an identifier, by the same rules as for calls.
func identifier(kind string) func(string) (string, error) {
	return func(s string) (string, error) {
		_, err := uncheckedIdentifier(s)
		if rule := (benefit.Identifier{Type: kind, Value: s}).Breaks(); err == nil && rule != "" {
			err = fmt.Errorf("%s; for a user who has it already, set unchecked_ids: true", rule)
		}
		return s, err
	}
}

// uncheckedIdentifier reads a value that calls may have used before identifiers had rules.
var uncheckedIdentifier = lines(benefit.MaxIdentifier, func(rune) bool { return false })

type sessionDoc struct {
	sourcePos
	key      string
	expires  benefit.Instant
	app      ref
	merchant ref
	user     ref // a name, or TYPE:value, or OPEN_ID/app:value
}

// userReference reads the user of a session. The identifier may be one from before identifiers had rules: whether the
// user exists is checked later.
var userReference = lines(benefit.MaxIdentifierType+maxName+benefit.MaxIdentifier+2, func(rune) bool { return false })

func (p *parser) session(o *object) *sessionDoc {
	o.require("key", "app")
	return &sessionDoc{
		sourcePos: o.sourcePos, key: scalar(o, "key", callerID(maxSession)), app: o.ref("app"), merchant: o.ref("merchant"),
		user:    ref{scalar(o, "user", userReference), o.lineOf("user")},
		expires: scalar(o, "expires", instant),
	}
}
