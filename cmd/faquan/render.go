package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"faquan/internal/benefit"
	"faquan/internal/control"
	"faquan/internal/money"
)

// outputFlags are the flags for the output of a decision.
func outputFlags(f *pflag.FlagSet, asJSON, unmasked *bool) {
	f.BoolVar(asJSON, "json", false, "write JSON")
	f.BoolVar(unmasked, "unmasked", false, "do not mask codes and identifiers of people")
}

func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(printableJSON(b.Bytes()))
	return err
}

// renderer collects lines, indented by two spaces for each level. Line breaks in a line are escaped; texts of callers
// are also quoted.
type renderer struct{ bytes.Buffer }

func (p *renderer) line(level int, format string, args ...any) {
	p.WriteString(strings.Repeat("  ", level))
	p.WriteString(oneLine(fmt.Sprintf(format, args...))) //guard:TestForgedLines without oneLine
	p.WriteByte('\n')
}

// showOutcome prints the outcome of a request without the reasons.
func showOutcome(w io.Writer, decision *control.Decision) error {
	var p renderer
	p.outcome(decision)
	_, err := p.WriteTo(w)
	return err
}

// showDecision prints a decision step by step.
func showDecision(w io.Writer, decision *control.Decision) error {
	var p renderer
	p.decision(decision)
	_, err := p.WriteTo(w)
	return err
}

func (p *renderer) decision(decision *control.Decision) {
	p.head(decision)
	for k := range decision.Candidates {
		p.candidate(&decision.Candidates[k])
	}
	if len(decision.Candidates) == 0 {
		for k := range decision.Lines {
			p.right(1, &decision.Lines[k])
		}
	}
	p.outcome(decision)
}

func (p *renderer) head(decision *control.Decision) {
	p.line(0, "%s", asked(decision))
	if decision.Issuance != "" {
		p.line(1, "issuance %s to user %s", decision.Issuance, decision.User)
	}
	if decision.Process != "" {
		p.line(1, "remembered by process %s", decision.Process)
	}
	if decision.Files != "" {
		p.line(1, "from the files of a process that has ended, in %s", quoted(decision.Files))
	}
	if decision.Answer.Method != "" {
		p.line(1, "%s  trace id answered %s", quoted(decision.Answer.Method), quoted(decision.Answer.Trace))
	}
	if decision.CallerTrace != "" {
		p.line(1, "trace id of the caller %s", quoted(decision.CallerTrace))
	}
	if decision.Catalogue != 0 {
		scene := ""
		if decision.Scene != "" {
			scene = fmt.Sprintf("; scene %s chooses %s", quoted(decision.Scene), decision.Strategy)
		}
		p.line(1, "decided by version %d of the catalogue%s", decision.Catalogue, scene)
	}
	if decision.Remark != "" {
		p.line(1, "%s", decision.Remark)
	}
}

// asked prints the line of the request: who asked for what, as far as the call named it.
func asked(decision *control.Decision) string {
	parts := []string{decision.At}
	if decision.App != "" {
		parts = append(parts, "app "+quoted(decision.App))
	}
	of := scopeName(decision.Scope)
	if decision.Key != "" {
		of = strings.TrimSpace("key " + quoted(decision.Key) + " " + of)
	}
	if of != "" {
		parts = append(parts, of)
	}
	if decision.Recipient != "" {
		parts = append(parts, "recipient "+recipient(decision.Recipient))
	}
	return strings.Join(parts, "  ")
}

// recipient quotes the two parts of an identifier.
func recipient(text string) string {
	if user, ok := strings.CutPrefix(text, control.SessionUser); ok {
		return control.SessionUser + quoted(user)
	}
	kind, value, _ := strings.Cut(text, " ")
	return quoted(kind) + " " + quoted(value)
}

// scopeName returns the scope of a key in the words of the flags, without the app.
func scopeName(n control.ScopeName) string {
	switch {
	case n.Template != "":
		return "of template " + quoted(n.Template)
	case n.Relation != 0:
		return fmt.Sprint("of relation ", n.Relation)
	case n.BizCode != "":
		return "of biz_code " + quoted(n.BizCode)
	}
	return ""
}

// candidate prints one activity of the scene.
func (p *renderer) candidate(c *benefit.CandidateTrace) {
	verdict := "not chosen"
	if c.Chosen {
		verdict = "CHOSEN"
	}
	open := "open"
	if !c.Open {
		open = "not open"
	}
	name := quoted(c.Activity)
	if c.ActCode != "" {
		name += " (" + quoted(c.ActCode) + ")"
	}
	p.line(1, "activity %s: %s, %s", name, open, verdict)
	if c.Rule != "" {
		p.rule(c)
	}
	for k := range c.Lines {
		p.right(2, &c.Lines[k])
	}
}

func (p *renderer) rule(c *benefit.CandidateTrace) {
	result := "holds"
	switch {
	case c.RuleError != "":
		result = "cannot be evaluated: " + c.RuleError
	case !c.Holds:
		result = "does not hold"
	}
	p.line(2, "rule %s", c.Rule)
	p.line(3, "%s", result)
	if c.Inputs == nil {
		return
	}
	user := string(c.Inputs.User)
	if user == "" || user == "null" {
		user = "{}"
	}
	p.line(3, "user %s", user)
	request, _ := json.Marshal(c.Inputs.Request) // it cannot fail
	p.line(3, "request %s", request)
	p.past("template", c.Inputs.OfTemplate)
	p.past("activity", c.Inputs.InActivity)
}

func (p *renderer) past(what string, all map[string]benefit.Past) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p.line(3, "received of %s %s: %d, today %d", what, quoted(name), all[name].Total, all[name].Today)
	}
}

// right prints one line: what is issued of it, and the counters with the caps and limits that they are compared with.
func (p *renderer) right(level int, l *benefit.LineTrace) {
	name := "(none that the request may name)"
	if l.Template != "" {
		name = quoted(l.Template)
	}
	switch {
	case l.Issued > 0 && l.Issued < l.Vouchers:
		p.line(level, "right %s: issued %d of %d, then %s", name, l.Issued, l.Vouchers, l.Reason)
	case l.Reason == benefit.NotRefused.String():
		p.line(level, "right %s: room for %d", name, l.Vouchers)
	default:
		p.line(level, "right %s: %s", name, l.Reason)
	}
	if l.Template == "" {
		return
	}
	s := l.Seen
	p.line(level+1, "issued before: %d of %s, today %d of %s", s.Count, capOf(l.Stock.Count), s.DayCount, capOf(l.Stock.CountPerDay))
	if l.Stock.Amount != nil || l.Stock.AmountPerDay != nil {
		p.line(level+1, "yuan before: %s of %s, today %s of %s", money.Fen(s.Amount).Yuan(), yuanOf(l.Stock.Amount), money.Fen(s.DayAmount).Yuan(), yuanOf(l.Stock.AmountPerDay))
	}
	p.line(level+1, "this user before: %d of %s, today %d of %s", s.User, limitOf(l.Limits.PerUser), s.UserDay, limitOf(l.Limits.PerUserPerDay))
	if l.Limits.PerPerson != 0 {
		p.line(level+1, "this person before: %d of %d", s.Person, l.Limits.PerPerson)
	}
}

func capOf(c *int64) string {
	if c == nil {
		return "any number"
	}
	return fmt.Sprint(*c)
}

func yuanOf(c *int64) string {
	if c == nil {
		return "any amount"
	}
	return money.Fen(*c).Yuan()
}

func limitOf(limit int64) string {
	if limit == 0 {
		return "any number"
	}
	return fmt.Sprint(limit)
}

// outcome prints the outcome.
func (p *renderer) outcome(decision *control.Decision) {
	for _, e := range decision.Errors {
		what := []string{"error", e.Kind}
		switch {
		case e.Kind == "SCENE":
			what = append(what, quoted(decision.Params.SceneCode))
		case e.ActCode != "":
			what = append(what, quoted(e.ActCode))
		}
		if e.RightID != 0 {
			what = append(what, fmt.Sprint(e.RightID))
		}
		p.line(1, "%s: %s", strings.Join(what, " "), e.Reason)
	}
	switch decision.Outcome {
	case control.Refused:
		p.line(0, "%s", strings.TrimSpace("→ refused: "+joined(decision.Reason, answered(decision))))
	case control.NothingChosen:
		p.line(0, "%s", joined("→ nothing is chosen", answered(decision)))
	case control.Undecided:
		p.line(0, "%s", joined("→ not decided", answered(decision)))
		p.line(1, "%s", decision.Answer.Err)
	default:
		p.issues(decision)
	}
}

// joined joins two texts, either of which may be empty.
func joined(a, b string) string {
	if a != "" && b != "" {
		a += ", "
	}
	return a + b
}

// answered returns the answer that the caller got; "" for a dry run.
func answered(decision *control.Decision) string {
	a := &decision.Answer
	if a.Code == "" {
		return ""
	}
	text := "answered " + a.Code
	if a.SubCode != "" {
		text += " " + quoted(a.SubCode)
	}
	if a.SubMsg != "" {
		text += " " + a.SubMsg
	}
	return text
}

func (p *renderer) issues(decision *control.Decision) {
	switch {
	case decision.Replayed:
		p.line(0, "→ the key is bound: a retry gets what was issued then")
	case len(decision.Vouchers) > 0:
		p.line(0, "→ issued")
	default:
		p.line(0, "→ would be issued")
	}
	for _, l := range decision.Lines {
		switch issued := len(decision.Vouchers) > 0; {
		case !issued && l.Issued > 0:
			p.line(1, "%d of %s", l.Issued, quoted(l.Template))
		case issued && l.Issued < l.Vouchers:
			p.line(1, "%d of %s not: %s", l.Vouchers-l.Issued, quoted(l.Template), l.Reason)
		}
	}
	for _, v := range decision.Vouchers {
		amount, code := "", ""
		if v.Amount != 0 {
			amount = fmt.Sprintf(", %s yuan", money.Fen(v.Amount).Yuan())
		}
		if v.Code != "" {
			code = ", code " + v.Code
		}
		p.line(1, "voucher %s of %s%s%s, valid from %s to %s", v.ID, quoted(v.Template), amount, code, v.Start, v.End)
		if v.Earlier > 0 {
			p.line(2, "after %d earlier operations:", v.Earlier)
		}
		for _, o := range v.Operations {
			p.operation(2, o)
		}
		if len(v.Operations) > 0 {
			p.line(2, "now %s, valid to %s", v.Status, v.Until)
		}
	}
}
