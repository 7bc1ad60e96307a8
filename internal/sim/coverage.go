package sim

import "faquan/internal/benefit"

// Coverage counts the kinds of answers of a run, so that a test can check that the histories cover all of them.
type Coverage struct {
	Chosen, Nothing int // scenes that gave something, and that had nothing to give
	Continued       int // keys that got more of their frozen lines
	Closed          int // keys of which an attempt that issued nothing closed lines
	Rebound         int // keys that came free and were bound again
	Partial         int // lines of which a part was issued
	Guarded         int // lines refused by the one-second guard
	BoxesDone       int // issues that ended with a box's task done
	Codes           int // issued vouchers with a code
	Codeless        int // lines refused because no code was free
	ToUsers         int // issues to a user named by id
}

// line counts one attempt at a line.
func (m *Coverage) line(result benefit.LineOutcome) {
	switch {
	case result.Issued > 0 && result.Refused > 0:
		m.Partial++
	case result.Reason == benefit.Guarded:
		m.Guarded++
	case result.Reason == benefit.CodesEmpty:
		m.Codeless++
	}
}

// note counts an issuance: last is what stood under the key before it, bound the same if it still does.
func (m *Coverage) note(last, bound, i *benefit.Issuance) {
	switch {
	case bound != nil:
		m.Continued++
	case last != nil:
		m.Rebound++
	case i.Params.SceneCode != "":
		m.Chosen++
	}
	if i.BoxDone {
		m.BoxesDone++
	}
	if _, ref := i.Recipient.Ref(); ref {
		m.ToUsers++
	}
	for _, v := range i.Vouchers() {
		if v.Code != "" {
			m.Codes++
		}
	}
}
