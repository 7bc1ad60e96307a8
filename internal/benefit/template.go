package benefit

import (
	"math"

	"faquan/internal/money"
)

// Ids of catalogue entities. They are faquan's own; the ids that travel on the wire are fields of the entities.
type (
	MerchantID     int64
	AppID          int64
	TemplateID     int64
	ActivityID     int64
	SceneID        int64
	SubscriptionID int64
)

// Kind describes what a template issues.
type Kind uint8

// The kinds. The numbers are stored.
const (
	Cash        Kind = 1 // 现金红包: an amount of money
	Reduction   Kind = 2 // 满减: an amount off, from a threshold on
	Discount    Kind = 3 // 折扣: a percentage off, up to a ceiling
	FixedPrice  Kind = 4 // 单品特价: one item at a fixed price
	Exchange    Kind = 5 // 兑换券: exchanged for a thing
	Certificate Kind = 6 // 电子凭证: carries a code
)

var kindNames = [...]string{
	Cash: "CASH", Reduction: "REDUCTION", Discount: "DISCOUNT", FixedPrice: "FIXED_PRICE", Exchange: "EXCHANGE", Certificate: "CERTIFICATE",
}

// Name returns the name of the kind in files and answers, such as CASH; "" for none.
func (k Kind) Name() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// Status is where an operator has put a template, an activity, a scene or a subscription. Whether it is open also depends on
// its window.
type Status uint8

// The states. DRAFT → ACTIVE ⇄ PAUSED → ENDED; the numbers are stored.
const (
	Draft  Status = 1
	Active Status = 2
	Paused Status = 3
	Ended  Status = 4
)

// Cap is the most of something that may be issued. Unlimited is one that is never reached; 0 means none.
type Cap int64

// Unlimited is a cap that is never reached.
const Unlimited Cap = -1

// Room returns how much of the cap is left when taken of it is used up. It is never negative.
func (c Cap) Room(taken int64) int64 {
	if c == Unlimited {
		return math.MaxInt64 - max(taken, 0)
	}
	return max(int64(c)-taken, 0)
}

// Stock is how much of a template can be issued: counts of vouchers and amounts in fen, in total and per day.
type Stock struct {
	Count        Cap `json:"count"`
	Amount       Cap `json:"amount"`
	CountPerDay  Cap `json:"count_per_day"`
	AmountPerDay Cap `json:"amount_per_day"`
}

// UnlimitedStock never runs out.
func UnlimitedStock() Stock { return Stock{Unlimited, Unlimited, Unlimited, Unlimited} }

// Limits is how many vouchers of a template one user or natural person may receive. 0 means unlimited.
type Limits struct {
	PerUser       int64 `json:"per_user,omitzero"`
	PerUserPerDay int64 `json:"per_user_per_day,omitzero"`
	PerPerson     int64 `json:"per_person,omitzero"`
}

// AmountFrom describes where the amount of a CASH voucher comes from.
type AmountFrom uint8

// The sources of an amount. The numbers are stored.
const (
	FromTemplate AmountFrom = 0 // every kind but CASH: the face says it
	FromRequest  AmountFrom = 1 // the request brings it, between Min and Max
	Fixed        AmountFrom = 2 // always Min, which is also Max
	Random       AmountFrom = 3 // drawn between Min and Max, or what is left of the budget
)

// AmountRule determines the amount of a CASH voucher.
type AmountRule struct {
	From AmountFrom `json:"from,omitzero"`
	Min  money.Fen  `json:"min,omitzero"`
	Max  money.Fen  `json:"max,omitzero"`
}

// Face is the face value of a voucher. A voucher has its own copy; fields that do not apply to its kind are zero.
type Face struct {
	Reduction money.Fen `json:"reduction,omitzero"` // REDUCTION: the amount off
	Threshold money.Fen `json:"threshold,omitzero"` // what must be spent before it applies
	Percent   int64     `json:"percent,omitzero"`   // DISCOUNT: what is to be paid, in hundredths of a percent, 1 to 9,999
	Ceiling   money.Fen `json:"ceiling,omitzero"`   // DISCOUNT: the most it takes off; 0 is no ceiling
	Price     money.Fen `json:"price,omitzero"`     // FIXED_PRICE: the price
}

// CodeRule describes what codes the vouchers of a CERTIFICATE template carry.
type CodeRule struct {
	Digits int `json:"digits,omitzero"`
}

// Template defines what is issued. Kind, Face and Code are fixed once something was issued.
type Template struct {
	ID       TemplateID `json:"id"`
	Name     string     `json:"name"` // the operator's handle
	Merchant MerchantID `json:"merchant"`
	Title    string     `json:"title,omitzero"`

	TemplateID string `json:"template_id,omitzero"` // on Alipay's wire
	RightID    int64  `json:"right_id,omitzero"`    // in decisionsend
	OutID      int64  `json:"out_id,omitzero"`      // in certificate.send
	BizID      string `json:"biz_id,omitzero"`      // the campaign's id in its own system

	Kind    Kind       `json:"kind"`
	Face    Face       `json:"face,omitzero"`
	Amount  AmountRule `json:"amount,omitzero"`
	Code    CodeRule   `json:"code,omitzero"`
	Publish Window     `json:"publish,omitzero"` // when it may be issued
	Valid   Validity   `json:"valid"`
	Stock   Stock      `json:"stock"`
	Limits  Limits     `json:"limits,omitzero"`
	Status  Status     `json:"status"`

	GrantedTo    []AppID `json:"granted_to,omitzero"` // apps of other merchants that may issue it
	Channels     []int64 `json:"channels,omitzero"`   // of certificate.send
	RepeatMillis int64   `json:"repeat_ms,omitzero"`  // the repeat window of certificate.send, in milliseconds; 0 is none
}

// TakesAmount reports whether the amount comes with the request.
func (t *Template) TakesAmount() bool { return t.Kind == Cash && t.Amount.From == FromRequest }

// statusRefusal returns the reason why the template issues nothing at now, or NotRefused.
func (t *Template) statusRefusal(now Instant) Reason {
	switch {
	case t.Status == Draft:
		return TemplateDraft
	case t.Status == Paused: //guard:TestEachReasonAlone
		return TemplatePaused
	case t.Publish.StartsAfter(now):
		return TemplateNotOpen
	case t.Status != Active || t.Publish.EndedBefore(now):
		return TemplateEnded
	}
	return NotRefused
}
