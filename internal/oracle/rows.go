package oracle

import (
	"cmp"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/table"
)

// CheckRows compares all issuances and the counters of a store with what was issued. rows are those of each kind, by its name.
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
	return cmp.Or(
		differ("the issuances", o.issuances, keyed(issuances, func(i *benefit.Issuance) id.ID { return i.ID })),
		differ("the counts of templates", counts, keyed(of[benefit.TemplateCount](rows, benefit.TemplateCounts.Kind), func(x benefit.TemplateCount) benefit.TemplateID { return x.Template })),
		differ("the counts of days", days, keyed(of[benefit.TemplateDay](rows, benefit.TemplateDays.Kind), func(x benefit.TemplateDay) benefit.TemplateDayKey {
			return benefit.TemplateDayKey{Template: x.Template, Day: x.Day}
		})),
		differ("the quotas", quotas, keyed(of[benefit.Quota](rows, benefit.Quotas.Kind), func(x benefit.Quota) benefit.QuotaKey { return x.QuotaKey })),
		differ("the participations", participations,
			keyed(of[benefit.Participation](rows, benefit.Participations.Kind), func(x benefit.Participation) benefit.ParticipationKey { return x.ParticipationKey })),
	)
}

// of returns the rows of a kind with their type.
func of[V any](rows map[string][]any, kind *table.Kind) (all []V) {
	for _, v := range rows[kind.Name] {
		all = append(all, v.(V))
	}
	return all
}

// keyed makes a map of rows.
func keyed[K comparable, V any](rows []V, key func(V) K) map[K]V {
	m := map[K]V{}
	for _, v := range rows {
		m[key(v)] = v
	}
	return m
}
