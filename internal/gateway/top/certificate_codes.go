package top

import "faquan/internal/benefit"

// The result codes of tmall.nrt.certificate.send and .query that are no refusal of the core.
const (
	certificateOK        = "0"
	certificateBusy      = "SYSTEM_BUSY"
	certificateIsUnknown = "UNKNOWN"
	channelNotAllowed    = "CHANNEL_NOT_ALLOWED"
)

// certificateTexts explains each code and what the caller can do. The page of the API in docs/reference has the same
// table.
var certificateTexts = map[string]string{
	certificateOK:           "成功",
	certificateBusy:         "系统繁忙，本次调用未发放，请稍后重试；此前结果未知的调用请先通过tmall.nrt.certificate.query查询",
	certificateIsUnknown:    "发放结果未知，请勿直接重试，请先通过tmall.nrt.certificate.query按open_id查询",
	channelNotAllowed:       "该投放渠道不可发放此电子凭证，请核对channel",
	"KEY_CONFLICT":          "请求冲突，未发放",
	"TEMPLATE_NOT_FOUND":    "电子凭证模板不存在，请核对out_id及其所属商家",
	"USER_NOT_FOUND":        "用户不存在，请核对open_id",
	"SCENE_NOT_FOUND":       "场景不存在",
	"ACTIVITY_NOT_FOUND":    "活动不存在",
	"RIGHT_NOT_FOUND":       "权益不存在",
	"NARROWING_NOT_ALLOWED": "不允许指定活动或权益",
	"OTHER_MERCHANT":        "权益属于其他商家",
	"TEMPLATE_DRAFT":        "电子凭证模板未激活，请在激活后重试",
	"TEMPLATE_PAUSED":       "电子凭证模板已暂停，请在恢复后重试",
	"TEMPLATE_NOT_OPEN":     "电子凭证未到发放开始时间，请在开始后重试",
	"ACTIVITY_NOT_OPEN":     "活动未开放",
	"SCENE_NOT_OPEN":        "场景未开放",
	"TEMPLATE_ENDED":        "电子凭证发放已结束，请勿重试",
	"GUARDED":               "一秒内重复领取",
	"USER_FROZEN":           "用户状态不可用，请勿重试",
	"USER_LIMIT":            "用户领取数量已达上限，请勿重试",
	"PERSON_LIMIT":          "同一自然人领取数量已达上限，请勿重试",
	"USER_DAY_LIMIT":        "用户当日领取数量已达上限，请于次日重试",
	"STOCK_EMPTY":           "电子凭证库存不足，补充后可以重试",
	"BUDGET_EMPTY":          "电子凭证预算不足，补充后可以重试",
	"DAY_STOCK_EMPTY":       "电子凭证当日库存不足，请于次日重试",
	"DAY_BUDGET_EMPTY":      "电子凭证当日预算不足，请于次日重试",
	"CODES_EMPTY":           "没有可用的电子凭证码，请联系商家增加码的位数",
	"AMOUNT_NOT_ALLOWED":    "电子凭证没有金额",
	"AMOUNT_MISSING":        "电子凭证没有金额",
	"AMOUNT_OUT_OF_RANGE":   "电子凭证没有金额",
}

// certificateCode returns what a reason of the core is called in result.code: its name, or certificateBusy where that is no
// code of the API, since certainly nothing was issued.
func certificateCode(reason benefit.Reason) string {
	if name := reason.String(); certificateTexts[name] != "" {
		return name
	}
	return certificateBusy
}
