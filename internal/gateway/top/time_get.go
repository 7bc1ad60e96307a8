package top

import (
	"context"

	"faquan/internal/gateway/top/wire"
)

// timeGet is taobao.time.get: the clock of the gateway, against which it judges timestamps.
var timeGet = &method{
	name: "taobao.time.get",
	run: func(h *Handler, _ context.Context, c *call) (*wire.Answer, *wire.Error) {
		a := c.success()
		a.Time("time", h.o.Clock())
		return a, nil
	},
}
