package benefit_test

import (
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// The keys of a redemption's reversals are in one scope for all callers. A stranger who knows the redemption and a key is
// told that there is no such redemption, whatever stands under the key.
func TestReversalsOfOthers(t *testing.T) {
	d := newDesk(t, template(1))
	voucher := d.ask(request("k", "1", 1)).Issuance.FirstVoucher()
	reverse := func(merchant MerchantID, key string, holder Identifier) *OnVoucher {
		return &OnVoucher{
			Action: &Reverse{Redemption: OperationID{Voucher: voucher, Number: 1}}, Key: key, Merchant: merchant, Holder: holder,
		}
	}
	redeem := &OnVoucher{Action: &Redeem{OrderAmount: 500, HasOrderAmount: true}, Key: "k", Voucher: voucher}
	if err := d.committer.Do(t.Context(), d.clock, redeem, reverse(storetest.OpenMerchant, "k", Identifier{})); err != nil {
		t.Fatal(err)
	}
	other := Identifier{Type: Nick, Value: "other"}
	for _, c := range []struct {
		what string
		call *OnVoucher
		want VoucherOutcome
	}{
		{"another meaning", reverse(storetest.OpenMerchant, "k", other), VoucherOutcome{Reason: KeyConflict}},
		{"a stranger's retry", reverse(storetest.RegisteredMerchant, "k", Identifier{}), VoucherOutcome{Reason: RedemptionNotFound}},
		{"a stranger's other meaning", reverse(storetest.RegisteredMerchant, "k", other), VoucherOutcome{Reason: RedemptionNotFound}},
		{"a stranger's own key", reverse(storetest.RegisteredMerchant, "own", Identifier{}), VoucherOutcome{Reason: RedemptionNotFound}},
	} {
		if err := d.committer.Do(t.Context(), d.clock, c.call); err != nil {
			t.Fatal(err)
		}
		if diff := storetest.Diff(c.want, c.call.Outcome); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
	if again := reverse(0, "k", Identifier{}); d.committer.Do(t.Context(), d.clock, again) != nil || !again.Outcome.Replayed {
		t.Errorf("the operator's retry: %+v", again.Outcome)
	}
}
