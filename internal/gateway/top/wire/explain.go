package wire

import (
	"strconv"

	"faquan/internal/gateway/form"
)

// maxEcho bounds the string to sign in a sub_msg, in bytes: an answer must not grow with a hostile request.
const maxEcho = 4096

// masked stands for the secret, whatever its length.
const masked = "***"

// Explain explains in Chinese why a signature is wrong by the method m, with the string that the gateway built, because
// callers compare it with their own. Other is the method by which it is right, "" for none. Apart from that, which a
// call with the method shows as well, the text depends on nothing but what the caller sent: to mask the secret where it
// occurs among the parameters, or to count what is left then, would answer every guess at the secret. It is for the
// caller, never for a log: the session key stands in it.
func (r *Request) Explain(other, m SignMethod) string {
	size, why := 2*m.size(), "请检查待签名字符串和应用的密钥"
	switch {
	case other != "":
		why = "sign_method为" + string(m) + "，而签名是按" + string(other) + "生成的"
	case len(r.Get("sign")) != size:
		why = string(m) + "的签名应为" + strconv.Itoa(size) + "位十六进制字符"
	}
	text := r.StringToSign(AsSent)
	echo := form.Cut(text, maxEcho)
	if len(echo) < len(text) {
		echo += "…（共" + strconv.Itoa(len(text)) + "字节）"
	}
	if m == MD5 {
		echo = masked + echo + masked
	}
	return "验签出错，" + why + "，网关生成的待签名字符串为：" + echo
}
