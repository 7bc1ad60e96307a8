package audit

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// operation is what the audit holds of an operation on a voucher, in 120 bytes.
type operation struct {
	claim       benefit.ClaimID
	order       benefit.Digest // a redemption's, if it has one
	voucher     id.ID
	at          benefit.Instant
	value       int64
	orderAmount int64
	discount    int64
	redeemed    int64             // the voucher's, just after
	end         benefit.Instant   // the same
	seen        *benefit.Counters // of a void that returns stock; else nil
	number      int32
	redemption  int32
	template    int32 // short number
	kind        benefit.OperationKind
	status      benefit.VoucherStatus // just after
	flags       operationFlags
}

type operationFlags uint8

const (
	unreadable operationFlags = 1 << iota // nothing is known but claim, voucher, kind and instant
	wrongClaim                            // it does not stand under its key, or not in a scope of its kind
	hasOrder
)

// operationOf returns what is held of a row.
func (c *recount) operationOf(row *benefit.Operation) operation {
	o := operation{claim: row.Claim, voucher: row.ID, kind: row.Kind, at: row.At}
	t, err := benefit.DecodeTransition(row)
	if err != nil {
		o.flags = unreadable
		return o
	}
	scope := benefit.VoucherScope(row.Kind, t.App)
	if row.Kind == benefit.ReverseOperation {
		scope = benefit.ReversalScope(benefit.OperationID{Voucher: row.ID, Number: t.Redemption})
	}
	//guard:TestLives$ row.Scope != scope -> false
	//guard:TestLives$ row.Claim != benefit.ClaimIDOf(row.Scope, row.Key) -> false
	if row.Scope != scope || !benefit.ValidKey(row.Key) || row.Claim != benefit.ClaimIDOf(row.Scope, row.Key) {
		o.flags |= wrongClaim
	}
	if t.Order != "" && row.Kind == benefit.RedeemOperation {
		o.flags |= hasOrder
		o.order = benefit.OrderDigest(c.merchantOf(t.Template), t.Order)
	}
	if row.Kind == benefit.VoidOperation && t.ReturnStock {
		o.seen = &t.Seen
	}
	o.value, o.orderAmount, o.discount, o.redeemed, o.end = t.Value, int64(t.OrderAmount), int64(t.Discount), t.Redeemed, t.End
	o.number, o.redemption, o.template, o.status = small32(t.Number), small32(t.Redemption), c.templates.of(t.Template), t.Status
	return o
}

// merchantOf returns the owner of a template, which is fixed once something was issued; 0 when there is no such template.
func (c *recount) merchantOf(t benefit.TemplateID) benefit.MerchantID {
	if now := c.rules.now.Templates[t]; now != nil {
		return now.Merchant
	}
	return 0
}

func small32(n int64) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

func (o *operation) String() string {
	return fmt.Sprintf("operation %d-%d", o.voucher, o.number)
}

// returns iterates over the voids that return stock. There is one at most, unless rows are wrong.
func (x *life) returns() iter.Seq[*operation] {
	return func(yield func(*operation) bool) {
		for k := range x.operations {
			if o := &x.operations[k]; o.seen != nil && !yield(o) {
				return
			}
		}
	}
}

// operationRows iterates over the operations on vouchers in the order of vouchers and numbers, in bounded memory: their rows
// are in the order of their claims, and they are read once more for each part that does not fit.
func (c *recount) operationRows(ctx context.Context, wanted func(*benefit.Operation) bool) iter.Seq2[operation, error] {
	return func(yield func(operation, error) bool) {
		w := newWindow(c.operationMemory, func(o operation) uint64 { return uint64(o.voucher) })
		for more := true; more; more = w.next() { //guard:TestHealthyLives$ more = w.next() -> more = false
			for row, err := range store.All(ctx, c.r, benefit.Operations) {
				if err != nil {
					yield(operation{}, fmt.Errorf("reading the operations: %w", err))
					return
				}
				if w.holds(uint64(row.ID)) && wanted(&row) {
					w.add(c.operationOf(&row))
				}
			}
			slices.SortFunc(w.rows, func(a, b operation) int {
				return cmp.Or(cmp.Compare(uint64(a.voucher), uint64(b.voucher)), cmp.Compare(a.number, b.number), cmp.Compare(a.at, b.at))
			})
			for _, o := range w.rows {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

// life is what the rows have of a voucher to which something has happened, and what the feed has of its ends.
type life struct {
	voucher    id.ID
	operations []operation                // by number
	entries    []benefit.VoucherOperation // by number
	state      benefit.VoucherState
	hasState   bool
	expired    []expiredEvent // by the number of operations before
}

// changed reports whether something has happened to the voucher other than that its end has passed.
func (x *life) changed() bool { return len(x.operations)+len(x.entries) > 0 || x.hasState }

// lives reads the rows of vouchers to which something has happened, voucher by voucher.
type lives struct {
	operations *source[operation]
	entries    *source[benefit.VoucherOperation]
	states     *source[benefit.VoucherState]
	expired    *source[expiredEvent]
	life       life
}

// allLives reads everything.
func (c *recount) allLives(ctx context.Context) *lives {
	return &lives{
		operations: newSource(c.operationRows(ctx, func(*benefit.Operation) bool { return true })),
		entries:    newSource(store.All(ctx, c.r, benefit.VoucherOperations)),
		states:     newSource(store.All(ctx, c.r, benefit.VoucherStates)),
		expired:    newSource(c.expiredRows(ctx)),
	}
}

// returnedLives reads only the voids that return stock, if there are any.
func (c *recount) returnedLives(ctx context.Context) *lives {
	s := &lives{
		operations: &source[operation]{}, entries: &source[benefit.VoucherOperation]{}, states: &source[benefit.VoucherState]{}, expired: &source[expiredEvent]{},
	}
	if c.returned > 0 {
		s.operations = newSource(c.operationRows(ctx, func(o *benefit.Operation) bool { return o.Kind == benefit.VoidOperation }))
	}
	return s
}

func (s *lives) close() {
	s.operations.close()
	s.entries.close()
	s.states.close()
	s.expired.close()
}

// next returns the next voucher whose id is at most last; nil when there is none. It is valid until the next call.
func (s *lives) next(last id.ID) (*life, error) {
	x := &s.life
	*x = life{voucher: math.MaxInt64, operations: x.operations[:0], entries: x.entries[:0], expired: x.expired[:0]}
	if s.operations.more {
		x.voucher = s.operations.head.voucher
	}
	if s.entries.more {
		x.voucher = min(x.voucher, s.entries.head.Voucher)
	}
	if s.states.more {
		x.voucher = min(x.voucher, s.states.head.Voucher)
	}
	if s.expired.more {
		x.voucher = min(x.voucher, s.expired.head.Voucher)
	}
	if !s.operations.more && !s.entries.more && !s.states.more && !s.expired.more || x.voucher > last {
		return nil, s.err()
	}
	for s.operations.more && s.operations.head.voucher == x.voucher {
		x.operations = append(x.operations, s.operations.head)
		s.operations.advance()
	}
	for s.entries.more && s.entries.head.Voucher == x.voucher {
		x.entries = append(x.entries, s.entries.head)
		s.entries.advance()
	}
	if x.hasState = s.states.more && s.states.head.Voucher == x.voucher; x.hasState {
		x.state = s.states.head
		s.states.advance()
	}
	for s.expired.more && s.expired.head.Voucher == x.voucher {
		x.expired = append(x.expired, s.expired.head)
		s.expired.advance()
	}
	return x, s.err()
}

func (s *lives) err() error {
	return cmp.Or(s.operations.err, s.entries.err, s.states.err, s.expired.err)
}

// upTo iterates over the vouchers that are left with an id of at most last. Each is valid until the next one.
func (s *lives) upTo(last id.ID) iter.Seq2[*life, error] {
	return func(yield func(*life, error) bool) {
		for {
			x, err := s.next(last)
			if err == nil && x == nil || !yield(x, err) || err != nil {
				return
			}
		}
	}
}

// source is an iteration that is read step by step. It ends at an error.
type source[T any] struct {
	head T
	more bool // head is valid
	err  error
	step func() (T, error, bool)
	stop func()
}

func newSource[T any](rows iter.Seq2[T, error]) *source[T] {
	s := &source[T]{}
	s.step, s.stop = iter.Pull2(rows)
	s.advance()
	return s
}

func (s *source[T]) advance() {
	if s.head, s.err, s.more = s.step(); s.err != nil {
		s.more = false
	}
}

func (s *source[T]) close() {
	if s.stop != nil {
		s.stop()
	}
}

// settleOrders compares the rows by which redemptions are found by their orders with the redemptions. Which of them are wrong
// is looked for only when they are not the same altogether.
func (c *recount) settleOrders(ctx context.Context) error {
	var rows bag[benefit.OrderRedemption]
	for row, err := range store.All(ctx, c.r, benefit.OrderRedemptions) {
		if err != nil {
			return fmt.Errorf("reading the redemptions for orders: %w", err)
		}
		rows.add(c.seeds, row)
	}
	if rows == c.orders { //guard:TestLives$ rows == c.orders -> true
		return nil
	}
	group := func(o benefit.OrderRedemption) uint64 { return binary.BigEndian.Uint64(o.Order[:]) }
	order := func(a, b benefit.OrderRedemption) int {
		return cmp.Or(slices.Compare(a.Order[:], b.Order[:]), cmp.Compare(a.Voucher, b.Voucher), cmp.Compare(a.Number, b.Number))
	}
	w := newWindow(c.operationMemory, group)
	for more := true; more; more = w.next() {
		for row, err := range store.All(ctx, c.r, benefit.Operations) {
			if err != nil {
				return fmt.Errorf("reading the operations: %w", err)
			}
			if row.Kind != benefit.RedeemOperation {
				continue
			}
			if o := c.operationOf(&row); o.flags&hasOrder != 0 {
				w.add(o.orderRedemption())
			}
		}
		slices.SortFunc(w.rows, order)
		err := compareRows("redemptions for orders", slices.Values(w.rows), store.All(ctx, c.r, benefit.OrderRedemptions), order,
			func(want, got benefit.OrderRedemption, have sides) error {
				switch {
				case have == countedOnly:
					c.find(Finding{Redemptions, fmt.Sprintf("redemption %s: its order", want.OperationID), "a row by which it is found", "none"})
				case have == rowOnly && w.holds(group(got)):
					c.find(Finding{Redemptions, fmt.Sprintf("redemption %s: an order by which it is found", got.OperationID), "none, by the operations", "a row"})
				case have == both && want.At != got.At:
					c.find(Finding{
						Redemptions, fmt.Sprintf("redemption %s: the instant by which its order is found", got.OperationID),
						fmt.Sprint(int64(want.At)), fmt.Sprint(int64(got.At)),
					})
				}
				return nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *operation) orderRedemption() benefit.OrderRedemption {
	return benefit.OrderRedemption{
		OrderKey: benefit.OrderKey{Order: o.order, OperationID: benefit.OperationID{Voucher: o.voucher, Number: int64(o.number)}}, At: o.at,
	}
}
