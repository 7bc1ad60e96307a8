package benefit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// kinds are the templates of the tests, one of each kind, whose vouchers are valid for a minute.
func kinds() []*Template {
	minute := func(t *Template) { t.Valid = Validity{ForMillis: 60_000} }
	face := func(k Kind, f Face) func(*Template) { return func(t *Template) { t.Kind, t.Face = k, f } }
	return []*Template{
		template(1, cash(Fixed, 1000, 1000), minute),
		template(2, face(Reduction, Face{Reduction: 500, Threshold: 2000}), minute),
		template(3, face(Discount, Face{Percent: 8500, Threshold: 100, Ceiling: 3000}), minute),
		template(4, face(FixedPrice, Face{Price: 990}), minute),
		template(5, face(Exchange, Face{}), minute),
		template(6, digits(12), minute),
	}
}

// voucher issues a voucher of the template to a user and returns it.
func (d *desk) voucher(n TemplateID, user string) Voucher {
	d.t.Helper()
	keys++
	o := d.wants(NotRefused, request(fmt.Sprint("issue", keys), user, n))
	return o.Issuance.Vouchers()[0]
}

var keys int

// on carries out an action on a voucher, under a new key. The changes are made to the command.
func (d *desk) on(v Voucher, a Action, changes ...func(*OnVoucher)) *OnVoucher {
	d.t.Helper()
	keys++
	c := &OnVoucher{Action: a, Key: fmt.Sprint("on", keys)}
	if a.Operation() != ReverseOperation {
		c.Voucher = v.ID
	}
	for _, change := range changes {
		change(c)
	}
	d.do(c)
	return c
}

// do carries out the commands together.
func (d *desk) do(commands ...Command) {
	d.t.Helper()
	for _, c := range commands {
		if err := c.Check(); err != nil {
			d.t.Fatalf("%v: %v", c, err)
		}
	}
	if err := d.committer.Do(d.t.Context(), d.clock, commands...); err != nil {
		d.t.Fatal(err)
	}
}

// wantsOn fails unless the action has the reason.
func (d *desk) wantsOn(want Reason, v Voucher, a Action, changes ...func(*OnVoucher)) *OnVoucher {
	d.t.Helper()
	c := d.on(v, a, changes...)
	if c.Outcome.Reason != want {
		d.t.Errorf("%v of voucher %d: %v, want %v", a.Operation(), v.ID, c.Outcome.Reason, want)
	}
	return c
}

func order(fen int64) *Redeem      { return &Redeem{OrderAmount: money.Fen(fen), HasOrderAmount: true} }
func redeemCash(fen int64) *Redeem { return &Redeem{Amount: money.Fen(fen), HasAmount: true} }

func reverseOf(c *OnVoucher) *Reverse { return &Reverse{Redemption: c.Outcome.Transition.OperationID} }

func TestDiscounts(t *testing.T) {
	const most = math.MaxInt64
	tests := []struct {
		kind     Kind
		face     Face
		order    money.Fen
		reason   Reason
		discount money.Fen
	}{
		{Reduction, Face{Reduction: 500, Threshold: 2000}, 1999, ThresholdNotMet, 0},
		{Reduction, Face{Reduction: 500, Threshold: 2000}, 2000, NotRefused, 500},
		{Reduction, Face{Reduction: 500}, 499, NotRefused, 499},
		{Reduction, Face{Reduction: 500}, 500, NotRefused, 500},
		{Reduction, Face{Reduction: 500}, most, NotRefused, 500},
		{Discount, Face{Percent: 8500, Threshold: 100}, 99, ThresholdNotMet, 0},
		{Discount, Face{Percent: 8500, Threshold: 100}, 100, NotRefused, 15},
		{Discount, Face{Percent: 8500}, 99, NotRefused, 14}, // 14.85 is rounded down
		{Discount, Face{Percent: 8500}, 6, NotRefused, 0},   // 0.9
		{Discount, Face{Percent: 8500}, 7, NotRefused, 1},   // 1.05
		{Discount, Face{Percent: 8500, Ceiling: 3000}, 19_999, NotRefused, 2999},
		{Discount, Face{Percent: 8500, Ceiling: 3000}, 20_000, NotRefused, 3000},
		{Discount, Face{Percent: 8500, Ceiling: 3000}, 20_007, NotRefused, 3000},
		{Discount, Face{Percent: 1}, most, NotRefused, most - most/10_000 - 1},
		{Discount, Face{Percent: 9999}, most, NotRefused, most / 10_000},
		{FixedPrice, Face{Price: 990}, 989, ThresholdNotMet, 0},
		{FixedPrice, Face{Price: 990}, 990, ThresholdNotMet, 0},
		{FixedPrice, Face{Price: 990}, 991, NotRefused, 1},
		{FixedPrice, Face{Price: 990}, most, NotRefused, most - 990},
	}
	for _, x := range tests {
		d := newDesk(t, template(1, func(t *Template) { t.Kind, t.Face = x.kind, x.face }))
		c := d.wantsOn(x.reason, d.voucher(1, "u"), &Redeem{OrderAmount: x.order, HasOrderAmount: true})
		if got := c.Outcome.Transition.Discount; got != x.discount {
			t.Errorf("kind %d, %+v, an order of %d fen: %d off, want %d", x.kind, x.face, x.order, got, x.discount)
		}
		if x.reason == NotRefused && (c.Outcome.Voucher.Status != Used || c.Outcome.Voucher.Balance() != 0) {
			t.Errorf("kind %d is not used: %+v", x.kind, c.Outcome.Voucher)
		}
	}
}

func TestRedeemCash(t *testing.T) {
	d := newDesk(t, kinds()...)
	v := d.voucher(1, "u")
	check := func(c *OnVoucher, value, left int64, status VoucherStatus) {
		t.Helper()
		tr, now := c.Outcome.Transition, c.Outcome.Voucher
		if tr.Value != value || tr.Discount != money.Fen(value) || now.Balance() != left || now.Status != status {
			t.Errorf("%+v; %d left, %v", tr, now.Balance(), now.Status)
		}
	}
	d.wantsOn(AmountOutOfRange, v, redeemCash(0))
	d.wantsOn(AmountOutOfRange, v, redeemCash(-1))
	d.wantsOn(BalanceNotEnough, v, redeemCash(1001))
	d.wantsOn(AmountOutOfRange, v, &Redeem{Amount: 301, HasAmount: true, OrderAmount: 300, HasOrderAmount: true})
	check(d.wantsOn(NotRefused, v, &Redeem{Amount: 300, HasAmount: true, OrderAmount: 300, HasOrderAmount: true}), 300, 700, Issued)
	check(d.wantsOn(NotRefused, v, order(200)), 200, 500, Issued)
	d.wantsOn(BalanceNotEnough, v, redeemCash(501))
	check(d.wantsOn(NotRefused, v, order(9999)), 500, 0, Used)
	d.wantsOn(VoucherUsed, v, redeemCash(1))
	check(d.wantsOn(NotRefused, d.voucher(1, "u"), &Redeem{}), 1000, 0, Used)
}

func TestRedeemRefusals(t *testing.T) {
	d := newDesk(t, append(kinds(), template(7, func(t *Template) {
		t.Valid = Validity{AfterMillis: 10_000, ForMillis: 10_000}
	}))...)
	for n := TemplateID(2); n <= 4; n++ {
		v := d.voucher(n, "u")
		d.wantsOn(AmountMissing, v, &Redeem{})
		d.wantsOn(AmountOutOfRange, v, order(0))
		d.wantsOn(AmountOutOfRange, v, order(-1))
		d.wantsOn(AmountNotAllowed, v, redeemCash(1))
		d.wantsOn(NotRefused, v, order(5000))
	}
	for n := TemplateID(5); n <= 6; n++ {
		d.wantsOn(AmountNotAllowed, d.voucher(n, "u"), redeemCash(1))
		d.wantsOn(AmountOutOfRange, d.voucher(n, "u"), order(0))
		d.wantsOn(NotRefused, d.voucher(n, "u"), &Redeem{})
	}
	late := d.voucher(7, "u")
	d.wantsOn(VoucherNotStarted, late, order(500))
	d.clock = now + 9_999
	d.wantsOn(VoucherNotStarted, late, order(500))
	d.clock = now + 10_000
	d.wantsOn(NotRefused, late, order(500))
}

// Each reason wins over those behind it.
func TestVoucherReasonsInOrder(t *testing.T) {
	d := newDesk(t, append(kinds(), template(7, cash(Fixed, 1000, 1000), func(t *Template) {
		t.Valid = Validity{AfterMillis: 20_000, ForMillis: 20_000}
	}))...)
	used, voided, expired, early, fine := d.voucher(7, "u"), d.voucher(7, "u"), d.voucher(7, "u"), d.voucher(7, "u"), d.voucher(1, "u")
	d.clock = now + 20_000
	first := d.wantsOn(NotRefused, used, &Redeem{})
	d.wantsOn(NotRefused, voided, &Void{})
	d.wantsOn(NotRefused, expired, Expire{})
	u := d.contents().Users[0]
	frozen := *u
	frozen.Frozen = true
	d.users(&frozen)
	later := d.voucher(7, "other")
	wrong := redeemCash(2000) // more than the balance
	d.wantsOn(KeyConflict, fine, wrong, func(c *OnVoucher) { c.Key = first.Key })
	d.wantsOn(KeyConflict, Voucher{ID: 99}, wrong, func(c *OnVoucher) { c.Key = first.Key })
	d.wantsOn(VoucherNotFound, used, wrong, func(c *OnVoucher) { c.Merchant = 99 })
	d.wantsOn(VoucherUsed, used, wrong)
	d.wantsOn(VoucherVoided, voided, wrong)
	d.wantsOn(VoucherExpired, expired, wrong)
	d.wantsOn(UserFrozen, early, wrong)
	d.wantsOn(UserFrozen, fine, redeemCash(0))
	for _, x := range d.contents().Users {
		if x.ID == later.User {
			frozen := *x
			frozen.Frozen = true
			d.users(&frozen)
		}
	}
	d.wantsOn(VoucherNotStarted, later, wrong)
	// A voucher that was ended before it began is expired, and does not begin.
	d.wantsOn(NotRefused, later, Expire{})
	d.wantsOn(VoucherExpired, later, wrong)
}

// A disabled app is refused whatever it asks, also a retry. The operator is not.
func TestDisabledApp(t *testing.T) {
	d := newDesk(t, kinds()...)
	v, r := d.voucher(5, "u"), request("k", "u", 5)
	d.wants(NotRefused, r)
	ofApp := func(c *OnVoucher) { c.App, c.Key = storetest.App, "redeem" }
	first := d.wantsOn(NotRefused, v, &Redeem{}, ofApp)
	d.catalogue(kinds()...)
	d.committer.Catalogue.Apps[storetest.App].Disabled = true
	d.wants(AppDisabled, r)
	d.wants(AppDisabled, request("k-2", "u", 5))
	d.wantsOn(AppDisabled, v, &Redeem{}, ofApp)
	d.wantsOn(NotRefused, v, reverseOf(first), func(c *OnVoucher) { c.App = 0 })
	d.catalogue(kinds()...)
	d.wants(NotRefused, r)
}

func TestReverse(t *testing.T) {
	d := newDesk(t, kinds()...)
	for n := TemplateID(2); n <= 6; n++ {
		v := d.voucher(n, "u")
		redeem := &Redeem{}
		if n <= 4 {
			redeem = order(5000)
		}
		r := d.wantsOn(NotRefused, v, redeem)
		back := d.wantsOn(NotRefused, v, reverseOf(r))
		if now := back.Outcome.Voucher; now.Status != Issued || now.Redeemed != 0 || now.Operations != 2 || back.Outcome.Transition.Redemption != 1 {
			t.Errorf("template %d after its reversal: %+v", n, back.Outcome)
		}
		d.wantsOn(VoucherUsed, v, &Void{}, func(c *OnVoucher) { c.Voucher = d.on(v, redeem).Outcome.Voucher.ID })
	}
	// In parts. The end stays, so what comes back after it is expired.
	v := d.voucher(1, "u")
	r := d.wantsOn(NotRefused, v, &Redeem{})
	d.clock = v.End()
	part := &Reverse{Redemption: r.Outcome.Transition.OperationID, Amount: 400, HasAmount: true}
	back := d.wantsOn(NotRefused, v, part)
	if now := back.Outcome.Voucher; now.Status != Issued || now.Balance() != 400 || now.StatusAt(d.clock) != Expired {
		t.Errorf("after a part was reversed: %+v", now)
	}
	d.wantsOn(VoucherExpired, v, redeemCash(1))
	rest := d.wantsOn(NotRefused, v, reverseOf(r))
	if rest.Outcome.Transition.Value != 600 || rest.Outcome.Voucher.Balance() != 1000 {
		t.Errorf("the rest: %+v", rest.Outcome)
	}
}

func TestReverseRefusals(t *testing.T) {
	d := newDesk(t, kinds()...)
	v, whole := d.voucher(1, "u"), d.voucher(5, "u")
	r, w := d.wantsOn(NotRefused, v, redeemCash(300)), d.wantsOn(NotRefused, whole, &Redeem{})
	amount := func(of *OnVoucher, fen int64) *Reverse {
		return &Reverse{Redemption: of.Outcome.Transition.OperationID, Amount: money.Fen(fen), HasAmount: true}
	}
	d.wantsOn(RedemptionNotFound, v, &Reverse{Redemption: OperationID{Voucher: v.ID, Number: 2}})
	d.wantsOn(RedemptionNotFound, v, &Reverse{Redemption: OperationID{Voucher: 99, Number: 1}})
	d.wantsOn(RedemptionNotFound, v, reverseOf(r), func(c *OnVoucher) { c.Merchant = 99 })
	d.wantsOn(AmountNotAllowed, whole, amount(w, 1))
	d.wantsOn(AmountOutOfRange, v, amount(r, 0))
	d.wantsOn(AmountOutOfRange, v, amount(r, -1))
	d.wantsOn(ReversalTooLarge, v, amount(r, 301))
	back := d.wantsOn(NotRefused, v, amount(r, 100))
	d.wantsOn(RedemptionNotFound, v, reverseOf(back)) // a reversal is no redemption
	d.wantsOn(ReversalTooLarge, v, amount(r, 201))
	d.wantsOn(NotRefused, v, amount(r, 200))
	d.wantsOn(ReversalTooLarge, v, amount(r, 1))
	d.wantsOn(ReversalTooLarge, v, reverseOf(r))
	// More than one redemption: each has its own.
	other := d.wantsOn(NotRefused, v, redeemCash(1000))
	d.wantsOn(ReversalTooLarge, v, amount(r, 1))
	d.wantsOn(NotRefused, v, amount(other, 1000))
	d.wantsOn(NotRefused, whole, reverseOf(w))
	d.wantsOn(ReversalTooLarge, whole, reverseOf(w))
}

func TestVoidReturnsStock(t *testing.T) {
	d := newDesk(t, template(1, cash(Fixed, 100, 100), func(t *Template) {
		t.Stock = Stock{Count: 2, Amount: 200, CountPerDay: 2, AmountPerDay: 200}
		t.Limits = Limits{PerUser: 2, PerUserPerDay: 2}
	}))
	one, two := d.voucher(1, "u"), d.voucher(1, "u")
	d.wants(UserLimit, request("3", "u", 1))
	d.wants(StockEmpty, request("4", "v", 1))
	kept := d.wantsOn(NotRefused, one, &Void{Memo: "wrong"})
	if tr := kept.Outcome.Transition; tr.Status != Voided || tr.Memo != "wrong" || tr.ReturnStock {
		t.Errorf("%+v", tr)
	}
	d.wants(StockEmpty, request("4", "v", 1))
	back := d.wantsOn(NotRefused, two, &Void{ReturnStock: true})
	if seen := back.Outcome.Transition.Seen; seen != (Counters{Count: 2, Amount: 200, DayCount: 2, DayAmount: 200, User: 2, UserDay: 2}) {
		t.Errorf("what the void saw: %+v", seen)
	}
	d.wants(NotRefused, request("5", "u", 1)) // the user has room, and the template
	d.wants(UserLimit, request("6", "u", 1))
	d.wants(StockEmpty, request("7", "v", 1))
}

// A void the day after changes the counters of the day of the issue. The user's day is that of the latest issue.
func TestVoidOnAnotherDay(t *testing.T) {
	long := func(t *Template) { t.Valid = Validity{ForMillis: 1_000_000_000} }
	d := newDesk(t, template(1, cash(Fixed, 100, 100), long, func(t *Template) { t.Limits.PerUserPerDay = 1 }), template(2, long))
	v, w := d.voucher(1, "u"), d.voucher(2, "u")
	d.clock += 24 * hour
	d.voucher(1, "u")
	d.wantsOn(NotRefused, v, &Void{ReturnStock: true})
	d.wantsOn(NotRefused, w, &Void{ReturnStock: true})
	d.wants(UserDayLimit, request("again", "u", 1))
	days := map[Day]int64{}
	c := d.contents()
	for _, row := range c.Rows[TemplateDays.Name] {
		if one := row.(TemplateDay); one.Template == 1 {
			days[one.Day] = one.Count
		}
	}
	if days[now.Day()] != 0 || days[d.clock.Day()] != 1 {
		t.Errorf("the days: %v", days)
	}
	for _, row := range c.Rows[Quotas.Name] {
		if q := row.(Quota); q.Template == 1 && (q.Total != 1 || q.DayTotal != 1) || q.Template == 2 && (q.Total != 0 || q.DayTotal != 0) {
			t.Errorf("%+v", q)
		}
	}
}

// A counter that does not hold the voucher is damaged. A void must not make it worse.
func TestVoidOfAnUncountedVoucher(t *testing.T) {
	d := newDesk(t, kinds()...)
	v := d.voucher(1, "u")
	if err := storetest.Write(t.Context(), d.store, d.clock, &Changes{Rows: RowsOf(TemplateCounts.Rows(TemplateCount{Template: 1}))}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("the counters fell below 0")
		}
	}()
	d.on(v, &Void{ReturnStock: true})
}

func TestVoidRefusals(t *testing.T) {
	d := newDesk(t, kinds()...)
	v := d.voucher(1, "u")
	r := d.wantsOn(NotRefused, v, redeemCash(1))
	d.wantsOn(VoucherUsed, v, &Void{})
	d.wantsOn(NotRefused, v, redeemCash(999))
	d.wantsOn(VoucherUsed, v, &Void{})
	d.wantsOn(NotRefused, v, reverseOf(r))
	d.wantsOn(VoucherUsed, v, &Void{})
	full := d.voucher(1, "u")
	r = d.wantsOn(NotRefused, full, redeemCash(1))
	d.wantsOn(NotRefused, full, reverseOf(r))
	d.clock = full.End()
	d.wantsOn(NotRefused, full, &Void{ReturnStock: true})
	d.wantsOn(VoucherVoided, full, &Void{})
	d.wantsOn(VoucherVoided, full, &Extend{End: d.clock + 1})
	d.wantsOn(VoucherVoided, full, Expire{})
}

func TestVoidEndsTheWindow(t *testing.T) {
	d := newDesk(t, template(1, digits(12)))
	first := d.ask(certificateSend("a", 5000))
	v := first.Issuance.Vouchers()[0]
	d.wantsOn(NotRefused, v, &Void{})
	second := d.ask(certificateSend("a", 5000))
	if second.Replayed || second.Reason != NotRefused || second.Issuance.ID == first.Issuance.ID {
		t.Errorf("after a void: %+v", second)
	}
	if o := d.ask(certificateSend("a", 5000)); !o.Replayed || o.Issuance.ID != second.Issuance.ID {
		t.Errorf("after the second: %+v", o)
	}
	// In one batch, whichever comes first.
	void := func(v Voucher, key string) *OnVoucher { return &OnVoucher{Action: &Void{}, Key: key, Voucher: v.ID} }
	issue := &Issue{Request: certificateSend("a", 5000)}
	d.do(issue, void(second.Issuance.Vouchers()[0], "v1"))
	if !issue.Outcome.Replayed {
		t.Errorf("before a void: %+v", issue.Outcome)
	}
	third := d.ask(certificateSend("a", 5000))
	again := &Issue{Request: certificateSend("a", 5000)}
	d.do(void(third.Issuance.Vouchers()[0], "v2"), again)
	if again.Outcome.Replayed || again.Outcome.Reason != NotRefused {
		t.Errorf("behind a void: %+v", again.Outcome)
	}
}

// A key that is bound again gets a greater id, though the clock stands still, ids have run ahead of it, the new recipient's
// bucket is lower, or another process draws.
func TestReboundKeyHasAGreaterID(t *testing.T) {
	d := newDesk(t, template(1))
	ids := func() *id.Generator { return id.NewGenerator(rand.New(rand.NewPCG(1, 1)), 0) }
	env := &d.committer.Env
	env.IDs = ids()
	d.users(
		&User{ID: env.IDs.Block(int64(now)-1000, 900, 1), Identifiers: []Identifier{{Type: TaobaoID, Value: "high"}}},
		&User{ID: env.IDs.Block(int64(now)-1000, 3, 1), Identifiers: []Identifier{{Type: TaobaoID, Value: "low"}}},
	)
	last := d.ask(certificateSend("high", 5)).Issuance
	rebind := func(how, user string) {
		t.Helper()
		o := d.wants(NotRefused, certificateSend(user, 5))
		if o.Replayed || o.Issuance.ID <= last.ID {
			t.Fatalf("%s: replayed %v, the id %d in place of %d", how, o.Replayed, o.Issuance.ID, last.ID)
		}
		last = o.Issuance
	}
	void := func() { d.wantsOn(NotRefused, last.Vouchers()[0], &Void{}) }
	void()
	rebind("voided in the same millisecond", "low")
	void()
	rebind("again", "high")
	void()
	env.IDs = ids()
	rebind("by another process", "high")
	env.IDs.Block(int64(now)+9, 900, 1)
	void()
	rebind("with ids ahead of the clock", "high")
	d.clock += 5
	rebind("when the window is over, before the time of the id", "low")
	d.clock += 5000
	if rebind("much later", "high"); last.ID.Millis() != int64(d.clock) {
		t.Errorf("an id of %d, at %d", last.ID.Millis(), d.clock)
	}
}

func TestExtendRefusals(t *testing.T) {
	d := newDesk(t, append(kinds(), template(7, func(t *Template) { t.Valid = Validity{Absolute: Window{Start: now - 1000}} }))...)
	v := d.voucher(1, "u")
	end := v.End()
	if end != now+61_000 { // the wire's last second is inside
		t.Fatalf("it ends at %v", end)
	}
	far := InstantOf(now.Time().AddDate(10, 0, 0))
	d.wantsOn(EndNotLater, v, &Extend{End: end})
	d.wantsOn(EndNotLater, v, &Extend{End: 0})
	d.wantsOn(EndTooFar, v, &Extend{End: far + 1})
	d.wantsOn(NotRefused, v, &Extend{End: end + 1})
	d.wantsOn(NotRefused, v, &Extend{End: far})
	d.wantsOn(EndNotLater, d.voucher(7, "u"), &Extend{End: far}) // it has no end
	w := d.voucher(1, "u")
	d.clock = now + 100_000
	d.wantsOn(EndNotLater, w, &Extend{End: d.clock})
	d.wantsOn(VoucherExpired, w, &Redeem{})
	d.wantsOn(NotRefused, w, &Extend{End: d.clock + 1})
	d.wantsOn(NotRefused, w, &Redeem{})
	d.wantsOn(VoucherUsed, w, &Extend{End: d.clock + 2})
	d.wantsOn(VoucherUsed, w, Expire{})
}

func TestVoucherEnd(t *testing.T) {
	d := newDesk(t, kinds()...)
	v, w := d.voucher(5, "u"), d.voucher(5, "u")
	d.clock = v.End() - 1
	d.wantsOn(NotRefused, v, &Redeem{})
	d.clock++
	d.wantsOn(VoucherExpired, w, &Redeem{})
}

func TestExpireRefusals(t *testing.T) {
	d := newDesk(t, kinds()...)
	v := d.voucher(1, "u")
	d.wantsOn(NotRefused, v, redeemCash(1))
	c := d.wantsOn(NotRefused, v, Expire{})
	if tr := c.Outcome.Transition; tr.End != now || tr.Status != Issued || tr.StatusAfter() != Expired || c.Outcome.Voucher.StatusAt(now) != Expired {
		t.Errorf("%+v", c.Outcome)
	}
	d.wantsOn(VoucherExpired, v, Expire{})
	d.wantsOn(VoucherExpired, v, redeemCash(1))
	later := d.wantsOn(NotRefused, v, &Extend{End: now + 1})
	d.clock = now + 1
	if tr := later.Outcome.Transition; tr.StatusAfter() != Issued {
		t.Errorf("extended, and expired since: %+v", tr)
	}
	w := d.voucher(1, "u")
	d.clock = w.End()
	d.wantsOn(VoucherExpired, w, Expire{})
}

func TestVoucherOfOthers(t *testing.T) {
	d := newDesk(t, kinds()...)
	v := d.voucher(5, "u")
	holder := func(value string) func(*OnVoucher) {
		return func(c *OnVoucher) { c.Holder = Identifier{Type: TaobaoID, Value: value} }
	}
	d.wantsOn(VoucherNotFound, v, &Redeem{}, holder("v"))
	d.wantsOn(VoucherNotFound, v, &Redeem{}, func(c *OnVoucher) { c.Merchant = 2 })
	d.wantsOn(VoucherNotFound, Voucher{ID: v.ID + 1}, &Redeem{})
	d.wantsOn(VoucherNotFound, Voucher{ID: math.MaxInt64}, &Redeem{})
	d.wantsOn(NotRefused, v, &Redeem{}, holder("u"), func(c *OnVoucher) { c.Merchant = 1 })
}

// The user of a voucher is the one who got it, whomever the identifier that it was sent to names by now.
func TestVoucherOfAMovedIdentifier(t *testing.T) {
	d := newDesk(t, kinds()...)
	first, second, third := d.voucher(5, "u"), d.voucher(5, "u"), d.voucher(5, "u")
	sent, own := Identifier{Type: TaobaoID, Value: "u"}, Identifier{Type: AlipayID, Value: "2088"}
	d.users(&User{ID: first.User, Identifiers: []Identifier{own}}) // nobody's
	d.wantsOn(NotRefused, first, &Redeem{}, func(c *OnVoucher) { c.Holder = own })
	d.users(&User{ID: first.User, Frozen: true, Identifiers: []Identifier{own}}, &User{ID: first.User + 1, Identifiers: []Identifier{sent}})
	d.wantsOn(VoucherNotFound, second, &Redeem{}, func(c *OnVoucher) { c.Holder = sent })
	d.wantsOn(UserFrozen, second, &Redeem{})
	d.users(&User{ID: first.User, Identifiers: []Identifier{own}}, &User{ID: first.User + 1, Frozen: true, Identifiers: []Identifier{sent}})
	batch := []Command{
		&OnVoucher{Action: &Redeem{}, Key: "1", Voucher: second.ID}, &OnVoucher{Action: &Redeem{}, Key: "2", Voucher: third.ID},
	}
	d.do(batch...)
	for _, c := range batch {
		if o := c.(*OnVoucher).Outcome; o.Reason != NotRefused {
			t.Errorf("in one batch: %v", o.Reason)
		}
	}
}

func TestOnVoucherByCode(t *testing.T) {
	d := newDesk(t, template(6, digits(12), func(t *Template) { t.Stock.Count = 1 }))
	r := request("k", "u", 6, func(r *Request) { r.Lines[0].Sends = 2 })
	i := d.ask(r).Issuance
	codes := i.Lines[0].Codes
	if len(codes) != 2 || i.Lines[0].Issued != 1 {
		t.Fatalf("%+v", i.Lines[0])
	}
	by := func(code string) func(*OnVoucher) {
		return func(c *OnVoucher) { c.Voucher, c.Code = 0, code }
	}
	d.wantsOn(VoucherNotFound, Voucher{}, &Redeem{}, by("000"))
	d.wantsOn(VoucherNotFound, Voucher{}, &Redeem{}, by(codes[1])) // its voucher was refused
	c := d.wantsOn(NotRefused, Voucher{}, &Redeem{}, by(codes[0]))
	if c.Outcome.Voucher.ID != i.ID {
		t.Errorf("%+v", c.Outcome)
	}
}

// Both orders of a redemption and a void in one batch, two redemptions, two keys, one key.
func TestOnVoucherInABatch(t *testing.T) {
	d := newDesk(t, kinds()...)
	command := func(v Voucher, key string, a Action) *OnVoucher {
		return &OnVoucher{Action: a, Key: key, Voucher: v.ID}
	}
	v, w, x := d.voucher(5, "u"), d.voucher(5, "u"), d.voucher(5, "u")
	all := []*OnVoucher{
		command(v, "1", &Redeem{}), command(v, "1", &Redeem{}), command(v, "2", &Redeem{}), command(v, "3", &Void{}),
		command(w, "4", &Void{}), command(w, "5", &Redeem{}), command(x, "1", &Redeem{}),
	}
	commands := make([]Command, len(all))
	for k := range all {
		commands[k] = all[k]
	}
	d.do(commands...)
	for k, want := range []Reason{NotRefused, NotRefused, VoucherUsed, VoucherUsed, NotRefused, VoucherVoided, KeyConflict} {
		if got := all[k].Outcome; got.Reason != want || got.Replayed != (k == 1) {
			t.Errorf("command %d: %+v, want %v", k, got, want)
		}
	}
	if one, two := all[0].Outcome, all[1].Outcome; one.Transition != two.Transition {
		t.Errorf("%+v was replayed as %+v", one, two)
	}
}

// To a command that came with the issue of its voucher, the voucher is not there yet: nothing of it was loaded.
func TestVoucherIssuedInTheBatch(t *testing.T) {
	d := newDesk(t, kinds()...)
	first := d.voucher(5, "u")
	issue := &Issue{Request: request("next", "u", 5)}
	var all []Command
	for n := id.ID(1); n < 3000; n++ { // one of them will be the voucher's: ids of a batch are close
		all = append(all, &OnVoucher{Action: &Redeem{}, Key: fmt.Sprint("guess", n), Voucher: first.ID + n})
	}
	d.do(append([]Command{issue}, all...)...)
	met := false
	for _, c := range all {
		one := c.(*OnVoucher)
		met = met || one.Voucher == issue.Outcome.Issuance.ID
		if one.Outcome.Reason != VoucherNotFound {
			t.Errorf("%+v", one.Outcome)
		}
	}
	if !met {
		t.Error("the id was not among those that were tried")
	}
}

func TestOnVoucherFingerprint(t *testing.T) {
	d := newDesk(t, kinds()...)
	v, w := d.voucher(1, "u"), d.voucher(1, "u")
	holder := Identifier{Type: TaobaoID, Value: "u"}
	first := d.wantsOn(NotRefused, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true})
	same := func(c *OnVoucher) { c.Key = first.Key }
	again := d.wantsOn(NotRefused, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true}, same)
	if !again.Outcome.Replayed || again.Outcome.Transition != first.Outcome.Transition {
		t.Errorf("%+v", again.Outcome)
	}
	d.wantsOn(KeyConflict, v, &Redeem{Order: "p", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true}, same)
	d.wantsOn(KeyConflict, v, &Redeem{Order: "o", Shop: "t", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true}, same)
	d.wantsOn(KeyConflict, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 501, HasOrderAmount: true, Amount: 100, HasAmount: true}, same)
	d.wantsOn(KeyConflict, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 101, HasAmount: true}, same)
	d.wantsOn(KeyConflict, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true}, same)
	d.wantsOn(KeyConflict, w, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true}, same)
	d.wantsOn(KeyConflict, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true}, same, func(c *OnVoucher) { c.Holder = holder })
	// Other commands and other callers have keys of their own.
	d.wantsOn(NotRefused, w, &Extend{End: w.End() + 1}, same)
	d.wantsOn(NotRefused, w, redeemCash(1), same, func(c *OnVoucher) { c.App = 1 })
	// A refusal does not use the key up, and a memo is not part of what is asked.
	refused := d.wantsOn(VoucherUsed, v, &Void{})
	d.wantsOn(NotRefused, v, reverseOf(first))
	void := d.wantsOn(NotRefused, v, &Void{Memo: "a"}, func(c *OnVoucher) { c.Key = refused.Key })
	if again := d.wantsOn(NotRefused, v, &Void{Memo: "b"}, func(c *OnVoucher) { c.Key = void.Key }); !again.Outcome.Replayed || again.Outcome.Transition.Memo != "a" {
		t.Errorf("%+v", again.Outcome)
	}
	d.wantsOn(KeyConflict, v, &Void{ReturnStock: true}, func(c *OnVoucher) { c.Key = void.Key })
	// What was done is answered with the voucher as it is now.
	if late := d.wantsOn(NotRefused, v, &Redeem{Order: "o", Shop: "s", OrderAmount: 500, HasOrderAmount: true, Amount: 100, HasAmount: true}, same); late.Outcome.Voucher.Status != Voided || late.Outcome.Transition.Status != Issued {
		t.Errorf("%+v", late.Outcome)
	}
}

func TestOnVoucherCheck(t *testing.T) {
	long := string(make([]rune, MaxOrder+1))
	memo := string(make([]rune, MaxMemo+1))
	for k, c := range []*OnVoucher{
		{Action: &Redeem{}, Key: "k"}, {Action: &Redeem{}, Key: "k", Voucher: 1, Code: "1"}, {Action: &Redeem{}, Key: "k", Voucher: -1},
		{Action: &Redeem{}, Voucher: 1}, {Action: &Redeem{Order: long}, Key: "k", Voucher: 1}, {Action: &Redeem{Shop: long}, Key: "k", Voucher: 1},
		{Action: &Void{Memo: memo}, Key: "k", Voucher: 1}, {Action: &Reverse{}, Key: "k"},
		{Action: &Reverse{Redemption: OperationID{Voucher: 1, Number: 1}}, Key: "k", Voucher: 1},
	} {
		if c.Check() == nil {
			t.Errorf("command %d is accepted", k)
		}
	}
}

func TestOperationID(t *testing.T) {
	want := OperationID{Voucher: 12, Number: 3}
	if got, err := ParseOperationID(want.String()); got != want || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "12", "12-", "-3", "12-0", "0-3", "012-3", "12-+3", "12-3-4", "a-b", "99999999999999999999-1"} {
		if got, err := ParseOperationID(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
