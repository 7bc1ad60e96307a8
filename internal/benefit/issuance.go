package benefit

import (
	"slices"

	"faquan/internal/id"
	"faquan/internal/money"
)

// Issuance is the record of what was issued under one idempotency key: its claim (the fingerprint and the frozen
// lines) and its outcome. It is stored only if something was issued (see Outcome.Attempt), and never changed in place.
type Issuance struct {
	ID          id.ID // also the id of the first voucher that its lines may issue
	Scope       Scope
	Key         string
	App         AppID
	Fingerprint Digest     `hash:"Meaning"`
	Recipient   Identifier // as sent
	User        UserID
	Alipay      string // the user's first ALIPAY id when another identifier was sent, because answers show it
	Catalogue   int64  // the version under which the key was bound
	Continues   bool   // see Request.Continues
	BindMillis  int64  // how long the key stays bound after the issue, in milliseconds; 0 is for ever
	Lines       []IssuedLine
	Params      Params `hash:"Asked"`
	Note        Note
	BoxDone     bool            // the recipient's task of a treasure box was done for the day when this was issued
	Errors      []DecisionError // what the request named and the scene did not have
	Basis       *Basis          // what the choice of the lines read; nil when the request named them
}

// At returns when the issuance was first issued.
func (i *Issuance) At() Instant {
	var first Instant
	for k := range i.Lines {
		if at := i.Lines[k].At; at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

// ClaimKeys returns the keys that the issuance is stored under: its own key and the codes of its vouchers.
func (i *Issuance) ClaimKeys() []ClaimKey {
	all := []ClaimKey{{ID: ClaimIDOf(i.Scope, i.Key), Scope: i.Scope, Key: i.Key}}
	for k := range i.Lines {
		for _, code := range i.Lines[k].Codes {
			all = append(all, CodeKey(code))
		}
	}
	return all
}

// Under reports whether the issuance is stored under the key: its own key, or a code of one of its vouchers.
func (i *Issuance) Under(scope Scope, key string) bool {
	if scope != CodeScope {
		return i.Scope == scope && i.Key == key
	}
	return slices.ContainsFunc(i.Lines, func(l IssuedLine) bool { return slices.Contains(l.Codes, key) })
}

// binds reports whether the key is still bound at now.
func (i *Issuance) binds(now Instant) bool {
	return i.BindMillis == 0 || now < i.At()+Instant(i.BindMillis) //guard:TestWindowKey$ now < i.At()+Instant(i.BindMillis) -> now <= i.At()+Instant(i.BindMillis)
}

// IssuedLine is one line of an issuance: what was frozen, what was issued, why the rest was not.
type IssuedLine struct {
	Line
	First   id.ID       // the id of the first voucher the line may issue; the others follow it without a gap
	Amounts []money.Fen // frozen with the line, one per voucher it may issue
	Issued  int         // the sends that were issued: vouchers First … First+Issued×Quantity-1
	Reason  Reason      // why the other sends were refused
	// Codes are reserved for the vouchers that a CERTIFICATE line may issue, in order; fewer when no free ones were
	// found. Those of refused vouchers stay reserved.
	Codes   []string
	Sending bool // the vouchers were passed to a downstream system that has not reported the result yet

	// What follows is set when something was issued; Seen also when the line was refused.

	At        Instant // the commit's now
	Catalogue int64   // the version that allowed it
	Valid     Window
	Kind      Kind
	Face      Face
	Seen      Counters // what the counters said just before, so that the decision can be explained
}

// Counters are the counters that a decision looks at.
type Counters struct {
	Count     int64 `json:"count"`      // vouchers of the template, in total
	Amount    int64 `json:"amount"`     // fen of the template, in total
	DayCount  int64 `json:"day_count"`  // vouchers of the template, today
	DayAmount int64 `json:"day_amount"` // fen of the template, today
	User      int64 `json:"user"`       // vouchers of the user and template, in total
	UserDay   int64 `json:"user_day"`   // vouchers of the user and template, today
	Person    int64 `json:"person"`     // vouchers of the user's person and the template, where it limits persons
}

// Size returns how many vouchers the lines may issue together.
func (i *Issuance) Size() int {
	n := 0
	for k := range i.Lines {
		n += i.Lines[k].Vouchers()
	}
	return n
}

// Vouchers lists what was issued, in id order.
func (i *Issuance) Vouchers() []Voucher {
	all := make([]Voucher, 0, i.Size())
	for k := range i.Lines {
		l := &i.Lines[k]
		for n := range l.issuedVouchers() {
			all = append(all, l.voucher(i, n))
		}
	}
	return all
}

// Voucher finds one of the issued vouchers by id.
func (i *Issuance) Voucher(v id.ID) (Voucher, bool) {
	if l := i.lineOf(v); l != nil {
		return l.voucher(i, int(v-l.First)), true
	}
	return Voucher{}, false
}

// lineOf returns the line that issued a voucher; nil when none did.
func (i *Issuance) lineOf(v id.ID) *IssuedLine {
	for k := range i.Lines {
		l := &i.Lines[k]
		if n := v - l.First; n >= 0 && n < id.ID(l.issuedVouchers()) {
			return l
		}
	}
	return nil
}

// VoucherWithCode finds one of the issued vouchers by its certificate code.
func (i *Issuance) VoucherWithCode(code string) (Voucher, bool) {
	for k := range i.Lines {
		l := &i.Lines[k]
		//guard:TestOnVoucherByCode n < l.issuedVouchers() -> true
		if n := slices.Index(l.Codes, code); n >= 0 && n < l.issuedVouchers() { // codes of refused vouchers are reserved
			return l.voucher(i, n), true
		}
	}
	return Voucher{}, false
}

// FirstVoucher returns the id of the first voucher that was issued, or 0 if none was.
func (i *Issuance) FirstVoucher() id.ID {
	for k := range i.Lines {
		if i.Lines[k].Issued > 0 {
			return i.Lines[k].First
		}
	}
	return 0
}

func (l *IssuedLine) issuedVouchers() int { return l.Issued * l.Quantity }

// Tally returns how many vouchers the line issued, and their amount together.
func (l *IssuedLine) Tally() (vouchers int64, amount money.Fen) {
	n := l.issuedVouchers()
	for _, a := range l.Amounts[:n] {
		amount += a
	}
	return int64(n), amount
}

// open reports whether a retry continues the line. One that issued something is done, even when not all of its sends
// were issued: its vouchers have one moment of issue and one window.
func (l *IssuedLine) open() bool { return l.Issued == 0 && !l.Reason.Final() }

// Outcome is the result of a request. The caller receives it only after the commit.
type Outcome struct {
	Issuance *Issuance // stored under the key; nil when there is none. It is shared and must not be changed
	Replayed bool      // the key had been bound before and nothing new was issued now
	// Lines has the result of each line of the request. For a KEY_CONFLICT it is empty: nothing of another request is
	// ever shown.
	Lines []LineOutcome
	// Reason is NotRefused when at least one send was issued, else the first error's or the first line's. A decision
	// that chose nothing and met no error has none either: see Empty.
	Reason  Reason
	Errors  []DecisionError // what the request named and the scene did not have
	BoxDone bool            // the recipient's task of a treasure box is done for the day
	// State is what has become of the voucher of a replayed issuance that binds its key for a while; zero: nothing yet. A
	// replay of any other issuance answers what was issued, without it.
	State VoucherState
	// Attempt is an attempt that was refused as a whole, with what it read and the catalogue's version; nil otherwise.
	// It is used for explanations.
	Attempt *Issuance
}

// Empty reports whether the decision chose no line.
func (o *Outcome) Empty() bool { return o.Reason == NotRefused && len(o.Lines) == 0 }

// LineOutcome is the result of one line.
type LineOutcome struct {
	Template TemplateID
	Issued   int    // sends
	Refused  int    // sends
	Reason   Reason // of the refused ones
	Sending  bool   // those issued are in the hands of a downstream
}

// Final reports whether a retry would not change the line: all of it was issued, or it was refused for good.
func (l *LineOutcome) Final() bool { return !l.Sending && (l.Issued > 0 || l.Reason.Final()) }

// outcomeOf returns the outcome that an issuance records.
func outcomeOf(i *Issuance, replayed bool) Outcome {
	o := Outcome{
		Issuance: i, Replayed: replayed, Lines: make([]LineOutcome, len(i.Lines)), Errors: i.Errors, BoxDone: i.BoxDone,
	}
	for k := range i.Lines {
		l := &i.Lines[k]
		o.Lines[k] = LineOutcome{Template: l.Template, Issued: l.Issued, Refused: l.Sends - l.Issued, Reason: l.Reason, Sending: l.Sending}
	}
	o.Reason = firstReason(i.Errors, o.Lines)
	return o
}

// firstReason returns the first error's or line's reason when no line issued anything.
func firstReason(errors []DecisionError, lines []LineOutcome) Reason {
	first := NotRefused
	if len(errors) > 0 {
		first = errors[0].Reason
	}
	for _, l := range lines {
		if l.Issued > 0 {
			return NotRefused
		}
		if first == NotRefused {
			first = l.Reason
		}
	}
	return first
}
