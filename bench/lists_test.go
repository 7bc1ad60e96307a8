package main

import (
	"slices"
	"strings"
	"testing"

	"faquan/internal/engine"
)

// TestListsSmall runs the benchmark of lists on few vouchers: a page that does not begin where it should fails.
func TestListsSmall(t *testing.T) {
	o := listsOptions{
		fillOptions: fillOptions{
			Workload: Workload{Templates: 1, Users: 2000, PerUser: 5}, Dir: t.TempDir(), Callers: 16, Millions: 2, Step: 1000, Out: testWriter{t},
		},
		Lists: 300, Seconds: 0.1, Rounds: 2,
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestListIsChecked: a page that begins with another voucher is an error.
func TestListIsChecked(t *testing.T) {
	st, dir, closeStore, err := openEmbedded(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore()
	w := Workload{Templates: 2, Users: 10, PerUser: 5, PerTrace: 4}
	e, err := NewEngine(t.Context(), engine.Options{Store: st}, w, 1, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l := &lister{Workload: w, store: st, ids: e.keepIDs(10)}
	if _, err := e.Run(t.Context(), 10, nil); err != nil {
		t.Fatal(err)
	}
	for _, kind := range listKinds {
		for ask := range int64(10) {
			if err := l.list(t.Context(), kind, ask+1); err != nil {
				t.Error(err)
			}
		}
	}
	slices.Reverse(l.ids)
	if err := l.list(t.Context(), "user", 1); err == nil || !strings.Contains(err.Error(), "of the user of ask 1 does not begin with voucher") {
		t.Errorf("got %v", err)
	}
}
