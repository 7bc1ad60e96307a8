package catalog

import (
	"faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/store"
)

// guardIssued refuses changes of a template with vouchers: of its kind, face, code rule and owner; and caps below what is
// issued.
//
// The caps per day may be lowered: they are about days to come. Below what was issued today, nothing more is issued
// today.
func (p *planner) guardIssued() error {
	var counts map[benefit.TemplateID]benefit.TemplateCount
	for _, d := range p.file.templates {
		old, t := p.templates.old[d.template.ID], p.templates.all[d.template.ID]
		if old == nil || !fixedDiffers(old, t) && !capsLowered(old, t) {
			continue
		}
		if counts == nil {
			var err error
			if counts, err = p.counts(); err != nil {
				return err
			}
		}
		// Not the count: it goes down again when vouchers are taken back.
		issued, err := p.r.TemplateIssuances(p.ctx, t.ID, 0, 1)
		if err != nil {
			return err
		}
		if len(issued) > 0 {
			p.fixed(d, old, t)
		}
		p.caps(d, t, counts[t.ID])
	}
	return nil
}

func fixedDiffers(old, t *benefit.Template) bool {
	return old.Kind != t.Kind || old.Face != t.Face || old.Code != t.Code || old.Merchant != t.Merchant
}

func capsLowered(old, t *benefit.Template) bool {
	return old.Stock.Count != t.Stock.Count || old.Stock.Amount != t.Stock.Amount
}

func (p *planner) counts() (map[benefit.TemplateID]benefit.TemplateCount, error) {
	counts := map[benefit.TemplateID]benefit.TemplateCount{}
	for c, err := range store.All(p.ctx, p.r, benefit.TemplateCounts) {
		if err != nil {
			return nil, err
		}
		counts[c.Template] = c
	}
	return counts, nil
}

func (p *planner) fixed(d *templateDoc, old, t *benefit.Template) {
	refuse := func(field, what string) {
		p.report(d.lineOf(field), "template %q: the %s cannot change, because vouchers were issued. Make a new template", t.Name, what)
	}
	if old.Merchant != t.Merchant {
		refuse("merchant", "merchant")
	}
	if old.Kind != t.Kind {
		refuse("kind", "kind")
		return // the rest differs by itself
	}
	if old.Code != t.Code {
		refuse("code", "code rule")
	}
	for _, f := range []struct {
		field string
		same  bool
	}{
		{"reduction", old.Face.Reduction == t.Face.Reduction}, {"threshold", old.Face.Threshold == t.Face.Threshold},
		{"percent", old.Face.Percent == t.Face.Percent}, {"ceiling", old.Face.Ceiling == t.Face.Ceiling},
		{"price", old.Face.Price == t.Face.Price},
	} {
		if !f.same {
			refuse(f.field, f.field)
		}
	}
}

// caps refuses stock below what is issued.
func (p *planner) caps(d *templateDoc, t *benefit.Template, count benefit.TemplateCount) {
	if c := t.Stock.Count; c != benefit.Unlimited && int64(c) < count.Count {
		p.report(d.lineOf("stock"), "template %q: stock.count %d is below the %d vouchers issued so far", t.Name, c, count.Count)
	}
	if c := t.Stock.Amount; c != benefit.Unlimited && int64(c) < count.Amount {
		p.report(d.lineOf("stock"), "template %q: stock.amount %s is below the %s yuan issued so far",
			t.Name, money.Fen(c).Yuan(), money.Fen(count.Amount).Yuan())
	}
}
