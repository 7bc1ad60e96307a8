package benefit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"unicode/utf8"

	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/table"
)

// The most characters of texts that are kept with an operation on a voucher.
const (
	MaxOrder = 64 // of the order, and of the shop
	MaxMemo  = 256
)

// OnVoucher is the command that does something to a voucher after its issue. Its Action is what it does.
type OnVoucher struct {
	Action Action
	App    AppID // the caller; 0: the operator of this machine
	Key    string

	// The voucher is named by Voucher or by Code. A *Reverse names its redemption instead.

	Voucher id.ID
	Code    string // of a certificate
	// Holder, unless zero, must be an identifier of the voucher's user.
	Holder Identifier
	// Merchant, unless 0, must be the one whose template the voucher is of.
	Merchant MerchantID

	Outcome VoucherOutcome // set by Apply

	key *Keyed // made when it is first needed
}

// VoucherOutcome is the result of an OnVoucher.
type VoucherOutcome struct {
	Reason     Reason // NotRefused: it was carried out
	Replayed   bool   // now or before
	Transition Transition
	Voucher    Voucher // as it stands now; zero when it was refused
}

// Action is what an OnVoucher does: a [Redeem], [Reverse], [Void], [Extend] or [Expire].
type Action interface {
	// Operation returns the kind of operation that the command becomes.
	Operation() OperationKind
	// check returns why it cannot be carried out on any voucher.
	check() error
	// texts returns what a retry must repeat.
	texts() []string
	// rows asks for the rows that apply needs besides the voucher's state.
	rows(b *Batch, v *Voucher)
	// apply decides. It changes the voucher, notes what it does in t, and returns the further rows that it changes.
	apply(b *Batch, v *Voucher, t *Transition) (Reason, []table.Rows)
}

// Transition is what an operation did to a voucher. Its stored form, the result of the [Operation], is JSON without what
// stands there already.
type Transition struct {
	OperationID `json:"-"`
	Kind        OperationKind `json:"-"`
	At          Instant       `json:"-"`
	Key         string        `json:"-"`

	Number      int64      `json:"n"` // as in the OperationID
	App         AppID      `json:"app,omitzero"`
	Template    TemplateID `json:"template"`
	Value       int64      `json:"value,omitzero"`        // redeemed, or reversed: see Voucher.Value
	Order       string     `json:"order,omitzero"`        // redeem
	Shop        string     `json:"shop,omitzero"`         // redeem
	OrderAmount money.Fen  `json:"order_amount,omitzero"` // redeem; 0: not given
	Discount    money.Fen  `json:"discount,omitzero"`     // redeem: by how much the order is reduced
	Redemption  int64      `json:"redemption,omitzero"`   // reverse: the number of what it reverses
	ReturnStock bool       `json:"return_stock,omitzero"` // void
	Memo        string     `json:"memo,omitzero"`         // void
	Seen        Counters   `json:"seen,omitzero"`         // void that returns stock: just before; Day* and UserDay of the day of the issue

	// The voucher just after.

	Status   VoucherStatus `json:"status"` // without regard to time: see StatusAfter
	Redeemed int64         `json:"redeemed,omitzero"`
	End      Instant       `json:"end,omitzero"` // see Voucher.End
}

// DecodeTransition returns what an operation on a voucher did.
func DecodeTransition(op *Operation) (t Transition, err error) {
	if err = json.Unmarshal(op.Result, &t); err != nil {
		return t, fmt.Errorf("%w: the result of a %v: %w", table.ErrMalformed, op.Kind, err)
	}
	t.OperationID, t.Kind, t.At, t.Key = OperationID{op.ID, t.Number}, op.Kind, op.At, op.Key
	return t, nil
}

// StatusAfter returns the voucher's status just after the operation: Expired if its end had come, as of a voucher that was
// ended early.
func (t *Transition) StatusAfter() VoucherStatus { return statusAt(t.Status, t.End, t.At) }

// LastSecond returns the last second of the voucher's validity just after the operation: see [Voucher.LastSecond].
func (t *Transition) LastSecond() Instant { return lastSecond(t.End) }

// String names the command for a log, without the key.
func (c *OnVoucher) String() string { return c.Action.Operation().String() + " a voucher" }

// VoucherScope returns the scope of the keys with which an app, or with 0 the operator of this machine, asks for
// operations of a kind. Those of a *Reverse are in a scope of their redemption: see ReversalScope.
func VoucherScope(kind OperationKind, app AppID) Scope {
	if app == 0 {
		return Scope("v/" + kind.String() + "/local")
	}
	return Scope("v/" + kind.String() + "/" + strconv.FormatInt(int64(app), 10))
}

// ReversalScope returns the scope of the keys with which a redemption is reversed.
func ReversalScope(redemption OperationID) Scope {
	return Scope("v/" + ReverseOperation.String() + "/" + redemption.String())
}

func (c *OnVoucher) keyed() *Keyed {
	if c.key != nil {
		return c.key
	}
	k := &Keyed{Kind: c.Action.Operation(), Scope: VoucherScope(c.Action.Operation(), c.App), Key: c.Key}
	if r, ok := c.Action.(*Reverse); ok {
		k.Scope = ReversalScope(r.Redemption)
	}
	//guard:TestOnVoucherFingerprint without c.Holder.String()
	k.Fingerprint = FingerprintOf(nil, append(c.Action.texts(), strconv.FormatInt(int64(c.Voucher), 10), c.Code, c.Holder.String())...)
	c.key = k
	return k
}

// Check rejects what no caller may ask.
func (c *OnVoucher) Check() error {
	named := 0
	for _, is := range []bool{c.Voucher != 0, c.Code != "", c.Action.Operation() == ReverseOperation} {
		if is {
			named++
		}
	}
	if named != 1 || c.Voucher < 0 {
		return errors.New("one voucher, code or redemption must be named")
	}
	return cmp.Or(c.keyed().Check(), c.Action.check())
}

func checkLength(name, text string, most int) error {
	if n := utf8.RuneCountInString(text); n > most {
		return fmt.Errorf("%s: %d characters, at most %d", name, n, most)
	}
	return nil
}

// Size returns 1.
func (c *OnVoucher) Size() int { return 1 }

// Touches writes the voucher. Who names it by its code may meet others in another batch: then the locks and the versions
// of the rows decide.
func (c *OnVoucher) Touches(h *maphash.Hash) {
	maphash.WriteComparable(h, c.id())
	h.WriteString(c.Code)
}

// id returns the voucher's id, if it is known from the start.
func (c *OnVoucher) id() id.ID {
	if r, ok := c.Action.(*Reverse); ok {
		return r.Redemption.Voucher
	}
	return c.Voucher
}

// Names asks for what stands under the key, and for the issuance that holds the voucher.
func (c *OnVoucher) Names(b *Batch) {
	c.keyed().Names(b)
	if c.Code != "" {
		b.keys.Claims = append(b.keys.Claims, CodeKey(c.Code))
	} else {
		b.WantVoucher(c.id())
	}
}

// voucher returns the voucher as it was issued, and whether there is one.
func (c *OnVoucher) voucher(b *Batch) (i *Issuance, v Voucher, ok bool) {
	if c.Code != "" {
		if i = b.claim(CodeKey(c.Code).ID); i != nil {
			v, ok = i.VoucherWithCode(c.Code)
		}
	} else if i = b.Voucher(c.id()); i != nil {
		v, ok = i.Voucher(c.id())
	}
	return i, v, ok
}

// Rows asks for the voucher's state, its user, and what the action needs. The voucher's template is locked: its counters
// may change, and the order of commits must be that of causes.
func (c *OnVoucher) Rows(b *Batch) {
	i, v, ok := c.voucher(b)
	if !ok {
		return
	}
	b.Lock(Lock{TemplateLock, int64(v.Template)}) //guard:internal/store/postgres.TestVoucherOfTwoProcesses
	VoucherStates.Want(&b.rows, v.ID)
	b.wantUser(i)
	c.Action.rows(b, &v)
}

// Redraw asks for the user once more where the identifier that the voucher was sent to no longer leads to it.
func (c *OnVoucher) Redraw(b *Batch) {
	if i, _, ok := c.voucher(b); ok {
		b.wantMovedUser(i.User)
	}
}

// Apply decides.
func (c *OnVoucher) Apply(b *Batch) Decision {
	if b.Catalogue.disabled(c.App) { //guard:TestDisabledApp
		return c.refuse(AppDisabled)
	}
	k := c.keyed()
	c.Outcome = VoucherOutcome{}
	op, uncommitted, conflict := k.Bound(b)
	i, v, ok := c.voucher(b)
	if ok {
		state, loaded := VoucherStates.Get(&b.rows, v.ID)
		switch {
		case loaded:
			v = v.With(state)
			uncommitted = uncommitted || VoucherStates.Changed(&b.rows, v.ID) //guard:internal/engine.TestVoucherOfAFailedCommit uncommitted || VoucherStates.Changed(&b.rows, v.ID) -> uncommitted
		case b.Uncommitted(i): //guard:TestVoucherIssuedInTheBatch
			ok = false // an earlier command of the batch issued it: to this one, which was asked before, it is not there
		default:
			panic(fmt.Sprintf("benefit: the state of voucher %d was not loaded", v.ID))
		}
	}
	switch {
	// The keys of a redemption's reversals are the same for all callers: a stranger learns nothing of them.
	case ok && k.Kind == ReverseOperation && !c.ofMerchant(b, &v): //guard:TestReversalsOfOthers
		return c.refuse(RedemptionNotFound)
	case conflict != NotRefused:
		return c.refuse(conflict)
	case op != nil:
		t, err := DecodeTransition(op)
		if err != nil {
			panic(err) // the store is damaged
		}
		c.Outcome = VoucherOutcome{Replayed: true, Transition: t, Voucher: v}
		return Decision{Uncommitted: uncommitted}
	case !ok || !c.mine(b, &v):
		reason := VoucherNotFound
		if k.Kind == ReverseOperation {
			reason = RedemptionNotFound
		}
		return c.refuse(reason)
	}
	before := v
	t := Transition{
		OperationID: OperationID{v.ID, v.Operations + 1}, Kind: k.Kind, At: b.Now, Key: c.Key,
		Number: v.Operations + 1, App: c.App, Template: v.Template,
	}
	reason, rows := c.Action.apply(b, &v, &t)
	if reason != NotRefused {
		return c.refuse(reason)
	}
	v.Operations, v.ChangedAt = t.Number, max(b.Now, before.ChangedAt)
	t.Status, t.Redeemed, t.End = v.Status, v.Redeemed, v.End()
	result, err := json.Marshal(&t)
	if err != nil {
		panic(fmt.Sprintf("benefit: a transition that JSON cannot hold: %v", err)) // it has no such fields
	}
	operation := k.Operation(b, v.ID, result)
	entry := VoucherOperation{OperationID: t.OperationID, Kind: k.Kind, Claim: operation.Claim, Value: t.Value}
	state := VoucherState{Voucher: v.ID, Status: v.Status, Operations: v.Operations, Redeemed: v.Redeemed, End: v.OwnEnd, At: v.ChangedAt}
	c.Outcome = VoucherOutcome{Transition: t, Voucher: v}
	e := &Effect{Operation: &operation, Rows: append(rows, VoucherStates.Rows(state), VoucherOperations.Rows(entry))}
	for _, issued := range TemplateCounts.Of(rows) {
		was, _ := TemplateCounts.Get(&b.rows, issued.Template)
		e.Templates = append(e.Templates, stockEvents(b.Catalogue, was, issued)...)
	}
	return Decision{Effect: e}
}

// refuse refuses: whatever becomes of the batch, the command was not carried out.
func (c *OnVoucher) refuse(reason Reason) Decision {
	c.Outcome = VoucherOutcome{Reason: reason}
	return Decision{Refused: true} //guard:internal/engine.TestVoucherOfAFailedCommit Refused: true -> Uncommitted: true, Refused: true
}

// mine reports whether the caller may know the voucher.
func (c *OnVoucher) mine(b *Batch, v *Voucher) bool {
	if !c.ofMerchant(b, v) { //guard:TestVoucherOfOthers
		return false
	}
	u := b.user(v.User)
	return c.Holder == (Identifier{}) || u != nil && slices.Contains(u.Identifiers, c.Holder) //guard:TestVoucherOfOthers u != nil && slices.Contains(u.Identifiers, c.Holder) -> true
}

// ofMerchant reports whether the voucher is of the merchant that the caller is bound to.
func (c *OnVoucher) ofMerchant(b *Batch, v *Voucher) bool {
	t := b.Catalogue.Templates[v.Template]
	return c.Merchant == 0 || t != nil && t.Merchant == c.Merchant
}

// ended returns why a voucher has no life of the kind that most operations need: one that is issued, expired or not.
func (v *Voucher) ended() Reason {
	switch v.Status {
	case Sending:
		return VoucherSending
	case Failed:
		return VoucherFailed
	case Voided:
		return VoucherVoided
	case Used:
		return VoucherUsed
	}
	return NotRefused
}
