package catalog

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"faquan/internal/benefit"
)

// wireID is a field of an entity with an id on the wire, such as template_id. A value belongs to one entity. A field that
// the file leaves out keeps its stored value; if there is none, a value is generated.
type wireID struct {
	field  string
	text   *string
	number *int64                             // instead of text
	form   func(sum [sha256.Size]byte) string // of generated values; nil: none is generated
	shared bool                               // several entities may have the same value
}

// get returns the value; "" when there is none.
func (w wireID) get() string {
	switch {
	case w.text != nil:
		return *w.text
	case *w.number == 0:
		return ""
	}
	return strconv.FormatInt(*w.number, 10)
}

func (w wireID) set(value string) {
	if w.text != nil {
		*w.text = value
		return
	}
	*w.number, _ = strconv.ParseInt(value, 10, 64)
}

func merchantWireIDs(m *benefit.Merchant) []wireID {
	return []wireID{{field: "seller_id", number: &m.SellerID, form: numberForm}}
}

// appWireIDs generates an id only for a gateway that the app has the other credential for.
func appWireIDs(a *benefit.App) []wireID {
	key, id := wireID{field: "app_key", text: &a.AppKey}, wireID{field: "app_id", text: &a.AppID}
	if a.AppSecret != nil {
		key.form = numberForm
	}
	if a.PublicKey != "" {
		id.form = numberForm
	}
	return []wireID{key, id}
}

func templateWireIDs(t *benefit.Template) []wireID {
	out := wireID{field: "out_id", number: &t.OutID}
	template := wireID{field: "template_id", text: &t.TemplateID, form: templateForm}
	if t.Kind == benefit.Certificate {
		// Alipay's answer has no field for a code, so a certificate is only issued there when its template allows it.
		out.form, template.form = numberForm, nil
	}
	return []wireID{
		out, template, {field: "right_id", number: &t.RightID, form: numberForm},
		// The campaign's id in its own system: templates of one campaign may share it.
		{field: "biz_id", text: &t.BizID, form: numberForm, shared: true},
	}
}

// activityWireIDs returns the ids of the activity itself. Those of its items are treated separately.
func activityWireIDs(a *benefit.Activity) []wireID {
	return []wireID{
		{field: "act_code", text: &a.ActCode, form: actForm}, {field: "relation_id", number: &a.RelationID, form: numberForm},
	}
}

// detailID returns the id of an item. The activity owns it, so that an item may change its template and keep it.
func detailID(i *benefit.Item) wireID {
	return wireID{field: "detail_id", number: &i.DetailID, form: numberForm}
}

func sceneWireIDs(s *benefit.Scene) []wireID {
	return []wireID{{field: "scene_code", text: &s.SceneCode, form: sceneForm}}
}

// noWireIDs returns none: a subscription is never named on the wire.
func noWireIDs(*benefit.Subscription) []wireID { return nil }

// keep sets the ids that the file leaves out to the stored ones.
func (t *table[ID, T]) keep(entity, old *T) {
	stored := t.wireIDs(old)
	for k, w := range t.wireIDs(entity) {
		if w.get() == "" {
			w.set(stored[k].get())
		}
	}
}

// put merges an entity of the file into the table.
func (t *table[ID, T]) put(p *planner, id ID, entity *T, at sourcePos) {
	t.all[id] = entity
	t.claim(p, id, t.names[id], at, t.wireIDs(entity)...)
}

// wireValue is a value of a field.
type wireValue struct{ field, value string }

// take assigns an id on the wire to an entity, unless another one has it, and returns the entity that has it.
func (t *table[ID, T]) take(id ID, w wireID) (holder ID) {
	value := wireValue{w.field, w.get()}
	if value.value == "" || w.shared {
		return id
	}
	if holder, taken := t.owner[value]; taken {
		return holder
	}
	t.owner[value] = id
	return id
}

// claim assigns the ids on the wire of an entity of the file. What the file leaves out is generated later, once all that
// it states is known. The name makes a generated id unique.
func (t *table[ID, T]) claim(p *planner, id ID, name string, at sourcePos, ids ...wireID) {
	for _, w := range ids {
		switch holder := t.take(id, w); {
		case holder != id:
			p.report(at.lineOf(w.field), "%s %q: %s %s already belongs to %s %q", t.kind, t.names[id], w.field, w.get(), t.kind, t.names[holder])
		case w.get() == "" && w.form != nil:
			p.later = append(p.later, func() {
				t.generate(id, name, w)
				p.generated[mark(t.kind, w.get())] = true
			})
		}
	}
}

// generate makes an unused value and assigns it to the entity. The same catalogue file gets the same values on two empty
// stores, because they are derived from the entity's name alone; a counter resolves clashes.
func (t *table[ID, T]) generate(id ID, name string, w wireID) {
	for n := 0; w.get() == ""; n++ {
		value := w.form(sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", t.kind, w.field, name, n)))
		if _, taken := t.owner[wireValue{w.field, value}]; !taken {
			w.set(value)
		}
	}
	t.take(id, w)
}

// mark records that a value is generated, for the plan.
func mark(kind, value string) string { return kind + " " + value }

// The forms of generated ids.

// numberForm has 15 digits: such a number is below 2^53, so that no client's JSON reader rounds it.
func numberForm(sum [sha256.Size]byte) string {
	const low, span = 100_000_000_000_000, 900_000_000_000_000
	return strconv.FormatUint(low+binary.BigEndian.Uint64(sum[:8])%span, 10)
}

// templateForm has 28 digits, like a published template_id. Voucher ids of that length begin with the date; this
// begins with 9, so that the two cannot be confused.
func templateForm(sum [sha256.Size]byte) string {
	digits := new(big.Int).SetBytes(sum[:]).String()
	return "9" + fmt.Sprintf("%027s", digits[max(0, len(digits)-27):])
}

var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// actForm is 16 lower-case letters and digits, sceneForm 12 upper-case ones.
func actForm(sum [sha256.Size]byte) string { return alphabet.EncodeToString(sum[:10]) }
func sceneForm(sum [sha256.Size]byte) string {
	return strings.ToUpper(alphabet.EncodeToString(sum[:10]))[:12]
}
