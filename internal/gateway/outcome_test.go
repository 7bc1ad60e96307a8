package gateway_test

import (
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
)

func TestDecided(t *testing.T) {
	issued := &benefit.Issuance{}
	line := []benefit.LineOutcome{{Issued: 1}}
	for _, c := range []struct {
		name   string
		of     benefit.Outcome
		want   gateway.Outcome
		reason benefit.Reason
	}{
		{"issued", benefit.Outcome{Issuance: issued, Lines: line}, gateway.Issued, 0},
		{"bound before", benefit.Outcome{Issuance: issued, Lines: line, Replayed: true}, gateway.Replayed, 0},
		{"refused", benefit.Outcome{Lines: line, Reason: benefit.StockEmpty}, gateway.Refused, benefit.StockEmpty},
		{"bound before, and refused", benefit.Outcome{Issuance: issued, Lines: line, Replayed: true, Reason: benefit.UserLimit}, gateway.Refused, benefit.UserLimit},
		{"nothing chosen", benefit.Outcome{}, gateway.Nothing, 0},
	} {
		var r gateway.Record
		if r.Decided(&c.of); r.Outcome != c.want || r.Reason != c.reason {
			t.Errorf("%s: %s, %s", c.name, r.Outcome, r.Reason)
		}
	}
}

func TestUnread(t *testing.T) {
	if busy, bad := gateway.Unread(form.Busy.Text), gateway.Unread(form.TooLarge.Text); busy != gateway.Busy || bad != gateway.Invalid {
		t.Errorf("%s, %s", busy, bad)
	}
}
