package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"

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
	s := voucherSearch{VoucherQuery: q, ctx: ctx, store: d.Store, formatter: formatter{cat: d.Engine.Catalogue(), unmasked: q.Unmasked}}
	list, err := s.list()
	if err != nil {
		return nil, err
	}
	page, err := d.page(ctx, s.formatter, list, q)
	if err == nil && len(page.Vouchers) == 0 {
		return nil, ErrNotFound
	}
	if err == nil {
		page.Operation = s.operation
	}
	return page, err
}

// page returns the page of a list that a query asks for with its Since, Limit and Cursor.
func (d *Service) page(ctx context.Context, t formatter, list vouchers.List, q *VoucherQuery) (*VoucherPage, error) {
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
	found, next, err := list.Page(ctx, d.Store, vouchers.Bounds{
		Before: before, Limit: min(limit, MaxPage),
		Match: func(v *benefit.Voucher) bool { return v.IssuedAt >= q.Since }, //guard:TestQueryVouchers v.IssuedAt >= q.Since -> true
	})
	if err != nil {
		return nil, err
	}
	page := &VoucherPage{Vouchers: []*Voucher{}}
	now := d.now()
	for k := range found {
		v := &found[k]
		page.Vouchers = append(page.Vouchers, t.voucher(&v.Voucher, now).of(t, v.Of))
	}
	if next != 0 {
		page.Next = next.String()
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
}

// list returns the vouchers of the query.
func (s *voucherSearch) list() (list vouchers.List, err error) {
	switch {
	case s.Voucher != "":
		v, err := voucherID(s.Voucher)
		return vouchers.These(v), err
	case s.Code != "":
		return vouchers.WithCode(s.Code), nil
	case s.Key != "":
		return s.underKey()
	case s.Order != "":
		return s.forOrder()
	case s.User != "":
		u, err := userNamed(s.ctx, s.store, s.cat, s.User)
		return vouchers.OfUser(u), err
	case s.Template != "":
		t, err := templateNamed(s.cat, s.Template)
		if err != nil {
			return list, err
		}
		return vouchers.OfTemplate(t.ID), nil
	case s.Trace != "":
		return s.traced()
	}
	return list, errors.New("a query must select vouchers by something")
}

// underKey returns the vouchers that were issued under a key, or the voucher of the operation under it.
func (s *voucherSearch) underKey() (none vouchers.List, err error) {
	var scope benefit.Scope
	switch s.Command {
	case benefit.IssueOperation:
		if scope, err = s.Scope.of(s.cat); err != nil {
			return none, err
		}
		i, err := s.store.Claim(s.ctx, scope, s.Key)
		return vouchers.InIssuance(i), err
	case benefit.ReverseOperation:
		redemption, err := redemptionID(s.Redemption)
		if err != nil {
			return none, err
		}
		scope = benefit.ReversalScope(redemption)
	default:
		var app benefit.AppID
		if s.Scope.App != "" {
			a, err := appByName(s.cat, s.Scope.App)
			if err != nil {
				return none, err
			}
			app = a.ID
		}
		scope = benefit.VoucherScope(s.Command, app)
	}
	t, ok, err := vouchers.UnderKey(s.ctx, s.store, scope, s.Key)
	if !ok || err != nil {
		return vouchers.These(), err
	}
	v, err := vouchers.Get(s.ctx, s.store, t.Voucher)
	if err == nil && v == nil {
		err = fmt.Errorf("%w: voucher %d of an operation is missing", store.ErrDamaged, t.Voucher)
	}
	if err != nil {
		return none, err
	}
	entry, _, err := store.Get(s.ctx, s.store, benefit.VoucherOperations, t.OperationID)
	s.operation = s.formatter.operation(&v.Voucher, &t, entry.Reversed)
	return vouchers.These(v.ID), err
}

// forOrder returns the vouchers that were redeemed for an order of the merchant, or of any.
func (s *voucherSearch) forOrder() (none vouchers.List, err error) {
	var merchants []benefit.MerchantID
	for m, merchant := range s.cat.Merchants {
		if s.Merchant == "" || merchant.Name == s.Merchant {
			merchants = append(merchants, m)
		}
	}
	if len(merchants) == 0 && s.Merchant != "" {
		return none, fmt.Errorf("there is no merchant %q", s.Merchant)
	}
	return vouchers.ForOrder(s.ctx, s.store, s.Order, merchants...)
}

// traced returns the vouchers of the calls with a trace id of their caller, or of the call whose answer had it.
func (s *voucherSearch) traced() (vouchers.List, error) {
	if v, ok := gateway.VoucherOf(s.Trace); ok {
		if i, err := s.store.IssuanceOf(s.ctx, v); i != nil || err != nil {
			return vouchers.InIssuance(i), err
		}
	}
	return vouchers.WithTrace(keptTrace(s.Trace)), nil
}
