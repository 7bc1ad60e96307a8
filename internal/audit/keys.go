package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// keyPrint is a hash of a key in its scope, or of a code. Issuances with one print are looked at; so the hash need not be a
// strong one.
type keyPrint struct{ print uint64 }

const keyPrintBytes = 8

func (c *recount) printOf(k scopedKey) keyPrint {
	var h maphash.Hash
	h.SetSeed(c.seeds[0])
	h.WriteString(string(k.scope))
	h.WriteByte(0)
	h.WriteString(k.key)
	return keyPrint{h.Sum64()}
}

// scopedKey is a key that an issuance is stored under: its own key, or the code of one of its vouchers.
type scopedKey struct {
	scope benefit.Scope
	key   string
}

// keysOf iterates over the keys that an issuance is stored under.
func keysOf(i *benefit.Issuance) iter.Seq[scopedKey] {
	return func(yield func(scopedKey) bool) {
		if !yield(scopedKey{i.Scope, i.Key}) {
			return
		}
		for k := range i.Lines {
			for _, code := range i.Lines[k].Codes {
				if !yield(scopedKey{benefit.CodeScope, code}) { //guard:TestStage$
					return
				}
			}
		}
	}
}

func (c *recount) addKeys(i *benefit.Issuance) {
	for k := range keysOf(i) {
		c.keys.add(c.printOf(k))
	}
}

// settleKeys looks for keys and codes that stand twice. Where prints are equal it reads the rows once more to see
// whether the keys are; more often when there are very many.
func (c *recount) settleKeys(ctx context.Context) error {
	all := c.keys.rows
	c.report.Checked.Keys += int64(len(all))
	slices.SortFunc(all, func(a, b keyPrint) int { return cmp.Compare(a.print, b.print) })
	var twice []uint64
	for k := 1; k < len(all); k++ {
		if p := all[k].print; p == all[k-1].print && (len(twice) == 0 || twice[len(twice)-1] != p) {
			twice = append(twice, p)
		}
	}
	for some := range slices.Chunk(twice, int(max(c.o.Memory/holderBytes, 16))) {
		if err := c.compareKeys(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// holder is the issuance stored under a key.
type holder struct {
	issuance id.ID
	first    benefit.Instant // when it was first issued
	bound    int64           // milliseconds that the key stays bound from then on; 0: for ever
}

// holderBytes is about what a key that stands twice takes while it is compared.
const holderBytes = 512

// compareKeys holds the issuances under some prints against each other, in the order of their ids: a key may stand
// again once the window for which it was bound is over, a code never.
func (c *recount) compareKeys(ctx context.Context, some []uint64) error {
	held := map[scopedKey]holder{}
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for k := range keysOf(i) {
			if _, ours := slices.BinarySearch(some, c.printOf(k).print); !ours {
				continue
			}
			first, _, _ := moments(i)
			one := holder{i.ID, first, i.BindMillis}
			before, again := held[k]
			if held[k] = one; again {
				c.isRebound(k, before, one)
			}
		}
	}
	return nil
}

// isRebound judges two issuances under one key.
func (c *recount) isRebound(k scopedKey, before, after holder) {
	name := fmt.Sprintf("issuances %d and %d", before.issuance, after.issuance)
	switch over := before.first + benefit.Instant(before.bound); {
	case k.scope == benefit.CodeScope:
		c.find(Finding{Codes, name, "certificate codes of their own", "one code"})
	case before.bound == 0:
		c.find(Finding{OneOutcome, name, "keys of their own", "one key in one scope"})
	case after.first < over: //guard:TestStage$
		c.find(Finding{OneOutcome, name, fmt.Sprintf("the second at %d or later, when the key is free again", int64(over)), fmt.Sprint("at ", int64(after.first))})
	}
}

// lookUp looks up an issuance in every possible way.
func (c *recount) lookUp(ctx context.Context, i *benefit.Issuance) error {
	one := func(all []*benefit.Issuance, err error) (*benefit.Issuance, error) {
		if len(all) == 0 {
			return nil, err
		}
		return all[0], err
	}
	byKey := func() (*benefit.Issuance, error) {
		found, err := c.r.Claim(ctx, i.Scope, i.Key)
		if i.BindMillis != 0 && found != nil && found.ID > i.ID && found.Scope == i.Scope && found.Key == i.Key {
			return i, err // the key was bound again, and leads to the newer one
		}
		return found, err
	}
	byUser := func() (*benefit.Issuance, error) { return one(c.r.UserIssuances(ctx, i.User, i.ID-1, 1)) }
	if err := errors.Join(c.lookUpKey(ctx, i, "by its key", byKey), c.lookUpKey(ctx, i, "by its user", byUser)); err != nil {
		return err
	}
	if trace := i.Note.TraceID; trace != "" {
		byTrace := func() (*benefit.Issuance, error) { return one(c.r.TraceIssuances(ctx, trace, i.ID-1, 1)) }
		if err := c.lookUpKey(ctx, i, "by its trace", byTrace); err != nil {
			return err
		}
	}
	for k := range i.Lines {
		l := &i.Lines[k]
		byTemplate := func() (*benefit.Issuance, error) { return one(c.r.TemplateIssuances(ctx, l.Template, i.ID-1, 1)) }
		if err := c.lookUpKey(ctx, i, fmt.Sprint("by its template ", l.Template), byTemplate); err != nil {
			return err
		}
		for n, code := range l.Codes {
			byCode := func() (*benefit.Issuance, error) { return c.r.Claim(ctx, benefit.CodeScope, code) }
			if err := c.lookUpKey(ctx, i, fmt.Sprintf("by code %d of line %d", n+1, k), byCode); err != nil {
				return err
			}
		}
		if l.Issued == 0 {
			continue
		}
		last := l.First + id.ID(l.Issued*l.Quantity-1)
		byVoucher := func() (*benefit.Issuance, error) { return c.r.IssuanceOf(ctx, last) }
		if err := c.lookUpKey(ctx, i, fmt.Sprint("by its voucher ", last), byVoucher); err != nil {
			return err
		}
	}
	return nil
}

// lookUpKey compares an issuance with what the store answers when it is asked for. An answer that is an error is a
// finding, unless the audit itself was stopped.
func (c *recount) lookUpKey(ctx context.Context, i *benefit.Issuance, how string, ask func() (*benefit.Issuance, error)) error {
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
		answer = issuanceRef{got}.String()
	}
	c.find(Finding{Lookups, issuanceRef{i}.String() + ", asked for " + how, "itself", answer})
	return nil
}

// lookUpUser looks up a user by its id and by each of its identifiers.
func (c *recount) lookUpUser(ctx context.Context, u *benefit.User) error {
	byID := func() (*benefit.User, error) { return c.r.User(ctx, u.ID) }
	if err := c.lookUpNewUser(ctx, u, "its id", byID); err != nil {
		return err
	}
	for k, ident := range u.Identifiers {
		byIdentifier := func() (*benefit.User, error) { return c.r.Recipient(ctx, ident) }
		if err := c.lookUpNewUser(ctx, u, fmt.Sprintf("its identifier %d", k+1), byIdentifier); err != nil {
			return err
		}
	}
	return nil
}

func (c *recount) lookUpNewUser(ctx context.Context, u *benefit.User, how string, ask func() (*benefit.User, error)) error {
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
