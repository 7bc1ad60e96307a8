package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Texts of callers (keys, trace ids, biz_codes, identifiers) may hold line breaks, which would forge lines of an output,
// and control sequences for a terminal. So such a text is printed with quoted, and a text of several words or lines, such
// as the body of an answer, with oneLine or indented.

// quoted returns a text unchanged if it is one word of printable characters, and otherwise between quotation marks, with
// escapes as in Go. Words of all scripts are printable; characters that change the direction of writing are not.
func quoted(text string) string {
	//guard:TestForgedLines without strings.ContainsFunc(text, inQuotes)
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, inQuotes) {
		return strconv.Quote(text)
	}
	return text
}

func inQuotes(r rune) bool { return !strconv.IsPrint(r) || r == ' ' || r == '"' || r == '\\' }

// printable returns a text with escapes for everything that is neither printable nor a line break.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		part := text[:n]
		if unprintable(r) || r == utf8.RuneError && n == 1 {
			part = strings.Trim(strconv.Quote(part), `"`)
		}
		b.WriteString(part)
		text = text[n:]
	}
	return b.String()
}

// oneLine is printable for a text that shares its line with other texts.
func oneLine(text string) string { return strings.ReplaceAll(printable(text), "\n", `\n`) }

// indented is printable for a text below a line of faquan: it indents the text, so that no line of it looks like one.
func indented(text string) string { return strings.ReplaceAll(printable(text), "\n", "\n  ") }

// unprintable allows the tabs and the kinds of spaces that text in columns and Chinese text have.
func unprintable(r rune) bool {
	return !strconv.IsPrint(r) && r != '\n' && r != '\t' && r != '\u3000'
}

// printableJSON escapes what is not printable in a JSON text as JSON does, so that its value stays the same.
func printableJSON(text []byte) []byte {
	var b []byte
	for _, r := range string(text) {
		if !unprintable(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
	}
	return b
}
