package audit

import (
	"fmt"
	"slices"

	"faquan/internal/benefit"
)

// decision checks that an issuance keeps the basis of a choice if and only if a scene chose its lines. The choice is not
// made again: the explanation of the issuance does that, from the basis.
func (c *recount) decision(i *benefit.Issuance) {
	wrong := func(what, want, got string) {
		c.find(Finding{Decisions, issuanceName(i) + ": " + what, want, got})
	}
	if i.Params.SceneCode == "" {
		if i.Basis != nil || len(i.Errors) > 0 { //guard:TestStage$
			wrong("the basis of its choice", "none, as the request named the lines", "one, or names that were missing")
		}
		return
	}
	c.report.Checked.Decisions++
	if slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.Activity == 0 }) { //guard:TestStage$
		wrong("its lines", "each of an activity", "one of none")
	}
	if i.Basis == nil {
		wrong("the basis of its choice", "kept", "none")
	} else if first := i.At(); i.Basis.Now <= 0 || i.Basis.Now > first {
		wrong("the instant of its choice", fmt.Sprintf("at %d or before", int64(first)), fmt.Sprint(int64(i.Basis.Now)))
	}
}
