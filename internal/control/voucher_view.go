package control

import (
	"strconv"

	"faquan/internal/benefit"
	"faquan/internal/vouchers"
)

// Voucher is a voucher in a form for people: with names of the catalogue, ids as texts, amounts in fen, times at +08:00. An
// end is the last second of the validity, as in catalogue files.
type Voucher struct {
	ID         string       `json:"id"`
	LongID     string       `json:"voucher_id"` // of 28 digits, as the Alipay gateway shows it
	Template   string       `json:"template"`
	Kind       string       `json:"kind"`
	Status     string       `json:"status"`               // now
	NotStarted bool         `json:"not_started,omitzero"` // its validity has not begun
	Amount     int64        `json:"amount,omitzero"`      // of CASH and REDUCTION
	Balance    *int64       `json:"balance,omitzero"`     // of CASH
	Face       benefit.Face `json:"face,omitzero"`
	Code       string       `json:"code,omitzero"`
	User       string       `json:"user"`
	IssuedAt   string       `json:"issued_at"`
	Start      string       `json:"start,omitzero"`
	End        string       `json:"end,omitzero"`        // as extended or ended early
	Operations int64        `json:"operations,omitzero"` // how many there were
	ChangedAt  string       `json:"changed_at,omitzero"` // by the last operation

	// Of the issuance; not in the result of a command.

	App         string    `json:"app,omitzero"`
	Scope       ScopeName `json:"scope,omitzero"`
	Key         string    `json:"key,omitzero"`
	Recipient   string    `json:"recipient,omitzero"` // as sent
	CallerTrace string    `json:"caller_trace,omitzero"`
}

// Operation is an operation on a voucher, in the form of a Voucher.
type Operation struct {
	ID          string `json:"id"`
	Command     string `json:"command"`
	At          string `json:"at"`
	App         string `json:"app,omitzero"` // none: the operator
	Key         string `json:"key"`
	Order       string `json:"order,omitzero"`
	Shop        string `json:"shop,omitzero"`
	OrderAmount int64  `json:"order_amount,omitzero"`
	Discount    int64  `json:"discount,omitzero"`
	Amount      int64  `json:"amount,omitzero"`          // redeemed or reversed, of CASH
	Redemption  string `json:"redemption,omitzero"`      // that was reversed
	Reversed    bool   `json:"reversed,omitzero"`        // a redemption, as a whole
	GivenBack   int64  `json:"reversed_amount,omitzero"` // of a redemption of CASH, so far
	ReturnStock bool   `json:"return_stock,omitzero"`
	Memo        string `json:"memo,omitzero"`

	// The voucher just after.

	Status  string `json:"status"`
	Balance *int64 `json:"balance,omitzero"`
	End     string `json:"end,omitzero"`
}

// voucher shows a voucher at an instant.
func (t formatter) voucher(v *benefit.Voucher, now benefit.Instant) *Voucher {
	return &Voucher{
		ID: v.ID.String(), LongID: v.ID.Long(), Template: t.template(v.Template), Kind: v.Kind.String(),
		Status: v.StatusAt(now).String(), NotStarted: v.Valid.StartsAfter(now), Amount: int64(v.Amount), Balance: balance(v, v.Redeemed),
		Face: v.Face, Code: t.code(v.Code), User: strconv.FormatInt(int64(v.User), 10), IssuedAt: v.IssuedAt.String(),
		Start: v.Valid.Start.String(), End: v.LastSecond().String(), Operations: v.Operations, ChangedAt: v.ChangedAt.String(),
	}
}

// of adds to a voucher what its issuance has.
func (v *Voucher) of(t formatter, i *benefit.Issuance) *Voucher {
	v.App, v.Scope, v.Key, v.Recipient, v.CallerTrace = t.app(i.App), t.scope(i.Scope), i.Key, t.recipient(i.Recipient), i.Note.TraceID
	return v
}

// operation shows an operation on a voucher, of which so much was reversed since.
func (t formatter) operation(v *benefit.Voucher, o *benefit.Transition, reversed int64) *Operation {
	shown := &Operation{
		ID: o.OperationID.String(), Command: o.Kind.String(), At: o.At.String(), Key: o.Key, Order: o.Order, Shop: o.Shop,
		OrderAmount: int64(o.OrderAmount), Discount: int64(o.Discount), Reversed: reversed > 0 && reversed == o.Value,
		ReturnStock: o.ReturnStock, Memo: o.Memo, Status: o.StatusAfter().String(), Balance: balance(v, o.Redeemed), End: o.LastSecond().String(),
	}
	if o.App != 0 {
		shown.App = t.app(o.App)
	}
	if o.Redemption != 0 {
		shown.Redemption = benefit.OperationID{Voucher: v.ID, Number: o.Redemption}.String()
	}
	if v.Kind == benefit.Cash {
		shown.Amount, shown.GivenBack = o.Value, reversed
	}
	return shown
}

func (t formatter) code(code string) string {
	if t.unmasked {
		return code
	}
	return vouchers.MaskCode(code) //guard:TestFindMasks
}

// balance returns what is left of a CASH voucher of which so much is redeemed; nil for others.
func balance(v *benefit.Voucher, redeemed int64) *int64 {
	if v.Kind != benefit.Cash {
		return nil
	}
	left := v.Value() - redeemed
	return &left
}
