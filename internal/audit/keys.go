package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// printOf returns the beginning of the hash of a key. Issuances with one print are looked at, so it need not be all of it.
func printOf(k benefit.ClaimKey) uint64 { return binary.BigEndian.Uint64(k.ID[:]) }

func (c *recount) addKeys(i *benefit.Issuance) {
	for _, k := range i.ClaimKeys() {
		c.keys.add(printOf(k))
	}
}

// settleKeys looks for keys and codes that stand twice. Where prints are equal it reads the rows once more to see
// whether the keys are; more often when there are very many.
func (c *recount) settleKeys(ctx context.Context) error {
	all := c.keys.rows
	c.report.Checked.Keys += int64(len(all))
	slices.Sort(all)
	var twice []uint64
	for same := range runs(all, func(a, b *uint64) bool { return *a == *b }) {
		if len(same) > 1 {
			twice = append(twice, same[0])
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
	held := map[benefit.ClaimKey]holder{}
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for _, k := range i.ClaimKeys() {
			if _, ours := slices.BinarySearch(some, printOf(k)); !ours {
				continue
			}
			one := holder{i.ID, i.At(), i.BindMillis}
			before, again := held[k]
			if held[k] = one; again {
				c.isRebound(k, before, one)
			}
		}
	}
	return nil
}

// isRebound judges two issuances under one key.
func (c *recount) isRebound(k benefit.ClaimKey, before, after holder) {
	name := fmt.Sprintf("issuances %d and %d", before.issuance, after.issuance)
	switch over := before.first + benefit.Instant(before.bound); {
	case k.Scope == benefit.CodeScope:
		c.find(Finding{Codes, name, "certificate codes of their own", "one code"})
	case before.bound == 0:
		c.find(Finding{OneOutcome, name, "keys of their own", "one key in one scope"})
	case after.first < over: //guard:TestStage$
		c.find(Finding{OneOutcome, name, fmt.Sprintf("the second at %d or later, when the key is free again", int64(over)), fmt.Sprint("at ", int64(after.first))})
	}
}

// lookup is a way to find a row.
type lookup[V any] struct {
	how string
	ask func() (V, error)
}

// lookUp looks up an issuance in every possible way.
func (c *recount) lookUp(ctx context.Context, i *benefit.Issuance) error {
	one := func(all []*benefit.Issuance, err error) (*benefit.Issuance, error) {
		if len(all) == 0 {
			return nil, err
		}
		return all[0], err
	}
	var ways []lookup[*benefit.Issuance]
	add := func(how string, ask func() (*benefit.Issuance, error)) {
		ways = append(ways, lookup[*benefit.Issuance]{how, ask})
	}
	add("its key", func() (*benefit.Issuance, error) {
		found, err := c.r.Claim(ctx, i.Scope, i.Key)
		if i.BindMillis != 0 && found != nil && found.ID > i.ID && found.Scope == i.Scope && found.Key == i.Key {
			return i, err // the key was bound again, and leads to the newer one
		}
		return found, err
	})
	add("its user", func() (*benefit.Issuance, error) { return one(c.r.UserIssuances(ctx, i.User, i.ID-1, 1)) })
	if trace := i.Note.TraceID; trace != "" {
		add("its trace", func() (*benefit.Issuance, error) { return one(c.r.TraceIssuances(ctx, trace, i.ID-1, 1)) })
	}
	for l := range linesOf(i) {
		add(fmt.Sprint("its template ", l.Template), func() (*benefit.Issuance, error) {
			return one(c.r.TemplateIssuances(ctx, l.Template, i.ID-1, 1))
		})
		for n, code := range l.Codes {
			add(fmt.Sprintf("code %d of line %d", n+1, l.k), func() (*benefit.Issuance, error) { return c.r.Claim(ctx, benefit.CodeScope, code) })
		}
		if l.Issued > 0 {
			last := l.First + id.ID(l.Issued*l.Quantity-1)
			add(fmt.Sprint("its voucher ", last), func() (*benefit.Issuance, error) { return c.r.IssuanceOf(ctx, last) })
		}
	}
	return lookUp(ctx, c, ways, issuanceName(i), "nothing", issuanceName)
}

// lookUpUser looks up a user by its id and by each of its identifiers.
func (c *recount) lookUpUser(ctx context.Context, u *benefit.User) error {
	ways := []lookup[*benefit.User]{{"its id", func() (*benefit.User, error) { return c.r.User(ctx, u.ID) }}}
	for k, ident := range u.Identifiers {
		ways = append(ways, lookup[*benefit.User]{fmt.Sprintf("its identifier %d", k+1), func() (*benefit.User, error) { return c.r.Recipient(ctx, ident) }})
	}
	return lookUp(ctx, c, ways, userName(u), "nobody", userName)
}

func userName(u *benefit.User) string { return fmt.Sprintf("user %d", u.ID) }

// lookUp asks the store for a row, and compares its name with those of the answers. An answer that is an error is a
// finding, unless the audit itself was stopped.
func lookUp[V comparable](ctx context.Context, c *recount, ways []lookup[V], name, nothing string, nameOf func(V) string) error {
	var none V
	for _, way := range ways {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.report.Checked.Lookups++
		answer := nothing
		if got, err := way.ask(); err != nil {
			answer = err.Error()
		} else if got != none {
			answer = nameOf(got)
		}
		if answer != name {
			c.find(Finding{Lookups, name + ", asked for by " + way.how, "itself", answer})
		}
	}
	return nil
}
