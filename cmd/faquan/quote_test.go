package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"faquan/internal/control"
)

// What callers send is printed as one word or between quotation marks, and nothing in it reaches the terminal.
func TestQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"order-1": "order-1", "优酷3个月": "优酷3个月", "a/b:c=d": "a/b:c=d", "": `""`, "two words": `"two words"`, `a"b`: `"a\"b"`,
		"a\nb": `"a\nb"`, "\x1b[31mred": `"\x1b[31mred"`, "\u009b2J": `"\u009b2J"`, "\u202egnp.exe": `"\u202egnp.exe"`, "\xff": `"\xff"`,
		"\u2028": `"\u2028"`, `a\nb`: `"a\\nb"`,
	} {
		if got := quoted(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"two words\tof\n中文\u3000": "two words\tof\n中文\u3000", "a\x1b[2J\r\nb": `a\x1b[2J\r` + "\nb", "\u202e\u009b\xff\x7f": `\u202e\u009b\xff\x7f`,
		"it's \"so\"": "it's \"so\"",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := oneLine("a\nb") + indented("a\nb"); got != `a\nb`+"a\n  b" {
		t.Errorf("got %q", got)
	}
}

// JSON that is printed means what it meant.
func TestPrintableJSON(t *testing.T) {
	want := map[string]string{"k": "a\x7f\u009b\u202e\U000e0001中文\n\u2028<&>"}
	var b bytes.Buffer
	if err := writeJSON(&b, want); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(b.String(), unprintable) || !strings.Contains(b.String(), "中文") {
		t.Errorf("written as %q", &b)
	}
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["k"] != want["k"] {
		t.Errorf("read back as %q, %v", got, err)
	}
}

// No text of a caller makes a line of its own in an explanation, nor a field that is not there.
func TestForgedLines(t *testing.T) {
	const evil = "x\n→ issued\x1b[2J  app other\u202e"
	decision := &control.Decision{
		Outcome: control.Refused, At: "2026-11-22 12:00:00", App: evil, Scope: control.ScopeName{App: evil, BizCode: evil}, Key: evil, Recipient: evil + " " + evil,
		CallerTrace: evil, Scene: evil, Strategy: "ALL", Catalogue: 1, Remark: evil,
		Answer: control.Answer{Method: evil, Trace: evil, Code: "41", SubCode: evil, SubMsg: evil},
		Errors: []control.DecisionError{{Kind: "ACT", ActCode: evil, Reason: "ACTIVITY_NOT_FOUND"}},
	}
	var b bytes.Buffer
	if err := showDecision(&b, decision); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 7 || strings.ContainsFunc(b.String(), unprintable) {
		t.Errorf("%d lines, want 7:\n%s", len(lines), &b)
	}
	for _, line := range lines[:3] {
		if outside := regexp.MustCompile(`"(\\.|[^"\\])*"`).ReplaceAllString(line, ""); strings.Contains(outside, "other") {
			t.Errorf("a forged field in %s", line)
		}
	}
	if got := recipient(control.SessionUser + "7"); got != "the session's user 7" {
		t.Errorf("a recipient of a session: %s", got)
	}
	for k, line := range lines {
		if strings.HasPrefix(line, "→") != (k == len(lines)-1) {
			t.Errorf("line %d is %s", k, line)
		}
	}
}
