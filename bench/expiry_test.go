package main

import (
	"strings"
	"testing"

	"faquan/internal/benefit"
)

// TestExpirySmall runs the benchmark of expired vouchers on few: it fails unless each that ends has one event.
func TestExpirySmall(t *testing.T) {
	var out strings.Builder
	o := expiryOptions{
		fillOptions: fillOptions{
			Workload: Workload{Templates: 3, Users: 500, PerUser: 5}, Dir: t.TempDir(), Callers: 16, Millions: 2, Step: 1000, Out: &out,
		},
		Ending: 1200, Seconds: 0.05, Rounds: 2,
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " events=1200 ") {
		t.Errorf("got %s", &out)
	}
}

// TestCheckExpired: an event that is missing, is there twice or should not be there is an error.
func TestCheckExpired(t *testing.T) {
	one, two := benefit.ExpiredVoucher{Voucher: 1, Template: 7, End: 100}, benefit.ExpiredVoucher{Voucher: 2, Template: 7, End: 100}
	other, early := two, two
	other.Template, early.End = 1, 99
	b := expiryBench{expiryOptions: &expiryOptions{Ending: 2}, ending: 7, end: 100}
	for _, c := range []struct {
		want   string
		events []benefit.ExpiredVoucher
	}{
		{"", []benefit.ExpiredVoucher{two, one}},
		{"1 events, want 2", []benefit.ExpiredVoucher{one}},
		{"voucher 1 has two events", []benefit.ExpiredVoucher{one, one}},
		{"voucher 2 of template 1 has an event", []benefit.ExpiredVoucher{one, other}},
		{"voucher 2 of template 7 has an event", []benefit.ExpiredVoucher{one, early}},
	} {
		switch err := b.checkExpired(c.events); {
		case (err == nil) != (c.want == ""), err != nil && !strings.HasPrefix(err.Error(), c.want):
			t.Errorf("%v: %v, want %q", c.events, err, c.want)
		}
	}
}
