package feed

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Event is something that happened to a voucher or a template, as people and programs get it. Numbers beyond 32 bits and money,
// in fen, are decimal text; times are RFC 3339 at +08:00.
type Event struct {
	// ID is unique for ever. That of an issue is VOUCHER-0, of an operation on a voucher the operation's, VOUCHER-N. An event of
	// a template that one of them caused adds what happened: VOUCHER-0-sold_out, with the first voucher of the template that was
	// issued at once, or VOUCHER-N-restocked. One that the catalogue caused is catalogue-VERSION-TEMPLATE-paused, with the
	// number of the template. An end that passes by itself is VOUCHER-N-expired, after N operations on the voucher.
	ID       string `json:"id"`
	Type     string `json:"type"` // see benefit.EventType
	At       string `json:"at"`
	Merchant string `json:"merchant"` // the name in the catalogue
	Template string `json:"template"` // the name in the catalogue
	Position string `json:"position"` // behind the event
	Data     Data   `json:"data"`

	// App is the one that asked for what happened to a voucher; 0: an operator. A key is for no other app.
	App benefit.AppID `json:"-"`
}

// Data is what an event has beside what all have. It never holds a certificate code or an identifier of a person.
type Data struct {
	// Of a voucher. What changes is as it was just after the event.

	Voucher   string `json:"voucher_id,omitzero"`
	Issuance  string `json:"issuance_id,omitzero"`
	User      string `json:"user_id,omitzero"`
	Activity  string `json:"activity,omitzero"` // the name; none: issued without one
	Kind      string `json:"kind,omitzero"`
	Amount    string `json:"amount,omitzero"` // of CASH and REDUCTION
	Status    string `json:"status,omitzero"`
	Redeemed  string `json:"redeemed,omitzero"` // of CASH
	Balance   string `json:"balance,omitzero"`  // of CASH
	ValidFrom string `json:"valid_from,omitzero"`
	ExpiresAt string `json:"expires_at,omitzero"` // the first instant at which it is expired; none: never

	// Of the issue, or of the operation on the voucher.

	App         string `json:"app,omitzero"` // the name; none: an operator
	Key         string `json:"key,omitzero"`
	Value       string `json:"value,omitzero"`         // of CASH: redeemed, or reversed
	Order       string `json:"order,omitzero"`         // redeem
	Shop        string `json:"shop,omitzero"`          // redeem
	OrderAmount string `json:"order_amount,omitzero"`  // redeem
	Discount    string `json:"discount,omitzero"`      // redeem
	Redemption  string `json:"redemption_id,omitzero"` // reverse
	ReturnStock bool   `json:"return_stock,omitzero"`  // void
	Memo        string `json:"memo,omitzero"`          // void

	// Of a template, just after the event.

	Catalogue    string `json:"catalogue,omitzero"` // the version in force
	IssuedCount  string `json:"issued_count,omitzero"`
	IssuedAmount string `json:"issued_amount,omitzero"`
	StockCount   string `json:"stock_count,omitzero"`  // none: unlimited
	StockAmount  string `json:"stock_amount,omitzero"` // none: unlimited
}

// eventOf are the types of the operations' events. Who ends a voucher early has its end pass.
var eventOf = map[benefit.OperationKind]benefit.EventType{
	benefit.RedeemOperation: benefit.VoucherRedeemedEvent, benefit.ReverseOperation: benefit.VoucherReversedEvent,
	benefit.VoidOperation: benefit.VoucherVoidedEvent, benefit.ExtendOperation: benefit.VoucherExtendedEvent,
	benefit.ExpireOperation: benefit.VoucherExpiredEvent,
}

// entry is an event before its data is read.
type entry struct {
	kind     benefit.EventType
	template benefit.TemplateID
	// One of the following is set.
	voucher    *benefit.Voucher // of an issue
	transition *benefit.Transition
	expired    *benefit.ExpiredVoucher // by itself
	ofTemplate *benefit.TemplateEvent

	of    *benefit.Issuance // of the voucher
	cause string            // of ofTemplate: the first part of the id
}

// entriesOf returns the events of a commit in order. That of a template comes behind what caused it.
func entriesOf(c *store.Commit) (all []entry, err error) {
	for k := range c.Steps {
		s := &c.Steps[k]
		var issued []benefit.Voucher
		if s.Issuance != nil {
			issued = s.Vouchers()
		}
		for n := range issued {
			v := &issued[n]
			all = append(all, entry{kind: benefit.VoucherIssuedEvent, template: v.Template, voucher: v, of: s.Issuance})
		}
		operation := ""
		if s.Operation != nil {
			t, err := benefit.DecodeTransition(s.Operation)
			if err != nil {
				return nil, err
			}
			kind, known := eventOf[t.Kind]
			if !known {
				return nil, fmt.Errorf("%w: operation %s is a %v", store.ErrDamaged, t.OperationID, t.Kind)
			}
			all = append(all, entry{kind: kind, template: t.Template, transition: &t})
			operation = t.OperationID.String()
		}
		for n := range s.Expired {
			e := &s.Expired[n]
			all = append(all, entry{kind: benefit.VoucherExpiredEvent, template: e.Template, expired: e})
		}
		for n := range s.Templates {
			e := &s.Templates[n]
			cause := fmt.Sprintf("catalogue-%d-%d", e.Catalogue, e.Template)
			if own := slices.IndexFunc(issued, func(v benefit.Voucher) bool { return v.Template == e.Template }); own >= 0 {
				cause = benefit.OperationID{Voucher: issued[own].ID}.String()
			} else if operation != "" {
				cause = operation
			}
			all = append(all, entry{kind: e.Type, template: e.Template, ofTemplate: e, cause: cause})
		}
	}
	return all, nil
}

// id returns the id of the event.
func (e *entry) id() string {
	switch {
	case e.voucher != nil:
		return benefit.OperationID{Voucher: e.voucher.ID}.String()
	case e.transition != nil:
		return e.transition.OperationID.String()
	case e.expired != nil:
		return benefit.OperationID{Voucher: e.expired.Voucher, Number: e.expired.Operations}.String() + "-expired"
	}
	_, what, _ := strings.Cut(e.kind.String(), ".")
	return e.cause + "-" + what
}

// at returns when it happened, in a commit of an instant.
func (e *entry) at(now benefit.Instant) benefit.Instant {
	switch {
	case e.voucher != nil:
		return e.voucher.IssuedAt
	case e.transition != nil:
		return e.transition.At
	case e.expired != nil:
		return e.expired.End
	}
	return now
}

// issued returns the data of a voucher's issue, without names.
func (e *entry) issued() Data {
	v := e.voucher
	return voucherData(v, v.StatusAt(v.IssuedAt), v.Redeemed, v.End())
}

// operated returns the data of an operation on a voucher, without names.
func (e *entry) operated(v *benefit.Voucher) Data {
	t := e.transition
	d := voucherData(v, t.StatusAfter(), t.Redeemed, t.End)
	d.Key, d.Order, d.Shop, d.OrderAmount, d.Memo, d.ReturnStock = t.Key, t.Order, t.Shop, optional(int64(t.OrderAmount)), t.Memo, t.ReturnStock
	if t.Kind == benefit.RedeemOperation {
		d.Discount = number(int64(t.Discount))
	}
	if t.Redemption != 0 {
		d.Redemption = benefit.OperationID{Voucher: v.ID, Number: t.Redemption}.String()
	}
	if v.Kind == benefit.Cash {
		d.Value = optional(t.Value)
	}
	return d
}

// voucherData returns the data of a voucher with what may change.
func voucherData(v *benefit.Voucher, status benefit.VoucherStatus, redeemed int64, end benefit.Instant) Data {
	d := Data{
		Voucher: number(int64(v.ID)), Issuance: number(int64(v.Issuance)), User: number(int64(v.User)), Kind: v.Kind.String(),
		Status: status.String(), ValidFrom: v.Valid.Start.RFC3339(), ExpiresAt: end.RFC3339(),
	}
	switch v.Kind {
	case benefit.Cash:
		d.Amount, d.Redeemed, d.Balance = number(int64(v.Amount)), number(redeemed), number(v.Value()-redeemed)
	case benefit.Reduction:
		d.Amount = number(int64(v.Amount))
	}
	return d
}

// templateData returns the data of a template's event.
func templateData(e *benefit.TemplateEvent) Data {
	return Data{
		Catalogue: number(e.Catalogue), IssuedCount: number(e.Count), IssuedAmount: number(e.Amount),
		StockCount: limit(e.Stock.Count), StockAmount: limit(e.Stock.Amount),
	}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// optional leaves out what is 0, which is absent.
func optional(n int64) string {
	if n == 0 {
		return ""
	}
	return number(n)
}

func limit(c benefit.Cap) string {
	if c == benefit.Unlimited {
		return ""
	}
	return number(int64(c))
}
