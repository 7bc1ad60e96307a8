package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/audit"
)

// A report with findings names the rows and fails the command; doubts and notes do not.
func TestShowReport(t *testing.T) {
	sound := &audit.Report{
		Checked: audit.Checked{Vouchers: 3, Issuances: 2, Keys: 5, Codes: 3, Participations: 4, Decisions: 1, Operations: 7, VoucherStates: 2}, NotKept: []string{"5: events"}, Notes: []string{"the view is behind"},
		Balances: []audit.Balance{
			{Template: 1, Issued: audit.Tally{Vouchers: 9}, Live: audit.Tally{Vouchers: 2}, Used: audit.Tally{Vouchers: 3}, Returned: audit.Tally{Vouchers: 4}},
			{Template: 2, Issued: audit.Tally{Vouchers: 8}, Expired: audit.Tally{Vouchers: 5}, Voided: audit.Tally{Vouchers: 2}, Sending: audit.Tally{Vouchers: 1}},
		},
		Doubts: []audit.Doubt{{Invariant: audit.Limits, Template: "coupon", Rule: "per person", Rows: 2}, {Invariant: audit.Guard, Activity: "spring", Rule: "guard", Rows: 1}},
	}
	var out bytes.Buffer
	if err := showReport(&out, sound, time.Second, false); err != nil {
		t.Errorf("a sound store: %v", err)
	}
	for _, want := range []string{"checked 3 vouchers of 2 issuances", "not checked: 5: events", "note: the view is behind",
		"checked 5 keys and codes (3 codes), 4 participations in activities, 1 decisions of scenes", "checked 7 operations on 2 vouchers",
		"of 17 vouchers 2 are live, 3 used, 5 expired, 2 voided, 4 voided and returned to the stock, 1 sent to a downstream",
		"doubt: template coupon, per person: 2 rows", "doubt: activity spring, guard: 1 rows", "nothing is wrong"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}

	broken := &audit.Report{More: 4, Findings: []audit.Finding{{Invariant: audit.Totals, Row: "template 7", Want: "5", Got: "6"}}}
	out.Reset()
	if err := showReport(&out, broken, time.Second, false); err == nil || err.Error() != "audit: 5 findings" {
		t.Errorf("a broken store: %v", err)
	}
	if text := out.String(); !strings.Contains(text, "FINDING totals: template 7: want 5, got 6") ||
		!strings.Contains(text, "4 findings more") || strings.Contains(text, "nothing is wrong") {
		t.Errorf("a broken store:\n%s", text)
	}

	out.Reset()
	if err := showReport(&out, broken, time.Second, true); err == nil {
		t.Error("a broken store, as JSON, is no failure")
	}
	var read audit.Report
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(broken, &read); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
