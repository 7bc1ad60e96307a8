package oracle

import (
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Expiry is a call of the command that records expired vouchers.
type Expiry struct{ benefit.Expiry }

// Command returns the command.
func (c *Expiry) Command() benefit.Command { return &c.Expiry }

// ExpiryScope is the scope of the keys of all Expiry calls. Nothing stands under them.
const ExpiryScope benefit.Scope = "expiry"

// Key returns a key that says where the cursor is.
func (c *Expiry) Key() Key {
	return Key{ExpiryScope, fmt.Sprintf("%d %d from %d %d", c.From.Template, c.From.Version, c.From.Due, c.From.ID)}
}

// Again returns a call that asks for the same.
func (c *Expiry) Again() Call {
	return &Expiry{benefit.Expiry{From: c.From, To: c.To, Ends: c.Ends, Until: c.Until}}
}

// String returns how the cursor moves.
func (c *Expiry) String() string { return fmt.Sprintf("%s: %d %d", c.Key().Key, c.To.Due, c.To.ID) }

// Result returns whether the cursor was moved.
func (c *Expiry) Result() string {
	if c.Moved {
		return fmt.Sprintf("moved, %d expired", len(c.Expired))
	}
	return "not moved"
}

// end is an end of a voucher.
type end struct {
	voucher id.ID
	at      benefit.Instant
}

// Judge judges which vouchers were recorded. Whether the cursor may move is not judged: see [Oracle.MissedEnds].
func (c *Expiry) Judge(o *Oracle, now benefit.Instant) error {
	var want []benefit.ExpiredVoucher
	for _, e := range c.Ends {
		v, issued := o.Voucher(e.Voucher)
		if !issued {
			continue
		}
		inOrder := v.OwnEnd == 0 && issuedFirst(o.IssuanceOf(e.Voucher), v.ID)
		if !c.Moved || o.endedByCommand(&v) || inOrder != (c.From.Version > 0) || endOf(&v) != e.End || e.End <= c.From.Since || !o.expired(&v, now) {
			continue
		}
		want = append(want, benefit.ExpiredVoucher{
			Voucher: v.ID, Template: c.From.Template, Operations: v.Operations, Redeemed: v.Redeemed, End: e.End,
		})
	}
	if err := differ("the expired vouchers", want, c.Expired); err != nil {
		return err
	}
	return o.BookExpired(c.Expired, now)
}

// expired reports whether a voucher has expired after it was issued.
func (o *Oracle) expired(v *benefit.Voucher, now benefit.Instant) bool {
	end := endOf(v)
	return v.Status == benefit.Issued && end > v.IssuedAt && now >= end
}

// endedByCommand reports whether a voucher has an end by the command, which has its event.
func (o *Oracle) endedByCommand(v *benefit.Voucher) (ended bool) {
	for _, t := range o.transitions {
		switch {
		case t.Voucher != v.ID:
		case t.Kind == benefit.ExpireOperation:
			ended = true
		case t.Kind == benefit.ExtendOperation:
			ended = false
		}
	}
	return ended
}

// BookExpired takes vouchers that are recorded as expired now. It fails when one is not, or its end was recorded before.
func (o *Oracle) BookExpired(all []benefit.ExpiredVoucher, now benefit.Instant) error {
	for _, e := range all {
		v, issued := o.Voucher(e.Voucher)
		switch {
		case !issued || !o.expired(&v, now) || endOf(&v) != e.End:
			return fmt.Errorf("voucher %d is recorded as expired at %d, and ends at %d; now is %d", e.Voucher, e.End, endOf(&v), now)
		case o.ends[end{e.Voucher, e.End}]:
			return fmt.Errorf("voucher %d is recorded twice as expired at %d", e.Voucher, e.End)
		}
		o.ends[end{e.Voucher, e.End}] = true
		o.Events = append(o.Events, expiredEvent(&e))
	}
	return nil
}

// MissedEnds returns the vouchers of a template whose ends have passed between two instants and were not recorded, though
// nothing else had happened to them.
func (o *Oracle) MissedEnds(t benefit.TemplateID, since, until benefit.Instant) (all []id.ID) {
	for voucher, issuance := range o.vouchers {
		v, _ := o.Voucher(voucher)
		at := endOf(&v)
		if v.Template != t || at <= since || !o.expired(&v, until) || o.issuances[issuance].ID.Millis() > int64(until) || o.ends[end{voucher, at}] {
			continue
		}
		late := func(x transition) bool { return x.Voucher == voucher && x.At >= at } // it may have been used when its end passed
		if !o.endedByCommand(&v) && !slices.ContainsFunc(o.transitions, late) {
			all = append(all, voucher)
		}
	}
	slices.Sort(all)
	return all
}

// dues returns the rows of the ends that vouchers were extended to, and of vouchers that a retry issued.
func (o *Oracle) dues() map[benefit.ExpiryDueKey]benefit.ExpiryDue {
	all := map[benefit.ExpiryDueKey]benefit.ExpiryDue{}
	add := func(t benefit.TemplateID, due benefit.Instant, voucher id.ID, at benefit.Instant) {
		key := benefit.DueKey(t, due, voucher)
		all[key] = benefit.ExpiryDue{ExpiryDueKey: key, Template: t, At: at}
	}
	for _, i := range o.issuances {
		for _, v := range i.Vouchers() {
			if end := endOf(&v); !issuedFirst(i, v.ID) && end != 0 {
				add(v.Template, end, v.ID, v.IssuedAt)
			}
		}
	}
	for _, t := range o.transitions {
		switch t.Kind {
		case benefit.ExtendOperation:
			add(t.Template, t.End, t.Voucher, t.At)
		case benefit.ExpireOperation:
			if _, had := all[benefit.DueKey(t.Template, t.At, t.Voucher)]; had {
				add(t.Template, t.At, t.Voucher, t.At)
			}
		}
	}
	return all
}

// issuedFirst reports whether a voucher was issued at first, not by a retry.
func issuedFirst(i *benefit.Issuance, voucher id.ID) bool {
	for _, l := range i.Lines {
		if voucher >= l.First && voucher < l.First+id.ID(l.Issued*l.Quantity) {
			return l.Catalogue == i.Catalogue && l.At == i.At()
		}
	}
	return false
}
