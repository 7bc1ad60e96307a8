package wire

import (
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// Charset is the encoding of a request's parameters and of its answer.
type Charset uint8

// The charsets of the platform. GB2312 is decoded as its superset GBK, as the callers who write "gb2312" mean what
// their system calls so.
const (
	UTF8 Charset = iota
	GBK
	GB2312
	GB18030

	// escaped is the charset of an answer to a request whose own charset is unknown: all ASCII, so that every client
	// reads and verifies it whatever it decodes with. Failure writes ASCII texts only, see Error.ASCII; \uXXXX is for
	// what is left.
	escaped
)

var charsetNames = [...]string{UTF8: "utf-8", GBK: "GBK", GB2312: "GB2312", GB18030: "GB18030", escaped: "utf-8"}

// ParseCharset finds a charset by its name in any letter case. It reports false for every other name, the empty one
// too.
func ParseCharset(name string) (cs Charset, ok bool) {
	for cs := range escaped {
		if strings.EqualFold(name, charsetNames[cs]) {
			return cs, true
		}
	}
	return UTF8, strings.EqualFold(name, "utf8")
}

// String returns the name as it stands in a Content-Type.
func (cs Charset) String() string { return charsetNames[cs] }

func (cs Charset) encoding() encoding.Encoding {
	if cs == GB18030 {
		return simplifiedchinese.GB18030
	}
	return simplifiedchinese.GBK
}

// decode turns bytes of the charset into UTF-8. ok is false when the bytes are not valid in it.
func (cs Charset) decode(raw string) (text string, ok bool) {
	if isASCII(raw) {
		return raw, true
	}
	if cs == UTF8 {
		return raw, utf8.ValidString(raw)
	}
	text, err := cs.encoding().NewDecoder().String(raw)
	if err != nil {
		return "", false
	}
	if !strings.ContainsRune(text, utf8.RuneError) {
		return text, true
	}
	// The decoder writes U+FFFD for what it cannot read, the two-byte private use area among it. Only GB18030 can also
	// spell that character; then it comes back as the same bytes.
	again, err := cs.encoding().NewEncoder().String(text)
	return text, err == nil && again == raw
}

// encode turns UTF-8 into bytes of the charset. ok is false when a character has no place in it, or would come back as
// another one: the library writes U+E000 in GB18030 as if it were U+F014.
func (cs Charset) encode(text string) (raw string, ok bool) {
	if isASCII(text) {
		return text, true
	}
	if cs == UTF8 {
		return text, utf8.ValidString(text)
	}
	raw, err := cs.encoding().NewEncoder().String(text)
	if err != nil {
		return "", false
	}
	back, ok := cs.decode(raw)
	return raw, ok && back == text
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendRune writes r in the charset when every implementation of the charset reads those bytes as r. ok is false
// otherwise: a JSON string then carries it as \uXXXX. The rule is narrow on purpose. A Java or Python client decodes
// the answer and encodes it again before it verifies, and the GB tables differ at the edges: the euro sign (0x80 or two
// bytes), the middle dot and the dash, the private use area, what gb2312 leaves out of GBK. A character whose second
// byte would be ASCII is left out too, so that in the bytes of an answer a brace, a quote or a backslash is always one:
// some SDKs cut before they decode.
//
// Where \uXXXX has letters Java SDKs read another character. For a character of the caller there is no better way: the
// other SDKs read it right. Our own texts do without.
func (cs Charset) appendRune(dst []byte, r rune) (out []byte, ok bool) {
	switch cs {
	case UTF8:
		return utf8.AppendRune(dst, r), true
	case escaped:
		return dst, false
	}
	if r == utf8.RuneError {
		return append(dst, '?'), true
	}
	code := gbkTable()[r]
	if code == 0 || cs == GB2312 && !inGB2312(code) {
		return dst, false
	}
	return append(dst, byte(code>>8), byte(code)), true
}

// inGB2312 reports whether a two-byte code is a character of GB 2312: both bytes in the upper half, rows 1 to 3
// (punctuation, full-width forms) and 16 to 87.
func inGB2312(code uint16) bool {
	lead, trail := byte(code>>8), byte(code)
	return trail >= 0xA1 && (lead >= 0xA1 && lead <= 0xA3 || lead >= 0xB0 && lead <= 0xF7)
}

// gbkTable maps the runes on which all tables agree to their two bytes in GBK, which are the same in GB18030:
// ideographs of the first Unicode block and everyday Chinese punctuation.
var gbkTable = sync.OnceValue(func() map[rune]uint16 {
	table := make(map[rune]uint16, 0x5300)
	add := func(from, to rune) {
		for r := from; r <= to; r++ {
			raw, ok := GBK.encode(string(r))
			if ok && len(raw) == 2 && raw[1] >= utf8.RuneSelf {
				table[r] = uint16(raw[0])<<8 | uint16(raw[1])
			}
		}
	}
	add('一', '龥')
	add('\u3000', '\u3002') // ideographic space, 、 。
	add('\u3008', '\u3011') // 〈〉《》「」『』【】
	add('！', '～')
	for _, r := range "‘’“”…×÷℃" {
		add(r, r)
	}
	return table
})
