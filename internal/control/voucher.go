package control

import (
	"context"
	"fmt"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// OnVoucher carries out a command on a voucher: see the method of Service.
var OnVoucher = newCall("/voucher", "Repeating the command with the same key is safe: it is carried out once", (*Service).OnVoucher)

// VoucherCommand is a command of the operator on a voucher. The voucher is named by Voucher or Code; for a reversal
// Redemption names it.
type VoucherCommand struct {
	Command    benefit.OperationKind // but an issue
	Key        string
	Voucher    string `json:",omitempty"` // its id, or its voucher_id of 28 digits
	Code       string `json:",omitempty"` // of a certificate
	Redemption string `json:",omitempty"` // the id of the operation
	Holder     string `json:",omitempty"` // unless empty, an identifier that the user must have: see identifierNamed

	Order       string          `json:",omitempty"` // redeem
	Shop        string          `json:",omitempty"` // redeem
	OrderAmount *money.Fen      `json:",omitempty"` // redeem
	Amount      *money.Fen      `json:",omitempty"` // redeem and reverse, of CASH
	ReturnStock bool            `json:",omitempty"` // void
	Memo        string          `json:",omitempty"` // void
	End         benefit.Instant `json:",omitempty"` // extend: the first instant at which it is expired

	Unmasked bool // do not mask the code
}

// Done is the outcome of a VoucherCommand that was carried out, now or, under the same key, before. The other one is Refused.
const Done = "DONE"

// VoucherResult is the result of a VoucherCommand. A refused one has changed nothing, and has not used its key up.
type VoucherResult struct {
	Outcome     string     `json:"outcome"`
	Reason      string     `json:"reason,omitzero"`      // of a refusal
	Explanation string     `json:"explanation,omitzero"` // of the reason
	Key         string     `json:"key"`
	Replayed    bool       `json:"replayed,omitzero"` // it was carried out before, under the same key
	Operation   *Operation `json:"operation,omitzero"`
	Voucher     *Voucher   `json:"voucher,omitzero"` // as it stands now
}

// OnVoucher carries out a command on a voucher, once for each key. The error is one that engine.Engine.Do returns, or a
// mistake in the command.
func (d *Service) OnVoucher(ctx context.Context, v *VoucherCommand) (*VoucherResult, error) {
	cat := d.Engine.Catalogue()
	command, err := v.onVoucher(cat)
	if err != nil {
		return nil, err
	}
	if err := d.Engine.Do(ctx, command); err != nil {
		return nil, err
	}
	o := &command.Outcome
	result := &VoucherResult{Key: v.Key, Replayed: o.Replayed}
	if o.Reason != benefit.NotRefused {
		result.Outcome, result.Reason, result.Explanation = Refused, o.Reason.String(), explanations[o.Reason]
		return result, nil
	}
	t := formatter{cat: cat, unmasked: v.Unmasked}
	result.Outcome = Done
	result.Operation = t.operation(&o.Voucher, &o.Transition, 0)
	result.Voucher = t.voucher(&o.Voucher, d.now())
	return result, nil
}

// now returns the instant at which vouchers are shown: never before one at which something was decided.
func (d *Service) now() benefit.Instant { return max(benefit.InstantOf(time.Now()), d.Store.LastNow()) }

func (v *VoucherCommand) onVoucher(cat *benefit.Catalogue) (c *benefit.OnVoucher, err error) {
	c = &benefit.OnVoucher{Key: v.Key, Code: v.Code}
	if v.Voucher != "" {
		if c.Voucher, err = voucherID(v.Voucher); err != nil {
			return nil, err
		}
	}
	if v.Holder != "" {
		if c.Holder, err = identifierNamed(cat, v.Holder); err != nil {
			return nil, fmt.Errorf("the holder %w", err)
		}
	}
	c.Action, err = v.action()
	return c, err
}

func (v *VoucherCommand) action() (benefit.Action, error) {
	switch v.Command {
	case benefit.RedeemOperation:
		r := &benefit.Redeem{Order: v.Order, Shop: v.Shop}
		r.OrderAmount, r.HasOrderAmount = given(v.OrderAmount)
		r.Amount, r.HasAmount = given(v.Amount)
		return r, nil
	case benefit.ReverseOperation:
		redemption, err := redemptionID(v.Redemption)
		if err != nil {
			return nil, err
		}
		r := &benefit.Reverse{Redemption: redemption}
		r.Amount, r.HasAmount = given(v.Amount)
		return r, nil
	case benefit.VoidOperation:
		return &benefit.Void{ReturnStock: v.ReturnStock, Memo: v.Memo}, nil
	case benefit.ExtendOperation:
		return &benefit.Extend{End: v.End}, nil
	case benefit.ExpireOperation:
		return benefit.Expire{}, nil
	}
	return nil, fmt.Errorf("there is no command %v on vouchers", v.Command)
}

func given(amount *money.Fen) (money.Fen, bool) {
	if amount == nil {
		return 0, false
	}
	return *amount, true
}

// explanations explain why a command on a voucher was refused.
var explanations = map[benefit.Reason]string{
	benefit.AppDisabled:        "the app is disabled",
	benefit.KeyConflict:        "the key was used before, for another voucher or with other values; use a new key",
	benefit.UserNotFound:       "the user of the voucher is not in the store",
	benefit.UserFrozen:         "the user of the voucher is frozen",
	benefit.AmountNotAllowed:   "only a CASH voucher is redeemed and reversed in parts; leave the amount out",
	benefit.AmountMissing:      "the discount of such a voucher depends on the order: give the amount of the order",
	benefit.AmountOutOfRange:   "amounts must be at least 0.01, and the amount redeemed at most that of the order",
	benefit.VoucherNotFound:    "there is no such voucher, or the holder is another",
	benefit.RedemptionNotFound: "there is no such redemption, or the holder is another",
	benefit.VoucherSending:     "a downstream system has not fulfilled the voucher yet",
	benefit.VoucherFailed:      "the downstream system refused to fulfil the voucher",
	benefit.VoucherVoided:      "the voucher is void",
	benefit.VoucherUsed:        "the voucher is used; one that was redeemed in part cannot be voided either",
	benefit.VoucherExpired:     "the validity of the voucher is over",
	benefit.VoucherNotStarted:  "the validity of the voucher has not begun",
	benefit.ThresholdNotMet:    "the amount of the order is below the threshold, or not above the fixed price",
	benefit.BalanceNotEnough:   "the amount is more than the balance of the voucher",
	benefit.ReversalTooLarge:   "the amount is more than what is left of the redemption",
	benefit.EndNotLater:        "the new end must be after now and after the voucher's end",
	benefit.EndTooFar:          "the new end is more than ten years away",
}
