package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What callers send (keys, trace ids, biz_codes, identifiers) may hold line breaks, which would forge lines of an output,
// and control sequences, which a terminal obeys. So a text of theirs is printed by quoted, and a text of several words
// or lines, such as the body of an answer, by oneLine or indented.

// quoted returns a text as it is if it is one word of printable characters, and else between quotation marks, with
// escapes as in Go. Words of other scripts are as printable as those in ASCII; what turns the direction of writing is not.
func quoted(text string) string {
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, inQuotes) {
		return strconv.Quote(text)
	}
	return text
}

func inQuotes(r rune) bool { return !strconv.IsPrint(r) || r == ' ' || r == '"' || r == '\\' }

// printable returns a text with escapes in the place of what is neither printable nor a line break.
func printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unprintable(r):
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}

// oneLine is printable for a text that stands on one line with others.
func oneLine(text string) string { return strings.ReplaceAll(printable(text), "\n", `\n`) }

// indented is printable for a text that stands under a line of ours: its own lines cannot look like one.
func indented(text string) string { return strings.ReplaceAll(printable(text), "\n", "\n  ") }

// unprintable allows the tabs and the kinds of spaces that text in columns and Chinese text have.
func unprintable(r rune) bool {
	return !strconv.IsPrint(r) && r != '\n' && r != '\t' && r != '\u3000'
}

// printableJSON escapes what is not printable in a JSON text as JSON does, so that its meaning stays.
func printableJSON(text []byte) []byte {
	var b []byte
	for _, r := range string(text) {
		switch {
		case !unprintable(r):
			b = utf8.AppendRune(b, r)
		case r > 0xFFFF:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}
