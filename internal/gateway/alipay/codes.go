package alipay

import (
	"cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/alipay/wire"
)

// refusals is what each reason of the core is called on this wire, always under code 40004; voucherSend answers two more.
// The page of the API in docs/reference has the same table.
var refusals = map[benefit.Reason]*wire.Error{
	// Of the platform's own page.
	benefit.TemplateNotFound: wire.Business("TEMPLATE_NOT_EXIST", "模板不存在"),
	benefit.TemplateEnded:    wire.Business("TEMPLATE_EXPIRED", "模板过期"),
	benefit.UserNotFound:     wire.Business("USER_NOT_EXIST", "用户不存在"),
	benefit.UserFrozen:       wire.Business("USER_STATUS_ERROR", "用户状态不可用"),
	benefit.AmountNotAllowed: wire.Invalid("amount", "不能填写，该模板的金额不由请求指定"),
	benefit.AmountMissing:    wire.Invalid("amount", "不能为空，该红包模板的金额由请求指定"),
	benefit.AmountOutOfRange: wire.Invalid("amount", "超出模板允许的金额范围"),

	// Of faquan, in the style of the platform.
	benefit.KeyConflict:     wire.Business("OUT_BIZ_NO_CONFLICT", "外部业务订单号已用于内容不同的请求"),
	benefit.TemplateDraft:   wire.Business("TEMPLATE_NOT_ACTIVE", "模板未激活"),
	benefit.TemplatePaused:  wire.Business("TEMPLATE_PAUSED", "模板已暂停"),
	benefit.TemplateNotOpen: wire.Business("TEMPLATE_NOT_START", "模板未到发放开始时间"),
	benefit.ActivityNotOpen: wire.Business("ACTIVITY_NOT_OPEN", "活动未开放"),
	benefit.UserLimit:       wire.Business("USER_LIMIT_EXCEEDED", "用户领取数量已达上限"),
	benefit.PersonLimit:     wire.Business("PERSON_LIMIT_EXCEEDED", "同一自然人领取数量已达上限"),
	benefit.UserDayLimit:    wire.Business("USER_DAY_LIMIT_EXCEEDED", "用户当日领取数量已达上限"),
	benefit.StockEmpty:      wire.Business("STOCK_NOT_ENOUGH", "模板库存不足"),
	benefit.BudgetEmpty:     wire.Business("BUDGET_NOT_ENOUGH", "模板预算不足"),
	benefit.DayStockEmpty:   wire.Business("DAY_STOCK_NOT_ENOUGH", "模板当日库存不足"),
	benefit.DayBudgetEmpty:  wire.Business("DAY_BUDGET_NOT_ENOUGH", "模板当日预算不足"),
	benefit.CodesEmpty:      wire.Business("CODE_NOT_ENOUGH", "模板的券码不足"),
}

// The two ways in which a call has no outcome: see docs/reference/undecided.md.
var (
	// errNotIssued: this attempt certainly issued nothing, and the core made no decision either. An earlier attempt
	// with the same key may have issued all the same.
	errNotIssued = wire.Business("SYSTEM_ERROR", "系统繁忙，本次调用未发券，此前的调用可能已发券，请稍后用相同的out_biz_no重试")
	// errUnknown: whether anything was issued is not known.
	errUnknown = wire.ErrUnknown.With("系统繁忙，发券结果未知，请用相同的out_biz_no重试")
)

// refused returns the error for a reason; errNotIssued for one that the table lacks, because nothing was issued.
func refused(reason benefit.Reason) *wire.Error { return cmp.Or(refusals[reason], errNotIssued) }

// undecided returns the answer to a call that the engine ended with an error.
func undecided(err error) *wire.Error {
	if engine.NothingIssued(err) {
		return errNotIssued
	}
	return errUnknown
}
