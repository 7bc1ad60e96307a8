package top

import "faquan/internal/benefit"

// campTriggerError is the platform's error_code for a right that was chosen and then failed inside: the caller has
// done nothing wrong, and can do nothing about it.
const campTriggerError = "CAMP_TRIGGER_ERROR"

// The result codes of alibaba.alsc.upp.right.decisionsend that are no refusal.
const (
	decisionBusy      = "SYSTEM_BUSY"
	decisionIsUnknown = "SYSTEM_UNKNOWN"
)

// decisionTexts explains each code and what the caller can do. The page of the API in docs/reference has the same
// table.
var decisionTexts = map[string]string{
	statusSuccess:           "成功",
	statusSending:           "权益发放中，请稍后以原request_id重试获取结果",
	statusNothing:           "没有适合该用户的权益，未发放",
	decisionBusy:            "系统繁忙，本次调用未发放，此前的调用可能已发放，请稍后以原request_id重试",
	decisionIsUnknown:       "发放结果未知，请以原request_id重试，不会重复发放",
	campTriggerError:        "活动发奖调用异常，请联系商家检查权益配置，修复后可以原request_id重试",
	"KEY_CONFLICT":          "request_id已用于内容不同的请求，新的请求请使用新的request_id",
	"USER_NOT_FOUND":        "用户不存在，请核对user_type和user_id",
	"SCENE_NOT_FOUND":       "场景不存在，请核对scene_code及其所属商家",
	"ACTIVITY_NOT_FOUND":    "场景中没有该活动，请核对act_code",
	"RIGHT_NOT_FOUND":       "场景中没有该权益，请核对act_code和right_id",
	"NARROWING_NOT_ALLOWED": "该场景不允许指定此活动或权益，请去掉act_codes和act_right_top_infos中的相应内容后重试",
	"OTHER_MERCHANT":        "场景中的此活动或权益属于其他商家，不可发放，请联系商家检查场景配置",
	"TEMPLATE_DRAFT":        "权益未激活，激活后可以原request_id重试",
	"TEMPLATE_PAUSED":       "权益已暂停，恢复后可以原request_id重试",
	"TEMPLATE_NOT_OPEN":     "权益未到发放开始时间，开始后可以原request_id重试",
	"ACTIVITY_NOT_OPEN":     "活动未开放，开放后可以原request_id重试",
	"SCENE_NOT_OPEN":        "场景未开放，开放后可以原request_id重试",
	"TEMPLATE_ENDED":        "权益发放已结束，请勿重试",
	"GUARDED":               "一秒内重复领取，请稍后以原request_id重试",
	"USER_FROZEN":           "用户状态不可用，请勿重试",
	"USER_LIMIT":            "用户领取数量已达上限，请勿重试",
	"PERSON_LIMIT":          "同一自然人领取数量已达上限，请勿重试",
	"USER_DAY_LIMIT":        "用户当日领取数量已达上限，请于次日以原request_id重试",
	"STOCK_EMPTY":           "权益库存不足，补充后可以原request_id重试",
	"BUDGET_EMPTY":          "权益预算不足，补充后可以原request_id重试",
	"DAY_STOCK_EMPTY":       "权益当日库存不足，请于次日以原request_id重试",
	"DAY_BUDGET_EMPTY":      "权益当日预算不足，请于次日以原request_id重试",
}

// decisionCode returns what a reason of the core is called in an error_code, and in the result_code when it is the first: its
// name, where that is a code of the API. The others are no fault of the caller.
func decisionCode(reason benefit.Reason) string {
	if name := reason.String(); decisionTexts[name] != "" {
		return name
	}
	return campTriggerError
}
