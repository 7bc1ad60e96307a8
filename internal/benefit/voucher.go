package benefit

import (
	"fmt"
	"strconv"
	"strings"

	"faquan/internal/id"
	"faquan/internal/money"
)

// VoucherStatus is where a voucher is in its life. The numbers are stored.
type VoucherStatus uint8

// The states.
const (
	Issued  VoucherStatus = 1
	Sending VoucherStatus = 2 // a downstream fulfils it and has not answered
	Used    VoucherStatus = 3 // its whole value is redeemed
	Voided  VoucherStatus = 4
	Failed  VoucherStatus = 5 // the downstream refused for good
	Expired VoucherStatus = 6 // never stored: issued, and its end has passed
)

var statusNames = [...]string{Issued: "ISSUED", Sending: "SENDING", Used: "USED", Voided: "VOIDED", Failed: "FAILED", Expired: "EXPIRED"}

// String returns the name of the status, such as ISSUED.
func (s VoucherStatus) String() string {
	if int(s) < len(statusNames) && s != 0 {
		return statusNames[s]
	}
	return fmt.Sprintf("STATUS_%d", uint8(s))
}

// Voucher is one issued instance: what was issued, and what has become of it, if its state was added by With.
type Voucher struct {
	ID       id.ID
	Issuance id.ID
	Template TemplateID
	Activity ActivityID
	User     UserID
	Status   VoucherStatus // without regard to time: see StatusAt
	Kind     Kind
	Face     Face
	Amount   money.Fen // of CASH and REDUCTION; else 0
	IssuedAt Instant
	Valid    Window // as issued: see End
	Code     string

	Operations int64   // how many were carried out on it
	Redeemed   int64   // of its value: see VoucherState
	OwnEnd     Instant // the first instant at which it is expired, where it was extended or ended early; 0: as issued
	ChangedAt  Instant // of the last operation; 0: none
}

// VoucherState is what has become of a voucher since its issue. There is none until something happens to it, so that an
// issue writes nothing for it.
type VoucherState struct {
	Voucher    id.ID
	Status     VoucherStatus // Issued, Used or Voided
	Operations int64         // how many were carried out; they are numbered from 1
	Redeemed   int64         // of its value, less what was reversed: see Voucher.Value
	End        Instant       // the first instant at which it is expired, where that is not as issued; else 0
	At         Instant       // of the last operation
}

// With returns the voucher with its state; an absent state, which has no operation, changes nothing.
func (v Voucher) With(s VoucherState) Voucher {
	if s.Operations > 0 {
		v.Status, v.Operations, v.Redeemed, v.OwnEnd, v.ChangedAt = s.Status, s.Operations, s.Redeemed, s.End, s.At
	}
	return v
}

// Value returns what can be redeemed in all: the fen of a CASH voucher, which may be redeemed in parts; 1 for others.
func (v *Voucher) Value() int64 {
	if v.Kind == Cash {
		return int64(v.Amount)
	}
	return 1
}

// Balance returns what is left of the value.
func (v *Voucher) Balance() int64 { return v.Value() - v.Redeemed }

// End returns the first instant at which the voucher is expired; 0 when it never is.
func (v *Voucher) End() Instant {
	if v.OwnEnd != 0 {
		return v.OwnEnd
	}
	return v.Valid.after()
}

// LastSecond returns the last second in which the voucher is not expired, at its beginning at least, for those who count the
// end among the validity; 0 when it never expires.
func (v *Voucher) LastSecond() Instant { return lastSecond(v.End()) }

// lastSecond returns the last second before an end; 0 for none.
func lastSecond(end Instant) Instant {
	if end == 0 {
		return 0
	}
	return (end - 1).wholeSecond() //guard:internal/gateway/top.TestLifeOfACertificate end - 1 -> end
}

// LastChange returns when the voucher was issued, or last operated on.
func (v *Voucher) LastChange() Instant { return max(v.IssuedAt, v.ChangedAt) }

// StatusAt returns the status at an instant.
func (v *Voucher) StatusAt(now Instant) VoucherStatus { return statusAt(v.Status, v.End(), now) }

// statusAt returns the status, at an instant, of a voucher with a stored status and an end.
func statusAt(stored VoucherStatus, end, now Instant) VoucherStatus {
	if stored == Issued && end != 0 && now >= end { //guard:TestVoucherEnd now >= end -> now > end
		return Expired
	}
	return stored
}

func (l *IssuedLine) voucher(of *Issuance, n int) Voucher {
	v := Voucher{
		ID: l.First + id.ID(n), Issuance: of.ID, Template: l.Template, Activity: l.Activity, User: of.User, Status: Issued,
		Kind: l.Kind, Face: l.Face, Amount: l.Amounts[n], IssuedAt: l.At, Valid: l.Valid,
	}
	if l.Sending {
		v.Status = Sending
	}
	if n < len(l.Codes) {
		v.Code = l.Codes[n]
	}
	return v
}

// OperationID names an operation on a voucher: the voucher, and the operation's number among those of the voucher, from 1.
type OperationID struct {
	Voucher id.ID
	Number  int64
}

// String returns the id as callers see it: both numbers in decimal, with a hyphen between them.
func (o OperationID) String() string { return fmt.Sprintf("%d-%d", o.Voucher, o.Number) }

// ParseOperationID reads what String wrote.
func ParseOperationID(text string) (o OperationID, err error) {
	voucher, number, _ := strings.Cut(text, "-")
	v, err1 := strconv.ParseInt(voucher, 10, 64)
	n, err2 := strconv.ParseInt(number, 10, 64)
	o = OperationID{id.ID(v), n}
	if err1 != nil || err2 != nil || v <= 0 || n <= 0 || o.String() != text {
		return OperationID{}, fmt.Errorf("%q is not the id of an operation: must be a voucher's id and a number, as in 123-1", text)
	}
	return o, nil
}

// VoucherOperation is the entry of an operation in the list of those of its voucher. The [Operation] is found by its claim.
type VoucherOperation struct {
	OperationID
	Kind     OperationKind
	Claim    ClaimID
	Value    int64 // what it redeemed, or reversed
	Reversed int64 // of what it redeemed
}

// OrderKey names a redemption for an order.
type OrderKey struct {
	Order Digest // OrderDigest
	OperationID
}

// OrderRedemption is a redemption for an order, to be found by it.
type OrderRedemption struct {
	OrderKey
	At Instant
}

// OrderDigest returns what the redemptions for an order of a merchant are looked up by.
func OrderDigest(m MerchantID, order string) Digest {
	return digest(appendText(appendText(nil, strconv.FormatInt(int64(m), 10)), order))
}
