package top

import (
	"faquan/internal/benefit"
	"faquan/internal/gateway/top/wire"
)

// The failures of activity.send that stand under error_response. Those of isp.* are the platform's own.
var (
	errNoRecipient = wire.Business("isp.225", "权益接收者不存在")
	errNoActivity  = wire.Business("isp.295", "关联活动详情为空")
	errGuarded     = wire.Business("isp.107", "mdb一秒防并发")

	// The two ways of having no outcome. The trace id follows.
	//guard:TestARetryThatFindsTheServerBusy "isp.E1000" -> "SYSTEM_BUSY"
	errActivityNotIssued = wire.Business("isp.E1000", "权益发放失败，本次调用未发放，此前的调用可能已发放，请用相同的unique_id重试，traceId：")
	errActivityUnknown   = wire.Business("isp.E1000", "权益发放失败，结果未知，请用相同的unique_id重试，traceId：")

	errPurchaser      = wire.Invalid("purchaser_id", "不是活动的卖家用户id")
	errBenefitType    = wire.Invalid("benefit_type", "与活动详情的权益类型不一致")
	errCardWithoutBox = wire.Invalid("card_type", "不能填写，活动没有赢宝箱")
)

// activityRefusal is what a reason of the core is called by activity.send: a failure under error_response, or an
// answer with is_success false whose error_code is the reason's name. The page of the API in docs/reference has the
// same table.
type activityRefusal struct {
	failure *wire.Error
	message string
}

var activityRefusals = map[benefit.Reason]activityRefusal{
	benefit.TemplateNotFound: {failure: errNoActivity},
	benefit.UserNotFound:     {failure: errNoRecipient},
	benefit.UserFrozen:       {failure: errNoRecipient},
	benefit.Guarded:          {failure: errGuarded},

	benefit.KeyConflict:      {message: "unique_id已用于内容不同的请求"},
	benefit.TemplateDraft:    {message: "权益未激活"},
	benefit.TemplatePaused:   {message: "权益已暂停发放"},
	benefit.TemplateNotOpen:  {message: "权益未到发放开始时间"},
	benefit.ActivityNotOpen:  {message: "活动未开放"},
	benefit.TemplateEnded:    {message: "权益已结束发放"},
	benefit.UserLimit:        {message: "用户领取数量已达上限"},
	benefit.PersonLimit:      {message: "同一自然人领取数量已达上限"},
	benefit.UserDayLimit:     {message: "用户当日领取数量已达上限"},
	benefit.StockEmpty:       {message: "权益库存不足"},
	benefit.BudgetEmpty:      {message: "权益预算不足"},
	benefit.DayStockEmpty:    {message: "权益当日库存不足"},
	benefit.DayBudgetEmpty:   {message: "权益当日预算不足"},
	benefit.CodesEmpty:       {message: "没有可用的券码"},
	benefit.AmountNotAllowed: {message: "活动详情不能设置金额"},
	benefit.AmountMissing:    {message: "活动详情未设置金额"},
	benefit.AmountOutOfRange: {message: "活动详情的金额超出权益允许的范围"},
}
