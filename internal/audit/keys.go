package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// keyPrint is a hash of a key in its scope. Issuances with one print are looked at; so the hash need not be a
// strong one.
type keyPrint struct{ print uint64 }

const keyPrintBytes = 8

func (c *recount) printOf(i *benefit.Issuance) keyPrint {
	var h maphash.Hash
	h.SetSeed(c.seeds[0])
	h.WriteString(string(i.Scope))
	h.WriteByte(0)
	h.WriteString(i.Key)
	return keyPrint{h.Sum64()}
}

// settleKeys looks for keys that stand twice. Where prints are equal it reads the rows once more to see whether
// the keys are.
func (c *recount) settleKeys(ctx context.Context) error {
	all := c.keys.rows
	c.report.Checked.Keys += int64(len(all))
	slices.SortFunc(all, func(a, b keyPrint) int { return cmp.Compare(a.print, b.print) })
	twice := map[uint64]bool{}
	for k := 1; k < len(all); k++ {
		if all[k].print == all[k-1].print {
			twice[all[k].print] = true
		}
	}
	if len(twice) == 0 {
		return nil
	}
	type key struct {
		scope benefit.Scope
		key   string
	}
	firsts := map[key]id.ID{}
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		if !twice[c.printOf(i).print] {
			continue
		}
		k := key{i.Scope, i.Key}
		if first, ok := firsts[k]; ok {
			c.find(Finding{OneOutcome, fmt.Sprintf("issuances %d and %d", first, i.ID), "keys of their own", "one key in one scope"})
		} else {
			firsts[k] = i.ID
		}
	}
	return nil
}

// lookUp asks for an issuance in every way in which it can be asked for.
func (c *recount) lookUp(ctx context.Context, i *benefit.Issuance) error {
	one := func(all []*benefit.Issuance, err error) (*benefit.Issuance, error) {
		if len(all) == 0 {
			return nil, err
		}
		return all[0], err
	}
	byKey := func() (*benefit.Issuance, error) { return c.r.Claim(ctx, i.Scope, i.Key) }
	byUser := func() (*benefit.Issuance, error) { return one(c.r.UserIssuances(ctx, i.User, i.ID-1, 1)) }
	if err := errors.Join(c.asked(ctx, i, "by its key", byKey), c.asked(ctx, i, "by its user", byUser)); err != nil {
		return err
	}
	for k := range i.Lines {
		l := &i.Lines[k]
		byTemplate := func() (*benefit.Issuance, error) { return one(c.r.TemplateIssuances(ctx, l.Template, i.ID-1, 1)) }
		if err := c.asked(ctx, i, fmt.Sprint("by its template ", l.Template), byTemplate); err != nil {
			return err
		}
		if l.Issued == 0 {
			continue
		}
		last := l.First + id.ID(l.Issued*l.Quantity-1)
		byVoucher := func() (*benefit.Issuance, error) { return c.r.IssuanceOf(ctx, last) }
		if err := c.asked(ctx, i, fmt.Sprint("by its voucher ", last), byVoucher); err != nil {
			return err
		}
	}
	return nil
}

// asked compares an issuance with what the store answers when it is asked for. An answer that is an error is a
// finding, unless the audit itself was stopped.
func (c *recount) asked(ctx context.Context, i *benefit.Issuance, how string, ask func() (*benefit.Issuance, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.report.Checked.Lookups++
	got, err := ask()
	answer := "nothing"
	switch {
	case err != nil:
		answer = err.Error()
	case got != nil && got.ID == i.ID:
		return nil
	case got != nil:
		answer = whole{got}.String()
	}
	c.find(Finding{Lookups, whole{i}.String() + ", asked for " + how, "itself", answer})
	return nil
}

// lookUpUser asks for a user by its id, and by each of its identifiers.
func (c *recount) lookUpUser(ctx context.Context, u *benefit.User) error {
	byID := func() (*benefit.User, error) { return c.r.User(ctx, u.ID) }
	if err := c.askedUser(ctx, u, "its id", byID); err != nil {
		return err
	}
	for k, ident := range u.Identifiers {
		byIdentifier := func() (*benefit.User, error) { return c.r.Recipient(ctx, ident) }
		if err := c.askedUser(ctx, u, fmt.Sprintf("its identifier %d", k+1), byIdentifier); err != nil {
			return err
		}
	}
	return nil
}

func (c *recount) askedUser(ctx context.Context, u *benefit.User, how string, ask func() (*benefit.User, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.report.Checked.Lookups++
	got, err := ask()
	answer := "nobody"
	switch {
	case err != nil:
		answer = err.Error()
	case got != nil && got.ID == u.ID:
		return nil
	case got != nil:
		answer = fmt.Sprint("user ", got.ID)
	}
	c.find(Finding{Lookups, fmt.Sprintf("user %d, asked for by %s", u.ID, how), "itself", answer})
	return nil
}
