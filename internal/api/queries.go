package api

import (
	"fmt"
	"iter"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
)

// Bounds of queries.
const (
	defaultPage = 20
	maxPage     = 100
	// maxLooked is how many issuances a page of a list looks at: those of other merchants are passed over, and a page may
	// end early, with a cursor.
	maxLooked = 1000
	// maxStory is how many operations are shown of a voucher, the latest.
	maxStory = 100
)

// asQuery runs a query within the bounds of all.
func (h *Handler) asQuery(c *call, run func() (any, *Problem, error)) (any, *Problem) {
	leave, err := h.readers.Enter(c.ctx, c.app.ID)
	if err != nil {
		return nil, c.busy(err)
	}
	defer leave()
	result, bad, err := run()
	if err != nil {
		return nil, c.busy(err)
	}
	return result, bad
}

func (h *Handler) getVoucher(c *call) (any, *Problem) {
	voucher, ok := parseID(c.r.PathValue("id"))
	if !ok {
		return nil, invalid("id", "must be the id of a voucher, a whole number")
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
	i, err := h.o.Finder.IssuanceOf(c.ctx, voucher)
	if i == nil || err != nil {
		return nil, err
	}
	v, ok := i.Voucher(voucher)
	if !ok || !c.mine(v.Template) { //guard:TestOtherMerchant without !c.mine(v.Template)
		return nil, nil
	}
	all, err := h.current(c, v)
	return &all[0], err
}

// current returns vouchers with what has become of them.
func (h *Handler) current(c *call, all ...benefit.Voucher) ([]benefit.Voucher, error) {
	ids := make([]id.ID, len(all))
	for k := range all {
		ids[k] = all[k].ID
	}
	states, err := store.GetAll(c.ctx, h.o.Finder, benefit.VoucherStates, ids...)
	for k := range all {
		all[k] = all[k].With(states[all[k].ID])
	}
	return all, err
}

// shown returns vouchers as the API shows them, as they are now.
func (h *Handler) shown(c *call, code string, all ...benefit.Voucher) ([]Voucher, error) {
	all, err := h.current(c, all...)
	list := make([]Voucher, len(all))
	for k := range all {
		list[k] = *c.voucher(&all[k], code)
	}
	return list, err
}

// story returns the latest operations on a voucher, in their order.
func (h *Handler) story(c *call, v *benefit.Voucher) ([]Operation, error) {
	var names []benefit.OperationID
	for n := max(1, v.Operations-maxStory+1); n <= v.Operations; n++ {
		names = append(names, benefit.OperationID{Voucher: v.ID, Number: n})
	}
	found, err := h.done(c, v, names...)
	all := []Operation{}
	for k := range found {
		all = append(all, *found[k].Operation)
	}
	return all, err
}

// carriedOut is an operation on a voucher, with its entry in the voucher's list.
type carriedOut struct {
	*Operation
	entry benefit.VoucherOperation
}

// done returns operations on a voucher, without those that do not exist.
func (h *Handler) done(c *call, v *benefit.Voucher, names ...benefit.OperationID) (all []carriedOut, err error) {
	entries, err := store.GetAll(c.ctx, h.o.Finder, benefit.VoucherOperations, names...)
	if err != nil {
		return nil, err
	}
	var claims []benefit.ClaimID
	for _, entry := range entries {
		claims = append(claims, entry.Claim)
	}
	rows, err := store.GetAll(c.ctx, h.o.Finder, benefit.Operations, claims...)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		entry, ok := entries[name]
		if !ok {
			continue
		}
		row, ok := rows[entry.Claim]
		if !ok {
			return nil, fmt.Errorf("%w: the operation %s is missing", store.ErrDamaged, name)
		}
		t, err := benefit.DecodeTransition(&row)
		if err != nil {
			return nil, err
		}
		all = append(all, carriedOut{c.operation(&t, v), entry})
	}
	return all, nil
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
		if v != nil {
			all, err := h.done(c, v, redemption)
			if err != nil {
				return nil, nil, err
			}
			if len(all) > 0 && all[0].entry.Kind == benefit.RedeemOperation {
				entry := &all[0].entry
				r := &Redemption{Operation: all[0].Operation, Whole: entry.Reversed == entry.Value}
				if v.Kind == benefit.Cash {
					r.Reversed = fenText(money.Fen(entry.Reversed))
				}
				return r, nil, nil
			}
		}
		return nil, c.refused(benefit.RedemptionNotFound), nil
	})
}

// VoucherList is a page of vouchers.
type VoucherList struct {
	Vouchers []Voucher `json:"vouchers"`
	Cursor   string    `json:"next_cursor,omitzero"` // without it: there are no more
}

// listVouchers lists vouchers by one of: a code, a user. The newest come first.
func (h *Handler) listVouchers(c *call) (any, *Problem) {
	m, bad := c.query()
	if bad != nil {
		return nil, bad
	}
	code := m.text("code", maxCode)
	kind, value := m.text("user_type", benefit.MaxIdentifierType), m.text("user", benefit.MaxIdentifier)
	of := page{after: m.id("cursor"), limit: int(m.number("limit", 1, maxPage, defaultPage))}
	user := m.identifier("user_type", kind, value, c.app.ID)
	switch {
	case (kind == "") != (value == ""):
		m.fail("user", "and user_type must be given together")
	case (code == "") == (value == ""):
		m.fail("code", "or user must be given, and not both")
	}
	if bad := m.done(); bad != nil {
		return nil, bad
	}
	return h.asQuery(c, func() (any, *Problem, error) {
		if code != "" {
			list, err := h.byCode(c, code)
			return list, nil, err
		}
		list, err := h.byUser(c, user, of)
		return list, nil, err
	})
}

func (h *Handler) byCode(c *call, code string) (*VoucherList, error) {
	list := &VoucherList{Vouchers: []Voucher{}}
	i, err := h.o.Finder.Claim(c.ctx, benefit.CodeScope, code)
	if i == nil || err != nil {
		return list, err
	}
	v, ok := i.VoucherWithCode(code)
	if !ok || !c.mine(v.Template) { //guard:TestOtherMerchant without !c.mine(v.Template)
		return list, nil
	}
	list.Vouchers, err = h.shown(c, code, v)
	return list, err
}

// byUser lists what a user has received.
func (h *Handler) byUser(c *call, user benefit.Identifier, p page) (*VoucherList, error) {
	u, err := h.o.Finder.Recipient(c.ctx, user)
	if u == nil || err != nil {
		return &VoucherList{Vouchers: []Voucher{}}, err
	}
	return h.page(c, p, h.o.Finder.RecentIssuances(c.ctx, u.ID, p.after))
}

// page is which vouchers of a list are asked for.
type page struct {
	after id.ID // the last voucher of the page before; 0: this is the first page
	limit int
}

// page returns the vouchers of issuances, which are the newest first, that the caller may know.
func (h *Handler) page(c *call, p page, issuances iter.Seq2[*benefit.Issuance, error]) (list *VoucherList, err error) {
	list = new(VoucherList)
	var found []benefit.Voucher
	looked, last := 0, p.after
	for i, err := range issuances {
		if err != nil {
			return nil, err
		}
		if looked++; looked > maxLooked { //guard:TestListsLookAtSoMany
			list.Cursor = idText(last)
			break
		}
		for _, v := range slices.Backward(i.Vouchers()) {
			if p.after != 0 && v.ID >= p.after { //guard:TestLists
				continue
			}
			if last = v.ID; c.mine(v.Template) { //guard:TestOtherMerchant
				found = append(found, v)
			}
		}
		if len(found) > p.limit {
			list.Cursor, found = idText(found[p.limit-1].ID), found[:p.limit]
			break
		}
	}
	list.Vouchers, err = h.shown(c, "", found...)
	return list, err
}

// Key is what became of an idempotency key.
type Key struct {
	Command   string     `json:"command"`
	Key       string     `json:"key"`
	State     string     `json:"state"` // never_seen or done
	Operation *Operation `json:"operation,omitzero"`
	Vouchers  []Voucher  `json:"vouchers"` // as they are now
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
	const longest = 64
	template, relation, biz := m.text("template", longest), m.number("relation_id", 0, 1<<63-1, 0), m.text("biz_code", longest)
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
		if t := c.cat.TemplateByName(template); t != nil && c.mine(t.ID) {
			return scope.Template(t.ID)
		}
		m.fail("template", "must be the name of a template of the app's merchant")
	case relation != 0:
		return scope.Relation(c.app.ID, relation)
	}
	return scope.Biz(c.app.ID, biz)
}

func (h *Handler) issued(c *call, of benefit.Scope, answer *Key) error {
	i, err := h.o.Finder.Claim(c.ctx, of, answer.Key)
	if i == nil || err != nil {
		return err
	}
	mine := slices.DeleteFunc(i.Vouchers(), func(v benefit.Voucher) bool { return !c.mine(v.Template) })
	answer.State = "done"
	answer.Vouchers, err = h.shown(c, "", mine...)
	return err
}

func (h *Handler) operated(c *call, of benefit.Scope, answer *Key) error {
	row, ok, err := store.Get(c.ctx, h.o.Finder, benefit.Operations, benefit.ClaimIDOf(of, answer.Key))
	if !ok || err != nil {
		return err
	}
	t, err := benefit.DecodeTransition(&row)
	if err != nil {
		return err
	}
	if !c.mine(t.Template) { //guard:TestOtherMerchant
		return nil
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
