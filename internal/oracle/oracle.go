// Package oracle is a second implementation of the rules, in plain code, for tests.
//
// An [Oracle] knows the catalogue, the users and everything that was ever issued. It keeps no counters: it counts from
// the lists of what was issued and carried out. [Call.Judge] works out what the outcome of a command must be and compares
// the outcome that the core gave with that; where it is right, the oracle takes what was done into its lists. Only what the
// core draws (ids, random amounts, certificate codes) is taken from the outcome, after checking that it could be drawn.
//
// The oracle shares the vocabulary of package benefit, and nothing that decides. The property tests of the core, the
// random histories of package storetest and the simulation use it.
//
// Each kind of command has a file with its [Call], which judges it (issue.go, on_voucher.go). That of a command other than the issue has
// its [Generator] as well, which is listed in [Generators]: then the simulation and the random histories of all tests have
// the command.
package oracle

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Options are what an oracle needs to know besides what happens.
type Options struct {
	Secret []byte // the key of the draws in scenes of weighted activities
	// Explain explains a decision. The oracle compares the explanation with its own decision.
	Explain func(*benefit.Catalogue, *benefit.Issuance) *benefit.Explanation
	// ScarceDigits is the most digits of certificate codes that the other requests of a batch may have used up alone. Of
	// longer codes a good part must be taken before a request may go without.
	ScarceDigits int
}

// Oracle judges outcomes.
type Oracle struct {
	Options
	Catalogue *benefit.Catalogue
	Users     map[benefit.UserID]*benefit.User
	Issued    map[Key]*benefit.Issuance // the last issuance under each key, also when it binds the key no more
	Codes     map[string]id.ID          // the issuance that has each certificate code

	Operations []benefit.Operation // of commands other than the issue, in the order in which they were carried out
	Events     []Event             // in the order in which what they are of was booked

	issuances map[id.ID]*benefit.Issuance
	booked    []send          // in the order in which they were issued, and returned
	vouchers  map[id.ID]id.ID // the issuance of each voucher
	choices   map[id.ID]*choice
	// transitions are those of the operations on vouchers, in the order in which they were carried out.
	transitions []transition

	ends map[end]bool // that are recorded as passed

	caps    map[benefit.TemplateID]benefit.Stock // the loosest that there ever were
	soldOut map[benefit.TemplateID]bool
}

// Key is an idempotency key in its scope.
type Key struct {
	Scope benefit.Scope
	Key   string
}

// KeyOf returns the key of a request.
func KeyOf(r *benefit.Request) Key { return Key{r.Scope, r.Key} }

// New makes an oracle that knows nothing yet.
func New(o Options) *Oracle {
	return &Oracle{
		Options: o, Users: map[benefit.UserID]*benefit.User{}, Issued: map[Key]*benefit.Issuance{}, Codes: map[string]id.ID{},
		issuances: map[id.ID]*benefit.Issuance{}, vouchers: map[id.ID]id.ID{}, choices: map[id.ID]*choice{}, caps: map[benefit.TemplateID]benefit.Stock{},
		soldOut: map[benefit.TemplateID]bool{}, ends: map[end]bool{},
	}
}

// SetCatalogue puts a catalogue in force.
func (o *Oracle) SetCatalogue(cat *benefit.Catalogue) {
	before := o.Catalogue
	o.Catalogue = cat
	o.bookCatalogue(before, cat)
	for _, t := range cat.Templates {
		caps, ok := o.caps[t.ID]
		if !ok {
			caps = t.Stock
		}
		o.caps[t.ID] = benefit.Stock{
			Count: looser(caps.Count, t.Stock.Count), Amount: looser(caps.Amount, t.Stock.Amount),
			CountPerDay: looser(caps.CountPerDay, t.Stock.CountPerDay), AmountPerDay: looser(caps.AmountPerDay, t.Stock.AmountPerDay),
		}
	}
}

func looser(a, b benefit.Cap) benefit.Cap {
	if a == benefit.Unlimited || b == benefit.Unlimited {
		return benefit.Unlimited
	}
	return max(a, b)
}

// SetUsers takes users as they are now.
func (o *Oracle) SetUsers(users ...*benefit.User) {
	for _, u := range users {
		o.Users[u.ID] = u
	}
}

// Bound returns the issuance that binds a key at now; nil when there is none. One that binds it for a while ends when its
// voucher is voided.
func (o *Oracle) Bound(k Key, now benefit.Instant) *benefit.Issuance {
	i := o.Issued[k]
	if i == nil || i.BindMillis == 0 {
		return i
	}
	v, _ := o.Voucher(i.Vouchers()[0].ID)
	if v.Status == benefit.Voided || now >= i.At()+benefit.Instant(i.BindMillis) {
		return nil
	}
	return i
}

// recipient returns the user that an identifier names now; nil when there is none.
func (o *Oracle) recipient(ident benefit.Identifier) *benefit.User {
	if user, ref := ident.Ref(); ref {
		return o.Users[user]
	}
	for _, u := range o.Users {
		if slices.Contains(u.Identifiers, ident) {
			return u
		}
	}
	return nil
}

// Book takes an issuance that is stored now: a new one, or one of before that has issued more or closed lines. It fails
// when what may never change has changed, when two issuances share a key, a voucher or a code, when the newer of two that
// bound a key one after the other has the lesser id, or when more was issued than the caps ever allowed.
func (o *Oracle) Book(i *benefit.Issuance) error {
	k := Key{i.Scope, i.Key}
	before := o.Bound(k, i.At())
	if last := o.Issued[k]; last != nil && before == nil && i.ID <= last.ID {
		return fmt.Errorf("%s %q was bound again by %d, which is not after %d", i.Scope, i.Key, i.ID, last.ID)
	}
	if before != nil {
		if before.ID != i.ID {
			return fmt.Errorf("%s %q has a second issuance: %d and %d", i.Scope, i.Key, before.ID, i.ID)
		}
		if len(before.Lines) != len(i.Lines) {
			return fmt.Errorf("%s %q: %d lines became %d", i.Scope, i.Key, len(before.Lines), len(i.Lines))
		}
		if err := differ("what was frozen changed afterwards", frozen(before, before), frozen(i, before)); err != nil {
			return err
		}
	}
	var templates []benefit.TemplateID // of what is issued now
	for n := range i.Lines {
		l, had := &i.Lines[n], []string(nil)
		if before != nil {
			had = before.Lines[n].Codes
		}
		if len(l.Codes) < len(had) || !slices.Equal(l.Codes[:len(had)], had) {
			return fmt.Errorf("the codes of line %d changed from %v to %v", n, had, l.Codes)
		}
		for _, code := range l.Codes[len(had):] {
			if other, taken := o.Codes[code]; taken {
				return fmt.Errorf("code %s went to %d and to %d", code, other, i.ID)
			}
			o.Codes[code] = i.ID
		}
		if before != nil && before.Lines[n].Issued > 0 {
			continue
		}
		for v := range l.Issued * l.Quantity {
			voucher := l.First + id.ID(v)
			if other, issued := o.vouchers[voucher]; issued {
				return fmt.Errorf("voucher %d was issued twice: by %d and by %d", voucher, other, i.ID)
			}
			o.vouchers[voucher] = i.ID
		}
		if l.Issued > 0 {
			o.bookIssued(l)
			templates = append(templates, l.Template)
		}
		for s := range l.Issued {
			o.booked = o.give(o.booked, i.User, i.Params.Card, l, s, l.At)
		}
		if err := o.withinCaps(l.Template, l.At.Day()); err != nil {
			return err
		}
	}
	o.bookStock(templates...)
	o.Issued[k], o.issuances[i.ID] = i, i
	return nil
}

// withinCaps compares what was issued of a template, in total and on a day, with its caps, as loose as they ever were.
func (o *Oracle) withinCaps(template benefit.TemplateID, day benefit.Day) error {
	var all, today benefit.TemplateCount
	for _, s := range o.booked {
		if s.template == template {
			all.Count, all.Amount = all.Count+s.vouchers, all.Amount+s.fen
			if s.day == day {
				today.Count, today.Amount = today.Count+s.vouchers, today.Amount+s.fen
			}
		}
	}
	over := func(limit benefit.Cap, have int64) bool { return limit != benefit.Unlimited && have > int64(limit) }
	caps := o.caps[template]
	if over(caps.Count, all.Count) || over(caps.Amount, all.Amount) || over(caps.CountPerDay, today.Count) || over(caps.AmountPerDay, today.Amount) {
		return fmt.Errorf("template %d has issued %d (%d fen), on %v %d (%d fen), above %+v", template, all.Count, all.Amount, day, today.Count, today.Amount, caps)
	}
	return nil
}

// frozen returns what of an issuance may never change, when before is how it stood: lines that had issued something may
// not change at all.
func frozen(i, before *benefit.Issuance) benefit.Issuance {
	f := *i
	f.BoxDone, f.Lines = false, nil
	for k, l := range i.Lines {
		if before.Lines[k].Issued == 0 {
			l = benefit.IssuedLine{Line: l.Line, First: l.First, Amounts: l.Amounts}
		}
		f.Lines = append(f.Lines, l)
	}
	return f
}

// differ returns an error that shows how two values differ; nil when they do not. Empty and absent lists are the same.
func differ(what string, want, got any) error {
	if reflect.DeepEqual(want, got) { // cmp takes its time
		return nil
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, diff)
	}
	return nil
}
