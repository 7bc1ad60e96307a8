package oracle

import (
	"cmp"
	"fmt"
	"slices"

	"faquan/internal/benefit"
)

// CheckExplanation compares an explanation of an issuance, made at any later time, with what was decided.
func (o *Oracle) CheckExplanation(i *benefit.Issuance, e *benefit.Explanation) error {
	return o.explained(o.choices[i.ID], i, e)
}

// explained compares an explanation with the choice. A nil choice is not known: then the explanation must only come to the
// lines of the issuance.
func (o *Oracle) explained(c *choice, i *benefit.Issuance, e *benefit.Explanation) error {
	type decision struct {
		Activity         string
		Eligible, Chosen bool
	}
	var want, got []decision
	var issued, lines, chosen []string
	for _, l := range i.Lines {
		name := ""
		if tp := o.Catalogue.Templates[l.Template]; tp != nil {
			name = tp.Name
		}
		issued = append(issued, fmt.Sprint(name, " x ", l.Sends*l.Quantity))
	}
	for _, l := range e.Lines {
		lines = append(lines, fmt.Sprint(l.Template, " x ", l.Vouchers))
	}
	for _, trace := range e.Candidates {
		d := decision{trace.Activity, trace.Open && trace.Holds, trace.Chosen}
		for _, l := range trace.Lines {
			d.Eligible = d.Eligible && l.Reason == benefit.NotRefused.String()
			if trace.Chosen {
				chosen = append(chosen, fmt.Sprint(l.Template, " x ", l.Vouchers))
			}
		}
		got = append(got, d)
	}
	if i.Params.SceneCode == "" {
		chosen = lines
	}
	err := cmp.Or(differ("the explained errors", i.Errors, e.Errors), differ("the explained lines", issued, lines),
		differ("the lines of what is explained as chosen", issued, chosen))
	if err != nil || c == nil {
		return err
	}
	for _, opt := range c.options {
		if c.looked {
			want = append(want, decision{opt.act.Name, opt.eligible, opt.chosen})
		}
	}
	return differ("the explanation", want, got)
}

// checkBasis compares what is recorded of what a choice has read with what there was to read.
func (t *trial) checkBasis(b *benefit.Basis) error {
	if b == nil {
		return fmt.Errorf("a choice without a record of what it has read")
	}
	want := benefit.Basis{Now: t.now, Known: !t.fresh, Templates: slices.Clone(b.Templates), Participations: slices.Clone(b.Participations)}
	if t.user != nil {
		want.Frozen, want.Unregistered, want.Attributes = t.user.Frozen, t.user.Unregistered, t.user.Attributes
	}
	for k := range want.Templates {
		seen := &want.Templates[k]
		seen.Counters = benefit.Counters{}
		if tp := t.Catalogue.Templates[seen.Template]; tp != nil && t.user != nil {
			seen.Counters = t.counters(tp)
		}
	}
	for k := range want.Participations {
		want.Participations[k] = participation(t.sends, want.Participations[k].ParticipationKey, t.now.Day())
	}
	return differ("what the choice has read", want, *b)
}
