package form

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The rules for single values are the same on both platforms. Each method returns the value and the rule that the member
// breaks, in Chinese and to stand behind its name; "" when it breaks none. Null is for the caller: it is an absent member.

const (
	needText    = "应为字符串"
	needInteger = "应为整数"
	outOfRange  = "超出范围，应为-9223372036854775808至9223372036854775807之间的整数"
)

// AsText returns a text of at most max characters. An integer stands for its digits: callers leave the quotes out, and the
// key 1796000000 must be the key "1796000000". Any other number has several spellings, so it is not a text.
func (m Member) AsText(max int) (text, broken string) {
	if m.Kind != String && !(m.Kind == Number && isInteger(m.Text)) { //guard:TestAsText without isInteger(m.Text)
		return "", needText
	}
	return m.Text, CheckText(m.Text, max)
}

// AsInteger returns a whole number, bare or quoted. A fraction of zeros is accepted, since serializers of languages without
// integers write 1.0 for 1. Leading zeros are accepted where there are quotes. The number never passes through a float.
func (m Member) AsInteger() (n int64, broken string) {
	whole, fraction, _ := strings.Cut(m.Text, ".")
	if m.Kind != Number && m.Kind != String || !isInteger(whole) || strings.Trim(fraction, "0") != "" || strings.HasSuffix(m.Text, ".") {
		return 0, needInteger
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, outOfRange
	}
	return n, ""
}

// isInteger reports whether a text is decimal digits, with or without a minus sign.
func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// CheckText returns the rule that a text of at most max characters breaks. Control characters can only come from an escape
// in JSON: see HasControl.
func CheckText(text string, max int) (broken string) {
	if len(text) > max && utf8.RuneCountInString(text) > max {
		return "最多" + strconv.Itoa(max) + "个字符"
	}
	if HasControl(text) || strings.ContainsRune(text, 0x7F) {
		return "含有控制字符"
	}
	return ""
}
