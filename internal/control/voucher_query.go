package control

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/vouchers"
)

// QueryVouchers finds vouchers: see the method of Service.
var QueryVouchers = newCall("/vouchers", "", (*Service).QueryVouchers)

// VoucherQuery selects vouchers. Exactly one of Voucher, Code, Key, User, Template, Trace and Order is set.
type VoucherQuery struct {
	Voucher string `json:",omitempty"` // its id, or its voucher_id of 28 digits
	Code    string `json:",omitempty"` // of a certificate

	// Key is that of a command. Scope names the scope of an issue; of other commands it has the app, or nothing for the operator.
	Key        string `json:",omitempty"`
	Command    benefit.OperationKind
	Scope      ScopeName
	Redemption string `json:",omitempty"` // that a Key of a reversal reverses

	User     string `json:",omitempty"` // the name, the number, or an identifier: see identifierNamed
	Template string `json:",omitempty"` // the name, or the template_id
	Trace    string `json:",omitempty"` // the trace id that the caller of the issue sent
	Order    string `json:",omitempty"` // that it was redeemed for
	Merchant string `json:",omitempty"` // of the Order; "": any

	Since    benefit.Instant // only vouchers that were issued then or later
	Limit    int             // the maximum number of vouchers; 0 is 20
	Cursor   string          `json:",omitempty"` // the Next of the page before
	Unmasked bool            // do not mask codes and identifiers of people
}

// VoucherPage is a page of vouchers, the newest first.
type VoucherPage struct {
	Operation *Operation `json:"operation,omitzero"` // under the key of a command
	Vouchers  []*Voucher `json:"vouchers"`
	Next      string     `json:"next,omitzero"` // the cursor of the next page; none: this is the last one
}

// MaxPage is the largest page, in vouchers.
const MaxPage = 1000

// QueryVouchers returns the newest vouchers that a query selects, as they stand; ErrNotFound when there are none.
func (d *Service) QueryVouchers(ctx context.Context, q *VoucherQuery) (*VoucherPage, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 20
	}
	before := id.ID(0)
	if q.Cursor != "" {
		n, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("%q is not a cursor of an earlier page", q.Cursor)
		}
		before = id.ID(n)
	}
	s := voucherSearch{VoucherQuery: q, ctx: ctx, store: d.Store, formatter: formatter{cat: d.Engine.Catalogue(), unmasked: q.Unmasked}}
	newest, err := s.newest(before)
	if err != nil {
		return nil, err
	}
	found, next, err := vouchers.Page(ctx, d.Store, newest, before, min(limit, MaxPage), func(v *benefit.Voucher) bool {
		return v.IssuedAt >= q.Since && s.match(v) //guard:TestQueryVouchers without v.IssuedAt >= q.Since
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	page := &VoucherPage{Operation: s.operation}
	now := d.now()
	for k := range found {
		v := &found[k]
		page.Vouchers = append(page.Vouchers, s.voucher(&v.Voucher, now).of(s.formatter, v.Of))
	}
	if next != 0 {
		page.Next = idText(next)
	}
	return page, nil
}

// voucherSearch carries out a query.
type voucherSearch struct {
	*VoucherQuery
	formatter
	ctx       context.Context
	store     store.Store
	operation *Operation
	match     func(*benefit.Voucher) bool
}

// newest returns issuances with the vouchers of the query, the newest first, and sets match to which ones these are.
func (s *voucherSearch) newest(before id.ID) (iter.Seq2[*benefit.Issuance, error], error) {
	s.match = func(*benefit.Voucher) bool { return true }
	switch {
	case s.Voucher != "":
		v, err := voucherID(s.Voucher)
		return s.these(v), err
	case s.Code != "":
		v, err := vouchers.WithCode(s.ctx, s.store, s.Code)
		if v == nil || err != nil {
			return s.these(), err
		}
		return s.these(v.ID), nil
	case s.Key != "":
		return s.underKey()
	case s.Order != "":
		return s.ofOrder()
	case s.User != "":
		u, err := s.user()
		if u == nil || err != nil {
			return s.these(), err
		}
		return s.store.RecentIssuances(s.ctx, u.ID, before), nil
	case s.Template != "":
		t, err := templateNamed(s.cat, s.Template)
		if err != nil {
			return nil, err
		}
		s.match = func(v *benefit.Voucher) bool { return v.Template == t.ID } //guard:TestQueryVouchers
		return s.store.RecentOfTemplate(s.ctx, t.ID, before), nil
	case s.Trace != "":
		return s.traced(before)
	}
	return nil, errors.New("a query must select vouchers by something")
}

// these returns the issuances of certain vouchers, without those that do not exist.
func (s *voucherSearch) these(ids ...id.ID) iter.Seq2[*benefit.Issuance, error] {
	named := make(map[id.ID]bool, len(ids))
	for _, v := range ids {
		named[v] = true
	}
	s.match = func(v *benefit.Voucher) bool { return named[v.ID] }
	return func(yield func(*benefit.Issuance, error) bool) {
		last := id.ID(0)
		for _, v := range slices.Backward(slices.Sorted(maps.Keys(named))) {
			i, err := s.store.IssuanceOf(s.ctx, v)
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

// underKey returns the issuance under a key, or that of the voucher of the operation under it.
func (s *voucherSearch) underKey() (iter.Seq2[*benefit.Issuance, error], error) {
	var scope benefit.Scope
	var err error
	switch s.Command {
	case benefit.IssueOperation:
		if scope, err = s.Scope.of(s.cat); err != nil {
			return nil, err
		}
		i, err := s.store.Claim(s.ctx, scope, s.Key)
		return func(yield func(*benefit.Issuance, error) bool) {
			if i != nil {
				yield(i, nil)
			}
		}, err
	case benefit.ReverseOperation:
		redemption, err := redemptionID(s.Redemption)
		if err != nil {
			return nil, err
		}
		scope = benefit.ReversalScope(redemption)
	default:
		var app benefit.AppID
		if s.Scope.App != "" {
			a, err := appByName(s.cat, s.Scope.App)
			if err != nil {
				return nil, err
			}
			app = a.ID
		}
		scope = benefit.VoucherScope(s.Command, app)
	}
	t, ok, err := vouchers.UnderKey(s.ctx, s.store, scope, s.Key)
	if !ok || err != nil {
		return s.these(), err
	}
	v, err := vouchers.Get(s.ctx, s.store, t.Voucher)
	if err == nil && v == nil {
		err = fmt.Errorf("%w: voucher %d of an operation is missing", store.ErrDamaged, t.Voucher)
	}
	if err != nil {
		return nil, err
	}
	entry, _, err := store.Get(s.ctx, s.store, benefit.VoucherOperations, t.OperationID)
	s.operation = s.formatter.operation(&v.Voucher, &t, entry.Reversed)
	return s.these(v.ID), err
}

// ofOrder returns the issuances of vouchers that were redeemed for an order, also of those that were given back since.
func (s *voucherSearch) ofOrder() (iter.Seq2[*benefit.Issuance, error], error) {
	r, err := s.store.Read(s.ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var ids []id.ID
	known := false
	for m, merchant := range s.cat.Merchants {
		if s.Merchant != "" && merchant.Name != s.Merchant {
			continue
		}
		known = true
		redemptions, err := vouchers.OfOrder(s.ctx, r, m, s.Order)
		if err != nil {
			return nil, err
		}
		for _, o := range redemptions {
			ids = append(ids, o.Voucher)
		}
	}
	if !known && s.Merchant != "" {
		return nil, fmt.Errorf("there is no merchant %q", s.Merchant)
	}
	return s.these(ids...), nil
}

// traced returns the issuances with a trace id of their caller, and the one whose answer had it.
func (s *voucherSearch) traced(before id.ID) (iter.Seq2[*benefit.Issuance, error], error) {
	if v, ok := gateway.VoucherOf(s.Trace); ok {
		i, err := s.store.IssuanceOf(s.ctx, v)
		if i != nil || err != nil {
			return func(yield func(*benefit.Issuance, error) bool) { yield(i, err) }, nil
		}
	}
	return s.store.RecentOfTrace(s.ctx, keptTrace(s.Trace), before), nil
}

// user returns the user with the operator's handle, an identifier or a number; nil when there is none.
func (s *voucherSearch) user() (*benefit.User, error) {
	if strings.Contains(s.User, ":") {
		i, err := identifierNamed(s.cat, s.User)
		if err != nil {
			return nil, fmt.Errorf("the user %w", err)
		}
		return s.store.Recipient(s.ctx, i)
	}
	r, err := s.store.Read(s.ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	u, err := r.UserByName(s.ctx, s.User)
	if u != nil || err != nil {
		return u, err
	}
	n, err := strconv.ParseInt(s.User, 10, 64)
	if err != nil {
		return nil, nil // it is a name that no user has
	}
	return r.User(s.ctx, benefit.UserID(n))
}
