package expiry

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// delay is how long ago an end must have passed, or an id have been made, in milliseconds. Commits are under way for less.
const delay benefit.Instant = 60_000

// What is read for one call of Next.
const (
	page        = 500     // issuances at once
	maxRead     = 100_000 // issuances, about
	maxCommands = 100
)

// Finder finds the vouchers that have expired. It is not safe for concurrent use.
type Finder struct {
	catalogue int64
	next      map[benefit.ExpiryKey]benefit.Instant // the end at which there is more to do for a cursor
}

// Next returns commands that move a cursor on as of now, to be carried out in order; none when all cursors are where they
// should be. r must show what the commands of the last call have done.
func (f *Finder) Next(ctx context.Context, r store.Reader, cat *benefit.Catalogue, now benefit.Instant) ([]*benefit.Expiry, error) {
	if f.catalogue != cat.Version {
		f.catalogue, f.next = cat.Version, map[benefit.ExpiryKey]benefit.Instant{}
	}
	for _, t := range cat.ExpiryWanted() {
		cursors, err := cursorsOf(ctx, r, t)
		if err != nil {
			return nil, err
		}
		for n, c := range cursors {
			w := walk{ctx: ctx, r: r, limit: now - delay, from: c, to: c}
			switch {
			case c.Version == 0:
				err = w.dues()
			case c.ID == benefit.LastExpiry || f.next[c.ExpiryKey] > w.limit: //guard:TestWorkAtRest without f.next[c.ExpiryKey] > w.limit
				continue
			default:
				if n+1 < len(cursors) {
					w.until = cursors[n+1].Version
				}
				err = w.issuances()
			}
			if err != nil {
				return nil, err
			}
			w.cut()
			if len(w.commands) > 0 {
				return w.commands, nil
			}
			f.next[c.ExpiryKey] = w.next
		}
	}
	return nil, nil
}

// cursorsOf returns the cursors of a template by version.
func cursorsOf(ctx context.Context, r store.Reader, t benefit.TemplateID) (all []benefit.ExpiryCursor, err error) {
	key := benefit.ExpiryCursors.DatumsOf(benefit.ExpiryKey{Template: t})
	for c, err := range store.All(ctx, r, benefit.ExpiryCursors, key[:1]...) {
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// walk moves a cursor on.
type walk struct {
	ctx   context.Context
	r     store.Reader
	limit benefit.Instant // ends up to it are passed
	until int64           // the version of the catalogue that brought the next validity; 0: there is none yet

	commands []*benefit.Expiry
	from, to benefit.ExpiryCursor // of the next command
	ends     []benefit.VoucherEnd // of the next command
	next     benefit.Instant      // the first end that is not passed; 0: not known
}

// cut makes a command of what was passed since the last one.
func (w *walk) cut() {
	if w.to != w.from {
		w.commands = append(w.commands, &benefit.Expiry{From: w.from, To: w.to, Ends: w.ends, Until: w.limit})
		w.from, w.ends = w.to, nil
	}
}

// full makes a command when there is enough for one, and reports whether there are enough commands.
func (w *walk) full() bool {
	if len(w.ends) >= benefit.MaxExpiry {
		w.cut()
	}
	return len(w.commands) >= maxCommands
}

// dues passes ends that are out of the order of issues.
func (w *walk) dues() error {
	start := w.from
	for day := start.Due.Day(); day <= w.limit.Day(); day++ {
		key := benefit.ExpiryDues.DatumsOf(benefit.ExpiryDueKey{Template: start.Template, Day: day})
		for due, err := range store.All(w.ctx, w.r, benefit.ExpiryDues, key[:2]...) {
			switch {
			case err != nil:
				return err
			case due.Due > w.limit: //guard:TestEnds
				return nil
			case due.Due < start.Due || due.Due == start.Due && due.Voucher <= start.ID: //guard:TestEnds
				continue
			}
			w.ends = append(w.ends, benefit.VoucherEnd{Voucher: due.Voucher, End: due.Due})
			w.to.Due, w.to.ID = due.Due, due.Voucher
			if w.full() {
				return nil
			}
		}
	}
	if today := w.limit.Day().Start(); w.to.Due < today { // the next walk begins with this day
		w.to.Due, w.to.ID = today, 0
	}
	return nil
}

// issuances passes issuances whose vouchers end in the order of their issue.
func (w *walk) issuances() error {
	if w.from.ID == 0 {
		if err := w.skip(); err != nil {
			return err
		}
	}
	var after id.ID // the first issuance under a later validity
	for read := 0; read < maxRead; read += page {
		all, err := w.r.TemplateIssuances(w.ctx, w.from.Template, w.to.ID, page)
		if err != nil {
			return err
		}
		for _, i := range all {
			end, of := w.endOf(i)
			switch {
			case i.ID.Millis() > int64(w.limit): //guard:TestEnds
				return nil // earlier ones may still be committed
			case of == this && end == 0: // as that of all of this validity
				w.to.ID = benefit.LastExpiry
				return nil
			case of == this && end > w.limit:
				w.next = end
				return nil
			case of == this:
				w.add(i, end)
			case of == later && after == 0:
				after = i.ID
			case of == later && i.ID.Millis() > after.Millis()+int64(delay):
				w.to.ID = benefit.LastExpiry // none of this validity comes any more
				return nil
			}
			w.to.ID = i.ID
			if w.full() {
				return nil
			}
		}
		if len(all) < page {
			return nil
		}
	}
	return nil
}

// validity tells whether something is of the validity of a cursor.
type validity int

const (
	this validity = iota
	earlier
	later
	neither // the vouchers do not end in the order of issues, or there are none
)

// endOf returns of which validity the vouchers of an issuance are that end in the order of issues, and when those of this
// validity end: all at once.
func (w *walk) endOf(i *benefit.Issuance) (end benefit.Instant, of validity) {
	for k := range i.Lines {
		l := &i.Lines[k]
		if v, ok := i.Voucher(l.First); ok && l.Template == w.from.Template && i.EndsInOrder(&v) {
			switch {
			case l.Catalogue < w.from.Version:
				return 0, earlier
			case w.until != 0 && l.Catalogue >= w.until:
				return 0, later
			}
			return v.End(), this
		}
	}
	return 0, neither
}

// add adds the vouchers of an issuance, if they end after the subscription was made.
func (w *walk) add(i *benefit.Issuance, end benefit.Instant) {
	if end <= w.from.Since {
		return
	}
	for _, v := range i.Vouchers() {
		if v.Template == w.from.Template && i.EndsInOrder(&v) {
			w.ends = append(w.ends, benefit.VoucherEnd{Voucher: v.ID, End: end})
		}
	}
}

// skip moves a new cursor to where it begins: behind issuances of earlier validities, and of vouchers that had ended before the
// subscription was made. There may be millions, so it looks at few of them.
func (w *walk) skip() error {
	from, to := int64(0), int64(w.limit)
	for before := from; ; before = (from + to) / 2 {
		all, err := w.r.TemplateIssuances(w.ctx, w.from.Template, id.Before(before), 1)
		if err != nil {
			return err
		}
		if len(all) > 0 && w.skips(all[0]) {
			from = max(before, all[0].ID.Millis())
		} else {
			to = before
		}
		if to-from <= int64(delay) {
			w.to.ID = id.Before(from - int64(delay)) // ids are about in the order of commits
			return nil
		}
	}
}

// skips reports whether a new cursor begins behind an issuance.
func (w *walk) skips(i *benefit.Issuance) bool {
	end, of := w.endOf(i)
	return of == earlier || of == this && end != 0 && end <= w.from.Since
}
