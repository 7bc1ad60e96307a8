package vouchers

import (
	"context"
	"fmt"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/table"
)

// Voucher is a voucher as it stands, and the issuance that holds it.
type Voucher struct {
	benefit.Voucher
	Of *benefit.Issuance
}

// Get returns a voucher; nil when there is none.
func Get(ctx context.Context, from store.Lookup, voucher id.ID) (*Voucher, error) {
	i, err := from.IssuanceOf(ctx, voucher)
	if i == nil || err != nil {
		return nil, err
	}
	v, _ := i.Voucher(voucher) // it was issued: see IssuanceOf
	all := []Voucher{{v, i}}
	return &all[0], Refresh(ctx, from, all)
}

// Issued returns the vouchers of an issuance as they stand, in the order of their ids.
func Issued(ctx context.Context, from store.Lookup, i *benefit.Issuance) ([]Voucher, error) {
	issued := i.Vouchers()
	all := make([]Voucher, len(issued))
	for k := range issued {
		all[k] = Voucher{issued[k], i}
	}
	return all, Refresh(ctx, from, all)
}

// Refresh sets vouchers to how they stand.
func Refresh(ctx context.Context, from store.Lookup, all []Voucher) error {
	ids := make([]id.ID, len(all))
	for k := range all {
		ids[k] = all[k].ID
	}
	states, err := store.GetAll(ctx, from, benefit.VoucherStates, ids...)
	for k := range all {
		all[k].Voucher = all[k].With(states[all[k].ID])
	}
	return err
}

// MaskCode masks a certificate code up to its last four characters, or all of it when it has fewer than eight.
func MaskCode(code string) string { return Mask(code, 0, 4) }

// Mask masks a text except for its first and last characters, or all of it when it has fewer than twice as many.
func Mask(text string, first, last int) string {
	r := []rune(text)
	if len(r) < 2*(first+last) {
		return strings.Repeat("*", len(r))
	}
	return string(r[:first]) + strings.Repeat("*", len(r)-first-last) + string(r[len(r)-last:])
}

// Operation is an operation that was carried out on a voucher.
type Operation struct {
	benefit.Transition
	// Reversed is what later operations gave back of what a redemption took; see Transition.Value.
	Reversed int64
}

// MaxOperations is how many operations of one voucher are read. Few vouchers have more than three.
const MaxOperations = 1000

// Operations returns the operations on a voucher, the oldest first: those that v counts, or the newest MaxOperations of
// them. The error is store.ErrDamaged when one of them is not there.
func Operations(ctx context.Context, from store.Lookup, v *benefit.Voucher) ([]Operation, error) {
	first := max(1, v.Operations-MaxOperations+1)
	keys := make([]benefit.OperationID, 0, v.Operations-first+1)
	for n := first; n <= v.Operations; n++ {
		keys = append(keys, benefit.OperationID{Voucher: v.ID, Number: n})
	}
	entries, err := store.GetAll(ctx, from, benefit.VoucherOperations, keys...)
	if err != nil {
		return nil, err
	}
	claims := make([]benefit.ClaimID, len(keys))
	for k := range keys {
		claims[k] = entries[keys[k]].Claim
	}
	operations, err := store.GetAll(ctx, from, benefit.Operations, claims...)
	if err != nil {
		return nil, err
	}
	all := make([]Operation, 0, len(keys))
	for k := range keys {
		op, ok := operations[claims[k]]
		if !ok { //guard:TestMissingOperation
			return nil, fmt.Errorf("%w: operation %s is missing", store.ErrDamaged, keys[k])
		}
		t, err := benefit.DecodeTransition(&op)
		if err != nil {
			return nil, err
		}
		all = append(all, Operation{Transition: t})
		// The entry may count reversals that came after v was read, so they are counted here.
		//guard:TestMaxOperations without redemption >= 0
		if redemption := t.Redemption - first; t.Kind == benefit.ReverseOperation && redemption >= 0 {
			all[redemption].Reversed += t.Value
		}
	}
	return all, nil
}

// UnderKey returns the operation on a voucher that stands under a key: see benefit.VoucherScope and benefit.ReversalScope. It
// reports whether there is one.
func UnderKey(ctx context.Context, from store.Lookup, scope benefit.Scope, key string) (t benefit.Transition, ok bool, err error) {
	op, ok, err := store.Get(ctx, from, benefit.Operations, benefit.ClaimIDOf(scope, key))
	if !ok || err != nil {
		return t, false, err
	}
	t, err = benefit.DecodeTransition(&op)
	return t, err == nil, err
}

// MaxOfOrder is how many redemptions for one order are read.
const MaxOfOrder = 1000

// OfOrder returns the redemptions for an order of a merchant, by voucher and number, also those that were reversed since: the
// first MaxOfOrder of them.
func OfOrder(ctx context.Context, from store.Finder, m benefit.MerchantID, order string) ([]benefit.OrderRedemption, error) {
	digest := benefit.OrderDigest(m, order)
	return store.Under(ctx, from, benefit.OrderRedemptions, MaxOfOrder, table.Datum{Bytes: digest[:]})
}
