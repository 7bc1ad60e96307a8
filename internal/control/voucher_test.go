package control

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/scope"
	"faquan/internal/money"
)

// certificate issues a certificate and returns it.
func (d *Service) certificate(t *testing.T, key string) benefit.Voucher {
	t.Helper()
	return d.mustIssue(t, &benefit.Request{
		Scope: scope.Certificate(1), Key: key, Fingerprint: benefit.FingerprintOf(nil), Note: benefit.Note{TraceID: "t-" + key},
		Lines: []benefit.Line{{Template: 2, Sends: 1, Quantity: 1}},
	}).Issuance.Vouchers()[0]
}

// Each reason for which a command on a voucher can be refused is explained.
func TestExplanations(t *testing.T) {
	for _, r := range benefit.Reasons() {
		if r >= benefit.VoucherNotFound && explanations[r] == "" {
			t.Errorf("%v is not explained", r)
		}
	}
	for r, text := range explanations {
		if strings.HasSuffix(text, ".") || strings.ToLower(text[:1]) != text[:1] {
			t.Errorf("%v: %q", r, text)
		}
	}
}

// A command is carried out once under a key, and its code is masked.
func TestOnVoucher(t *testing.T) {
	d := deskWorld(t)
	v := d.certificate(t, "k")
	amount := money.Fen(990)
	redeem := &VoucherCommand{Command: benefit.RedeemOperation, Key: "r", Code: v.Code, Order: "o", OrderAmount: &amount, Holder: "ALIPAY:2088302001456115"}
	first, err := OnVoucher.On(t.Context(), d, redeem)
	if err != nil || first.Outcome != Done || first.Replayed || first.Voucher.Status != "USED" || first.Operation.OrderAmount != 990 {
		t.Fatalf("%+v, %v", first, err)
	}
	if strings.Contains(first.Voucher.Code, v.Code) || !strings.HasSuffix(first.Voucher.Code, v.Code[8:]) {
		t.Errorf("the code %s is shown as %s", v.Code, first.Voucher.Code)
	}
	redeem.Unmasked = true
	again, err := OnVoucher.On(t.Context(), d, redeem)
	if err != nil || !again.Replayed || again.Operation.ID != first.Operation.ID || again.Voucher.Code != v.Code {
		t.Errorf("%+v, %v", again, err)
	}
	redeem.Order = "another"
	if result, err := OnVoucher.On(t.Context(), d, redeem); err != nil || result.Outcome != Refused || result.Reason != "KEY_CONFLICT" || result.Voucher != nil {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err = OnVoucher.On(t.Context(), d, &VoucherCommand{Command: benefit.IssueOperation, Key: "i", Code: v.Code}); err == nil {
		t.Error("an issue is not a command on a voucher")
	}
}

// since returns the vouchers that were issued at an instant or later.
func since(at benefit.Instant, all ...benefit.Voucher) []benefit.Voucher {
	return slices.DeleteFunc(all, func(v benefit.Voucher) bool { return v.IssuedAt < at })
}

// A query finds the vouchers that it selects and no others.
func TestQueryVouchers(t *testing.T) {
	d := deskWorld(t)
	first, second := d.certificate(t, "k-1"), d.certificate(t, "k-2")
	mixed := d.mustIssue(t, &benefit.Request{
		Scope: scope.Template(1), Key: "c", Fingerprint: benefit.FingerprintOf(nil),
		Lines: []benefit.Line{{Template: 1, Sends: 2, Quantity: 1}, {Template: 2, Sends: 1, Quantity: 1}},
	}).Issuance.Vouchers()
	coupon, third := mixed[:2], mixed[2]
	for k, v := range []benefit.Voucher{first, coupon[0], coupon[1]} {
		if _, err := d.OnVoucher(t.Context(), &VoucherCommand{
			Command: benefit.RedeemOperation, Key: "r-" + strconv.Itoa(k), Voucher: v.ID.String(), Order: "o",
		}); err != nil {
			t.Fatal(err)
		}
	}
	issued := ScopeName{Template: "coupon"}
	for name, test := range map[string]struct {
		query VoucherQuery
		want  []benefit.Voucher
	}{
		"id":                 {VoucherQuery{Voucher: first.ID.String()}, []benefit.Voucher{first}},
		"long id":            {VoucherQuery{Voucher: coupon[1].ID.Long()}, coupon[1:]},
		"code":               {VoucherQuery{Code: second.Code}, []benefit.Voucher{second}},
		"another code":       {VoucherQuery{Code: "1"}, nil},
		"user":               {VoucherQuery{User: "ALIPAY:2088302001456115"}, []benefit.Voucher{third, coupon[1], coupon[0], second, first}},
		"user's number":      {VoucherQuery{User: strconv.FormatInt(int64(first.User), 10), Limit: 5}, []benefit.Voucher{third, coupon[1], coupon[0], second, first}},
		"another user":       {VoucherQuery{User: "ALIPAY:2088302001456116"}, nil},
		"user, first page":   {VoucherQuery{User: "ALIPAY:2088302001456115", Limit: 1}, []benefit.Voucher{third}},
		"user, later page":   {VoucherQuery{User: "ALIPAY:2088302001456115", Limit: 2, Cursor: coupon[1].ID.String()}, []benefit.Voucher{coupon[0], second}},
		"template":           {VoucherQuery{Template: "gift"}, []benefit.Voucher{third, second, first}},
		"template_id":        {VoucherQuery{Template: "C"}, []benefit.Voucher{coupon[1], coupon[0]}},
		"template, later":    {VoucherQuery{Template: "gift", Since: second.IssuedAt}, since(second.IssuedAt, third, second, first)},
		"template, too late": {VoucherQuery{Template: "gift", Since: third.IssuedAt + 1}, nil},
		"trace":              {VoucherQuery{Trace: "t-k-2"}, []benefit.Voucher{second}},
		"order":              {VoucherQuery{Order: "o"}, []benefit.Voucher{coupon[1], coupon[0], first}},
		"order's next page":  {VoucherQuery{Order: "o", Merchant: "acme", Cursor: coupon[1].ID.String()}, []benefit.Voucher{coupon[0], first}},
		"another order":      {VoucherQuery{Order: "p"}, nil},
		"key of an issue":    {VoucherQuery{Key: "c", Command: benefit.IssueOperation, Scope: issued}, []benefit.Voucher{third, coupon[1], coupon[0]}},
		"key of a command":   {VoucherQuery{Key: "r-1", Command: benefit.RedeemOperation}, coupon[:1]},
		"key of an app":      {VoucherQuery{Key: "r-1", Command: benefit.RedeemOperation, Scope: ScopeName{App: "shop"}}, nil},
		"key of other ones":  {VoucherQuery{Key: "r-1", Command: benefit.VoidOperation}, nil},
		"key of a reversal":  {VoucherQuery{Key: "r-1", Command: benefit.ReverseOperation, Redemption: first.ID.String() + "-1"}, nil},
		"key of other issue": {VoucherQuery{Key: "d", Command: benefit.IssueOperation, Scope: issued}, nil},
	} {
		page, err := QueryVouchers.On(t.Context(), d, &test.query)
		if (len(test.want) == 0) != errors.Is(err, ErrNotFound) || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got, want []string
		if page != nil {
			for _, v := range page.Vouchers {
				got = append(got, v.ID)
				if strings.Contains(v.Recipient, "2088302001456115") {
					t.Errorf("%s: the recipient is shown as %s", name, v.Recipient)
				}
			}
			if (page.Operation != nil) != (test.query.Command > benefit.IssueOperation) {
				t.Errorf("%s: operation %+v", name, page.Operation)
			}
		}
		for _, v := range test.want {
			want = append(want, v.ID.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// A serving process that does not know the outcome of a command says so to the one who asked, with the advice.
func TestUnknownOfTheServingProcess(t *testing.T) {
	for _, unknown := range []error{engine.ErrUnknown, engine.ErrNotIssued} {
		c := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, nil, fmt.Errorf("a batch: %w", unknown))
		}))
		_, err := OnVoucher.On(t.Context(), c, &VoucherCommand{})
		if want := unknown == engine.ErrUnknown; err == nil || OutcomeUnknown(err) != want || strings.Count(err.Error(), "same key is safe") == 1 != want {
			t.Errorf("%v: %v", unknown, err)
		}
	}
}

// What is issued counts in total and today, and what is left follows from the caps.
func TestTemplates(t *testing.T) {
	d := deskWorld(t)
	d.certificate(t, "k-1")
	d.certificate(t, "k-2")
	v := d.mustIssue(t, &benefit.Request{
		Scope: scope.Template(1), Key: "c", Fingerprint: benefit.FingerprintOf(nil), Lines: []benefit.Line{{Template: 1, Sends: 1, Quantity: 1}},
	}).Issuance.Vouchers()[0]
	all, err := Templates.On(t.Context(), d, "")
	if err != nil || len(all) != 2 || all[0].Name != "coupon" || all[1].Name != "gift" {
		t.Fatalf("%+v, %v", all, err)
	}
	if c := all[0]; c.Total.Issued != 1 || *c.Total.Left != 1 || c.Today.Issued != 1 || c.Today.Left != nil || c.Merchant != "acme" || c.Kind != "EXCHANGE" {
		t.Errorf("%+v", c)
	}
	if g := all[1]; g.Total.Issued != 2 || g.Total.Left != nil || g.Status != "ACTIVE" {
		t.Errorf("%+v", g)
	}
	if _, err := d.OnVoucher(t.Context(), &VoucherCommand{Command: benefit.VoidOperation, Key: "v", Voucher: v.ID.String(), ReturnStock: true}); err != nil {
		t.Fatal(err)
	}
	if all, err = Templates.On(t.Context(), d, "C"); err != nil || len(all) != 1 || all[0].Total.Issued != 0 || *all[0].Total.Left != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err = Templates.On(t.Context(), d, "none"); err == nil {
		t.Error("there is no such template")
	}
}
