package catalog

import (
	"slices"

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
	for _, d := range p.file.templates {
		old, t := p.templates.old[d.template.ID], p.templates.all[d.template.ID]
		if old == nil {
			continue
		}
		fixed := fixedChanges(old, t)
		if len(fixed) == 0 && old.Stock.Count == t.Stock.Count && old.Stock.Amount == t.Stock.Amount {
			continue
		}
		// Not the count: it goes down again when vouchers are taken back.
		issued, err := p.r.TemplateIssuances(p.ctx, t.ID, 0, 1)
		if err != nil {
			return err
		}
		if len(issued) > 0 {
			for _, f := range fixed {
				p.report(d.lineOf(f.field), "template %q: the %s cannot change, because vouchers were issued. Make a new template", t.Name, f.what)
			}
		}
		count, _, err := store.Get(p.ctx, p.r, benefit.TemplateCounts, t.ID)
		if err != nil {
			return err
		}
		p.caps(d, t, count)
	}
	return nil
}

// fixedField is a field that cannot change once vouchers were issued.
type fixedField struct {
	field, what string
	changed     bool
}

// fixedChanges returns the fields that cannot change, but do.
func fixedChanges(old, t *benefit.Template) []fixedField {
	fields := []fixedField{{"merchant", "merchant", old.Merchant != t.Merchant}, {"kind", "kind", old.Kind != t.Kind}}
	if old.Kind == t.Kind { // otherwise the rest differs by itself
		was, face := old.Face, t.Face
		fields = append(fields,
			fixedField{"code", "code rule", old.Code != t.Code}, fixedField{"reduction", "reduction", was.Reduction != face.Reduction},
			fixedField{"threshold", "threshold", was.Threshold != face.Threshold}, fixedField{"percent", "percent", was.Percent != face.Percent},
			fixedField{"ceiling", "ceiling", was.Ceiling != face.Ceiling}, fixedField{"price", "price", was.Price != face.Price})
	}
	return slices.DeleteFunc(fields, func(f fixedField) bool { return !f.changed })
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
