package top

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top/wire"
)

// Tokens creates sessions for authorization codes and refresh tokens; *oauth.Handler implements it. The result is the
// JSON that /token answers. When there is none, refused is the reason, in Chinese; an error is a failure on our side.
type Tokens interface {
	Create(ctx context.Context, app *benefit.App, code string) (result, refused string, err error)
	Refresh(ctx context.Context, app *benefit.App, token string) (result, refused string, err error)
}

// tokenCreate is taobao.top.auth.token.create: the exchange of an authorization code in a signed call, so that
// neither the app's secret nor a redirect_uri travels. Its uuid is of no use here: a code is good once.
var tokenCreate = &method{
	name: "taobao.top.auth.token.create",
	key:  "code",
	run: func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
		args := c.req.Args()
		args.Text("uuid", maxToken)
		return h.giveToken(ctx, c, args, Tokens.Create)
	},
}

// tokenRefresh is taobao.top.auth.token.refresh.
var tokenRefresh = &method{
	name: "taobao.top.auth.token.refresh",
	key:  "refresh_token",
	run: func(h *Handler, ctx context.Context, c *call) (*wire.Answer, *wire.Error) {
		return h.giveToken(ctx, c, c.req.Args(), Tokens.Refresh)
	},
}

// maxToken is the maximum length of codes and tokens, in characters.
const maxToken = 256

// giveToken answers with the session that the key of the method buys.
func (h *Handler) giveToken(
	ctx context.Context, c *call, args *wire.Args,
	give func(Tokens, context.Context, *benefit.App, string) (result, refused string, err error),
) (*wire.Answer, *wire.Error) {
	token := args.RequiredText(c.method.key, maxToken)
	if bad := args.Err(); bad != nil {
		return nil, bad
	}
	if h.o.Tokens == nil {
		return nil, wire.ErrUnavailable
	}
	result, refused, err := give(h.o.Tokens, ctx, c.app.App, token)
	switch {
	case err != nil:
		c.record.Err = err
		c.record.Outcome = gateway.Busy
		return nil, wire.ErrUnavailable
	case refused != "":
		return nil, wire.Invalid(c.method.key, "无效："+refused)
	}
	a := c.success()
	a.Text("token_result", result)
	return a, nil
}
