package benefit_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
)

// The names are on the wire, and the numbers are stored.
func TestEventTypes(t *testing.T) {
	want := map[EventType]string{
		1: "voucher.issued", 2: "voucher.redeemed", 3: "voucher.reversed", 4: "voucher.voided", 5: "voucher.extended", 6: "voucher.expired",
		64: "template.created", 65: "template.changed", 66: "template.paused", 67: "template.resumed", 68: "template.ended",
		69: "template.sold_out", 70: "template.restocked",
	}
	got := map[EventType]string{}
	for _, e := range EventTypes() {
		got[e] = e.String()
		if !EventPattern(e.String()).Known() {
			t.Errorf("%q is not known", e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.IsSorted(EventTypes()) {
		t.Errorf("the types are not in order: %v", EventTypes())
	}
	for _, name := range []string{"", "voucher", "voucher.issued ", "event 9"} {
		if EventPattern(name).Known() {
			t.Errorf("%q is known", name)
		}
	}
	if got := EventType(200).String(); got != "event 200" {
		t.Errorf("an unknown type is called %s", got)
	}
}

func TestEventPatterns(t *testing.T) {
	for pattern, want := range map[EventPattern][]EventType{
		"voucher.expired":    {VoucherExpiredEvent},
		"template.sold_out":  {TemplateSoldOutEvent},
		"template.*":         EventTypes()[6:],
		"voucher.*":          EventTypes()[:6],
		"voucher.exp":        nil,
		"voucher":            nil,
		"":                   nil,
		"voucher.expired_at": nil,
	} {
		var got []EventType
		for _, e := range EventTypes() {
			if pattern.Matches(e) {
				got = append(got, e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q matches %v, want %v", pattern, got, want)
		}
		if known := slices.Contains(EventPatterns(), pattern); known != (len(want) > 0) {
			t.Errorf("%q is in the list of patterns: %v", pattern, known)
		}
	}
	if EventPattern("voucher.*").Matches(EventType(200)) {
		t.Error("voucher.* matches a type that is not of vouchers")
	}
}
