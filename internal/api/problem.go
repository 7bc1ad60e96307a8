package api

import (
	"net/http"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway/form"
)

// Problem is the body of an answer that is not a success: RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitzero"`
	Reason reason `json:"reason"`
	Field  string `json:"field,omitzero"` // the parameter, header or member that is wrong
}

// reason is what programs decide by: that of the core, or one of the API's own.
type reason string

// The API's own reasons.
const (
	requestInvalid   reason = "REQUEST_INVALID"
	tokenMissing     reason = "TOKEN_MISSING"
	tokenUnknown     reason = "TOKEN_UNKNOWN"
	tokenExpired     reason = "TOKEN_EXPIRED"
	tokenRevoked     reason = "TOKEN_REVOKED"
	appDisabled      reason = "APP_DISABLED"
	noMerchant       reason = "APP_WITHOUT_MERCHANT"
	scopeMissing     reason = "SCOPE_MISSING"
	pathNotFound     reason = "PATH_NOT_FOUND"
	methodNotAllowed reason = "METHOD_NOT_ALLOWED"
	bodyTooSlow      reason = "BODY_TOO_SLOW"
	bodyTooLarge     reason = "BODY_TOO_LARGE"
	notJSON          reason = "NOT_JSON"
	keyMissing       reason = "KEY_MISSING"
	rateLimited      reason = "RATE_LIMITED"
	busy             reason = "BUSY"
	outcomeUnknown   reason = "OUTCOME_UNKNOWN"
	internalError    reason = "INTERNAL"
	positionUnknown  reason = "POSITION_UNKNOWN"
	positionGone     reason = "POSITION_GONE"
)

// problems has the status and the title of each reason. The page docs/api.md has the same table.
var problems = map[reason]struct {
	status int
	title  string
}{
	requestInvalid:   {http.StatusBadRequest, "A part of the request breaks a rule."},
	keyMissing:       {http.StatusBadRequest, "The request changes something and has no Idempotency-Key."},
	tokenMissing:     {http.StatusUnauthorized, "The request has no token."},
	tokenUnknown:     {http.StatusUnauthorized, "There is no such token."},
	tokenExpired:     {http.StatusUnauthorized, "The token has expired."},
	tokenRevoked:     {http.StatusUnauthorized, "The token was revoked."},
	appDisabled:      {http.StatusForbidden, "The app is disabled."},
	noMerchant:       {http.StatusForbidden, "The app does not belong to a merchant."},
	scopeMissing:     {http.StatusForbidden, "The token does not have the scope."},
	pathNotFound:     {http.StatusNotFound, "There is no such path."},
	methodNotAllowed: {http.StatusMethodNotAllowed, "The path does not have the method."},
	bodyTooSlow:      {http.StatusRequestTimeout, "The body arrived too slowly."},
	bodyTooLarge:     {http.StatusRequestEntityTooLarge, "The body is too large."},
	notJSON:          {http.StatusUnsupportedMediaType, "The body is not sent as application/json."},
	rateLimited:      {http.StatusTooManyRequests, "The app has used up its rate."},
	busy:             {http.StatusServiceUnavailable, "Busy: this call changed nothing."},
	outcomeUnknown:   {http.StatusServiceUnavailable, "It is not known whether the change was made."},
	internalError:    {http.StatusInternalServerError, "A defect of faquan, or damage to its store."},
	positionUnknown:  {http.StatusGone, "The position is not in this feed."},
	positionGone:     {http.StatusGone, "The events behind the position are no longer kept."},

	of(benefit.KeyConflict):        {http.StatusConflict, "The Idempotency-Key was used for another request."},
	of(benefit.VoucherNotFound):    {http.StatusNotFound, "There is no such voucher."},
	of(benefit.RedemptionNotFound): {http.StatusNotFound, "There is no such redemption."},
	of(benefit.UserNotFound):       {http.StatusUnprocessableEntity, "The user of the voucher does not exist."},
	of(benefit.UserFrozen):         {http.StatusUnprocessableEntity, "The user of the voucher is frozen."},
	of(benefit.VoucherSending):     {http.StatusUnprocessableEntity, "The voucher is not fulfilled yet."},
	of(benefit.VoucherFailed):      {http.StatusUnprocessableEntity, "The fulfilment of the voucher has failed."},
	of(benefit.VoucherVoided):      {http.StatusUnprocessableEntity, "The voucher was voided."},
	of(benefit.VoucherUsed):        {http.StatusUnprocessableEntity, "The voucher was redeemed."},
	of(benefit.VoucherExpired):     {http.StatusUnprocessableEntity, "The voucher has expired."},
	of(benefit.VoucherNotStarted):  {http.StatusUnprocessableEntity, "The voucher is not valid yet."},
	of(benefit.ThresholdNotMet):    {http.StatusUnprocessableEntity, "The order's amount does not reach the voucher's threshold."},
	of(benefit.AmountNotAllowed):   {http.StatusUnprocessableEntity, "Only a CASH voucher takes an amount."},
	of(benefit.AmountMissing):      {http.StatusUnprocessableEntity, "A voucher of this kind needs the order's amount."},
	of(benefit.AmountOutOfRange):   {http.StatusUnprocessableEntity, "An amount must be more than 0, and not more than that of the order."},
	of(benefit.BalanceNotEnough):   {http.StatusUnprocessableEntity, "The amount is more than the voucher's balance."},
	of(benefit.ReversalTooLarge):   {http.StatusUnprocessableEntity, "The amount is more than what is left of the redemption."},
	of(benefit.EndNotLater):        {http.StatusUnprocessableEntity, "The new end is not later than the voucher's end and now."},
	of(benefit.EndTooFar):          {http.StatusUnprocessableEntity, "The new end is more than ten years away."},
}

// of returns a reason of the core.
func of(r benefit.Reason) reason { return reason(r.String()) }

// refuse returns the problem of a reason. The detail may be empty.
func refuse(r reason, detail string) *Problem {
	p, known := problems[r]
	if !known {
		p.status, p.title = http.StatusUnprocessableEntity, "The request is refused."
	}
	return &Problem{
		Type: "urn:faquan:problem:" + strings.ToLower(strings.ReplaceAll(string(r), "_", "-")), Title: p.title, Status: p.status,
		Detail: detail, Reason: r,
	}
}

// maxField bounds the name of a field in a problem, in bytes: a caller may have sent any.
const maxField = 128

// invalid returns the problem of a part of the request that breaks a rule.
func invalid(field, rule string) *Problem {
	field = form.Cut(field, maxField) //guard:TestNamesOfParameters
	p := refuse(requestInvalid, field+" "+rule)
	p.Field = field
	return p
}
