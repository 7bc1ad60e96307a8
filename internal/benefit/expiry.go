package benefit

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"faquan/internal/id"
	"faquan/internal/table"
)

// The end of a voucher passes by itself: no command happens then, and a row for each live voucher would make issuing
// dearer. The vouchers of a template that were issued under one validity end in the order in which they were issued. So
// one cursor for each validity finds those whose end has passed. The others have rows that are found by their ends: see
// [ExpiryDue].

// ExpiryKey names a cursor that finds the expired vouchers of a template.
type ExpiryKey struct {
	Template TemplateID
	// Version is the first of the catalogue with the validity under which the vouchers were issued; 0: the cursor is over
	// the template's ExpiryDues.
	Version int64
}

// ExpiryCursor is the state of such a cursor. A template has none until a subscription wants its expired events.
type ExpiryCursor struct {
	ExpiryKey
	Since Instant // of the subscription: ends up to it have no event
	// ID is that of the last issuance, or of the voucher of the last ExpiryDue, that was looked at; 0: none.
	ID id.ID
	// Due is up to where ExpiryDues were looked at, to the one of ID. With a Version it is instead the millisecond of the id
	// of the first issuance under a later validity, if the cursor has met one.
	Due Instant
}

// LastExpiry is the ID of a cursor that has nothing left to look at, now or later.
const LastExpiry id.ID = math.MaxInt64

// ExpiryDueKey names a voucher by an end that it has, or had.
type ExpiryDueKey struct {
	Bucket  Digest // see DueBucket
	Due     Instant
	Voucher id.ID
}

// dueBucket is how long the ends of one bucket are apart at most, in milliseconds.
const dueBucket Instant = 10 * 60_000

// DueBucket returns what the ExpiryDues of a template have in common whose ends lie in the same ten minutes.
func DueBucket(t TemplateID, due Instant) Digest {
	return digest(binary.AppendVarint(binary.AppendVarint([]byte("expiry due"), int64(t)), int64(due/dueBucket)))
}

// NextDueBucket returns the first instant of the ten minutes after those of an instant.
func NextDueBucket(due Instant) Instant { return (due/dueBucket + 1) * dueBucket }

// DueKey returns the key of a voucher that ends at an instant.
func DueKey(t TemplateID, due Instant, voucher id.ID) ExpiryDueKey {
	return ExpiryDueKey{DueBucket(t, due), due, voucher}
}

// ExpiryDue is an end of a voucher that does not end in the order of issues: it was extended, or a retry issued it later
// than others of its issuance. There is one whether or not a subscription wants it, because one may want it later. It
// stays when the voucher gets another end.
type ExpiryDue struct {
	ExpiryDueKey
	Template TemplateID
	At       Instant // when the voucher got the end
}

// byCommand reports whether a command ended the voucher at this end: it has the event. All others get their ends before.
func (d *ExpiryDue) byCommand() bool { return d.At >= d.Due }

// EndsInOrder reports whether a voucher of the issuance ends in the order of issues. If not it has an ExpiryDue, or was ended
// by a command.
func (i *Issuance) EndsInOrder(v *Voucher) bool {
	l := i.lineOf(v.ID)
	return v.OwnEnd == 0 && l != nil && l.At == i.At() && l.Catalogue == i.Catalogue // else a retry issued it
}

// retryDues returns the ends of the vouchers that a retry has issued.
func (i *Issuance) retryDues(lines []int, now Instant) (all []ExpiryDue) {
	for _, k := range lines {
		l := &i.Lines[k]
		for n := range l.issuedVouchers() {
			v := l.voucher(i, n)
			if end := v.End(); end != 0 && !i.EndsInOrder(&v) {
				all = append(all, ExpiryDue{DueKey(v.Template, end, v.ID), v.Template, now})
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

// ExpiryBegins reports whether the ends of a template's vouchers are wanted in the catalogue after a change and were not
// before it.
func ExpiryBegins(before, after *Catalogue, template TemplateID) bool {
	t, was := after.Templates[template], before.Templates[template]
	return t != nil && after.wantsExpiry(t) && (was == nil || !before.wantsExpiry(was)) //guard:internal/expiry.TestEnds without (was == nil || !before.wantsExpiry(was))
}

// VoucherEnd is an end that a voucher has, or had.
type VoucherEnd struct {
	Voucher id.ID
	End     Instant
}

// ExpiryDelay is how long ago an end must have passed, or an issuance have been made, before a cursor moves past it, in
// milliseconds. A commit that takes longer, or an id that runs ahead further, may come in behind a cursor.
const ExpiryDelay Instant = 60_000

// Expiry is the command that moves a cursor on and records the vouchers that have expired. It changes nothing when another
// one was first, or the subscription has ended.
type Expiry struct {
	From  ExpiryCursor // as it was read
	To    ExpiryCursor
	Ends  []VoucherEnd // that lie between
	Until Instant      // all of them are up to it, and it is ExpiryDelay ago

	// What follows is set by Apply.

	Moved   bool
	Expired []ExpiredVoucher
}

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

// Rows asks for the cursor and what is stored of the vouchers. The template is locked, as by all that happens to its vouchers.
func (c *Expiry) Rows(b *Batch) {
	b.Lock(Lock{TemplateLock, int64(c.From.Template)})
	ExpiryCursors.Want(&b.rows, c.From.ExpiryKey)
	for _, e := range c.Ends {
		VoucherStates.Want(&b.rows, e.Voucher)
		if c.From.Version == 0 {
			ExpiryDues.Want(&b.rows, DueKey(c.From.Template, e.End, e.Voucher))
		}
	}
}

// Apply decides which of the vouchers have expired.
func (c *Expiry) Apply(b *Batch) Decision {
	c.Moved, c.Expired = false, nil
	cursor, _ := ExpiryCursors.Get(&b.rows, c.From.ExpiryKey)
	t := b.Catalogue.Templates[c.From.Template]
	//guard:internal/expiry.TestEnds cursor != c.From -> false
	//guard:internal/expiry.TestClockAhead c.Until > b.Now-ExpiryDelay -> false
	if cursor != c.From || t == nil || !b.Catalogue.wantsExpiry(t) || c.Until > b.Now-ExpiryDelay {
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

// expired returns the voucher of an end, and whether it has expired by that and the event is this command's to record.
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
	if inOrder := c.From.Version != 0; i.EndsInOrder(&v) != inOrder {
		return v, false // another cursor finds it
	}
	if c.From.Version == 0 {
		due, _ := ExpiryDues.Get(&b.rows, DueKey(c.From.Template, e.End, e.Voucher))
		if due.byCommand() { //guard:internal/expiry.TestEndedByCommand due.byCommand() -> false
			return v, false
		}
	}
	return v, v.End() == e.End && e.End > max(c.From.Since, v.IssuedAt) && v.StatusAt(b.Now) == Expired
}
