package benefit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf8"

	"faquan/internal/money"
)

// Digest is the first 128 bits of a SHA-256: enough that two different things share one with a chance of about
// n²/2¹²⁹ among n of them. What it stands for is stored beside it once and compared, so even then nothing is
// taken for something else.
type Digest [16]byte

func digest(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(sum[:16])
}

// appendText appends a text behind its length, so that what is moved from one text to the next changes a digest.
func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// String returns the digest in lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the digest in hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("benefit: a digest of %d hex digits, want %d", len(text), hex.EncodedLen(len(d)))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Scope is where an idempotency key is unique, as text. Each API has its own: the package gateway/scope names them.
type Scope string

// CodeScope is where certificate codes are unique: the whole platform. A code is looked up like a key.
const CodeScope Scope = "code"

// MaxKey is the longest idempotency key, in characters. The shortest has one.
const MaxKey = 64

// ValidKey reports whether the text can be an idempotency key.
func ValidKey(key string) bool { return key != "" && utf8.RuneCountInString(key) <= MaxKey }

// ClaimID is the look-up id of a key in a scope.
type ClaimID = Digest

// ClaimIDOf returns the look-up id of a key in its scope.
func ClaimIDOf(scope Scope, key string) ClaimID {
	var room [256]byte
	return digest(append(appendText(room[:0], string(scope)), key...))
}

// Line asks for one template.
type Line struct {
	Template TemplateID
	Activity ActivityID // the activity that gives it; 0 when none does
	DetailID int64      // the activity's item on the wire
	Sends    int        // how many sends are asked, 1 or more
	Quantity int        // vouchers per send, 1 or more
	Amount   money.Fen  // the amount of each voucher, when HasAmount
	// HasAmount reports whether an amount came with the request (or with the item); templates that set their own refuse
	// it.
	HasAmount bool
}

// Vouchers returns how many vouchers the line asks for.
func (l Line) Vouchers() int { return l.Sends * l.Quantity }

// vouchers returns how many vouchers the lines ask for together.
func vouchers(lines []Line) (n int) {
	for k := range lines {
		n += lines[k].Vouchers()
	}
	return n
}

// MaxRequestVouchers is the most vouchers that one request may ask for over all its lines.
const MaxRequestVouchers = 4096

// Note is stored with an issuance for people to read. It is not part of the fingerprint.
type Note struct {
	Memo    string // remark of the caller
	Extend  string // extend_info as sent
	TraceID string // the caller's trace id, at most 256 characters
}

// ActRight names a right of an activity, or only one of the two.
type ActRight struct {
	ActCode string `json:"act_code,omitzero"`
	RightID int64  `json:"right_id,string,omitzero"` // as text: many readers of JSON round numbers of this size
}

// Params holds the parameters of a request besides its lines and its recipient. It is stored with the issuance.
type Params struct {
	Card    string `json:"card,omitzero"`     // the card of a treasure box; empty for an activity without one
	BizCode string `json:"biz_code,omitzero"` // of decisionsend and certificate.send
	Channel int64  `json:"channel,omitzero"`  // of certificate.send

	// SceneCode, when not empty, leaves the lines to the decision: the scene's activities are the candidates,
	// narrowed to ActCodes and to Rights where they are given. Both are sorted and without repetition.
	SceneCode string     `json:"scene_code,omitzero"`
	ActCodes  []string   `json:"act_codes,omitzero"`
	Rights    []ActRight `json:"rights,omitzero"`
}

// Request asks the core to issue. Every API builds one; the APIs differ only in how they read it and answer it.
type Request struct {
	Scope     Scope
	Key       string
	App       AppID
	Recipient Identifier // as sent
	// OnAlipay reports whether the request came over the Alipay gateway, where a user_id has a form of its own unless
	// the owner of the template relaxes it: see Merchant.AnyUserID.
	OnAlipay    bool
	Fingerprint Digest // of everything but the recipient that must be equal for a retry to be one: see FingerprintOf
	Lines       []Line // none when Params names a scene
	Params      Params
	Note        Note
	BindMillis  int64 // how long after the first issue the key stays bound, in milliseconds; 0 is for ever
	Guarded     bool  // the one-second guard of the lines' activities holds for this request
	// Continues reports whether the lines stay frozen under the key, so that a retry continues those that are not final.
	// Otherwise a retry of a bound key gets the first outcome, whatever it was.
	Continues bool
}

// ClaimID returns the look-up id of the request's key.
func (r *Request) ClaimID() ClaimID { return ClaimIDOf(r.Scope, r.Key) }

// FingerprintOf returns the fingerprint of a request, apart from its recipient: a digest of its lines and of other texts
// that the gateway includes (a card type, a scene code, the narrowing). Memo, trace id, extend info and session are not
// among them.
func FingerprintOf(lines []Line, more ...string) Digest {
	var room [256]byte
	b := binary.AppendUvarint(room[:0], uint64(len(lines)))
	for _, l := range lines {
		for _, n := range [...]int64{int64(l.Template), int64(l.Activity), l.DetailID, int64(l.Sends), int64(l.Quantity)} {
			b = binary.AppendVarint(b, n)
		}
		if l.HasAmount {
			b = binary.AppendVarint(append(b, 1), int64(l.Amount))
		} else {
			b = append(b, 0)
		}
	}
	for _, text := range more {
		b = appendText(b, text)
	}
	return digest(b)
}

// DecisionFingerprint returns the fingerprint of a decision request, apart from the recipient. It depends on the request
// alone: the catalogue may have changed by the time of a retry.
func (a *Params) DecisionFingerprint() Digest {
	texts := append([]string{a.SceneCode, strconv.Itoa(len(a.ActCodes))}, a.ActCodes...)
	for _, pair := range a.Rights { //guard:internal/gateway/top.TestFingerprintOfADecision
		texts = append(texts, pair.ActCode, strconv.FormatInt(pair.RightID, 10))
	}
	return FingerprintOf(nil, texts...)
}
