package sim

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/oracle"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// stamp is a command for the tests of the simulation: the user of a voucher has it stamped.
type stamp struct {
	key     string
	user    benefit.UserID
	voucher id.ID
	wrong   wrongStamp

	reason   benefit.Reason
	at       benefit.Instant // of the stamp
	replayed bool
}

// wrongStamp is a way in which stamps are wrong.
type wrongStamp int

const (
	_           wrongStamp = iota
	anyUser                // stamps the vouchers of other users
	unwritten              // writes no operation
	newTime                // answers a retry with the time of the retry
	uncommitted            // answers a retry although the first is not committed
)

const (
	stampKind  benefit.OperationKind = 200
	stampScope benefit.Scope         = "stamp"
	noVoucher                        = benefit.UserNotFound
)

func (c *stamp) keyed() *benefit.Keyed {
	return &benefit.Keyed{Kind: stampKind, Scope: stampScope, Key: c.key, Fingerprint: benefit.FingerprintOf(nil, fmt.Sprint(c.user, c.voucher))}
}

func (c *stamp) Check() error            { return c.keyed().Check() }
func (c *stamp) Size() int               { return 1 }
func (c *stamp) Touches(h *maphash.Hash) { maphash.WriteComparable(h, c.user) }
func (c *stamp) Rows(*benefit.Batch)     {}

func (c *stamp) Names(b *benefit.Batch) {
	c.keyed().Names(b)
	b.WantVoucher(c.voucher)
}

func (c *stamp) Apply(b *benefit.Batch) benefit.Decision {
	op, fresh, reason := c.keyed().Bound(b)
	switch i := b.Voucher(c.voucher); {
	case op != nil:
		at, _ := binary.Varint(op.Result)
		if c.at, c.replayed = benefit.Instant(at), true; c.wrong == newTime {
			c.at = b.Now
		}
		return benefit.Decision{Uncommitted: fresh && c.wrong != uncommitted}
	case reason != benefit.NotRefused:
		c.reason = reason
	case i == nil || i.User != c.user && c.wrong != anyUser:
		c.reason = noVoucher
	default:
		c.at = b.Now
		op := c.keyed().Operation(b, c.voucher, binary.AppendVarint(nil, int64(c.at)))
		if c.wrong == unwritten {
			return benefit.Decision{}
		}
		return benefit.Decision{Effect: &benefit.Effect{Rows: benefit.RowsOf(benefit.Operations.Rows(op))}}
	}
	return benefit.Decision{Uncommitted: fresh, Refused: true}
}

// stampCall is the call of a stamp.
type stampCall struct{ stamp }

func (c *stampCall) Command() benefit.Command { return &c.stamp }

func (c *stampCall) Key() oracle.Key { return oracle.Key{Scope: stampScope, Key: c.key} }

func (c *stampCall) Again() oracle.Call {
	return &stampCall{stamp{key: c.key, user: c.user, voucher: c.voucher, wrong: c.wrong}}
}

func (c *stampCall) String() string {
	return fmt.Sprintf("%s %q of voucher %d for user %d", stampScope, c.key, c.voucher, c.user)
}

func (c *stampCall) Result() string {
	switch {
	case c.replayed:
		return "stamp replayed"
	case c.reason != benefit.NotRefused:
		return "stamp " + c.reason.String()
	}
	return "stamp"
}

func (c *stampCall) Judge(o *oracle.Oracle, now benefit.Instant) error {
	want := c.Again().(*stampCall)
	op, i := o.Operation(c.Key()), o.IssuanceOf(c.voucher)
	switch k := c.keyed(); {
	case op != nil && op.Fingerprint != k.Fingerprint:
		want.reason = benefit.KeyConflict
	case op != nil:
		want.at, want.replayed = op.At, true
	case i == nil || i.User != c.user:
		want.reason = noVoucher
	default:
		want.at = now
		err := o.BookOperation(benefit.Operation{
			Claim: benefit.ClaimIDOf(stampScope, c.key), Kind: stampKind, ID: c.voucher, Scope: stampScope, Key: c.key, Fingerprint: k.Fingerprint,
			At: now, Result: binary.AppendVarint(nil, int64(now)),
		})
		if err != nil {
			return err
		}
	}
	if *c != *want {
		return fmt.Errorf("it should be %+v, and not %+v", *want, *c)
	}
	return nil
}

// stamps returns a generator of stamps that are wrong in a way, or of right ones.
func stamps(wrong wrongStamp) *oracle.Generator {
	return &oracle.Generator{
		Name: "stamp",
		Draw: func(pick func(n int) int, o *oracle.Oracle, key string) oracle.Call {
			c := &stampCall{stamp{key: key, user: 1, wrong: wrong}}
			v, i := o.DrawVoucher(pick)
			if c.voucher = v; i != nil && pick(5) > 0 {
				c.user = i.User
			}
			return c
		},
		Results: []string{"stamp", "stamp replayed", "stamp KEY_CONFLICT", "stamp " + noVoucher.String()},
	}
}

// with makes a generator the only one, until the returned function is called.
func with(g *oracle.Generator) func() {
	before := oracle.Generators
	oracle.Generators = []*oracle.Generator{g}
	return func() { oracle.Generators = before }
}

// A further command goes through everything that the issue goes through.
func TestCommand(t *testing.T) {
	defer with(stamps(0))()
	var all Report
	for seed := range uint64(8) {
		r := run(t, FirstWithCommands+seed, nil)
		all.addResults(&r)
	}
	if missing := all.missingResults(); len(missing) > 0 {
		t.Errorf("no call came to %v", missing)
	}
	t.Log(all.Results)
}

// The simulation finds every way in which a command can be wrong.
func TestWrongCommand(t *testing.T) {
	for wrong := anyUser; wrong <= uncommitted; wrong++ {
		undo := with(stamps(wrong))
		var err error
		for seed := uint64(FirstWithCommands); err == nil && seed < FirstWithCommands+20; seed++ {
			_, err = Run(Config{Seed: seed, Dir: dir(t)})
		}
		undo()
		if err == nil {
			t.Errorf("stamps are wrong in way %d, and no history finds it", wrong)
		}
	}
}

// The histories of other tests have the command as well, and all stores come to the same.
func TestCommandInWorld(t *testing.T) {
	defer with(stamps(0))()
	all := Report{Results: map[string]int{}}
	for seed := range uint64(8) {
		w := storetest.NewWorld(storetest.Seeded(seed))
		one, two := storetest.NewCommitter(memory.New(), w.Catalogue(), seed), storetest.NewCommitter(memory.New(), w.Catalogue(), seed)
		for s, n := w.Setup(), 0; n < 60; s, n = w.Next(), n+1 {
			if err := w.Do(t.Context(), s, one, two); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, n, err)
			}
			for _, c := range s.Calls {
				all.Results[c.Result()]++
			}
		}
	}
	if missing := all.missingResults(); len(missing) > 0 {
		t.Errorf("no call came to %v", missing)
	}
}
