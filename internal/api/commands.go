package api

import (
	"errors"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
)

// maxCode is the longest code of a certificate, in characters.
const maxCode = 64

func (h *Handler) redeem(c *call) (any, *Problem) {
	return h.change(c, func(m *members, cmd *benefit.OnVoucher) {
		r := &benefit.Redeem{Order: m.text("order", benefit.MaxOrder), Shop: m.text("shop", benefit.MaxOrder)}
		r.OrderAmount, r.HasOrderAmount = m.fen("order_amount")
		r.Amount, r.HasAmount = m.fen("amount")
		cmd.Action, cmd.Voucher, cmd.Code, cmd.Holder = r, m.id("voucher_id"), m.text("code", maxCode), m.holder("holder", c.app.ID)
		if (cmd.Voucher == 0) == (cmd.Code == "") {
			m.fail("voucher_id", "or code must be given, and not both")
		}
	})
}

func (h *Handler) reverse(c *call) (any, *Problem) {
	redemption, bad := c.redemption()
	if bad != nil {
		return nil, bad
	}
	return h.change(c, func(m *members, cmd *benefit.OnVoucher) {
		r := &benefit.Reverse{Redemption: redemption}
		r.Amount, r.HasAmount = m.fen("amount")
		cmd.Action = r
	})
}

func (h *Handler) void(c *call) (any, *Problem) {
	return h.changeNamed(c, func(m *members, cmd *benefit.OnVoucher) {
		cmd.Action = &benefit.Void{ReturnStock: m.bool("return_stock"), Memo: m.text("memo", benefit.MaxMemo)}
	})
}

func (h *Handler) extend(c *call) (any, *Problem) {
	return h.changeNamed(c, func(m *members, cmd *benefit.OnVoucher) { cmd.Action = &benefit.Extend{End: m.instant("expires_at")} })
}

func (h *Handler) expire(c *call) (any, *Problem) {
	return h.changeNamed(c, func(_ *members, cmd *benefit.OnVoucher) { cmd.Action = &benefit.Expire{} })
}

// changeNamed is change for a voucher that the path names.
func (h *Handler) changeNamed(c *call, read func(m *members, cmd *benefit.OnVoucher)) (any, *Problem) {
	voucher, ok := parseID(c.r.PathValue("id"))
	if !ok {
		return nil, invalid("id", "must be the id of a voucher, a whole number, or its voucher_id of 28 digits")
	}
	return h.change(c, func(m *members, cmd *benefit.OnVoucher) {
		read(m, cmd)
		cmd.Voucher = voucher
	})
}

// redemption returns the redemption that the path names.
func (c *call) redemption() (benefit.OperationID, *Problem) {
	redemption, err := benefit.ParseOperationID(c.r.PathValue("id"))
	if err != nil {
		return redemption, invalid("id", "must be the id of a redemption, such as 7301459273465856001-1")
	}
	return redemption, nil
}

// change carries out the command that read makes of the body. The result is the operation that the command became.
func (h *Handler) change(c *call, read func(m *members, cmd *benefit.OnVoucher)) (any, *Problem) {
	key, bad := c.key()
	if bad != nil {
		return nil, bad
	}
	m, bad := h.body(c)
	if bad != nil {
		return nil, bad
	}
	cmd := &benefit.OnVoucher{App: c.app.ID, Key: key, Merchant: c.app.Merchant}
	read(m, cmd)
	if bad := m.done(); bad != nil {
		return nil, bad
	}
	if err := cmd.Check(); err != nil {
		return nil, refuse(requestInvalid, err.Error())
	}
	err := h.o.Engine.Do(c.ctx, cmd)
	switch {
	//guard:TestUndecided without !errors.Is(err, engine.ErrInvalid)
	case engine.NothingIssued(err) && !errors.Is(err, engine.ErrInvalid): // cmd was checked, so it is a panic of the core
		return nil, c.busy(err)
	case err != nil:
		c.record.Err = err
		return nil, c.unknown()
	}
	o := &cmd.Outcome
	if o.Reason != benefit.NotRefused {
		return nil, c.refused(o.Reason)
	}
	c.record.Voucher, c.record.Replayed = o.Voucher.ID, o.Replayed
	if o.Replayed {
		c.record.Outcome = gateway.Replayed
		c.w.Header().Set("Idempotency-Replayed", "true")
	}
	return c.operation(&o.Transition, &o.Voucher), nil
}

// refused returns the problem of a reason of the core.
func (c *call) refused(r benefit.Reason) *Problem {
	c.record.Refuse(r)
	return refuse(of(r), "")
}

// mine reports whether the caller may know the vouchers of a template: those of its own merchant.
func (c *call) mine(t benefit.TemplateID) bool {
	of := c.cat.Templates[t]
	return of != nil && of.Merchant == c.app.Merchant && of.Merchant != 0
}
