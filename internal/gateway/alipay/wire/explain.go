package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"faquan/internal/gateway/form"
)

// maxEcho bounds the string to sign in a sub_msg, in bytes: an answer must not grow with a hostile request.
const maxEcho = 4096

// Readable returns the string to sign of a variant as UTF-8, that of the first variant for NoMatch.
func (r *Request) Readable(v Variant) string {
	return string(r.recoded().StringToSign(max(v, WithoutEmpties)))
}

// Explain returns the Chinese text of an isv.invalid-signature answer to a request with the verdict, under the
// algorithm that was asked for. Like the platform's it ends with the string that the gateway built, because callers
// compare it with their own. In the answer it is HTML-escaped (&amp;): see Node.Failure.
func (r *Request) Explain(v Verdict, t SignType) string {
	var b strings.Builder
	b.WriteString("验签出错")
	switch {
	case v.Hint != "":
		b.WriteString("，" + v.Hint)
	case v.Other != "":
		b.WriteString("，sign_type为" + string(t) + "，而签名是按" + string(v.Other) + "生成的")
	default:
		b.WriteString("，请检查待签名字符串，以及签名私钥与应用公钥是否匹配")
	}
	b.WriteString("，网关生成的验签字符串为：")
	signed := r.Readable(v.Variant)
	echo := form.Cut(signed, maxEcho)
	b.WriteString(echo)
	if len(echo) < len(signed) {
		b.WriteString("…（共" + strconv.Itoa(len(signed)) + "字节）")
	}
	return b.String()
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// Difference is the first place where two strings part.
type Difference struct {
	Offset       int    // bytes from the start
	Ours, Theirs string // what stands there, at most 40 characters
}

// Compare finds the first byte where the caller's string to sign differs from ours. It reports false when they are
// equal. A caller's text copied out of an answer may still be HTML-escaped; that is undone first.
func Compare(ours, theirs string) (d Difference, differ bool) {
	if strings.Contains(theirs, "&amp;") && !strings.Contains(ours, "&amp;") {
		theirs = htmlUnescaper.Replace(theirs)
	}
	if ours == theirs {
		return Difference{}, false
	}
	i := 0
	for i < len(ours) && i < len(theirs) && ours[i] == theirs[i] {
		i++
	}
	return Difference{Offset: i, Ours: excerpt(ours, i), Theirs: excerpt(theirs, i)}, true
}

var htmlUnescaper = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`)

// excerpt is up to 40 characters of text from the character that holds byte i.
func excerpt(text string, i int) string {
	for i > 0 && i < len(text) && !utf8.RuneStart(text[i]) {
		i--
	}
	runes := 0
	for end := range text[i:] {
		if runes == 40 {
			return text[i : i+end]
		}
		runes++
	}
	return text[i:]
}
