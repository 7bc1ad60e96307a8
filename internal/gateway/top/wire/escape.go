package wire

import (
	"cmp"
	"strings"

	"faquan/internal/gateway/form"
)

// jsonEscapes escapes the inside of a JSON string. U+2028 and U+2029 are escaped because the type of the answer is
// JavaScript, where they would end the line. The codes of both have digits only: see form.ControlEscape.
var jsonEscapes = strings.NewReplacer(append(
	forControls(func(c rune) string { return cmp.Or(form.ControlEscape(c), "\uFFFD") }),
	`"`, `\"`, `\`, `\\`, "\u2028", `\u2028`, "\u2029", `\u2029`)...)

// xmlEscapes escapes text between two tags. Most controls, U+FFFE and U+FFFF may not stand in XML 1.0 in any way; they
// become U+FFFD. A carriage return is written as a reference, since a parser would make a line feed of it.
var xmlEscapes = strings.NewReplacer(append(
	[]string{"\t", "\t", "\n", "\n", "\r", "&#xD;", "&", "&amp;", "<", "&lt;", ">", "&gt;", "\uFFFE", "\uFFFD", "\uFFFF", "\uFFFD"},
	forControls(func(rune) string { return "\uFFFD" })...)...)

// forControls returns each control character with its escape.
func forControls(escape func(c rune) string) (pairs []string) {
	for c := range ' ' {
		pairs = append(pairs, string(c), escape(c))
	}
	return pairs
}

// InXML reports whether XML can carry a text. A text of a call is in UTF-8 and has no control characters, so of what XML 1.0
// lacks only two characters are left.
func InXML(text string) bool { return !strings.ContainsAny(text, "\uFFFE\uFFFF") }
