package wire

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"faquan/internal/gateway/form"
)

// appendJSON writes the inside of a JSON string. What is not valid UTF-8 becomes U+FFFD. U+2028 and U+2029 are
// escaped because the type of the answer says JavaScript, where they would end the line. The codes of both have digits
// only: see form.ControlEscape.
func appendJSON(dst []byte, s string) []byte {
	run := 0 // start of the bytes not yet copied
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(append(dst, s[run:i]...), "\uFFFD"...)
				run = i + size
			case r == '\u2028' || r == '\u2029':
				dst = append(append(dst, s[run:i]...), `\u202`...)
				dst = append(dst, '0'+byte(r&15))
				run = i + size
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[run:i]...)
			if c >= ' ' {
				dst = append(dst, '\\', c)
			} else {
				dst = append(dst, cmp.Or(form.ControlEscape(rune(c)), "\uFFFD")...)
			}
			run = i + 1
		}
		i++
	}
	return append(dst, s[run:]...)
}

// appendXML writes text between two tags. Most controls, U+FFFE and U+FFFF may not stand in XML 1.0 in any way;
// they and what is not valid UTF-8 become U+FFFD. A carriage return is written as a reference, since a parser would
// make a line feed of it.
func appendXML(dst []byte, s string) []byte {
	run := 0 // start of the bytes not yet copied
	for i := 0; i < len(s); {
		c, size, escape := s[i], 1, ""
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || notInXML(r) {
				escape = "\uFFFD"
			}
		} else {
			escape = xmlEscapes[c]
		}
		if escape != "" {
			dst = append(append(dst, s[run:i]...), escape...)
			run = i + size
		}
		i += size
	}
	return append(dst, s[run:]...)
}

// InXML reports whether XML can carry a text. A text of a call is in UTF-8 and has no control characters, so of what XML 1.0
// lacks only two characters are left.
func InXML(text string) bool { return !strings.ContainsFunc(text, notInXML) }

func notInXML(r rune) bool { return r == 0xFFFE || r == 0xFFFF }

// xmlEscapes has what is written for a byte below 0x80; "" is the byte itself.
var xmlEscapes = func() (table [utf8.RuneSelf]string) {
	for c := range ' ' {
		table[c] = "\uFFFD"
	}
	table['\t'], table['\n'], table['\r'] = "", "", "&#xD;"
	table['&'], table['<'], table['>'] = "&amp;", "&lt;", "&gt;"
	return table
}()
