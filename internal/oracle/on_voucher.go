package oracle

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// OnVoucher is a call of a command on a voucher.
type OnVoucher struct{ benefit.OnVoucher }

// Command returns the command.
func (c *OnVoucher) Command() benefit.Command { return &c.OnVoucher }

// Key returns the key in the scope of the app and of what is done, or in that of the redemption that is reversed.
func (c *OnVoucher) Key() Key {
	scope := benefit.VoucherScope(c.kind(), c.App)
	if r, ok := c.Action.(*benefit.Reverse); ok {
		scope = benefit.ReversalScope(r.Redemption)
	}
	return Key{scope, c.OnVoucher.Key}
}

// Again returns a call that asks for the same.
func (c *OnVoucher) Again() Call {
	again := *c
	again.Outcome = benefit.VoucherOutcome{}
	return &again
}

func (c *OnVoucher) kind() benefit.OperationKind { return c.Action.Operation() }

// String returns the key, the voucher and what is asked for.
func (c *OnVoucher) String() string {
	k := c.Key()
	return fmt.Sprintf("%s %q by app %d for voucher %d%s of %s:%s and merchant %d: %+v",
		k.Scope, k.Key, c.App, c.Voucher, c.Code, c.Holder.Type, c.Holder.Value, c.Merchant, c.Action)
}

// Result returns the name of the command, with the reason of a refusal.
func (c *OnVoucher) Result() string {
	switch o := &c.Outcome; {
	case o.Replayed:
		return c.kind().String() + " replayed"
	case o.Reason != benefit.NotRefused:
		return c.kind().String() + " " + o.Reason.String()
	}
	return c.kind().String()
}

// Judge judges the outcome, and books the operation that the command has become.
func (c *OnVoucher) Judge(o *Oracle, now benefit.Instant) error {
	want, op := o.outcomeOn(c, now)
	if err := differ("the outcome", want, c.Outcome); err != nil || op == nil {
		return err
	}
	return o.BookOperation(*op)
}

// outcomeOn returns what the outcome of a command must be, and the operation that it becomes; nil when it becomes none.
func (o *Oracle) outcomeOn(c *OnVoucher, now benefit.Instant) (benefit.VoucherOutcome, *benefit.Operation) {
	refused := func(r benefit.Reason) (benefit.VoucherOutcome, *benefit.Operation) {
		return benefit.VoucherOutcome{Reason: r}, nil
	}
	if o.disabled(c.App) {
		return refused(benefit.AppDisabled)
	}
	t := voucherTrial{Oracle: o, call: c, now: now}
	issued := t.find()
	stored := o.Operation(c.Key())
	notFound := benefit.VoucherNotFound
	if c.kind() == benefit.ReverseOperation {
		notFound = benefit.RedemptionNotFound
	}
	switch {
	case issued && c.kind() == benefit.ReverseOperation && t.ofAnotherMerchant(): // the keys are shared: nothing of them is shown
		return refused(notFound)
	case stored != nil && stored.Fingerprint != c.fingerprint():
		return refused(benefit.KeyConflict)
	case stored != nil:
		return benefit.VoucherOutcome{Replayed: true, Transition: o.transitionOf(stored), Voucher: t.voucher}, nil
	case !issued || t.ofAnotherMerchant() || t.ofAnotherHolder():
		return refused(notFound)
	// One that an earlier call of the batch has issued is not there yet. Judged alone it cannot be told from one that was
	// issued by another batch of the same millisecond.
	case t.voucher.IssuedAt == now && c.Outcome.Reason == notFound:
		return refused(notFound)
	}
	reasons := t.reasons()
	for _, r := range voucherPrecedence {
		if slices.Contains(reasons, r) {
			return refused(r)
		}
	}
	done := t.transition()
	result, err := json.Marshal(&done)
	if err != nil {
		panic(err) // it has no fields that JSON cannot hold
	}
	k := c.Key()
	return benefit.VoucherOutcome{Transition: done, Voucher: after(t.voucher, &done)}, &benefit.Operation{
		Claim: benefit.ClaimIDOf(k.Scope, k.Key), Kind: c.kind(), ID: t.voucher.ID, Scope: k.Scope, Key: k.Key, Fingerprint: c.fingerprint(),
		At: now, Result: result,
	}
}

// fingerprint returns the digest of what a retry must repeat: all but the app, the merchant and the memo.
func (c *OnVoucher) fingerprint() benefit.Digest {
	optional := func(amount money.Fen, given bool) string {
		if given {
			return fmt.Sprint(int64(amount))
		}
		return ""
	}
	var asked []string
	switch a := c.Action.(type) {
	case *benefit.Redeem:
		asked = []string{a.Order, a.Shop, optional(a.OrderAmount, a.HasOrderAmount), optional(a.Amount, a.HasAmount)}
	case *benefit.Reverse:
		asked = []string{optional(a.Amount, a.HasAmount)}
	case *benefit.Void:
		asked = []string{strconv.FormatBool(a.ReturnStock)}
	case *benefit.Extend:
		asked = []string{fmt.Sprint(int64(a.End))}
	}
	return benefit.FingerprintOf(nil, append(asked, fmt.Sprint(int64(c.Voucher)), c.Code, c.Holder.String())...)
}

// voucherPrecedence are the reasons against a voucher that is found, in the order in which they win.
var voucherPrecedence = []benefit.Reason{
	benefit.RedemptionNotFound,
	benefit.VoucherVoided, benefit.VoucherUsed, benefit.VoucherExpired,
	benefit.VoucherNotStarted, benefit.UserFrozen,
	benefit.AmountNotAllowed, benefit.AmountMissing, benefit.AmountOutOfRange,
	benefit.ThresholdNotMet, benefit.BalanceNotEnough, benefit.ReversalTooLarge, benefit.EndNotLater, benefit.EndTooFar,
}

// voucherTrial is one attempt at a command on a voucher.
type voucherTrial struct {
	*Oracle
	call    *OnVoucher
	now     benefit.Instant
	voucher benefit.Voucher // as it stands
}

// find finds the voucher that the call names, and reports whether it was issued.
func (t *voucherTrial) find() (issued bool) {
	voucher := t.call.Voucher
	if r, ok := t.call.Action.(*benefit.Reverse); ok {
		voucher = r.Redemption.Voucher
	}
	if code := t.call.Code; code != "" {
		if i := t.issuances[t.Codes[code]]; i != nil {
			for _, v := range i.Vouchers() {
				if v.Code == code {
					voucher = v.ID
				}
			}
		}
	}
	t.voucher, issued = t.Voucher(voucher)
	return issued
}

func (t *voucherTrial) ofAnotherMerchant() bool {
	return t.call.Merchant != 0 && t.Catalogue.Templates[t.voucher.Template].Merchant != t.call.Merchant
}

func (t *voucherTrial) ofAnotherHolder() bool {
	return t.call.Holder != benefit.Identifier{} && !slices.Contains(t.Users[t.voucher.User].Identifiers, t.call.Holder)
}

// reasons returns all reasons that hold against the command.
func (t *voucherTrial) reasons() (all []benefit.Reason) {
	v := &t.voucher
	add := func(r benefit.Reason, holds bool) {
		if holds {
			all = append(all, r)
		}
	}
	end := endOf(v)
	expired := end != 0 && t.now >= end
	if t.call.kind() != benefit.ReverseOperation {
		add(benefit.VoucherVoided, v.Status == benefit.Voided)
		add(benefit.VoucherUsed, v.Status == benefit.Used)
	}
	switch a := t.call.Action.(type) {
	case *benefit.Redeem:
		add(benefit.VoucherExpired, expired)
		add(benefit.VoucherNotStarted, t.now < v.Valid.Start)
		add(benefit.UserFrozen, t.Users[v.User].Frozen)
		all = append(all, redeemReasons(v, a)...)
	case *benefit.Reverse:
		left, found := t.leftOf(a.Redemption)
		add(benefit.RedemptionNotFound, !found)
		add(benefit.AmountNotAllowed, a.HasAmount && v.Kind != benefit.Cash)
		add(benefit.AmountOutOfRange, a.HasAmount && a.Amount <= 0)
		add(benefit.ReversalTooLarge, left == 0 || a.HasAmount && int64(a.Amount) > left)
	case *benefit.Void:
		add(benefit.VoucherUsed, v.Redeemed > 0)
	case *benefit.Extend:
		most := time.UnixMilli(int64(t.now)).In(time.FixedZone("", 8*3600)).AddDate(10, 0, 0).UnixMilli()
		add(benefit.EndNotLater, end == 0 || a.End <= end || a.End <= t.now || a.End <= v.Valid.Start)
		add(benefit.EndTooFar, int64(a.End) > most)
	case benefit.Expire:
		add(benefit.VoucherExpired, expired)
	}
	return all
}

// redeemReasons returns the reasons that hold against what a redemption asks of a voucher.
func redeemReasons(v *benefit.Voucher, a *benefit.Redeem) (all []benefit.Reason) {
	add := func(r benefit.Reason, holds bool) {
		if holds {
			all = append(all, r)
		}
	}
	add(benefit.AmountOutOfRange, a.HasOrderAmount && a.OrderAmount <= 0)
	if v.Kind == benefit.Cash {
		amount := cashOf(v, a)
		add(benefit.AmountOutOfRange, amount <= 0 || a.HasOrderAmount && amount > a.OrderAmount)
		add(benefit.BalanceNotEnough, amount > balance(v))
		return all
	}
	add(benefit.AmountNotAllowed, a.HasAmount)
	switch v.Kind {
	case benefit.Reduction, benefit.Discount:
		add(benefit.AmountMissing, !a.HasOrderAmount)
		add(benefit.ThresholdNotMet, a.OrderAmount < v.Face.Threshold)
	case benefit.FixedPrice:
		add(benefit.AmountMissing, !a.HasOrderAmount)
		add(benefit.ThresholdNotMet, a.OrderAmount <= v.Face.Price)
	}
	return all
}

// transition returns what the command does to the voucher.
func (t *voucherTrial) transition() benefit.Transition {
	v := &t.voucher
	number := v.Operations + 1
	done := benefit.Transition{
		OperationID: benefit.OperationID{Voucher: v.ID, Number: number}, Kind: t.call.kind(), At: t.now, Key: t.call.OnVoucher.Key,
		Number: number, App: t.call.App, Template: v.Template,
	}
	switch a := t.call.Action.(type) {
	case *benefit.Redeem:
		done.Value, done.Discount = 1, discountOf(v, a)
		if v.Kind == benefit.Cash {
			done.Value = int64(done.Discount)
		}
		done.Order, done.Shop = a.Order, a.Shop
		if a.HasOrderAmount {
			done.OrderAmount = a.OrderAmount
		}
	case *benefit.Reverse:
		done.Redemption = a.Redemption.Number
		if done.Value = int64(a.Amount); !a.HasAmount {
			done.Value, _ = t.leftOf(a.Redemption)
		}
	case *benefit.Void:
		done.ReturnStock, done.Memo = a.ReturnStock, a.Memo
		if a.ReturnStock {
			done.Seen = t.seenByVoid(v)
		}
	case *benefit.Extend:
		done.End = a.End
	}
	then := after(*v, &done)
	done.Status, done.Redeemed, done.End = then.Status, then.Redeemed, endOf(&then)
	return done
}

// leftOf returns what of a redemption is not reversed; none when there is no such redemption.
func (t *voucherTrial) leftOf(redemption benefit.OperationID) (left int64, found bool) {
	for _, one := range t.transitions {
		switch {
		case one.Voucher != redemption.Voucher:
		case one.Number == redemption.Number:
			left, found = one.Value, one.Kind == benefit.RedeemOperation
		case one.Kind == benefit.ReverseOperation && one.Redemption == redemption.Number:
			left -= one.Value
		}
	}
	return left, found
}

// cashOf returns what a redemption takes of a CASH voucher, or would take if it could.
func cashOf(v *benefit.Voucher, a *benefit.Redeem) money.Fen {
	switch {
	case a.HasAmount:
		return a.Amount
	case a.HasOrderAmount && a.OrderAmount < balance(v):
		return a.OrderAmount
	}
	return balance(v)
}

func balance(v *benefit.Voucher) money.Fen { return v.Amount - money.Fen(v.Redeemed) }

// discountOf returns by how much a redemption reduces its order.
func discountOf(v *benefit.Voucher, a *benefit.Redeem) money.Fen {
	order := big.NewInt(int64(a.OrderAmount))
	least := func(a *big.Int, b money.Fen) money.Fen {
		if limit := big.NewInt(int64(b)); a.Cmp(limit) > 0 {
			a = limit
		}
		return money.Fen(a.Int64())
	}
	switch v.Kind {
	case benefit.Cash:
		return cashOf(v, a)
	case benefit.Reduction:
		return least(order, v.Face.Reduction)
	case benefit.Discount:
		off := new(big.Int).Mul(order, big.NewInt(10_000-v.Face.Percent))
		off.Quo(off, big.NewInt(10_000))
		if v.Face.Ceiling == 0 {
			return money.Fen(off.Int64())
		}
		return least(off, v.Face.Ceiling)
	case benefit.FixedPrice:
		return money.Fen(order.Sub(order, big.NewInt(int64(v.Face.Price))).Int64())
	}
	return 0
}
