package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
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
	var bytes int64
	compare := func() error {
		err := c.compareKeys(ctx, twice)
		twice, bytes = twice[:0], 0
		return err
	}
	for same := range runs(all, func(a, b *uint64) bool { return *a == *b }) {
		if len(same) == 1 {
			continue
		}
		need := int64(keyBytes + len(same)*holderBytes)
		if bytes+need > c.o.Memory && len(twice) > 0 {
			if err := compare(); err != nil {
				return err
			}
		}
		twice, bytes = append(twice, same[0]), bytes+need
	}
	if len(twice) == 0 {
		return nil
	}
	return compare()
}

// holder is an issuance stored under a key.
type holder struct {
	issuance id.ID
	voucher  id.ID           // the first one
	first    benefit.Instant // when it was first issued
	bound    int64           // milliseconds that the key stays bound from then on; 0: for ever
	free     benefit.Instant // from when on the key is free again, where it is bound for a while
}

// About what a key that stands twice takes while it is compared, and each of its issuances.
const (
	keyBytes    = 512
	holderBytes = 64
)

// compareKeys holds the issuances under some prints against each other: a key may stand again once the window for which it was
// bound is over, or was ended by a void; a code never.
func (c *recount) compareKeys(ctx context.Context, some []uint64) error {
	held := map[benefit.ClaimKey][]holder{}
	var inOrder []benefit.ClaimKey
	for i, err := range c.r.AllIssuances(ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for _, k := range i.ClaimKeys() {
			if _, ours := slices.BinarySearch(some, printOf(k)); !ours {
				continue
			}
			if held[k] == nil {
				inOrder = append(inOrder, k)
			}
			held[k] = append(held[k], holder{issuance: i.ID, voucher: firstVoucher(i), first: i.At(), bound: i.BindMillis})
		}
	}
	for _, k := range inOrder {
		if all := held[k]; len(all) > 1 {
			if err := c.compareHolders(ctx, k, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstVoucher returns the first voucher that was issued; 0 when none was.
func firstVoucher(i *benefit.Issuance) id.ID {
	for l := range linesOf(i) {
		if l.Issued > 0 {
			return l.First
		}
	}
	return 0
}

// compareHolders judges the issuances under one key, by ascending id: one that bound the key again has a greater id than those
// before it. Each pair of neighbours is one finding at most.
func (c *recount) compareHolders(ctx context.Context, k benefit.ClaimKey, all []holder) error {
	for n := range all {
		h := &all[n]
		h.free = h.first + benefit.Instant(h.bound)
		if h.bound == 0 {
			continue
		}
		s, there, err := store.Get(ctx, c.r, benefit.VoucherStates, h.voucher)
		if err != nil {
			return fmt.Errorf("reading a voucher's state: %w", err)
		}
		if there && s.Status == benefit.Voided { //guard:TestLives$
			h.free = min(h.free, max(s.At, h.first))
		}
	}
	for n := range all[1:] {
		c.isRebound(k, all[n], all[n+1])
	}
	return nil
}

// isRebound judges two issuances under one key, the second of which has the greater id.
func (c *recount) isRebound(k benefit.ClaimKey, before, after holder) {
	name := fmt.Sprintf("issuances %d and %d", before.issuance, after.issuance)
	switch {
	case k.Scope == benefit.CodeScope:
		c.find(Finding{Codes, name, "certificate codes of their own", "one code"})
	case before.bound == 0:
		c.find(Finding{OneOutcome, name, "keys of their own", "one key in one scope"})
	case after.first < before.free: //guard:TestStage$
		c.find(Finding{OneOutcome, name, fmt.Sprintf("the second at %d or later, when the key is free again", int64(before.free)), fmt.Sprint("at ", int64(after.first))})
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
