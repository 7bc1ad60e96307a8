package expiry

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// What is looked at in one call of Next, for each cursor.
const (
	commandEnds = 500     // vouchers in a command, or a few more
	maxCommands = 10      // so that no template waits for long
	maxDues     = 200     // commands over ExpiryDues: each search reads those of ten minutes from the first on
	maxRead     = 100_000 // issuances, about
	readAtOnce  = 500     // issuances
)

// Finder finds vouchers that have expired. It is not safe for concurrent use.
type Finder struct {
	catalogue int64
	// next is when there is more to do for a cursor: the first end that has not passed. Of a cursor over ExpiryDues it is
	// up to when there is nothing to find. It is good for any state of the store under this version of the catalogue, as
	// only a new version moves a cursor back.
	next map[benefit.ExpiryKey]benefit.Instant
}

// Next returns commands that move cursors on as of now, which is that of the store; none when there is nothing to do. The
// commands of one cursor are to be carried out in order. r must show what the commands of the last call have done.
func (f *Finder) Next(ctx context.Context, r store.Reader, cat *benefit.Catalogue, now benefit.Instant) (all []*benefit.Expiry, err error) {
	if f.catalogue != cat.Version {
		f.catalogue, f.next = cat.Version, map[benefit.ExpiryKey]benefit.Instant{}
	}
	wanted := map[benefit.TemplateID]bool{}
	for _, t := range cat.ExpiryWanted() {
		wanted[t] = true
	}
	var cursors []benefit.ExpiryCursor // by template and version
	for c, err := range store.All(ctx, r, benefit.ExpiryCursors) {
		if err != nil {
			return nil, err
		}
		if wanted[c.Template] {
			cursors = append(cursors, c)
		}
	}
	for n, c := range cursors {
		s := search{ctx: ctx, r: r, until: now - benefit.ExpiryDelay, from: c, to: c, next: f.next[c.ExpiryKey]}
		switch {
		case c.Version == 0:
			err = s.dues()
		case c.ID == benefit.LastExpiry || s.next > s.until: //guard:TestWorkAtRest without s.next > s.until
			continue
		default:
			if n+1 < len(cursors) && cursors[n+1].Template == c.Template {
				s.later = cursors[n+1].Version
			}
			s.next = 0
			err = s.issuances()
		}
		if err != nil {
			return nil, err
		}
		s.addCommand()
		if len(s.commands) == 0 {
			f.next[c.ExpiryKey] = s.next
		}
		all = append(all, s.commands...)
	}
	return all, nil
}

// search moves one cursor on.
type search struct {
	ctx   context.Context
	r     store.Reader
	until benefit.Instant // ends after it are not looked at
	later int64           // the version of the catalogue that brought the next validity; 0: there is none yet

	commands []*benefit.Expiry
	from, to benefit.ExpiryCursor // of the next command
	ends     []benefit.VoucherEnd // of the next command
	next     benefit.Instant      // see Finder
}

// addCommand makes a command of what was found since the last one.
func (s *search) addCommand() {
	if s.to != s.from {
		s.commands = append(s.commands, &benefit.Expiry{From: s.from, To: s.to, Ends: s.ends, Until: s.until})
		s.from, s.ends = s.to, nil
	}
}

// full adds a command when it is large enough, and reports whether there are so many of them.
func (s *search) full(most int) bool {
	if len(s.ends) >= commandEnds {
		s.addCommand()
	}
	return len(s.commands) >= most
}

// dues finds ends that are out of the order of issues. There is a row by the end of each, ten minutes of them together.
func (s *search) dues() error {
	start := s.from
	// Nothing is written behind until: see benefit.ExpiryDelay. What was looked at once needs no second look.
	for at := max(start.Due, s.next); at <= s.until; at = benefit.NextDueBucket(at) {
		key := benefit.ExpiryDues.DatumsOf(benefit.DueKey(start.Template, at, 0))
		for due, err := range store.All(s.ctx, s.r, benefit.ExpiryDues, key[:1]...) {
			switch {
			case err != nil:
				return err
			case due.Due > s.until: //guard:TestEnds
			case due.Due < start.Due || due.Due == start.Due && due.Voucher <= start.ID: //guard:TestEnds
				continue
			default:
				s.ends = append(s.ends, benefit.VoucherEnd{Voucher: due.Voucher, End: due.Due})
				s.to.Due, s.to.ID = due.Due, due.Voucher
				if s.full(maxDues) {
					return nil
				}
				continue
			}
			break
		}
	}
	s.next = s.until
	if today := s.until.Day().Start(); s.to.Due < today { // a search after a restart begins with this day
		s.to.Due, s.to.ID = today, 0
	}
	return nil
}

// issuances finds issuances whose vouchers end in the order of issues.
func (s *search) issuances() error {
	after := s.to.ID
	for read, limit := 0, 1; read < maxRead; limit = readAtOnce {
		all, err := s.r.TemplateIssuances(s.ctx, s.from.Template, after, limit)
		if err != nil {
			return err
		}
		if read == 0 && s.from.ID == 0 && len(all) > 0 && s.skips(all[0]) {
			if s.to.ID, err = s.start(all[0]); err != nil {
				return err
			}
			after, read = s.to.ID, 1
			continue
		}
		for _, i := range all {
			end, of := s.endOf(i)
			switch {
			case i.ID.Millis() > int64(s.until): //guard:TestEnds
				return nil // others with smaller ids may still be committed
			case of == sameValidity && end == 0: // as that of all of this validity
				s.to.ID = benefit.LastExpiry
				return nil
			case of == sameValidity && end > s.until:
				s.next = end
				return nil
			case of == sameValidity:
				s.add(i, end)
			case of == laterValidity && s.to.Due == 0:
				s.to.Due = benefit.Instant(i.ID.Millis())
			//guard:TestEnds s.to.Due+benefit.ExpiryDelay -> s.to.Due-1<<60
			case of == laterValidity && benefit.Instant(i.ID.Millis()) > s.to.Due+benefit.ExpiryDelay:
				s.to.ID = benefit.LastExpiry // no issuance of this validity follows
				return nil
			}
			s.to.ID = i.ID
			if s.full(maxCommands) {
				return nil
			}
		}
		if len(all) < limit {
			return nil
		}
		after = s.to.ID
		read += len(all)
	}
	return nil
}

// validity is that of an issuance's vouchers, beside that of a cursor.
type validity int

const (
	noValidity validity = iota // none of the vouchers ends in the order of issues
	earlierValidity
	sameValidity
	laterValidity
)

// endOf returns the validity of the vouchers of an issuance that end in the order of issues, and of the same one their end:
// all of them have one.
func (s *search) endOf(i *benefit.Issuance) (end benefit.Instant, of validity) {
	for k := range i.Lines {
		l := &i.Lines[k]
		v, ok := i.Voucher(l.First)
		if !ok || l.Template != s.from.Template || !i.EndsInOrder(&v) {
			continue
		}
		switch {
		case l.Catalogue < s.from.Version:
			return 0, earlierValidity
		case s.later != 0 && l.Catalogue >= s.later:
			return 0, laterValidity
		}
		return v.End(), sameValidity
	}
	return 0, noValidity
}

// add adds the vouchers of an issuance, if they end after the subscription began.
func (s *search) add(i *benefit.Issuance, end benefit.Instant) {
	if end <= s.from.Since {
		return
	}
	for _, v := range i.Vouchers() {
		if v.Template == s.from.Template && i.EndsInOrder(&v) {
			s.ends = append(s.ends, benefit.VoucherEnd{Voucher: v.ID, End: end})
		}
	}
}

// skips reports whether a new cursor begins behind an issuance: it is of an earlier validity, or its vouchers had ended before
// the subscription began.
func (s *search) skips(i *benefit.Issuance) bool {
	end, of := s.endOf(i)
	return of == earlierValidity || of == sameValidity && end != 0 && end <= s.from.Since
}

// start returns an id behind which a new cursor begins, given an issuance that it skips. There may be millions of those, so it
// looks at few of them: ids are in the order of commits, but for some seconds.
func (s *search) start(skipped *benefit.Issuance) (id.ID, error) {
	from, to := skipped.ID.Millis(), int64(s.until)
	for to-from > int64(benefit.ExpiryDelay) {
		middle := (from + to) / 2
		all, err := s.r.TemplateIssuances(s.ctx, s.from.Template, id.Before(middle), 1)
		if err != nil {
			return 0, err
		}
		if len(all) > 0 && s.skips(all[0]) {
			from = max(middle, all[0].ID.Millis())
		} else {
			to = middle
		}
	}
	return max(skipped.ID, id.Before(from-int64(benefit.ExpiryDelay))), nil
}
