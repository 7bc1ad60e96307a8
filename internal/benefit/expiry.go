package benefit

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"faquan/internal/id"
	"faquan/internal/table"
)

// The end of a voucher passes by itself: no command happens then, and a row for each live voucher would make issuing
// dearer. The vouchers of a template that were issued under one validity end in the order in which they were issued. So
// one cursor for each validity finds those whose end has passed. The others are in a list of their own, by the instant at
// which they end: see [ExpiryDue].

// ExpiryKey names a cursor over the ends of a template's vouchers.
type ExpiryKey struct {
	Template TemplateID
	// Version is the first of the catalogue that has the validity under which the vouchers were issued; 0: of the vouchers
	// that have an ExpiryDue.
	Version int64
}

// ExpiryCursor is how far the ends of vouchers were looked at. There is none of a template until a subscription wants its
// expired events.
type ExpiryCursor struct {
	ExpiryKey
	Since Instant // of the subscription: ends up to it have no event
	// Due and ID are the last that was looked at: the key of an ExpiryDue, or with Due 0 the id of an issuance.
	Due Instant
	ID  id.ID
}

// LastExpiry is the ID of a cursor that has nothing left to look at, now or later.
const LastExpiry id.ID = math.MaxInt64

// ExpiryDueKey names a voucher by an end that it has, or had.
type ExpiryDueKey struct {
	Template TemplateID
	Day      Day // of Due, so that a look begins with a day
	Due      Instant
	Voucher  id.ID
}

// DueKey returns the key of a voucher that ends at an instant.
func DueKey(t TemplateID, due Instant, voucher id.ID) ExpiryDueKey {
	return ExpiryDueKey{t, due.Day(), due, voucher}
}

// ExpiryDue is an end of a voucher that no cursor of a validity comes by in time: the voucher was extended, or a retry
// issued it later than others of its issuance. There is one whether or not a subscription wants it, as there may be one
// later. It stays when the voucher gets another end.
type ExpiryDue struct {
	ExpiryDueKey
	At Instant // when it was written
}

// EndsInOrder reports whether a voucher, which the issuance holds, ends in the order of issues. If not it has an ExpiryDue,
// or was ended by a command.
func (i *Issuance) EndsInOrder(v *Voucher) bool { return v.OwnEnd == 0 && v.IssuedAt == i.At() }

// dues returns the ends of the vouchers that a retry has issued.
func (i *Issuance) dues(lines []int, now Instant) (all []ExpiryDue) {
	for _, k := range lines {
		l := &i.Lines[k]
		for n := range l.issuedVouchers() {
			v := l.voucher(i, n)
			if end := v.End(); end != 0 && !i.EndsInOrder(&v) {
				all = append(all, ExpiryDue{DueKey(v.Template, end, v.ID), now})
			}
		}
	}
	return all
}

// ExpiredVoucher is a voucher whose end has passed, as it was then.
type ExpiredVoucher struct {
	Voucher    id.ID
	Template   TemplateID
	Operations int64 // how many were carried out before
	Redeemed   int64 // of its value: see Voucher.Value
	End        Instant
}

// wantsExpiry reports whether a subscription wants to hear of the ends of the template's vouchers.
func (c *Catalogue) wantsExpiry(t *Template) bool {
	for _, s := range c.Subscriptions {
		if s.Wants(VoucherExpiredEvent, t) {
			return true
		}
	}
	return false
}

// ExpiryWanted lists the templates of whose vouchers' ends a subscription wants to hear.
func (c *Catalogue) ExpiryWanted() (all []TemplateID) {
	if len(c.Subscriptions) == 0 {
		return nil
	}
	for _, t := range c.Templates {
		if c.wantsExpiry(t) {
			all = append(all, t.ID)
		}
	}
	slices.Sort(all)
	return all
}

// NewExpiryCursors returns what to do about the cursors of a template when the catalogue changes from before to after:
// whether all must begin now, those of every validity that the template has had and that of its ExpiryDues, as a
// subscription wants it from now on; or one of a new validity.
func NewExpiryCursors(before, after *Catalogue, template TemplateID) (all, validity bool) {
	t, was := after.Templates[template], before.Templates[template]
	switch {
	case t == nil || !after.wantsExpiry(t):
		return false, false
	case was == nil || !before.wantsExpiry(was): //guard:internal/expiry.TestEnds
		return true, false
	}
	return false, was.Valid != t.Valid //guard:internal/expiry.TestEnds was.Valid != t.Valid -> false
}

// Expiry is the command that moves a cursor on and records the vouchers whose end has passed. It changes nothing when
// another one was first, or the subscription has ended.
type Expiry struct {
	From ExpiryCursor // as it was read
	To   ExpiryCursor
	Ends []VoucherEnd // that the cursor passes
	// Until is the latest end that may be passed. It is refused when that has not come yet by the clock of the store, as
	// vouchers that live would be passed for ever.
	Until Instant

	// What follows is set by Apply.

	Moved   bool
	Expired []ExpiredVoucher
}

// VoucherEnd is an end that a voucher has, or had.
type VoucherEnd struct {
	Voucher id.ID
	End     Instant
}

// MaxExpiry is how many vouchers an Expiry looks at, unless one issuance has more.
const MaxExpiry = 500

// String names the command for a log.
func (c *Expiry) String() string {
	return fmt.Sprintf("record expired vouchers of template %d", c.From.Template)
}

// Check rejects a cursor that does not move on.
func (c *Expiry) Check() error {
	if c.From.ExpiryKey != c.To.ExpiryKey || c.From.Since != c.To.Since || c.From == c.To {
		return fmt.Errorf("a cursor that moves from %+v to %+v", c.From, c.To)
	}
	return nil
}

// Size returns how many vouchers it looks at.
func (c *Expiry) Size() int { return len(c.Ends) }

// Touches writes the cursor.
func (c *Expiry) Touches(h *maphash.Hash) { maphash.WriteComparable(h, c.From.ExpiryKey) }

// Names asks for the issuances of the vouchers.
func (c *Expiry) Names(b *Batch) {
	for _, e := range c.Ends {
		b.WantVoucher(e.Voucher)
	}
}

// Rows asks for the cursor and the states of the vouchers. The template is locked, as by all that happens to its vouchers.
func (c *Expiry) Rows(b *Batch) {
	b.Lock(Lock{TemplateLock, int64(c.From.Template)})
	ExpiryCursors.Want(&b.rows, c.From.ExpiryKey)
	for _, e := range c.Ends {
		VoucherStates.Want(&b.rows, e.Voucher)
	}
}

// Apply decides which of the vouchers have expired.
func (c *Expiry) Apply(b *Batch) Decision {
	c.Moved, c.Expired = false, nil
	cursor, _ := ExpiryCursors.Get(&b.rows, c.From.ExpiryKey)
	t := b.Catalogue.Templates[c.From.Template]
	//guard:internal/expiry.TestEnds cursor != c.From -> false
	//guard:internal/expiry.TestClockAhead without c.Until > b.Now
	if cursor != c.From || t == nil || !b.Catalogue.wantsExpiry(t) || c.Until > b.Now {
		return Decision{Uncommitted: ExpiryCursors.Changed(&b.rows, c.From.ExpiryKey)}
	}
	for _, e := range c.Ends {
		if v, ok := c.expired(b, e); ok {
			c.Expired = append(c.Expired, ExpiredVoucher{v.ID, v.Template, v.Operations, v.Redeemed, e.End})
		}
	}
	c.Moved = true
	return Decision{Effect: &Effect{Expired: c.Expired, Rows: []table.Rows{ExpiryCursors.Rows(c.To)}}}
}

// expired returns the voucher of an end, and whether it has expired by that and has no event of it.
func (c *Expiry) expired(b *Batch, e VoucherEnd) (v Voucher, ok bool) {
	i := b.Voucher(e.Voucher)
	if i == nil {
		return v, false
	}
	if v, ok = i.Voucher(e.Voucher); !ok || v.Template != c.From.Template {
		return v, false
	}
	state, _ := VoucherStates.Get(&b.rows, e.Voucher)
	v = v.With(state)
	inOrder := c.From.Version != 0 // else another cursor comes by the voucher
	return v, i.EndsInOrder(&v) == inOrder && v.End() == e.End && e.End > max(c.From.Since, v.IssuedAt) && v.StatusAt(b.Now) == Expired
}
