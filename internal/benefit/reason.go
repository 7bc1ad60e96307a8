package benefit

import (
	"fmt"
	"maps"
	"slices"
)

// Reason describes why a line was refused. There is one list for all gateways; each maps it to its own codes in one
// table. The order of the constants is the order in which refusals of an issue win: of two reasons that both hold, the
// smaller one is answered, so that a request that is wrong in two ways always gets the same answer. For commands on
// vouchers it is AppDisabled, KeyConflict, that it is not found, its status, VoucherNotStarted, UserFrozen, and then what is asked for;
// but for the reversal of a redemption of another merchant than the caller's, RedemptionNotFound wins over KeyConflict.
// The numbers are stored; new reasons get new numbers.
type Reason uint8

// The reasons, by number.
const (
	NotRefused          Reason = 0
	AppDisabled         Reason = 5  // the calling app is disabled; whatever it asks, also a retry, is refused
	KeyConflict         Reason = 10 // the key is bound to a different request
	IdentifierInvalid   Reason = 11 // the recipient's identifier breaks a rule for its value: see Identifier.Breaks
	UserTypeNotAllowed  Reason = 12 // the template owner does not accept recipients of the identifier's type
	TemplateNotFound    Reason = 20 // no such template, or not one that the caller may issue
	UserNotFound        Reason = 21 // the recipient is not known, and the template owner's policy asks for known ones
	SceneNotFound       Reason = 22 // no such scene, or not one of the caller's merchant
	ActivityNotFound    Reason = 23 // the request names an activity that is not in the scene
	RightNotFound       Reason = 24 // the request names a right that is not in the scene
	NarrowingNotAllowed Reason = 25 // the request names an activity or a right, and the scene does not let callers narrow by it
	OtherMerchant       Reason = 26 // the scene holds an activity or a right of another merchant, who did not grant it to the app
	TemplateDraft       Reason = 30 // not active yet
	TemplatePaused      Reason = 31 // paused by the operator
	TemplateNotOpen     Reason = 32 // the publish window has not begun
	ActivityNotOpen     Reason = 33 // the activity that gives the line is not active, or now is outside its window
	SceneNotOpen        Reason = 34 // the scene is not active
	TemplateEnded       Reason = 40 // the publish window is over, or the operator ended the template
	Guarded             Reason = 45 // the user received something from the activity less than a second ago, under another key
	UserFrozen          Reason = 50 // the recipient may receive nothing
	UserLimit           Reason = 51 // the user has as many of the template as one user may have
	PersonLimit         Reason = 52 // the users linked to one natural person together have as many as one person may have
	UserDayLimit        Reason = 60 // the user has received as many today as one user may in a day
	StockEmpty          Reason = 61 // less is left of the total count than one send needs
	BudgetEmpty         Reason = 62 // less is left of the total amount than the send is worth
	DayStockEmpty       Reason = 63 // less is left of today's count than one send needs
	DayBudgetEmpty      Reason = 64 // less is left of today's amount than the send is worth
	CodesEmpty          Reason = 65 // so many codes of the template's length are taken that no free one was found
	AmountNotAllowed    Reason = 70 // an amount came with the request, but the template sets its own
	AmountMissing       Reason = 71 // the template takes its amount from the request, and none came
	AmountOutOfRange    Reason = 72 // the amount is outside the template's minimum and maximum

	// Of commands on vouchers. They can be refused for AppDisabled, KeyConflict, UserFrozen and the reasons about amounts, too.

	VoucherNotFound    Reason = 100 // no such voucher, or not the caller's merchant's, or not the named holder's
	RedemptionNotFound Reason = 101 // no such redemption, or one of such a voucher
	VoucherSending     Reason = 110 // a downstream has not fulfilled it yet
	VoucherFailed      Reason = 111 // the downstream refused for good
	VoucherVoided      Reason = 112
	VoucherUsed        Reason = 113 // nothing is left of its value; for a void: something was redeemed
	VoucherExpired     Reason = 114
	VoucherNotStarted  Reason = 115 // its validity has not begun
	ThresholdNotMet    Reason = 120 // the order's amount is below the threshold, or not above the fixed price
	BalanceNotEnough   Reason = 121 // the amount is more than the balance
	ReversalTooLarge   Reason = 122 // the amount is more than what is left of the redemption
	EndNotLater        Reason = 130 // the new end is not after the voucher's end and now, or the voucher has no end
	EndTooFar          Reason = 131 // the new end is more than ten years away
)

// reasonNames are the names in logs and documentation.
var reasonNames = map[Reason]string{
	NotRefused: "NOT_REFUSED", AppDisabled: "APP_DISABLED", KeyConflict: "KEY_CONFLICT",
	IdentifierInvalid: "IDENTIFIER_INVALID", UserTypeNotAllowed: "USER_TYPE_NOT_ALLOWED",
	TemplateNotFound: "TEMPLATE_NOT_FOUND", UserNotFound: "USER_NOT_FOUND",
	SceneNotFound: "SCENE_NOT_FOUND", ActivityNotFound: "ACTIVITY_NOT_FOUND", RightNotFound: "RIGHT_NOT_FOUND",
	NarrowingNotAllowed: "NARROWING_NOT_ALLOWED", OtherMerchant: "OTHER_MERCHANT",
	TemplateDraft: "TEMPLATE_DRAFT", TemplatePaused: "TEMPLATE_PAUSED", TemplateNotOpen: "TEMPLATE_NOT_OPEN",
	ActivityNotOpen: "ACTIVITY_NOT_OPEN", SceneNotOpen: "SCENE_NOT_OPEN", TemplateEnded: "TEMPLATE_ENDED",
	Guarded:    "GUARDED",
	UserFrozen: "USER_FROZEN", UserLimit: "USER_LIMIT", PersonLimit: "PERSON_LIMIT",
	UserDayLimit: "USER_DAY_LIMIT", StockEmpty: "STOCK_EMPTY", BudgetEmpty: "BUDGET_EMPTY",
	DayStockEmpty: "DAY_STOCK_EMPTY", DayBudgetEmpty: "DAY_BUDGET_EMPTY",
	CodesEmpty:       "CODES_EMPTY",
	AmountNotAllowed: "AMOUNT_NOT_ALLOWED", AmountMissing: "AMOUNT_MISSING", AmountOutOfRange: "AMOUNT_OUT_OF_RANGE",
	VoucherNotFound: "VOUCHER_NOT_FOUND", RedemptionNotFound: "REDEMPTION_NOT_FOUND",
	VoucherSending: "VOUCHER_SENDING", VoucherFailed: "VOUCHER_FAILED", VoucherVoided: "VOUCHER_VOIDED",
	VoucherUsed: "VOUCHER_USED", VoucherExpired: "VOUCHER_EXPIRED", VoucherNotStarted: "VOUCHER_NOT_STARTED",
	ThresholdNotMet: "THRESHOLD_NOT_MET", BalanceNotEnough: "BALANCE_NOT_ENOUGH", ReversalTooLarge: "REVERSAL_TOO_LARGE",
	EndNotLater: "END_NOT_LATER", EndTooFar: "END_TOO_FAR",
}

// Reasons lists every reason of a refusal by number. For an issue, that is the order in which they win; for commands on
// vouchers it is not: see [Reason].
func Reasons() []Reason {
	return slices.Sorted(maps.Keys(reasonNames))[1:] // without NotRefused
}

// IssueReasons lists the reasons for which an issue is refused. Those of other commands have numbers from 100 on.
func IssueReasons() []Reason {
	return slices.DeleteFunc(Reasons(), func(r Reason) bool { return r >= 100 })
}

// String returns the reason's name, such as STOCK_EMPTY.
func (r Reason) String() string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("REASON_%d", uint8(r))
}

// Final reports whether a line refused for this reason is not tried again when its key is retried. It matters only
// where the lines of a key are frozen ([Request.Continues]); elsewhere a refusal does not bind the key at all.
func (r Reason) Final() bool {
	return r == TemplateEnded || r == UserFrozen || r == UserLimit || r == PersonLimit
}
