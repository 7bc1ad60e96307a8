package main

import (
	"io"
	"strings"
	"testing"
)

// TestFlagsAreChecked before anything starts: the error names the flag and the rule.
func TestFlagsAreChecked(t *testing.T) {
	t.Setenv("TMPDIR", "/none") // so that a measurement that begins all the same fails at once
	for _, c := range []struct{ call, want string }{
		{"engine --users 0", "--users 0: must be at least 1"},
		{"engine --templates 0", "--templates 0: must be at least 1"},
		{"engine --per-user 0", "--per-user 0: must be at least 1"},
		{"engine --retry-every -1", "--retry-every -1: must be at least 0"},
		{"engine --callers 0", "--callers 0: must be at least 1"},
		{"engine --millions -1", "--millions -1: must be at least 0"},
		{"engine --step 1", "--step 1: must be at least 2"},
		{"engine --direct-measured 0", "--direct-measured 0: must be at least 1"},
		{"engine --store private --users 0", "--users 0: must be at least 1"},
		{"engine --store private --callers 0", "--callers 0: must be at least 1"},
		{"engine --store private --committers 0", "--committers 0: must be at least 1"},
		{"engine --store private --asks 0", "--asks 0: must be at least 1"},
		{"engine --store private --step 0", "--step 0: must be at least 1"},
		{"engine --store private --rounds -1", "--rounds -1: must be at least 0"},
		{"engine --store private --millions -1", "--millions -1: must be at least 0"},
		{"engine --store private --processes 65", "--processes 65: must be 1 to 64"},
		{"engine --store private --processes 6 --shared-users", "--per-user 5: must be at least 6"},
		{"engine --store private --peers none --peer-seconds 0", "--peer-seconds 0: must be above 0"},
		{"http --protocol top --users 0", "--users 0: must be at least 1"},
		{"http --rounds 0", "--rounds 0: must be at least 1"},
		{"http --seconds NaN", "--seconds NaN: must be above 0"},
		{"http --connections -1", "--connections -1: must be at least 0"},
		{"decide --users 0", "--users 0: must be at least 1"},
		{"decide --rounds 0", "--rounds 0: must be at least 1"},
		{"decide --callers 0", "--callers 0: must be at least 1"},
		{"decide --requests 0", "--requests 0: must be at least 1"},
		{"decide --holding 0", "--holding 0: must be 1 to --activities, 20"},
		{"decide --holding 21", "--holding 21: must be 1 to --activities, 20"},
		{"redeem --users 0", "--users 0: must be at least 1"},
		{"redeem --vouchers 0", "--vouchers 0: must be at least 1"},
		{"expiry --users 0", "--users 0: must be at least 1"},
		{"expiry --callers 0", "--callers 0: must be at least 1"},
		{"expiry --millions 0", "--millions 0: must be at least 1"},
		{"expiry --step 0", "--step 0: must be at least 1"},
		{"expiry --ending 0", "--ending 0: must be at least 1"},
		{"expiry --seconds 0", "--seconds 0: must be above 0"},
		{"expiry --rounds 0", "--rounds 0: must be at least 1"},
		{"lists --millions 0", "--millions 0: must be at least 1"},
		{"lists --lists NaN", "--lists NaN: must be at least 1"},
		{"lists --seconds 0", "--seconds 0: must be above 0"},
		{"lists --rounds 0", "--rounds 0: must be at least 1"},
		{"start --data none --users 0", "--users 0: must be at least 1"},
		{"start --data none --callers 0", "--callers 0: must be at least 1"},
		{"start --data none --load -1s", "--load -1s: must not be negative"},
	} {
		root := newRoot()
		root.SetArgs(strings.Fields(c.call))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.call, err, c.want)
		}
	}
}

// TestSmallestWorkload can be asked for.
func TestSmallestWorkload(t *testing.T) {
	w := Workload{Templates: 1, Users: 1, PerUser: 1}
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if first, second := w.template(1), w.template(2); first == second {
		t.Errorf("template %d twice for one user with a limit of one", first)
	}
}

func TestMedian(t *testing.T) {
	for want, of := range map[float64][]float64{0: nil, 7: {7}, 3: {9, 1, 3}} {
		if got := median(of); got != want {
			t.Errorf("median of %v is %v, want %v", of, got, want)
		}
	}
}
