package vouchers

import (
	"context"
	"iter"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// List is a selection of vouchers, whose pages are read with Page.
type List struct {
	// newest returns the issuances that may hold its vouchers, the newest first; with before unless 0 only those that hold
	// vouchers with a smaller id.
	newest func(ctx context.Context, from store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error]
	match  func(*benefit.Voucher) bool // nil: all vouchers of the issuances
}

// The following return lists of vouchers.

// These are vouchers by their ids.
func These(ids ...id.ID) List {
	named := make(map[id.ID]bool, len(ids))
	for _, v := range ids {
		named[v] = true
	}
	newest := func(ctx context.Context, from store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return func(yield func(*benefit.Issuance, error) bool) {
			last := id.ID(0)
			for _, v := range slices.Backward(slices.Sorted(maps.Keys(named))) {
				if before != 0 && v >= before {
					continue
				}
				i, err := from.IssuanceOf(ctx, v)
				if err == nil && (i == nil || i.ID == last) {
					continue
				}
				if !yield(i, err) || err != nil {
					return
				}
				last = i.ID
			}
		}
	}
	return List{newest, func(v *benefit.Voucher) bool { return named[v.ID] }}
}

// InIssuance are the vouchers of an issuance; nil has none.
func InIssuance(i *benefit.Issuance) List {
	return List{newest: func(context.Context, store.Finder, id.ID) iter.Seq2[*benefit.Issuance, error] { return one(i, nil) }}
}

// one iterates over an issuance, which may be nil, or over an error.
func one(i *benefit.Issuance, err error) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		if i != nil || err != nil {
			yield(i, err)
		}
	}
}

// WithCode is the voucher with a certificate code.
func WithCode(code string) List {
	newest := func(ctx context.Context, from store.Finder, _ id.ID) iter.Seq2[*benefit.Issuance, error] {
		return one(from.Claim(ctx, benefit.CodeScope, code))
	}
	return List{newest, func(v *benefit.Voucher) bool { return v.Code == code }} //guard:TestWithCode func(v *benefit.Voucher) bool { return v.Code == code } -> nil
}

// OfUser are the vouchers of a user; nil has none.
func OfUser(u *benefit.User) List {
	if u == nil {
		return InIssuance(nil)
	}
	return List{newest: func(ctx context.Context, from store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return from.RecentIssuances(ctx, u.ID, before)
	}}
}

// OfTemplate are the vouchers of a template.
func OfTemplate(t benefit.TemplateID) List {
	newest := func(ctx context.Context, from store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return from.RecentOfTemplate(ctx, t, before)
	}
	return List{newest, func(v *benefit.Voucher) bool { return v.Template == t }} //guard:internal/control.TestQueryVouchers func(v *benefit.Voucher) bool { return v.Template == t } -> nil
}

// WithTrace are the vouchers of calls that had the trace id.
func WithTrace(traceID string) List {
	return List{newest: func(ctx context.Context, from store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return from.RecentOfTrace(ctx, traceID, before)
	}}
}

// ForOrder returns the vouchers that were redeemed for an order of one of the merchants, also those whose redemption was
// reversed since; see MaxOfOrder.
func ForOrder(ctx context.Context, from store.Finder, order string, merchants ...benefit.MerchantID) (List, error) {
	var ids []id.ID
	for _, m := range merchants {
		redemptions, err := OfOrder(ctx, from, m, order)
		if err != nil {
			return List{}, err
		}
		for _, o := range redemptions {
			ids = append(ids, o.Voucher)
		}
	}
	return These(ids...), nil
}

// Bounds limit a page.
type Bounds struct {
	Before id.ID // unless 0, only vouchers with a smaller id
	Limit  int   // the maximum number of vouchers
	// Looked is the maximum number of issuances that are read for the page; 0: any number. A page that needs more ends
	// early.
	Looked int
	// Match selects the vouchers as they were issued.
	Match func(*benefit.Voucher) bool
}

// Page returns the newest vouchers of the list within the bounds, the newest first, as they stand. There may be more when
// next is not 0: then it is the Before of the next page.
func (l List) Page(ctx context.Context, from store.Finder, b Bounds) (page []Voucher, next id.ID, err error) {
	last, looked := id.ID(0), 0
	for i, err := range l.newest(ctx, from, b.Before) {
		if err != nil {
			return nil, 0, err
		}
		if b.Looked != 0 && looked == b.Looked { //guard:internal/api.TestListsLookAtSoMany
			return page, last, Refresh(ctx, from, page)
		}
		last, looked = i.ID, looked+1
		for _, v := range slices.Backward(i.Vouchers()) {
			if b.Before != 0 && v.ID >= b.Before || l.match != nil && !l.match(&v) || !b.Match(&v) { //guard:TestPage without b.Before != 0 && v.ID >= b.Before
				continue
			}
			if len(page) == b.Limit {
				return page, page[b.Limit-1].ID, Refresh(ctx, from, page)
			}
			page = append(page, Voucher{v, i})
		}
	}
	return page, 0, Refresh(ctx, from, page)
}
