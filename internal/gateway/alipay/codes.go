package alipay

import (
	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/alipay/wire"
)

// refusals is what each reason of the core is called on this wire, always under code 40004; wrongRecipient answers two
// more. The page of the API in docs/reference has the same table.
var refusals = []struct {
	reason  benefit.Reason
	subCode string
	subMsg  string
}{
	// Of the platform's own page.
	{benefit.TemplateNotFound, "TEMPLATE_NOT_EXIST", "模板不存在"},
	{benefit.TemplateEnded, "TEMPLATE_EXPIRED", "模板过期"},
	{benefit.UserNotFound, "USER_NOT_EXIST", "用户不存在"},
	{benefit.UserFrozen, "USER_STATUS_ERROR", "用户状态不可用"},
	{benefit.AmountNotAllowed, invalidParameter, "参数amount不能填写，该模板的金额不由请求指定"},
	{benefit.AmountMissing, invalidParameter, "参数amount不能为空，该红包模板的金额由请求指定"},
	{benefit.AmountOutOfRange, invalidParameter, "参数amount超出模板允许的金额范围"},

	// Of faquan, in the style of the platform.
	{benefit.KeyConflict, "OUT_BIZ_NO_CONFLICT", "外部业务订单号已用于内容不同的请求"},
	{benefit.TemplateDraft, "TEMPLATE_NOT_ACTIVE", "模板未激活"},
	{benefit.TemplatePaused, "TEMPLATE_PAUSED", "模板已暂停"},
	{benefit.TemplateNotOpen, "TEMPLATE_NOT_START", "模板未到发放开始时间"},
	{benefit.ActivityNotOpen, "ACTIVITY_NOT_OPEN", "活动未开放"},
	{benefit.UserLimit, "USER_LIMIT_EXCEEDED", "用户领取数量已达上限"},
	{benefit.PersonLimit, "PERSON_LIMIT_EXCEEDED", "同一自然人领取数量已达上限"},
	{benefit.UserDayLimit, "USER_DAY_LIMIT_EXCEEDED", "用户当日领取数量已达上限"},
	{benefit.StockEmpty, "STOCK_NOT_ENOUGH", "模板库存不足"},
	{benefit.BudgetEmpty, "BUDGET_NOT_ENOUGH", "模板预算不足"},
	{benefit.DayStockEmpty, "DAY_STOCK_NOT_ENOUGH", "模板当日库存不足"},
	{benefit.DayBudgetEmpty, "DAY_BUDGET_NOT_ENOUGH", "模板当日预算不足"},
	{benefit.CodesEmpty, "CODE_NOT_ENOUGH", "模板的券码不足"},
}

// invalidParameter is the platform's sub_code for every rule of biz_content. Its sub_msg names the member and
// the rule.
const invalidParameter = "INVALID_PARAMETER"

// The two ways in which a call has no outcome: see docs/reference/undecided.md.
var (
	// errNotIssued: this attempt certainly issued nothing, and the core made no decision either. An earlier attempt
	// with the same key may have issued all the same.
	errNotIssued = wire.Business("SYSTEM_ERROR", "系统繁忙，本次调用未发券，此前的调用可能已发券，请稍后用相同的out_biz_no重试")
	// errUnknown: whether anything was issued is not known.
	errUnknown = wire.ErrUnknown.With("系统繁忙，发券结果未知，请用相同的out_biz_no重试")
)

var byReason = func() map[benefit.Reason]*wire.Error {
	m := make(map[benefit.Reason]*wire.Error, len(refusals))
	for _, r := range refusals {
		m[r.reason] = wire.Business(r.subCode, r.subMsg)
	}
	return m
}()

// refused returns what a reason is called. One that the table lacks still says for sure that nothing was issued.
func refused(reason benefit.Reason) *wire.Error {
	if e := byReason[reason]; e != nil {
		return e
	}
	return errNotIssued
}

// undecided returns the answer to a call that the issuer ended with an error.
func undecided(err error) *wire.Error {
	if engine.NothingIssued(err) {
		return errNotIssued
	}
	return errUnknown
}
