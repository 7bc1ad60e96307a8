package gateway

import (
	"faquan/internal/benefit"
	"faquan/internal/gateway/form"
)

// Outcome is the result of a call, independent of its protocol. The names are those of metrics.
type Outcome uint8

// The outcomes. Each call has one of them.
const (
	// Invalid: the call could not be read, or one of its parameters breaks a rule. Nothing was asked of the core.
	Invalid Outcome = iota
	// Unauthorized: the call does not authenticate, or the app may not make it.
	Unauthorized
	// Limited: the app has used up its rate.
	Limited
	// Refused: the core refused the request as a whole. Record.Reason is the reason.
	Refused
	// Nothing: a decision chose nothing, and met no error.
	Nothing
	// Issued: something was issued under the key now.
	Issued
	// Replayed: the key was bound before; the call was answered from the issuance stored under it.
	Replayed
	// Answered: a call that issues nothing was answered.
	Answered
	// Busy: the call certainly issued nothing, and the core made no decision. The answer asks for a retry.
	Busy
	// Unknown: whether something was issued is not known to the caller. A retry with the same key settles it.
	Unknown
)

var outcomeNames = [...]string{
	Invalid: "invalid", Unauthorized: "unauthorized", Limited: "limited", Refused: "refused", Nothing: "nothing",
	Issued: "issued", Replayed: "replayed", Answered: "answered", Busy: "busy", Unknown: "unknown",
}

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	all := make([]Outcome, len(outcomeNames))
	for k := range all {
		all[k] = Outcome(k)
	}
	return all
}

func (o Outcome) String() string { return outcomeNames[o] }

// Unread returns the outcome of a call that could not be read, by the message of its answer.
func Unread(message string) Outcome {
	if message == form.Busy.Text {
		return Busy
	}
	return Invalid
}

// Decided notes what the core decided.
func (r *Record) Decided(o *benefit.Outcome) {
	r.Attempt = o.Attempt
	switch {
	case o.Reason != benefit.NotRefused:
		r.Refuse(o.Reason)
	case o.Empty():
		r.Outcome = Nothing
	case o.Replayed:
		r.Outcome = Replayed
	default:
		r.Outcome = Issued
	}
}

// Refuse notes a refusal for a reason of the core.
func (r *Record) Refuse(reason benefit.Reason) { r.Outcome, r.Reason = Refused, reason }
