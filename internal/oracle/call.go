package oracle

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Call is a command as a caller sends it. The command keeps its outcome, which the oracle judges.
type Call interface {
	Command() benefit.Command
	Key() Key
	// Again returns the same call with a fresh command, as a retry sends it.
	Again() Call
	// Judge compares the outcome of a call that was decided at now, after the calls before it in the batch, with what it
	// must be, and books what the call has changed. Under a key that is bound it books nothing.
	Judge(o *Oracle, now benefit.Instant) error
	// String describes what is asked for.
	String() string
	// Result describes the outcome. That of a command other than the issue is one of its [Generator.Results].
	Result() string
}

// Generator draws calls of one kind of command other than the issue, each of which stands as a [benefit.Operation] under
// its key once it was carried out.
type Generator struct {
	Name string // begins the keys
	// Draw returns a call under the key, most often of something that the oracle knows.
	Draw func(pick func(n int) int, o *Oracle, key string) Call
	// CheckRows compares the rows of the store that only these commands write, by the names of their kinds, with
	// what the oracle has booked. The operations are compared anyway. It may be nil.
	CheckRows func(o *Oracle, rows map[string][]any) error
	// Results are what [Call.Result] may return. The random histories must meet all of them.
	Results []string
}

// Generators are those of the commands that random histories have besides the issue. A new one goes to the end: what the
// others draw depends on where they stand.
var Generators = onVouchers()

// Source draws the calls of a generator from a random source of its own: new ones, some that came before, and some under a
// key that was used for another.
type Source struct {
	*Generator
	pick func(n int) int
	past []Call
}

// Sources returns a source for each of the [Generators].
func Sources(seed uint64) []*Source {
	var all []*Source
	for k, g := range Generators {
		all = append(all, &Source{Generator: g, pick: rand.New(rand.NewPCG(seed, uint64(100+k))).IntN})
	}
	return all
}

// Next draws a few calls.
func (s *Source) Next(o *Oracle) (calls []Call) {
	for range s.pick(3) {
		key := fmt.Sprint(s.Name, len(s.past))
		if len(s.past) > 0 && s.pick(3) == 0 {
			old := s.past[len(s.past)-1-s.pick(min(len(s.past), 1+s.pick(20)))] // most often a late one, which may be under way
			if s.pick(4) > 0 {
				calls = append(calls, old.Again())
				continue
			}
			key = old.Key().Key
		}
		c := s.Draw(s.pick, o, key)
		s.past = append(s.past, c)
		calls = append(calls, c)
	}
	return calls
}

// JudgeReplay judges an outcome that was answered although the commit of its batch failed: it can only be that of what
// stood under the key before.
func (o *Oracle) JudgeReplay(c Call, now benefit.Instant) error {
	if i, ok := c.(*Issue); ok {
		return o.judgeIssueReplay(i.Request, i.Outcome, now)
	}
	if e, ok := c.(*Expiry); ok && !e.Moved {
		return nil // its cursor was elsewhere before
	}
	if o.Operation(c.Key()) == nil {
		return errors.New("an outcome, though its commit failed and nothing had been carried out before")
	}
	return c.Judge(o, now)
}

// Operation returns what stands under the key of a command other than the issue; nil when the key is free.
func (o *Oracle) Operation(k Key) *benefit.Operation {
	for n := range o.Operations {
		if op := &o.Operations[n]; op.Scope == k.Scope && op.Key == k.Key {
			return op
		}
	}
	return nil
}

// BookOperation takes an operation that is stored now. It fails when there was one under the key, or when it is on a voucher
// that cannot have had it.
func (o *Oracle) BookOperation(op benefit.Operation) error {
	if before := o.Operation(Key{op.Scope, op.Key}); before != nil {
		return fmt.Errorf("%s %q was carried out twice: %+v and %+v", op.Scope, op.Key, *before, op)
	}
	o.Operations = append(o.Operations, op)
	switch op.Kind {
	case benefit.RedeemOperation, benefit.ReverseOperation, benefit.VoidOperation, benefit.ExtendOperation, benefit.ExpireOperation:
		return o.bookTransition(&op)
	}
	return nil
}

// IssuanceOf returns the issuance of a voucher; nil when the voucher was not issued. Calls ask for vouchers of issuances
// that the oracle knew before ([Oracle.DrawVoucher]), so a batch that finds a voucher not issued is decided again when
// another one issues it meanwhile.
func (o *Oracle) IssuanceOf(voucher id.ID) *benefit.Issuance { return o.issuances[o.vouchers[voucher]] }

// DrawVoucher draws a voucher, most often one of a few, so that calls meet; sometimes an id that was not issued. The
// issuance is the one whose line has it; nil when nothing was issued yet.
func (o *Oracle) DrawVoucher(pick func(n int) int) (id.ID, *benefit.Issuance) {
	all := o.inOrder()
	if len(all) == 0 {
		return 1, nil
	}
	i := all[pick(min(len(all), 4))]
	if pick(3) == 0 {
		i = all[len(all)-1]
	}
	l := i.Lines[pick(len(i.Lines))]
	return l.First + id.ID(pick(l.Sends*l.Quantity)), i
}

// inOrder returns all issuances in the order of their ids.
func (o *Oracle) inOrder() []*benefit.Issuance {
	return slices.SortedFunc(maps.Values(o.issuances), func(a, b *benefit.Issuance) int { return cmp.Compare(a.ID, b.ID) })
}
