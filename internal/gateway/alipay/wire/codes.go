package wire

import "cmp"

// Error is a refusal in the platform's words. Code, Msg and SubCode are never empty, since the Java, .NET and Python
// SDKs take an answer without sub_code as a success whatever its code is.
type Error struct {
	Code    string // gateway code, such as "40002"
	Msg     string // the fixed English text of Code
	SubCode string // such as "isv.invalid-signature"
	SubMsg  string // Chinese text for the caller
	ASCII   string // the same in English, for an answer in ASCII; "" is made of Msg and SubCode
}

// Error returns the codes for a log. SubMsg is left out, because it may hold the caller's own parameters.
func (e *Error) Error() string { return "alipay: " + e.Code + " " + e.SubCode }

// With returns a copy of e with another sub_msg.
func (e *Error) With(subMsg string) *Error {
	other := *e
	other.SubMsg, other.ASCII = subMsg, ""
	return &other
}

// withASCII returns a copy of e with another text for answers in ASCII.
func (e *Error) withASCII(text string) *Error {
	other := *e
	other.ASCII = text
	return &other
}

// ascii returns the sub_msg of an answer in ASCII.
func (e *Error) ascii() string { return cmp.Or(e.ASCII, e.Msg+": "+e.SubCode) }

// messages are the texts of the gateway codes.
var messages = map[string]string{
	"20000": "Service Currently Unavailable",
	"20001": "Insufficient Token Permissions",
	"40001": "Missing Required Arguments",
	"40002": "Invalid Arguments",
	"40003": "Insufficient Conditions",
	"40004": "Business Failed",
	"40005": "Call Limited",
	"40006": "Insufficient Permissions",
}

func newError(code, subCode, subMsg string) *Error {
	return &Error{Code: code, Msg: messages[code], SubCode: subCode, SubMsg: subMsg}
}

// Business returns a failure of the API itself (code 40004). An empty subCode would read as success, so it becomes
// SYSTEM_ERROR.
func Business(subCode, subMsg string) *Error {
	if subCode == "" {
		subCode = "SYSTEM_ERROR"
	}
	return newError("40004", subCode, subMsg)
}

// InvalidParameter is the platform's sub_code for every rule of biz_content.
const InvalidParameter = "INVALID_PARAMETER"

// Invalid returns the failure of a member of biz_content that breaks a rule.
func Invalid(member, rule string) *Error { return Business(InvalidParameter, "参数"+member+rule) }

// The refusals of the gateway. The spelling "unknow" is the platform's.
var (
	// ErrUnknown: the outcome is unknown; the same call may be sent again.
	ErrUnknown = newError("20000", "isp.unknow-error", "系统繁忙")

	ErrInvalidAppAuthToken     = newError("20001", "aop.invalid-app-auth-token", "无效的应用授权令牌")
	ErrAppAuthTokenTimeOut     = newError("20001", "aop.app-auth-token-time-out", "应用授权令牌已过期")
	ErrMissingMethod           = newError("40001", "isv.missing-method", "缺少方法名参数")
	ErrMissingSignature        = newError("40001", "isv.missing-signature", "缺少签名参数")
	ErrMissingSignatureType    = newError("40001", "isv.missing-signature-type", "缺少签名类型参数")
	ErrMissingAppID            = newError("40001", "isv.missing-app-id", "缺少appId参数")
	ErrMissingTimestamp        = newError("40001", "isv.missing-timestamp", "缺少时间戳参数")
	ErrMissingVersion          = newError("40001", "isv.missing-version", "缺少版本参数")
	ErrInvalidParameter        = newError("40002", "isv.invalid-parameter", "参数无效")
	ErrInvalidMethod           = newError("40002", "isv.invalid-method", "不存在的方法名")
	ErrInvalidFormat           = newError("40002", "isv.invalid-format", "无效的数据格式，仅支持JSON")
	ErrInvalidSignatureType    = newError("40002", "isv.invalid-signature-type", "无效的签名类型，支持RSA2和RSA")
	ErrInvalidSignature        = newError("40002", "isv.invalid-signature", "无效签名")
	ErrInvalidEncryptType      = newError("40002", "isv.invalid-encrypt-type", "不支持的加密类型，请勿传入encrypt_type")
	ErrInvalidAppID            = newError("40002", "isv.invalid-app-id", "无效的AppID参数")
	ErrInvalidTimestamp        = newError("40002", "isv.invalid-timestamp", "非法的时间戳参数，格式应为yyyy-MM-dd HH:mm:ss")
	ErrInvalidCharset          = newError("40002", "isv.invalid-charset", "字符集错误，支持utf-8、gbk、gb2312和gb18030").withASCII("charset must be utf-8, gbk, gb2312 or gb18030")
	ErrIllegalJSON             = newError("40002", "isv.illegal-json", "业务参数biz_content不是合法的JSON对象")
	ErrMissingSignatureConfig  = newError("40003", "isv.missing-signature-config", "应用未配置对应签名算法的公钥")
	ErrInvalidAppState         = newError("40003", "isv.invalid-app-state", "应用状态不可用")
	ErrAppCallLimited          = newError("40005", "isv.app-call-limited", "应用调用次数超限")
	ErrInsufficientPermissions = newError("40006", "isv.insufficient-isv-permissions", "应用没有调用当前接口的权限")
)

// Things that the platform has and faquan does not, each under the nearest code of the platform, with a text that names
// it.
var (
	ErrSM2             = ErrInvalidSignatureType.With("不支持国密签名类型SM2，请使用RSA2")
	ErrCertificateMode = ErrMissingSignatureConfig.With("应用未配置证书，请使用公钥模式，勿传入app_cert_sn和alipay_root_cert_sn")
)
