package benefit_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
)

// The list of the specification, in its order; the names and numbers are stored and documented.
func TestReasonsAreInTheOrderInWhichTheyWin(t *testing.T) {
	want := []string{
		"APP_DISABLED", "KEY_CONFLICT", "IDENTIFIER_INVALID", "USER_TYPE_NOT_ALLOWED", "TEMPLATE_NOT_FOUND", "USER_NOT_FOUND", "SCENE_NOT_FOUND", "ACTIVITY_NOT_FOUND", "RIGHT_NOT_FOUND", "NARROWING_NOT_ALLOWED", "OTHER_MERCHANT",
		"TEMPLATE_DRAFT", "TEMPLATE_PAUSED", "TEMPLATE_NOT_OPEN", "ACTIVITY_NOT_OPEN", "SCENE_NOT_OPEN", "TEMPLATE_ENDED",
		"GUARDED", "USER_FROZEN", "USER_LIMIT", "PERSON_LIMIT", "USER_DAY_LIMIT", "STOCK_EMPTY", "BUDGET_EMPTY",
		"DAY_STOCK_EMPTY", "DAY_BUDGET_EMPTY", "CODES_EMPTY", "AMOUNT_NOT_ALLOWED", "AMOUNT_MISSING", "AMOUNT_OUT_OF_RANGE",
		// Of commands on vouchers, which also have some of the others; their order is in TestVoucherReasonsInOrder.
		"VOUCHER_NOT_FOUND", "REDEMPTION_NOT_FOUND", "VOUCHER_SENDING", "VOUCHER_FAILED", "VOUCHER_VOIDED", "VOUCHER_USED", "VOUCHER_EXPIRED",
		"VOUCHER_NOT_STARTED", "THRESHOLD_NOT_MET", "BALANCE_NOT_ENOUGH", "REVERSAL_TOO_LARGE", "END_NOT_LATER", "END_TOO_FAR",
	}
	var got []string
	for _, r := range Reasons() {
		got = append(got, r.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.IsSorted(Reasons()) {
		t.Errorf("the numbers %v do not rise", Reasons())
	}
	if got := Reason(250).String(); got != "REASON_250" {
		t.Errorf("an unknown reason is called %s", got)
	}
}

func TestFinalReasons(t *testing.T) {
	final := []Reason{TemplateEnded, UserFrozen, UserLimit, PersonLimit}
	for _, r := range append(Reasons(), NotRefused) {
		if r.Final() != slices.Contains(final, r) {
			t.Errorf("%s.Final() = %v", r, r.Final())
		}
	}
}
