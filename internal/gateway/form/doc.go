// Package form reads what callers of an open platform send, whichever platform it is: parameters from the query,
// from a URL-encoded or multipart body, or from all of them at once, and the JSON objects that stand in their values.
//
//	f, problem := form.Read(r, form.Options{})
//	if p := f.Merge(""); problem == nil {
//		problem = p
//	}
//	members, problem := form.ParseObject(value)
//
// It is stricter than net/http and encoding/json where they would let a gateway read another request than its caller
// signed: a name may not come twice with different values, a JSON object may not have a member twice, nothing is
// cut, replaced or matched in another letter case. It is wider where the SDKs need it: a GET may have a form as its
// body, and multipart bodies come without files.
//
// What is wrong is a [Problem]. Each gateway has the codes of its platform for it.
package form

import (
	"strings"
	"unicode/utf8"
)

// Problem describes what is wrong with a request, in Chinese, for the caller.
type Problem struct {
	Name string // the parameter or member; "" when it is about the whole
	Text string // such as "重复且取值不同"
}

// Error returns the problem with the name before it.
func (p *Problem) Error() string {
	if p.Name == "" {
		return p.Text
	}
	return "参数" + p.Name + p.Text
}

// HasControl finds control characters other than tab, line feed and carriage return, which white space may hold. A
// database may cut at NUL, a log or a console be fooled by the others.
func HasControl(s string) bool {
	for i := range len(s) { // byte by byte is enough: no byte of a longer character is below the space
		if c := s[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return true
		}
	}
	return false
}

// WithoutBOM returns the text without the byte order mark that editors on Windows put at the start of a file. Keys, secrets
// and JSON often come out of such a file.
func WithoutBOM(text string) string { return strings.TrimPrefix(text, "\uFEFF") }

// Cut is at most max bytes of text, ending between two characters.
func Cut(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max]
}

// ControlEscape returns how a control character is written inside a JSON string of an answer. It returns "" for one
// that has to be replaced: it has no short form, and its code has a letter. The Java SDKs of both platforms decode the
// letters of \uXXXX wrongly, so that they read \u001f as another character.
func ControlEscape(c rune) string {
	if k := strings.IndexRune("\b\t\n\f\r", c); k >= 0 {
		return `\` + "btnfr"[k:k+1]
	}
	if high, low := c>>4, c&15; low <= 9 {
		return `\u00` + string('0'+high) + string('0'+low)
	}
	return ""
}
