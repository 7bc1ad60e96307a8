package top

import (
	"cmp"
	"context"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway/top/wire"
)

// sellerGet is taobao.user.seller.get: the merchant that the session acts for. Callers take the purchaser_id of
// activity.send from it.
var sellerGet = &method{
	name:    "taobao.user.seller.get",
	session: true,
	run:     (*Handler).sellerGet,
}

// errNoSeller refuses a session that acts for no merchant, or for one without a seller id.
var errNoSeller = wire.Business("isv.user-not-exist:seller", "会话没有对应的卖家")

const (
	maxFields = 100
	maxField  = 64
)

func (h *Handler) sellerGet(_ context.Context, c *call) (*wire.Answer, *wire.Error) {
	args := c.req.Args()
	if !args.Has("fields") {
		return nil, wire.Missing("fields")
	}
	fields := args.Texts("fields", maxFields, maxField)
	if bad := args.Err(); bad != nil {
		return nil, bad
	}
	seller := c.apps.Catalogue.Merchants[c.session.Merchant]
	if seller == nil || seller.SellerID == 0 {
		return nil, errNoSeller
	}
	a := c.success()
	a.Object("user", func() { writeSeller(a, seller, fields) })
	return a, nil
}

// writeSeller writes those of the fields asked for that faquan has. The others are absent, as are those that the
// platform keeps from some apps.
func writeSeller(a *wire.Answer, seller *benefit.Merchant, fields []string) {
	asked := func(name string) bool { return slices.Contains(fields, name) }
	if asked("user_id") {
		a.Int("user_id", seller.SellerID)
	}
	for _, text := range [][2]string{{"nick", cmp.Or(seller.Title, seller.Name)}, {"type", "B"}, {"status", "normal"}} {
		if asked(text[0]) {
			a.Text(text[0], text[1])
		}
	}
	if asked("has_shop") {
		a.Bool("has_shop", true)
	}
}
