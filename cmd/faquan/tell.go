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

// tellFlags are the flags for the output of a decision.
func tellFlags(f *pflag.FlagSet, asJSON, unmasked *bool) {
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

// page collects lines, indented by two spaces for each level. Line breaks in a line are escaped; texts of callers are also
// quoted.
type page struct{ bytes.Buffer }

func (p *page) line(level int, format string, args ...any) {
	p.WriteString(strings.Repeat("  ", level))
	p.WriteString(oneLine(fmt.Sprintf(format, args...))) //guard:TestForgedLines without oneLine
	p.WriteByte('\n')
}

// showOutcome prints the outcome of a request without the reasons.
func showOutcome(w io.Writer, told *control.Told) error {
	var p page
	p.outcome(told)
	_, err := w.Write(p.Bytes())
	return err
}

// showTold prints a decision step by step.
func showTold(w io.Writer, told *control.Told) error {
	var p page
	p.head(told)
	for k := range told.Candidates {
		p.candidate(&told.Candidates[k])
	}
	if len(told.Candidates) == 0 {
		for k := range told.Lines {
			p.right(1, &told.Lines[k])
		}
	}
	p.outcome(told)
	_, err := w.Write(p.Bytes())
	return err
}

func (p *page) head(told *control.Told) {
	p.line(0, "%s", asked(told))
	if told.Issuance != "" {
		p.line(1, "issuance %s to user %s", told.Issuance, told.User)
	}
	if told.Process != "" {
		p.line(1, "remembered by process %s", told.Process)
	}
	if told.Answer.Method != "" {
		p.line(1, "%s  trace id answered %s", quoted(told.Answer.Method), quoted(told.Answer.Trace))
	}
	if told.CallerTrace != "" {
		p.line(1, "trace id of the caller %s", quoted(told.CallerTrace))
	}
	if told.Catalogue != 0 {
		scene := ""
		if told.Scene != "" {
			scene = fmt.Sprintf("; scene %s chooses %s", quoted(told.Scene), told.Strategy)
		}
		p.line(1, "decided by version %d of the catalogue%s", told.Catalogue, scene)
	}
	if told.Remark != "" {
		p.line(1, "%s", told.Remark)
	}
}

// asked prints the line of the request: who asked for what, as far as the call named it.
func asked(told *control.Told) string {
	parts := []string{told.At}
	if told.App != "" {
		parts = append(parts, "app "+quoted(told.App))
	}
	of := scopeName(told.Scope)
	if told.Key != "" {
		of = strings.TrimSpace("key " + quoted(told.Key) + " " + of)
	}
	if of != "" {
		parts = append(parts, of)
	}
	if told.Recipient != "" {
		parts = append(parts, "recipient "+recipient(told.Recipient))
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
func (p *page) candidate(c *benefit.CandidateTold) {
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

func (p *page) rule(c *benefit.CandidateTold) {
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

func (p *page) past(what string, all map[string]benefit.Past) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p.line(3, "received of %s %s: %d, today %d", what, quoted(name), all[name].Total, all[name].Today)
	}
}

// right prints one line: what is issued of it, and the counters with the caps and limits that they are compared with.
func (p *page) right(level int, l *benefit.LineTold) {
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
func (p *page) outcome(told *control.Told) {
	for _, e := range told.Errors {
		what := []string{"error", e.Kind}
		switch {
		case e.Kind == "SCENE":
			what = append(what, quoted(told.Asked.SceneCode))
		case e.ActCode != "":
			what = append(what, quoted(e.ActCode))
		}
		if e.RightID != 0 {
			what = append(what, fmt.Sprint(e.RightID))
		}
		p.line(1, "%s: %s", strings.Join(what, " "), e.Reason)
	}
	switch told.Outcome {
	case control.Refused:
		p.line(0, "%s", strings.Join(append([]string{"→ refused:"}, reasons(told)...), " "))
	case control.NothingChosen:
		p.line(0, "%s", strings.Join(append([]string{"→ nothing is chosen"}, answered(told)...), ", "))
	case control.Undecided:
		p.line(0, "%s", strings.Join(append([]string{"→ not decided"}, answered(told)...), ", "))
		p.line(1, "%s", told.Answer.Err)
	default:
		p.issues(told)
	}
}

// reasons returns the reason of the core, if it has refused, and the codes of the protocol.
func reasons(told *control.Told) []string {
	switch all := answered(told); {
	case told.Reason == "":
		return all
	case len(all) == 0:
		return []string{told.Reason}
	default:
		return append([]string{told.Reason + ","}, all...)
	}
}

// answered returns the answer that the caller got; nothing for a dry run.
func answered(told *control.Told) []string {
	a := &told.Answer
	if a.Code == "" {
		return nil
	}
	text := "answered " + a.Code
	if a.SubCode != "" {
		text += " " + quoted(a.SubCode)
	}
	if a.SubMsg != "" {
		text += " " + a.SubMsg
	}
	return []string{text}
}

func (p *page) issues(told *control.Told) {
	switch {
	case told.Replayed:
		p.line(0, "→ the key is bound: a retry gets what was issued then")
	case len(told.Vouchers) > 0:
		p.line(0, "→ issued")
	default:
		p.line(0, "→ would be issued")
	}
	if len(told.Vouchers) == 0 {
		for _, l := range told.Lines {
			if l.Issued > 0 {
				p.line(1, "%d of %s", l.Issued, quoted(l.Template))
			}
		}
	}
	for _, l := range told.Lines {
		if len(told.Vouchers) > 0 && l.Issued < l.Vouchers {
			p.line(1, "%d of %s not: %s", l.Vouchers-l.Issued, quoted(l.Template), l.Reason)
		}
	}
	for _, v := range told.Vouchers {
		amount, code := "", ""
		if v.Amount != 0 {
			amount = fmt.Sprintf(", %s yuan", money.Fen(v.Amount).Yuan())
		}
		if v.Code != "" {
			code = ", code " + v.Code
		}
		p.line(1, "voucher %s of %s%s%s, good %s to %s", v.ID, quoted(v.Template), amount, code, v.Start, v.End)
	}
}
