package sdktest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/smartwalle/alipay/v3"
)

// atOnce sends eight calls at the same time, each from a client of its own.
func atOnce(t *testing.T, w world, key func(n int) string) []answer {
	t.Helper()
	const calls = 8
	answers, errs := make([]answer, calls), make([]error, calls)
	var wg sync.WaitGroup
	for n := range calls {
		c := w.client(t, w.AppID)
		wg.Go(func() {
			answers[n], errs[n] = send(c, method, map[string]any{"template_id": "crowd", "user_id": alice, "out_biz_no": key(n)}, "")
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return answers
}

// TestAtOnce leaves nothing of a stock of four.
func TestAtOnce(t *testing.T) {
	w := theWorld(t)
	vouchers := map[string]bool{}
	for _, a := range atOnce(t, w, func(int) string { return "crowd-1" }) {
		if !a.IsSuccess() {
			t.Errorf("one key: answered %+v", a)
		}
		vouchers[a.VoucherID] = true
	}
	if len(vouchers) != 1 {
		t.Fatalf("one key gave %d vouchers", len(vouchers))
	}
	soldOut := 0
	for _, a := range atOnce(t, w, func(n int) string { return fmt.Sprint("crowd-stock-", n) }) {
		switch {
		case a.IsSuccess():
			vouchers[a.VoucherID] = true
		case a.SubCode == "STOCK_NOT_ENOUGH":
			soldOut++
		default:
			t.Errorf("eight keys: answered %+v", a)
		}
	}
	if len(vouchers) != 4 || soldOut != 5 {
		t.Errorf("a stock of 4 gave %d vouchers and refused %d of 9 keys", len(vouchers), soldOut)
	}
}

// TestWrongGatewayKey holds that the SDK verifies what faquan signs: with another key neither a success nor a
// failure passes.
func TestWrongGatewayKey(t *testing.T) {
	w := theWorld(t)
	c := w.client(t, w.AppID)
	if err := c.LoadAliPayPublicKey(w.NotGatewayKey); err != nil {
		t.Fatal(err)
	}
	for _, template := range []string{"coupon", "none"} {
		a, err := send(c, method, map[string]any{"template_id": template, "user_id": alice, "out_biz_no": "key-1"}, "")
		if err == nil {
			t.Errorf("%s: believed %+v", template, a)
		}
		var business *alipay.Error
		if errors.As(err, &business) {
			t.Errorf("%s: the answer was not signed: %v", template, err)
		}
	}
}

// TestWrongAppKey calls with a key that is not the app's.
func TestWrongAppKey(t *testing.T) {
	w := theWorld(t)
	w.PrivateKey = w.OtherKey
	a, err := send(w.client(t, w.AppID), method, map[string]any{"template_id": "coupon", "user_id": alice, "out_biz_no": "key-2"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if a.Code != "40002" || a.SubCode != "isv.invalid-signature" || !strings.Contains(a.SubMsg, "app_id="+w.AppID+"&amp;") {
		t.Errorf("answered %+v, want isv.invalid-signature with what was to be signed", a)
	}
}
