package catalog

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"faquan/internal/benefit"
)

// capsOf returns the fields of a file in which a template has a cap or a limit.
func (p *planner) capsOf(t *benefit.Template) (caps []string) {
	for _, f := range flatten(templateNode(t, p.tables).Node) {
		if strings.HasPrefix(f.path, "stock.") || strings.HasPrefix(f.path, "limits.") {
			caps = append(caps, f.path)
		}
	}
	return caps
}

// guardCaps refuses a file that leaves out a cap or a limit of a template that is not a draft: that is more likely an
// oversight than intended, and nothing would stop the issuing.
func (p *planner) guardCaps() {
	if p.file.AllowUncapped {
		return
	}
	for _, d := range p.file.templates {
		old, t := p.templates.old[d.template.ID], p.templates.all[d.template.ID]
		if old == nil || old.Status == benefit.Draft {
			continue
		}
		after := p.capsOf(t)
		gone := slices.DeleteFunc(p.capsOf(old), func(field string) bool { return slices.Contains(after, field) })
		if len(gone) > 0 { //guard:TestCapsAreNotForgotten
			p.report(d.line, "template %q: the file leaves out %s, which cap it now; state them, or confirm with --allow-uncapped",
				t.Name, strings.Join(gone, ", "))
		}
	}
}

// warn adds warnings to the plan: values that are allowed but look like mistakes, in what the file changes.
func (p *planner) warn() {
	changed := map[string]bool{}
	for _, c := range p.plan.Changes {
		changed[mark(c.Kind, c.Name)] = true
	}
	warn := func(at sourcePos, kind, name string, suspicions []string) {
		if len(suspicions) > 0 && changed[mark(kind, name)] {
			p.plan.Warnings = append(p.plan.Warnings,
				Problem{p.file.name, at.line, fmt.Sprintf("%s %q: %s", kind, name, strings.Join(suspicions, "; "))})
		}
	}
	for _, d := range p.file.templates {
		t := p.templates.all[d.template.ID]
		warn(d.sourcePos, "template", t.Name, suspicions(t, p.file.Now))
	}
	for _, d := range p.file.activities {
		if a := p.activities.all[d.activity.ID]; a.Window.EndedBefore(p.file.Now) {
			warn(d.sourcePos, "activity", a.Name, []string{"window ended at " + a.Window.End.String()})
		}
	}
}

// suspicions returns the values of a template that look like mistakes.
func suspicions(t *benefit.Template, now benefit.Instant) (all []string) {
	suspect := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	f := t.Face
	if f.Threshold != 0 && f.Threshold < f.Reduction {
		suspect("threshold %s is below reduction %s", f.Threshold.Yuan(), f.Reduction.Yuan())
	}
	if t.Kind == benefit.Discount && f.Percent < 1000 {
		suspect("percent is the part left to pay, here below 10 %%; 8.8折 is written percent: \"88\"")
	}
	face := f.Reduction
	if t.Kind == benefit.Cash && t.Amount.From != benefit.FromRequest {
		face = t.Amount.Min
	}
	if count, amount := t.Stock.Count, t.Stock.Amount; count != benefit.Unlimited && amount != benefit.Unlimited && face > 0 {
		if high, worth := bits.Mul64(uint64(count), uint64(face)); high > 0 || worth > uint64(amount) {
			suspect("stock.count × %s is more than stock.amount, so the budget runs out first", face.Yuan())
		}
	}
	if t.Publish.EndedBefore(now) {
		suspect("publish ended at %s", t.Publish.End)
	}
	if t.Valid.Absolute.EndedBefore(now) {
		suspect("valid ended at %s", t.Valid.Absolute.End)
	}
	return all
}
