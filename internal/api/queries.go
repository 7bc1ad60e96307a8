package api

import (
	"errors"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/table"
	"faquan/internal/vouchers"
)

// Bounds of queries.
const (
	defaultPage = 20
	maxPage     = 100
	// maxLooked is how many issuances a page of a list looks at: those of other merchants are passed over, and a page may
	// end early, with a cursor.
	maxLooked = 1000

	// The maximum number of characters of texts by which vouchers are asked for.
	maxTemplate = 64
	maxBizCode  = 64
	maxTrace    = 256
)

// asQuery runs a query within the bounds of all.
func (h *Handler) asQuery(c *call, run func() (any, *Problem, error)) (any, *Problem) {
	leave, err := h.readers.Enter(c.ctx, c.app.ID)
	if err != nil {
		return nil, c.busy(err)
	}
	defer leave()
	result, bad, err := run()
	switch {
	case errors.Is(err, store.ErrDamaged), errors.Is(err, table.ErrMalformed):
		c.record.Err = err
		return nil, c.broken() //guard:TestDamage c.broken() -> c.busy(err)
	case err != nil:
		return nil, c.busy(err)
	}
	return result, bad
}

func (h *Handler) getVoucher(c *call) (any, *Problem) {
	voucher, ok := parseID(c.r.PathValue("id"))
	if !ok {
		return nil, invalid("id", "must be the id of a voucher, a whole number, or its voucher_id of 28 digits")
	}
	m, bad := c.query()
	if bad == nil {
		bad = m.done()
	}
	if bad != nil {
		return nil, bad
	}
	return h.asQuery(c, func() (any, *Problem, error) {
		v, err := h.find(c, voucher)
		if err != nil {
			return nil, nil, err
		}
		if v == nil {
			return nil, c.refused(benefit.VoucherNotFound), nil
		}
		shown := c.voucher(v, "")
		shown.Operations, err = h.story(c, v)
		return shown, nil, err
	})
}

// find returns a voucher of the caller's merchant as it is now; nil when there is none.
func (h *Handler) find(c *call, voucher id.ID) (*benefit.Voucher, error) {
	v, err := vouchers.Get(c.ctx, h.o.Store, voucher)
	if v == nil || err != nil || !c.mine(v.Template) { //guard:TestOtherMerchant without !c.mine(v.Template)
		return nil, err
	}
	return &v.Voucher, nil
}

// story returns the latest operations on a voucher, in their order.
func (h *Handler) story(c *call, v *benefit.Voucher) ([]Operation, error) {
	operations, err := vouchers.Operations(c.ctx, h.o.Store, v)
	all := make([]Operation, len(operations))
	for k := range operations {
		all[k] = *c.operation(&operations[k].Transition, v)
	}
	return all, err
}

// Redemption is a redemption with what was reversed of it.
type Redemption struct {
	Operation *Operation `json:"operation"`
	Reversed  string     `json:"reversed,omitzero"` // of CASH
	Whole     bool       `json:"reversed_whole"`
}

func (h *Handler) getRedemption(c *call) (any, *Problem) {
	redemption, bad := c.redemption()
	if bad != nil {
		return nil, bad
	}
	return h.asQuery(c, func() (any, *Problem, error) {
		v, err := h.find(c, redemption.Voucher)
		if err != nil {
			return nil, nil, err
		}
		entry, ok, err := store.Get(c.ctx, h.o.Store, benefit.VoucherOperations, redemption)
		if err != nil {
			return nil, nil, err
		}
		if v == nil || !ok || entry.Kind != benefit.RedeemOperation {
			return nil, c.refused(benefit.RedemptionNotFound), nil
		}
		op, ok, err := store.Get(c.ctx, h.o.Store, benefit.Operations, entry.Claim)
		if err == nil && !ok {
			err = fmt.Errorf("%w: operation %s is missing", store.ErrDamaged, redemption)
		}
		if err != nil {
			return nil, nil, err
		}
		t, err := benefit.DecodeTransition(&op)
		if err != nil {
			return nil, nil, err
		}
		r := &Redemption{Operation: c.operation(&t, v), Whole: entry.Reversed == entry.Value}
		if v.Kind == benefit.Cash {
			r.Reversed = fenText(money.Fen(entry.Reversed))
		}
		return r, nil, nil
	})
}

// VoucherList is a page of vouchers.
type VoucherList struct {
	Vouchers []Voucher `json:"vouchers"`
	Cursor   string    `json:"next_cursor,omitzero"` // without it: there are no more
}

// listVouchers lists vouchers, the newest first.
func (h *Handler) listVouchers(c *call) (any, *Problem) {
	m, bad := c.query()
	if bad != nil {
		return nil, bad
	}
	code, template, trace := m.text("code", maxCode), m.text("template", maxTemplate), m.text("trace_id", maxTrace)
	order := m.text("order", benefit.MaxOrder)
	kind, value := m.text("user_type", benefit.MaxIdentifierType), m.text("user", benefit.MaxIdentifier)
	user := m.identifier("user_type", kind, value, c.app.ID)
	page := vouchers.Bounds{
		Before: m.id("cursor"), Limit: int(m.number("limit", 1, maxPage, defaultPage)), Looked: maxLooked,
		Match: func(v *benefit.Voucher) bool { return c.mine(v.Template) }, //guard:TestOtherMerchant c.mine(v.Template) -> true
	}
	given := 0
	for _, text := range []string{code, template, trace, order, value} {
		if text != "" {
			given++
		}
	}
	switch {
	case (kind == "") != (value == ""):
		m.fail("user", "and user_type must be given together")
	case given != 1:
		m.fail("code", "or user, template, trace_id or order must be given, and only one of them")
	case template != "" && c.template(template) == nil:
		m.fail("template", "must be the name of a template of the app's merchant")
	}
	if bad := m.done(); bad != nil {
		return nil, bad
	}
	return h.asQuery(c, func() (any, *Problem, error) {
		var list vouchers.List
		var err error
		switch {
		case code != "":
			list = vouchers.WithCode(code)
		case template != "":
			list = vouchers.OfTemplate(c.template(template).ID)
		case trace != "":
			list = vouchers.WithTrace(trace)
		case order != "":
			list, err = vouchers.ForOrder(c.ctx, h.o.Store, order, c.app.Merchant)
		default:
			var u *benefit.User
			u, err = h.o.Store.Recipient(c.ctx, user)
			list = vouchers.OfUser(u)
		}
		if err != nil {
			return nil, nil, err
		}
		found, next, err := list.Page(c.ctx, h.o.Store, page)
		shown := &VoucherList{Vouchers: c.vouchers(found, code)}
		if next != 0 {
			shown.Cursor = next.String()
		}
		return shown, nil, err
	})
}

// template returns the template of the caller's merchant with a name; nil when there is none.
func (c *call) template(name string) *benefit.Template {
	if t := c.cat.TemplateByName(name); t != nil && c.mine(t.ID) {
		return t
	}
	return nil
}

// vouchers returns what the API shows of vouchers, without their stories.
func (c *call) vouchers(all []vouchers.Voucher, code string) []Voucher {
	shown := make([]Voucher, len(all))
	for k := range all {
		shown[k] = *c.voucher(&all[k].Voucher, code)
	}
	return shown
}

// Key is what became of an idempotency key.
type Key struct {
	Command   string     `json:"command"`
	Key       string     `json:"key"`
	State     string     `json:"state"` // never_seen, refused, in_doubt or done
	Refusals  []Refusal  `json:"refusals,omitzero"`
	Operation *Operation `json:"operation,omitzero"`
	Vouchers  []Voucher  `json:"vouchers"` // as they are now
}

// Refusal is a refused call with the key that this process still remembers. Refusals of reversals are not found.
type Refusal struct {
	Reason string `json:"reason"`
	At     string `json:"at"`
}

// maxRefusals is how many refusals of a key are shown, the latest.
const maxRefusals = 10

// recordedAs are the methods in the records of commands whose keys are the app's.
var recordedAs = map[string]string{"redeem": "redeem", "void": "voidVoucher", "extend": "extendVoucher", "expire": "expireVoucher"}

// refusals returns the latest refusals of a key that this process remembers, the newest first. It reports whether the outcome
// of the latest call is unknown, because the answer to its commit was lost or the caller did not wait: no call with the key was
// decided since, which would have waited for the commit.
func (h *Handler) refusals(c *call, of benefit.Scope, answer *Key) (all []Refusal, inDoubt bool) {
	found := h.o.Refusals.Find(func(r *gateway.Record) bool {
		mine := r.Protocol == Protocol && r.App == c.app.ID && r.Method == recordedAs[answer.Command] ||
			r.Request != nil && r.Request.Scope == of
		//guard:TestRefusedKeys without mine
		return mine && r.Key == answer.Key && (r.Reason != benefit.NotRefused || r.Outcome == gateway.Unknown)
	}, maxRefusals)
	for k := range found {
		if found[k].Reason != benefit.NotRefused { //guard:TestKeyInDoubt
			all = append(all, Refusal{found[k].Reason.String(), benefit.InstantOf(found[k].At).RFC3339()})
		}
	}
	return all, len(found) > 0 && found[0].Outcome == gateway.Unknown //guard:TestKeyInDoubt found[0].Outcome == gateway.Unknown -> false
}

// getKey answers what became of a key of the calling app: of a command, or of an issue over one of the platforms' APIs.
func (h *Handler) getKey(c *call) (any, *Problem) {
	m, bad := c.query()
	if bad != nil {
		return nil, bad
	}
	command, key := m.required("command", benefit.MaxKey), m.required("key", benefit.MaxKey)
	of := c.scopeOf(m, command)
	if bad := m.done(); bad != nil {
		return nil, bad
	}
	c.record.Key = key
	return h.asQuery(c, func() (any, *Problem, error) {
		answer := &Key{Command: command, Key: key, State: "never_seen", Vouchers: []Voucher{}}
		var inDoubt bool
		answer.Refusals, inDoubt = h.refusals(c, of, answer)
		switch {
		case inDoubt:
			answer.State = "in_doubt"
		case len(answer.Refusals) > 0:
			answer.State = "refused"
		}
		if command == benefit.IssueOperation.String() {
			return answer, nil, h.issued(c, of, answer)
		}
		return answer, nil, h.operated(c, of, answer)
	})
}

// scopeOf returns the scope of the keys of a command.
func (c *call) scopeOf(m *members, command string) benefit.Scope {
	switch command {
	case "":
	case benefit.IssueOperation.String():
		return c.issueScope(m)
	case benefit.ReverseOperation.String():
		redemption, err := benefit.ParseOperationID(m.required("redemption_id", benefit.MaxKey))
		if err != nil {
			m.fail("redemption_id", "must be the id of a redemption, such as 7301459273465856001-1")
		}
		return benefit.ReversalScope(redemption)
	default:
		for _, kind := range []benefit.OperationKind{
			benefit.RedeemOperation, benefit.VoidOperation, benefit.ExtendOperation, benefit.ExpireOperation,
		} {
			if command == kind.String() {
				return benefit.VoucherScope(kind, c.app.ID)
			}
		}
		m.fail("command", "must be issue, redeem, reverse, void, extend or expire")
	}
	return ""
}

// issueScope returns the scope in which an API of the platforms has the keys of issues.
func (c *call) issueScope(m *members) benefit.Scope {
	template, relation, biz := m.text("template", maxTemplate), m.number("relation_id", 1, 1<<63-1, 0), m.text("biz_code", maxBizCode)
	given := 0
	for _, is := range []bool{template != "", relation != 0, biz != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		m.fail("template", "or relation_id or biz_code must be given, and only one, for the command issue")
	}
	switch {
	case template != "":
		if t := c.template(template); t != nil {
			return scope.Template(t.ID)
		}
		m.fail("template", "must be the name of a template of the app's merchant")
	case relation != 0:
		return scope.Relation(c.app.ID, relation)
	}
	return scope.Biz(c.app.ID, biz)
}

func (h *Handler) issued(c *call, of benefit.Scope, answer *Key) error {
	i, err := h.o.Store.Claim(c.ctx, of, answer.Key)
	if i == nil || err != nil {
		return err
	}
	all, err := vouchers.Issued(c.ctx, h.o.Store, i)
	all = slices.DeleteFunc(all, func(v vouchers.Voucher) bool { return !c.mine(v.Template) })
	answer.State, answer.Vouchers = "done", c.vouchers(all, "")
	return err
}

func (h *Handler) operated(c *call, of benefit.Scope, answer *Key) error {
	t, ok, err := vouchers.UnderKey(c.ctx, h.o.Store, of, answer.Key)
	if !ok || err != nil || !c.mine(t.Template) { //guard:TestOtherMerchant without !c.mine(t.Template)
		return err
	}
	v, err := h.find(c, t.Voucher)
	if err == nil && v == nil {
		err = fmt.Errorf("%w: the voucher of the operation %s is missing", store.ErrDamaged, t.OperationID)
	}
	if err != nil {
		return err
	}
	answer.State, answer.Operation, answer.Vouchers = "done", c.operation(&t, v), append(answer.Vouchers, *c.voucher(v, ""))
	return nil
}
