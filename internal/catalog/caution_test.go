package catalog

import (
	"context"
	"strings"
	"testing"
	"time"

	"faquan/internal/benefit"
)

// planned returns the plan of a file for the catalogue of the world, at a time.
func (w *world) planned(text string, allowUncapped bool, now string) (*Plan, error) {
	w.t.Helper()
	f, err := Parse("catalog.yaml", []byte(text), readKeyFile)
	if err != nil {
		w.t.Fatal(err)
	}
	f.AllowUncapped = allowUncapped
	at, err := time.ParseInLocation(benefit.WireTime, now, benefit.Shanghai)
	if err != nil {
		w.t.Fatal(err)
	}
	f.Now = benefit.InstantOf(at)
	return f.Plan(context.Background(), w.reader(), w.catalogue(), w.box)
}

// Each cap and each limit of a template that is not a draft is removed only when that is confirmed.
func TestCapsAreNotForgotten(t *testing.T) {
	const stated = `
merchants: [{name: m}]
templates:
  - name: t
    merchant: m
    kind: REDUCTION
    reduction: "1"
    valid: {days: 1}
    status: ACTIVE
    stock: {count: 10, amount: "20", count_per_day: 5, amount_per_day: "5"}
    limits: {per_user: 3, per_user_per_day: 1, per_person: 4}
`
	for field, without := range map[string][2]string{
		"stock.count": {"count: 10, ", ""}, "stock.amount": {`amount: "20", `, ""},
		"stock.count_per_day": {"count_per_day: 5, ", ""}, "stock.amount_per_day": {`, amount_per_day: "5"`, ""},
		"limits.per_user": {"per_user: 3, ", ""}, "limits.per_user_per_day": {"per_user_per_day: 1, ", ""},
		"limits.per_person": {", per_person: 4", ""},
	} {
		w := newWorld(t)
		w.mustApply(stated)
		text := strings.Replace(stated, without[0], without[1], 1)
		const now = "2026-11-30 12:00:00"
		if _, err := w.planned(text, false, now); err == nil || !strings.Contains(err.Error(), "leaves out "+field+", which") {
			t.Errorf("%s: %v", field, err)
		}
		if plan, err := w.planned(text, true, now); err != nil || len(plan.Changes) != 1 {
			t.Errorf("%s, confirmed: %v", field, err)
		}
		if plan, err := w.planned(strings.Replace(stated, "10", "11", 1), false, now); err != nil || len(plan.Changes) != 1 {
			t.Errorf("a raised cap: %v", err)
		}
		w = newWorld(t)
		w.mustApply(strings.Replace(stated, "ACTIVE", "DRAFT", 1))
		if _, err := w.planned(strings.Replace(text, "ACTIVE", "DRAFT", 1), false, now); err != nil {
			t.Errorf("%s of a draft: %v", field, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	const head = "merchants: [{name: m}]\ntemplates:\n"
	template := func(fields string) string { return head + "  - {name: t, merchant: m, " + fields + "}\n" }
	for text, want := range map[string]string{
		template(`kind: REDUCTION, reduction: "20", threshold: "10", valid: {days: 1}`):                                                                     `template "t": threshold 10.00 is below reduction 20.00`,
		template(`kind: REDUCTION, reduction: "20", valid: {days: 1}`):                                                                                      "",
		template(`kind: DISCOUNT, percent: "8.8", valid: {days: 1}`):                                                                                        `percent: "88"`,
		template(`kind: DISCOUNT, percent: "10", valid: {days: 1}`):                                                                                         "",
		template(`kind: REDUCTION, reduction: "2", valid: {days: 1}, stock: {count: 11, amount: "20"}`):                                                     `stock.count × 2.00 is more than stock.amount`,
		template(`kind: REDUCTION, reduction: "2", valid: {days: 1}, stock: {count: 10, amount: "20"}`):                                                     "",
		template(`kind: CASH, amount: {fixed: "2"}, valid: {days: 1}, stock: {count: 11, amount: "20"}`):                                                    `stock.count × 2.00 is more than stock.amount`,
		template(`kind: EXCHANGE, valid: {days: 1}, publish: {end: 2026-11-29 00:00:00}`):                                                                   `publish ended at 2026-11-29 00:00:00`,
		template(`kind: EXCHANGE, valid: {start: 2025-01-01 00:00:00, end: 2025-02-01 00:00:00}`):                                                           `valid ended`,
		template(`kind: EXCHANGE, valid: {days: 1}, publish: {end: 2026-12-29 00:00:00}`):                                                                   "",
		template(`kind: EXCHANGE, valid: {days: 1}`) + "activities: [{name: a, merchant: m, window: {end: 2026-11-29 00:00:00}, items: [{template: t}]}]\n": `activity "a": window ended`,
	} {
		w := newWorld(t)
		const now = "2026-11-30 12:00:00"
		plan, err := w.planned(text, false, now)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := plan.Warnings.Error(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		w.mustApply(text)
		if plan, err := w.planned(w.export(true), false, now); err != nil || len(plan.Warnings) != 0 {
			t.Errorf("what is unchanged: %v, %v", plan.Warnings, err)
		}
	}
}
