package catalog

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// wireIDs are the values of one id on the wire, such as template_id, with the entity that each belongs to. A value
// belongs to one entity.
type wireIDs struct {
	field string
	kind  string
	owner map[string]owner
}

type owner struct {
	id   int64
	name string
}

func newWireIDs(kind, field string) *wireIDs {
	return &wireIDs{field: field, kind: kind, owner: map[string]owner{}}
}

// claim assigns a value to an entity, and reports whether it was free or the entity's own. An empty value is none.
func (w *wireIDs) claim(value string, to owner) (holder owner, ok bool) {
	if value == "" {
		return to, true
	}
	if holder, taken := w.owner[value]; taken && holder.id != to.id {
		return holder, false
	}
	w.owner[value] = to
	return to, true
}

// generate makes an unused value and assigns it to the entity. The same catalogue file gets the same values on two empty
// stores, because they are derived from the entity's name alone; a counter resolves clashes.
func (w *wireIDs) generate(to owner, form func(sum [32]byte) string) string {
	for n := 0; ; n++ {
		value := form(sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", w.kind, w.field, to.name, n)))
		if _, taken := w.owner[value]; !taken {
			w.owner[value] = to
			return value
		}
	}
}

// The forms of generated ids.

// numberForm has 15 digits: such a number is below 2^53, so that no client's JSON reader rounds it.
func numberForm(sum [32]byte) string {
	const low, span = 100_000_000_000_000, 900_000_000_000_000
	return strconv.FormatUint(low+binary.BigEndian.Uint64(sum[:8])%span, 10)
}

// templateForm has 28 digits, like a published template_id. Voucher ids of that length begin with the date; this
// begins with 9, so that the two cannot be confused.
func templateForm(sum [32]byte) string {
	digits := new(big.Int).SetBytes(sum[:]).String()
	return "9" + fmt.Sprintf("%027s", digits[max(0, len(digits)-27):])
}

var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// actForm is 16 lower-case letters and digits, sceneForm 12 upper-case ones.
func actForm(sum [32]byte) string   { return alphabet.EncodeToString(sum[:10]) }
func sceneForm(sum [32]byte) string { return strings.ToUpper(alphabet.EncodeToString(sum[:10]))[:12] }

// slot is a field with an id on the wire, as a number or as text. Empty is none.
type slot struct {
	get func() string
	set func(value string)
}

func textSlot(field *string) slot {
	return slot{func() string { return *field }, func(v string) { *field = v }}
}

func numberSlot(field *int64) slot {
	return slot{
		get: func() string {
			if *field == 0 {
				return ""
			}
			return strconv.FormatInt(*field, 10)
		},
		set: func(v string) { *field, _ = strconv.ParseInt(v, 10, 64) },
	}
}

// keep sets a field that the file leaves out to its stored value.
func keep[T comparable](field *T, old T) {
	var none T
	if *field == none {
		*field = old
	}
}
