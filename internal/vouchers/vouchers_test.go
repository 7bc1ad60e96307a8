package vouchers

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/table"
)

// world is an engine on a store with one template of each kind that the tests need, and a clock.
type world struct {
	store  *memory.Store
	engine *engine.Engine
	now    benefit.Instant
}

const (
	cash benefit.TemplateID = 1 + iota
	gift
	few // there is one
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{store: memory.New(), now: 1_800_000_000_000}
	var err error
	w.engine, err = engine.New(t.Context(), engine.Options{Store: w.store, Clock: func() benefit.Instant { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	changes := &benefit.Changes{Catalogue: 1}
	for _, v := range []any{
		&benefit.Merchant{ID: 1, Name: "acme", Open: true},
		&benefit.App{ID: 1, Name: "shop", Merchant: 1},
		&benefit.Template{
			ID: cash, Name: "cash", Merchant: 1, Kind: benefit.Cash, Amount: benefit.AmountRule{From: benefit.FromRequest, Min: 1, Max: 10_000}, Status: benefit.Active,
			Valid: benefit.Validity{ForMillis: 3_600_000}, Stock: benefit.UnlimitedStock(),
		},
		&benefit.Template{
			ID: gift, Name: "gift", Merchant: 1, Kind: benefit.Certificate, Code: benefit.CodeRule{Digits: 12}, Status: benefit.Active,
			Valid: benefit.Validity{ForMillis: 3_600_000}, Stock: benefit.UnlimitedStock(),
		},
		&benefit.Template{
			ID: few, Name: "few", Merchant: 1, Kind: benefit.Certificate, Code: benefit.CodeRule{Digits: 12}, Status: benefit.Active, Valid: benefit.Validity{ForMillis: 3_600_000},
			Stock: benefit.Stock{Count: 1, Amount: benefit.Unlimited, CountPerDay: benefit.Unlimited, AmountPerDay: benefit.Unlimited},
		},
	} {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		changes.Rows = append(changes.Rows, benefit.Entities.Rows(e))
	}
	done := make(chan error, 1)
	go func() { done <- w.engine.Run() }()
	t.Cleanup(func() {
		w.engine.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := w.engine.Change(t.Context(), func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return changes, nil
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// issue issues sends of a template under a key, and returns the first voucher.
func (w *world) issue(t *testing.T, template benefit.TemplateID, key string, sends int) benefit.Voucher {
	t.Helper()
	line := benefit.Line{Template: template, Sends: sends, Quantity: 1, HasAmount: template == cash}
	if line.HasAmount {
		line.Amount = 100
	}
	o, err := w.engine.Issue(t.Context(), &benefit.Request{
		App: 1, Scope: scope.Template(template), Key: key, Recipient: benefit.Identifier{Type: benefit.TaobaoID, Value: "7"},
		Fingerprint: benefit.FingerprintOf([]benefit.Line{line}), Lines: []benefit.Line{line},
	})
	if err != nil || o.Reason != benefit.NotRefused {
		t.Fatalf("%+v, %v", o, err)
	}
	return o.Issuance.Vouchers()[0]
}

func (w *world) do(t *testing.T, v id.ID, key string, a benefit.Action) {
	t.Helper()
	c := &benefit.OnVoucher{Action: a, Voucher: v, Key: key}
	if _, ok := a.(*benefit.Reverse); ok {
		c.Voucher = 0
	}
	if err := w.engine.Do(t.Context(), c); err != nil || c.Outcome.Reason != benefit.NotRefused {
		t.Fatalf("%+v, %v", c.Outcome, err)
	}
	w.now += 1000
}

func (w *world) read(t *testing.T) store.Reader {
	t.Helper()
	r, err := w.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func redeem(fen money.Fen) benefit.Action {
	return &benefit.Redeem{Amount: fen, HasAmount: true, Order: "o-1"}
}

// A voucher is found by its id and its code, as it stands.
func TestGet(t *testing.T) {
	w := newWorld(t)
	c, g := w.issue(t, cash, "c", 1), w.issue(t, gift, "g", 1)
	r := w.read(t)
	if v, err := Get(t.Context(), r, c.ID); err != nil || v.Status != benefit.Issued || v.Operations != 0 || v.Of.Key != "c" {
		t.Errorf("as issued: %+v, %v", v, err)
	}
	w.do(t, c.ID, "r-1", redeem(100))
	w.do(t, g.ID, "v-1", &benefit.Void{})
	if v, err := Get(t.Context(), r, c.ID); err != nil || v.Status != benefit.Issued {
		t.Errorf("a snapshot moved: %+v, %v", v, err)
	}
	r = w.read(t)
	if v, err := Get(t.Context(), r, c.ID); err != nil || v.Status != benefit.Used || v.Balance() != 0 {
		t.Errorf("redeemed: %+v, %v", v, err)
	}
	if v, err := Get(t.Context(), r, 12); v != nil || err != nil {
		t.Errorf("no such id: %+v, %v", v, err)
	}
}

// The operations are told in their order, with what was given back of each redemption.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	v := w.issue(t, cash, "c", 1)
	w.do(t, v.ID, "r-1", redeem(40))
	w.do(t, v.ID, "r-2", redeem(50))
	before, err := Get(t.Context(), w.read(t), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.do(t, v.ID, "b-1", &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v.ID, Number: 1}, Amount: 10, HasAmount: true})
	w.do(t, v.ID, "b-2", &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v.ID, Number: 1}})
	r := w.read(t)
	now, err := Get(t.Context(), r, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Operations(t.Context(), r, &now.Voucher)
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for k, want := range []struct {
		kind                    benefit.OperationKind
		key                     string
		value, reversed, redeem int64
	}{
		{benefit.RedeemOperation, "r-1", 40, 40, 0}, {benefit.RedeemOperation, "r-2", 50, 0, 0},
		{benefit.ReverseOperation, "b-1", 10, 0, 1}, {benefit.ReverseOperation, "b-2", 30, 0, 1},
	} {
		if o := all[k]; o.Kind != want.kind || o.Key != want.key || o.Value != want.value || o.Reversed != want.reversed || o.Redemption != want.redeem {
			t.Errorf("%d: %+v, want %+v", k, o, want)
		}
	}
	if all, err = Operations(t.Context(), r, &before.Voucher); err != nil || len(all) != 2 || all[0].Reversed != 0 {
		t.Errorf("as it was before the reversals: %+v, %v", all, err)
	}
	transition, ok, err := UnderKey(t.Context(), r, benefit.ReversalScope(all[0].OperationID), "b-2")
	if err != nil || !ok || transition.Value != 30 || transition.Voucher != v.ID || transition.Number != 4 {
		t.Errorf("under its key: %+v, %v, %v", transition, ok, err)
	}
	if _, ok, err = UnderKey(t.Context(), r, benefit.VoucherScope(benefit.RedeemOperation, 0), "r-3"); ok || err != nil {
		t.Errorf("under no key: %v, %v", ok, err)
	}
}

// holed is a reader without the rows of a kind.
type holed struct {
	store.Reader
	kind *table.Kind
}

func (h holed) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	if kind == h.kind {
		return make([]*table.Row, len(keys)), nil
	}
	return h.Reader.Rows(ctx, kind, keys)
}

// Nobody reads that nothing happened because a row is missing.
func TestMissingOperation(t *testing.T) {
	w := newWorld(t)
	v := w.issue(t, cash, "c", 1)
	w.do(t, v.ID, "r-1", redeem(40))
	r := w.read(t)
	now, err := Get(t.Context(), r, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []*table.Kind{benefit.VoucherOperations.Kind, benefit.Operations.Kind} {
		if all, err := Operations(t.Context(), holed{r, kind}, &now.Voucher); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("without its %s: %+v, %v", kind.Title, all, err)
		}
	}
}

// Of more operations than are read the newest are returned, also where the first of them reverses one that is not.
func TestMaxOperations(t *testing.T) {
	w := newWorld(t)
	v := w.issue(t, cash, "c", 1)
	for n := range MaxOperations/2 + 1 {
		key := string(rune('一' + n))
		w.do(t, v.ID, key, redeem(1))
		w.do(t, v.ID, key, &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v.ID, Number: int64(2*n + 1)}})
	}
	for _, first := range []int64{3, 4} {
		r := w.read(t)
		now, err := Get(t.Context(), r, v.ID)
		if err != nil || now.Operations != MaxOperations+first-1 {
			t.Fatalf("%+v, %v", now, err)
		}
		all, err := Operations(t.Context(), r, &now.Voucher)
		if err != nil || len(all) != MaxOperations || all[0].Number != first || all[0].Reversed != 4-first {
			t.Errorf("%d, the first %+v, %v", len(all), all[0], err)
		}
		w.do(t, v.ID, "last", redeem(1))
	}
}

// An id or a code that was kept for a voucher that was not issued is not one.
func TestNotIssued(t *testing.T) {
	w := newWorld(t)
	v := w.issue(t, few, "f", 2)
	r := w.read(t)
	one, err := Get(t.Context(), r, v.ID)
	if one == nil || err != nil {
		t.Fatalf("%+v, %v", one, err)
	}
	codes := one.Of.Lines[0].Codes
	if len(codes) != 2 {
		t.Fatalf("codes %v", codes)
	}
	if one, err := Get(t.Context(), r, v.ID+1); one != nil || err != nil {
		t.Errorf("by id: %+v, %v", one, err)
	}
	if page, _, err := WithCode(codes[1]).Page(t.Context(), w.store, everything); len(page) != 0 || err != nil {
		t.Errorf("by code: %+v, %v", page, err)
	}
}

var everything = Bounds{Limit: 100, Match: func(*benefit.Voucher) bool { return true }}

// A code selects one of the vouchers of an issuance, as it stands.
func TestWithCode(t *testing.T) {
	w := newWorld(t)
	first := w.issue(t, gift, "g", 3)
	i, err := w.read(t).IssuanceOf(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	second := i.Vouchers()[1]
	w.do(t, second.ID, "v-1", &benefit.Void{})
	page, _, err := WithCode(second.Code).Page(t.Context(), w.store, everything)
	if err != nil || len(page) != 1 || page[0].ID != second.ID || page[0].Status != benefit.Voided {
		t.Errorf("%+v, %v", page, err)
	}
	if page, _, err := WithCode("none").Page(t.Context(), w.store, everything); len(page) != 0 || err != nil {
		t.Errorf("no such code: %+v, %v", page, err)
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct{ code, masked string }{
		{"383977292112", "********2112"}, {"38397729", "****7729"}, {"3839772", "*******"}, {"", ""}, {"一二三四五六七八", "****五六七八"}, {"一二三四五六七", "*******"},
	} {
		if got := MaskCode(c.code); got != c.masked {
			t.Errorf("code %s: %s", c.code, got)
		}
	}
	for _, c := range []struct{ value, masked string }{
		{"2088302001456115", "208**********115"}, {"yue54333", "********"}, {"月下的一个长名字abc", "***********"},
		{"一二三四五六七八九十甲乙", "一二三******十甲乙"},
	} {
		if got := Mask(c.value, 3, 3); got != c.masked {
			t.Errorf("identifier %s: %s", c.value, got)
		}
	}
}

// Pages hold each voucher once, the newest first, also where one ends within an issuance.
func TestPage(t *testing.T) {
	w := newWorld(t)
	var want []id.ID
	for n, sends := range []int{1, 4, 2, 1} {
		template := gift
		if n == 2 {
			template = cash
		}
		v := w.issue(t, template, string(rune('a'+n)), sends)
		for k := range sends {
			if template == gift {
				want = append(want, v.ID+id.ID(k))
			}
		}
		w.now += 1000
	}
	slices.Reverse(want)
	w.do(t, want[2], "v", &benefit.Void{})
	r := w.read(t)
	all, err := r.TemplateIssuances(t.Context(), gift, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	others, err := r.TemplateIssuances(t.Context(), cash, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, others...)
	slices.SortFunc(all, func(a, b *benefit.Issuance) int { return cmp.Compare(b.ID, a.ID) })
	ofGift := func(v *benefit.Voucher) bool { return v.Template == gift }
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []id.ID
		for before := id.ID(0); ; {
			list := List{newest: func(_ context.Context, _ store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
				return func(yield func(*benefit.Issuance, error) bool) {
					for _, i := range all {
						if (before == 0 || i.ID < before) && !yield(i, nil) {
							return
						}
					}
				}
			}}
			page, next, err := list.Page(t.Context(), w.store, Bounds{Before: before, Limit: limit, Match: ofGift})
			if err != nil || len(page) > limit || len(page) == 0 || len(got)+len(page) > len(want) {
				t.Fatalf("pages of %d: %v after %v, %v", limit, page, got, err)
			}
			for _, v := range page {
				got = append(got, v.ID)
				if voided := v.Status == benefit.Voided; voided != (v.ID == want[2]) {
					t.Errorf("voucher %d: %v", v.ID, v.Status)
				}
			}
			if before = next; next == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", limit, got, want)
		}
	}
}

// Of an order with very many redemptions the first ones are read.
func TestOfOrder(t *testing.T) {
	w := newWorld(t)
	digest := benefit.OrderDigest(1, "o")
	rows := make([]benefit.OrderRedemption, MaxOfOrder+1)
	for k := range rows {
		rows[k] = benefit.OrderRedemption{OrderKey: benefit.OrderKey{Order: digest, OperationID: benefit.OperationID{Voucher: id.ID(k + 1), Number: 1}}}
	}
	if err := w.engine.Change(t.Context(), func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Rows: benefit.RowsOf(benefit.OrderRedemptions.Rows(rows...))}, nil
	}); err != nil {
		t.Fatal(err)
	}
	all, err := OfOrder(t.Context(), w.store, 1, "o")
	if err != nil || len(all) != MaxOfOrder || all[MaxOfOrder-1].Voucher != MaxOfOrder {
		t.Errorf("%d redemptions, %v", len(all), err)
	}
	if none, err := OfOrder(t.Context(), w.store, 2, "o"); len(none) != 0 || err != nil {
		t.Errorf("of another merchant: %v, %v", none, err)
	}
}
