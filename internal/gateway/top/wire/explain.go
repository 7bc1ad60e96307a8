package wire

import (
	"strconv"
	"strings"

	"faquan/internal/gateway/form"
)

// maxEcho bounds the string to sign in a sub_msg, in bytes: an answer must not grow with a hostile request.
const maxEcho = 4096

// masked stands where a secret stood.
const masked = "***"

// Explain tells in Chinese why a signature is not right, with the string that the gateway built, because callers
// compare it with their own. The secret never stands in it, not even where the caller put it among the parameters.
// What the caller sent does, the session key among it: it is for the caller, never for a log.
func (r *Request) Explain(v Verdict, secret string, m SignMethod) string {
	var b strings.Builder
	b.WriteString("验签出错")
	size := 2 * m.size()
	switch sign := r.Get("sign"); {
	case v.Other != "":
		b.WriteString("，sign_method为" + string(m) + "，而签名是按" + string(v.Other) + "生成的")
	case len(sign) != size:
		b.WriteString("，" + string(m) + "的签名应为" + strconv.Itoa(size) + "位十六进制字符")
	default:
		b.WriteString("，请检查待签名字符串和应用的密钥")
	}
	b.WriteString("，网关生成的待签名字符串为：")
	text := r.StringToSign(AsSent)
	if secret != "" {
		text = strings.ReplaceAll(text, secret, masked)
	}
	if m == MD5 {
		text = masked + text + masked
	}
	echo := form.Cut(text, maxEcho)
	b.WriteString(echo)
	if len(echo) < len(text) {
		b.WriteString("…（共" + strconv.Itoa(len(text)) + "字节）")
	}
	return b.String()
}
