package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"faquan/internal/gateway/form"
)

// Explanation describes why a signature did or did not verify, for the sub_msg of a refusal and for the command line.
type Explanation struct {
	Verdict
	StringToSign string // of the first variant, or of the one that matched; as UTF-8
	SignType     SignType
}

// Explain builds the explanation of a verdict. t is the algorithm that was asked
// for.
func (r *Request) Explain(v Verdict, t SignType) Explanation {
	variant := v.Variant
	if variant == NoMatch {
		variant = WithoutEmpties
	}
	return Explanation{Verdict: v, StringToSign: string(r.recoded().StringToSign(variant)), SignType: t}
}

// maxEcho bounds the string to sign in a sub_msg, in bytes: an answer must not
// grow with a hostile request.
const maxEcho = 4096

// SubMsg returns the Chinese text of an isv.invalid-signature answer. Like the platform's it ends with the string that
// the gateway built, because callers compare it with their own. In the answer it is HTML-escaped (&amp;): see
// Node.Failure.
func (e Explanation) SubMsg() string {
	var b strings.Builder
	b.WriteString("验签出错")
	switch {
	case e.Hint != "":
		b.WriteString("，" + e.Hint)
	case e.Other != "":
		b.WriteString("，sign_type为" + string(e.SignType) + "，而签名是按" + string(e.Other) + "生成的")
	default:
		b.WriteString("，请检查待签名字符串，以及签名私钥与应用公钥是否匹配")
	}
	b.WriteString("，网关生成的验签字符串为：")
	text := form.Cut(e.StringToSign, maxEcho)
	b.WriteString(text)
	if len(text) < len(e.StringToSign) {
		b.WriteString("…（共" + strconv.Itoa(len(e.StringToSign)) + "字节）")
	}
	return b.String()
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// Difference is the first place where two strings part.
type Difference struct {
	Offset       int    // bytes from the start
	Ours, Theirs string // what stands there, at most 40 characters
}

// Compare finds the first byte where the caller's string to sign differs from the
// one of the explanation. ok is false when they are equal. A caller's text copied
// out of an answer may still be HTML-escaped; that is undone first.
func (e Explanation) Compare(theirs string) (d Difference, ok bool) {
	ours := e.StringToSign
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
