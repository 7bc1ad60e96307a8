package top

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/gateway/top/wire"
)

// refuseKey refuses a new request whose key XML cannot carry: its answer would name another key. Keys were bound before
// there was this rule, and such a key is still answered from its record, so it is looked up first. The answer and the
// error are nil for a request that may go on. The name is that of the key's parameter.
func (h *Handler) refuseKey(ctx context.Context, c *call, r *benefit.Request, name string) (*wire.Answer, *wire.Error) {
	if wire.InXML(r.Key) {
		return nil, nil
	}
	bound, err := h.o.Finder.Claim(ctx, r.Scope, r.Key)
	switch {
	case err != nil:
		c.record.Err = err
		return c.method.undecided(c, true)
	case bound == nil: //guard:TestKeysThatXMLCannotCarry without bound == nil
		return nil, wire.Invalid(name, "含有XML无法表示的字符（U+FFFE或U+FFFF）")
	}
	return nil, nil
}
