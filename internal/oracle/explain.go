package oracle

import (
	"fmt"
	"slices"

	"faquan/internal/benefit"
)

// CheckExplanation compares an explanation of an issuance, made at any later time, with what was decided.
func (o *Oracle) CheckExplanation(i *benefit.Issuance, e *benefit.Explanation) error {
	return o.choices[i.ID].explained(i, e)
}

// explained compares an explanation with the choice. A nil choice is not known: then the explanation must only come to the
// lines of the issuance.
func (c *choice) explained(i *benefit.Issuance, e *benefit.Explanation) error {
	if err := differ("the errors in the explanation", i.Errors, e.Errors); err != nil {
		return err
	}
	type decision struct {
		Activity         string
		Eligible, Chosen bool
	}
	var want, got []decision
	var lines, chosen []string
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
	for k, l := range e.Lines {
		lines = append(lines, fmt.Sprint(l.Template, " x ", l.Vouchers))
		if k < len(i.Lines) && l.Vouchers != i.Lines[k].Sends*i.Lines[k].Quantity {
			return fmt.Errorf("line %d is explained as one of %d vouchers", k, l.Vouchers)
		}
	}
	if len(e.Lines) != len(i.Lines) {
		return fmt.Errorf("%d lines are explained, there are %d", len(e.Lines), len(i.Lines))
	}
	if i.Params.SceneCode == "" {
		return nil
	}
	if err := differ("the lines of what is explained as chosen", lines, chosen); err != nil || c == nil {
		return err
	}
	for _, o := range c.options {
		if c.looked {
			want = append(want, decision{o.act.Name, o.eligible, o.chosen})
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
