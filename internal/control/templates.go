package control

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/store"
)

// Templates shows how far templates are issued: see the method of Service.
var Templates = newCall("/templates", "", (*Service).Templates)

// TemplateStatus is how far a template is issued. Vouchers that were voided with their stock returned do not count. What is
// left is nil without a cap; amounts are in fen.
type TemplateStatus struct {
	Name       string `json:"name"`
	TemplateID string `json:"template_id,omitzero"`
	Merchant   string `json:"merchant"`
	Kind       string `json:"kind"`
	Status     string `json:"status"`
	Start      string `json:"start,omitzero"` // when it may be issued
	End        string `json:"end,omitzero"`

	Total Usage `json:"total"`
	Today Usage `json:"today"` // at +08:00
}

// Usage is what was issued, and what is left.
type Usage struct {
	Issued     int64  `json:"issued"` // vouchers
	Left       *int64 `json:"left,omitzero"`
	Amount     int64  `json:"amount,omitzero"`
	AmountLeft *int64 `json:"amount_left,omitzero"`
}

func usage(count int64, most benefit.Cap, amount int64, budget benefit.Cap) Usage {
	left := func(c benefit.Cap, taken int64) *int64 {
		if c == benefit.Unlimited {
			return nil
		}
		room := c.Room(taken)
		return &room
	}
	return Usage{count, left(most, count), amount, left(budget, amount)}
}

// Templates returns the status of all templates, in the order in which they were made, or of the one with the name or the
// template_id.
func (d *Service) Templates(ctx context.Context, name string) ([]TemplateStatus, error) {
	cat := d.Engine.Catalogue()
	all := slices.SortedFunc(maps.Values(cat.Templates), func(a, b *benefit.Template) int { return cmp.Compare(a.ID, b.ID) })
	if name != "" {
		t, err := templateNamed(cat, name)
		if err != nil {
			return nil, err
		}
		all = []*benefit.Template{t}
	}
	today := d.now().Day()
	ids, days := make([]benefit.TemplateID, len(all)), make([]benefit.TemplateDayKey, len(all))
	for k, t := range all {
		ids[k], days[k] = t.ID, benefit.TemplateDayKey{Template: t.ID, Day: today}
	}
	counts, err := store.GetAll(ctx, d.Store, benefit.TemplateCounts, ids...)
	if err != nil {
		return nil, err
	}
	ofDays, err := store.GetAll(ctx, d.Store, benefit.TemplateDays, days...)
	if err != nil {
		return nil, err
	}
	shown := make([]TemplateStatus, len(all))
	for k, t := range all {
		count, day, stock := counts[ids[k]], ofDays[days[k]], t.Stock
		shown[k] = TemplateStatus{
			Name: t.Name, TemplateID: t.TemplateID, Kind: t.Kind.String(), Status: catalog.StatusName(t.Status),
			Start: t.Publish.Start.String(), End: t.Publish.End.String(),
			Total: usage(count.Count, stock.Count, count.Amount, stock.Amount),
			Today: usage(day.Count, stock.CountPerDay, day.Amount, stock.AmountPerDay),
		}
		if m := cat.Merchants[t.Merchant]; m != nil {
			shown[k].Merchant = m.Name
		}
	}
	return shown, nil
}
