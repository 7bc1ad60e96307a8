package api

import (
	"cmp"
	"strconv"

	"faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/vouchers"
)

// Voucher is a voucher as the API shows it.
type Voucher struct {
	ID             string      `json:"id"`
	Template       Template    `json:"template"`
	Merchant       string      `json:"merchant"`
	Kind           string      `json:"kind"`
	Status         string      `json:"status"`
	NotYetValid    bool        `json:"not_yet_valid"`
	Face           *Face       `json:"face,omitzero"`
	Amount         string      `json:"amount,omitzero"`  // of CASH and REDUCTION
	Balance        string      `json:"balance,omitzero"` // of CASH
	ValidFrom      string      `json:"valid_from,omitzero"`
	ExpiresAt      string      `json:"expires_at,omitzero"` // without it: never
	Code           string      `json:"code,omitzero"`
	IssuedAt       string      `json:"issued_at"`
	ChangedAt      string      `json:"changed_at"`
	OperationCount string      `json:"operation_count"`
	Operations     []Operation `json:"operations,omitzero"` // the latest, where the story is asked for
}

// Template names the template of a voucher, with its ids on the wires.
type Template struct {
	Name       string `json:"name"`
	Title      string `json:"title,omitzero"`
	TemplateID string `json:"template_id,omitzero"`
	RightID    string `json:"right_id,omitzero"`
	OutID      string `json:"out_id,omitzero"`
}

// Face is what a REDUCTION, DISCOUNT or FIXED_PRICE voucher is worth.
type Face struct {
	Reduction string `json:"reduction,omitzero"`
	Threshold string `json:"threshold,omitzero"`
	Percent   int64  `json:"percent,omitzero"`
	Ceiling   string `json:"ceiling,omitzero"`
	Price     string `json:"price,omitzero"`
}

// Operation is what was done to a voucher. It never changes.
type Operation struct {
	ID          string `json:"id"`
	VoucherID   string `json:"voucher_id"`
	Command     string `json:"command"`
	At          string `json:"at"`
	App         string `json:"app,omitzero"` // without it: an operator
	Key         string `json:"key,omitzero"` // the caller's own
	Order       string `json:"order,omitzero"`
	Shop        string `json:"shop,omitzero"`
	OrderAmount string `json:"order_amount,omitzero"`
	Amount      string `json:"amount,omitzero"` // of CASH: redeemed or reversed
	Discount    string `json:"discount,omitzero"`
	Redemption  string `json:"redemption_id,omitzero"`
	ReturnStock bool   `json:"return_stock,omitzero"`
	Memo        string `json:"memo,omitzero"`
	Status      string `json:"status"`           // of the voucher, just after and at that time
	Balance     string `json:"balance,omitzero"` // of CASH, just after
	ExpiresAt   string `json:"expires_at,omitzero"`
}

// voucher returns what the API shows of a voucher of the caller's merchant. The code is masked unless the caller named it. The
// clock that ended the voucher may be ahead of ours.
func (c *call) voucher(v *benefit.Voucher, code string) *Voucher {
	t := c.cat.Templates[v.Template]
	now := max(c.now, v.LastChange()) //guard:TestTheClockOfTheStore max(c.now, v.LastChange()) -> c.now
	shown := &Voucher{
		ID: v.ID.String(), Kind: v.Kind.String(), Status: v.StatusAt(now).String(), NotYetValid: v.Valid.StartsAfter(now),
		ValidFrom: v.Valid.Start.RFC3339(), ExpiresAt: v.End().RFC3339(), IssuedAt: v.IssuedAt.RFC3339(),
		ChangedAt:      cmp.Or(v.ChangedAt, v.IssuedAt).RFC3339(),
		OperationCount: strconv.FormatInt(v.Operations, 10),
		Template: Template{
			Name: t.Name, Title: t.Title, TemplateID: t.TemplateID, RightID: optionalInt(t.RightID), OutID: optionalInt(t.OutID),
		},
	}
	if m := c.cat.Merchants[t.Merchant]; m != nil {
		shown.Merchant = m.Name
	}
	switch v.Kind {
	case benefit.Cash:
		shown.Amount, shown.Balance = fenText(v.Amount), fenText(money.Fen(v.Balance()))
	case benefit.Reduction:
		shown.Amount = fenText(v.Amount)
	}
	if f := v.Face; f != (benefit.Face{}) {
		shown.Face = &Face{optionalFen(f.Reduction), optionalFen(f.Threshold), f.Percent, optionalFen(f.Ceiling), optionalFen(f.Price)}
	}
	if shown.Code = v.Code; v.Code != code {
		shown.Code = vouchers.MaskCode(v.Code) //guard:TestCodesAreMasked
	}
	return shown
}

// operation returns what the API shows of an operation on a voucher. It depends on nothing that changes, so that a retry
// gets the body of the first answer.
func (c *call) operation(t *benefit.Transition, v *benefit.Voucher) *Operation {
	o := &Operation{
		ID: t.OperationID.String(), VoucherID: v.ID.String(), Command: t.Kind.String(), At: t.At.RFC3339(),
		Order: t.Order, Shop: t.Shop, OrderAmount: optionalFen(t.OrderAmount), ReturnStock: t.ReturnStock, Memo: t.Memo,
		Status: t.StatusAfter().String(), ExpiresAt: t.End.RFC3339(),
	}
	if a := c.cat.Apps[t.App]; a != nil {
		o.App = a.Name
	}
	if t.App == c.app.ID { //guard:TestStory
		o.Key = t.Key
	}
	if t.Kind == benefit.RedeemOperation {
		o.Discount = fenText(t.Discount)
	}
	if t.Redemption != 0 {
		o.Redemption = benefit.OperationID{Voucher: v.ID, Number: t.Redemption}.String()
	}
	if v.Kind == benefit.Cash {
		o.Balance = fenText(money.Fen(v.Value() - t.Redeemed))
		if t.Value != 0 {
			o.Amount = fenText(money.Fen(t.Value))
		}
	}
	return o
}

func fenText(f money.Fen) string { return strconv.FormatInt(int64(f), 10) }

// optionalFen and optionalInt leave out what is 0, which is absent.
func optionalFen(f money.Fen) string { return optionalInt(int64(f)) }

func optionalInt(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
