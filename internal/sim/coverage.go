package sim

import "faquan/internal/benefit"

// Coverage counts the kinds of answers of a run, so that a test can check that the histories cover all of them.
type Coverage struct {
	Chosen, Nothing int // scenes that gave something, and that had nothing to give
	Continued       int // keys that got more of their frozen lines
	Closed          int // keys of which an attempt that issued nothing closed lines
	Rebound         int // keys that came free and were bound again
	Reopened        int // of these, before the time was over: the voucher was void
	Restocked       int // issues for which there was room because vouchers had been returned
	Partial         int // lines of which a part was issued
	Guarded         int // lines refused by the one-second guard
	BoxesDone       int // issues that ended with a box's task done
	Codes           int // issued vouchers with a code
	Codeless        int // lines refused because no code was free
	ToUsers         int // issues to a user named by id
	Disabled        int // issues refused because the app was disabled
}

// attempt counts the lines that were tried; bound is what bound the key before.
func (m *Coverage) attempt(r *benefit.Request, o benefit.Outcome, bound *benefit.Issuance) {
	for k, result := range o.Lines {
		if bound != nil && (!bound.Continues || !r.Continues || bound.Lines[k].Issued > 0 || bound.Lines[k].Reason.Final()) {
			continue
		}
		switch {
		case result.Issued > 0 && result.Refused > 0:
			m.Partial++
		case result.Reason == benefit.Guarded:
			m.Guarded++
		case result.Reason == benefit.CodesEmpty:
			m.Codeless++
		}
	}
}

// booked counts an issuance that is new or has changed: last is what stood under the key before it, bound the same if it
// bound the key still.
func (m *Coverage) booked(i, last, bound *benefit.Issuance, o benefit.Outcome) {
	switch {
	case o.Replayed:
		m.Closed++
		return
	case bound != nil:
		m.Continued++
	case last != nil:
		m.Rebound++
		if i.At() < last.At()+benefit.Instant(last.BindMillis) {
			m.Reopened++
		}
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
