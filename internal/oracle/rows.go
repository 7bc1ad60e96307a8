package oracle

import (
	"cmp"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// CheckRows compares all issuances, operations and counters of a store with what was issued and carried out. rows are those
// of each kind, by its name.
func (o *Oracle) CheckRows(issuances []*benefit.Issuance, rows map[string][]any) error {
	counts, days := map[benefit.TemplateID]benefit.TemplateCount{}, map[benefit.TemplateDayKey]benefit.TemplateDay{}
	quotas, participations := map[benefit.QuotaKey]benefit.Quota{}, map[benefit.ParticipationKey]benefit.Participation{}
	for _, s := range o.booked {
		n := counts[s.template]
		counts[s.template] = benefit.TemplateCount{Template: s.template, Count: n.Count + s.vouchers, Amount: n.Amount + s.fen}
		d := days[benefit.TemplateDayKey{Template: s.template, Day: s.day}]
		days[benefit.TemplateDayKey{Template: s.template, Day: s.day}] = benefit.TemplateDay{
			Template: s.template, Day: s.day, Count: d.Count + s.vouchers, Amount: d.Amount + s.fen,
		}
		k := benefit.QuotaKey{User: s.user, Template: s.template}
		q := quotas[k]
		if s.day > q.Day {
			q.Day, q.DayTotal = s.day, 0
		}
		if s.day == q.Day {
			q.DayTotal += s.vouchers
		}
		quotas[k] = benefit.Quota{QuotaKey: k, Total: q.Total + s.vouchers, Day: q.Day, DayTotal: q.DayTotal}
		if p := (benefit.ParticipationKey{User: s.user, Activity: s.activity}); s.activity != 0 {
			last := participation(o.booked, p, s.day).At.Day()
			participations[p] = participation(o.booked, p, last)
		}
	}
	stored := map[id.ID]*benefit.Issuance{}
	for _, i := range issuances {
		stored[i.ID] = i
	}
	operations := map[benefit.ClaimID]benefit.Operation{}
	for _, op := range o.Operations {
		operations[op.Claim] = op
	}
	err := cmp.Or(
		differ("the issuances", o.issuances, stored),
		differRows("the counts of templates", counts, rows[benefit.TemplateCounts.Name], func(x benefit.TemplateCount) benefit.TemplateID { return x.Template }),
		differRows("the counts of days", days, rows[benefit.TemplateDays.Name], func(x benefit.TemplateDay) benefit.TemplateDayKey {
			return benefit.TemplateDayKey{Template: x.Template, Day: x.Day}
		}),
		differRows("the quotas", quotas, rows[benefit.Quotas.Name], func(x benefit.Quota) benefit.QuotaKey { return x.QuotaKey }),
		differRows("the participations", participations, rows[benefit.Participations.Name], func(x benefit.Participation) benefit.ParticipationKey {
			return x.ParticipationKey
		}),
		differRows("the operations", operations, rows[benefit.Operations.Name], func(x benefit.Operation) benefit.ClaimID { return x.Claim }),
	)
	for _, g := range Generators {
		if err == nil && g.CheckRows != nil {
			err = g.CheckRows(o, rows)
		}
	}
	return err
}

// differRows compares the rows of a kind with what they must be, by their keys.
func differRows[K comparable, V any](what string, want map[K]V, rows []any, key func(V) K) error {
	got := map[K]V{}
	for _, v := range rows {
		got[key(v.(V))] = v.(V)
	}
	return differ(what, want, got)
}
