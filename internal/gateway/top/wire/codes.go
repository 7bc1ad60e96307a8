package wire

import "strconv"

// Error is a refusal in the platform's words.
type Error struct {
	Code    int    // of the gateway, such as 25; never 0
	Msg     string // the English text of Code, spelt as on the wire
	SubCode string // such as "isv.appkey-not-exists"; "" when there is none
	SubMsg  string // text for the caller; "" when there is none
}

// Error returns the codes for a log. SubMsg may hold the caller's own parameters (see Explain), so it is left out.
func (e *Error) Error() string { return "top: " + strconv.Itoa(e.Code) + " " + e.SubCode }

// Is makes errors.Is match any Error of the same code and sub_code, whatever its sub_msg.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && e.Code == other.Code && e.SubCode == other.SubCode
}

// With returns a copy of e with another sub_msg.
func (e *Error) With(subMsg string) *Error {
	other := *e
	other.SubMsg = subMsg
	return &other
}

// RemoteService is the code of business errors on the pages of the platform's APIs, and our default. Real answers of
// recent years have 15.
const RemoteService = 50

// Business returns a failure of the API itself, under RemoteService.
//
// The Java SDK's retrying client sends a call again whenever subCode begins with "isp.": only what may be tried
// again with the same parameters may begin so.
func Business(subCode, subMsg string) *Error {
	return &Error{RemoteService, "Remote service error", subCode, subMsg}
}

// Carried is e, or a copy of it under the code that the operator chose when e is a business error.
func (e *Error) Carried(code int) *Error {
	if e.Code != RemoteService || code == RemoteService || code == 0 {
		return e
	}
	other := *e
	other.Code = code
	return &other
}

// Missing refuses a call without a parameter, or without a member of an object parameter.
func Missing(name string) *Error {
	return &Error{40, "Missing required arguments:" + name, "isv.missing-parameter:" + name, "缺少必填参数" + name}
}

// Invalid refuses the value of a parameter, or of a member of an object parameter. The rule, such as
// "最多64个字符", follows the name in the sub_msg.
func Invalid(name, rule string) *Error {
	return &Error{41, "Invalid arguments:" + name, "isv.invalid-parameter:" + name, "参数" + name + rule}
}

// The refusals of the gateway.
var (
	ErrCallLimited        = &Error{7, "App Call Limited", "accesscontrol.limited-by-app-access-count", "This ban will last for 1 more seconds"} // clients read the seconds out of it
	ErrVerb               = &Error{Code: 9, Msg: "Http action not allowed"}
	ErrUnavailable        = &Error{Code: 10, Msg: "Service currently unavailable"}
	ErrBusy               = &Error{10, "Service currently unavailable", "isp.system-busy", "系统繁忙，本次请求未处理，请稍后重试"} // nothing was done, so clients may repeat
	ErrAppPermissions     = &Error{11, "Insufficient isv permissions", "isv.permission-api-package-not-allowed", "应用没有调用该接口的权限"}
	ErrMissingMethod      = &Error{Code: 21, Msg: "Missing method"}
	ErrInvalidMethod      = &Error{Code: 22, Msg: "Invalid method"}
	ErrInvalidFormat      = &Error{Code: 23, Msg: "Invalid format", SubMsg: "参数format应为xml或json"}
	ErrMissingSignature   = &Error{Code: 24, Msg: "Missing signature"}
	ErrInvalidSignature   = &Error{Code: 25, Msg: "Invalid signature"}
	ErrMissingSession     = &Error{Code: 26, Msg: "Missing session"}
	ErrInvalidSession     = &Error{27, "Invalid session", "invalid-sessionkey", "SessionKey非法"}
	ErrSessionExpired     = &Error{27, "Invalid session", "session-expired", "SessionKey已过期"}
	ErrSessionRevoked     = &Error{27, "Invalid session", "session-not-exist", "SessionKey不存在或已失效"}
	ErrMissingAppKey      = &Error{Code: 28, Msg: "Missing app key"}
	ErrInvalidAppKey      = &Error{29, "Invalid app Key", "isv.appkey-not-exists", "应用不存在"}
	ErrMissingTimestamp   = &Error{Code: 30, Msg: "Missing timestamp"}
	ErrInvalidTimestamp   = &Error{Code: 31, Msg: "Invalid timestamp", SubMsg: "参数timestamp应为yyyy-MM-dd HH:mm:ss或毫秒数"}
	ErrMissingVersion     = &Error{Code: 32, Msg: "Missing version"}
	ErrInvalidVersion     = &Error{Code: 33, Msg: "Invalid version", SubMsg: "参数v应为2.0"}
	ErrUnsupportedVersion = &Error{Code: 34, Msg: "Unsupported version", SubMsg: "参数v应为2.0"}
	ErrParameter          = &Error{Code: 43, Msg: "Parameter error"}
	ErrInvalidEncoding    = &Error{Code: 47, Msg: "Invalid encoding"}
)
