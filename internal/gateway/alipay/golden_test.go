package alipay_test

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/engine"
)

var update = flag.Bool("update", false, "rewrite the requests and answers of the golden cases")

// TestGolden replays the cases of testdata/golden. A file has a comment, then one or more calls in three parts:
//
//	--- call      what the caller does, as changes to the call of the platform's page (see directive)
//	--- request   the bytes that makes, with SIGN for the signature
//	--- answer    the Content-Type and the bytes that come back, with SIGN for the signature
//
// Signatures are left out because no key is kept with the tests; they are made, and those of the answers checked,
// at each run. Line ends of a request are shortened to one character; bytes that are not UTF-8 stand as \xNN.
// `go test -run Golden -update` writes the requests and the answers.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) < 80 {
		t.Fatal(len(files), "cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

const (
	callMark    = "--- call\n"
	requestMark = "--- request\n"
	answerMark  = "--- answer\n"
)

// replay makes the calls of a case and writes the case as it should be.
func replay(t *testing.T, text string) string {
	w := newWorld(t, nil)
	head, rest, _ := strings.Cut(text, callMark)
	var b strings.Builder
	b.WriteString(head)
	for _, step := range strings.Split(rest, callMark) {
		what, _, _ := strings.Cut(step, "---")
		c := goodCall()
		w.broken = nil
		for _, line := range strings.Split(strings.TrimSpace(what), "\n") {
			w.directive(t, c, line)
		}
		raw := c.raw()
		_, res := w.call(t, c)
		body := res.Body.String()
		sign := body[strings.LastIndex(body, `"sign":"`)+len(`"sign":"`) : len(body)-len(`"}`)]
		fmt.Fprintf(&b, "%s%s\n", callMark, strings.TrimSpace(what))
		fmt.Fprintf(&b, "%s%s\n", requestMark, visible(withoutSign(c, string(raw))))
		fmt.Fprintf(&b, "%s%s\n%s\n", answerMark, res.Header().Get("Content-Type"), visible(strings.Replace(body, sign, "SIGN", 1)))
	}
	return b.String()
}

// directive changes a call, or the world, by one line of a case:
//
//	via HOW           how the parameters travel, see caller.raw
//	charset NAME      of the bytes and of the parameter
//	set NAME=VALUE    a parameter
//	drop NAME         a parameter
//	biz JSON          biz_content
//	sign-as ALGORITHM whatever sign_type says
//	sign-with stranger   another key than the app's
//	sign VALUE        a text instead of the signature
//	unsigned          no parameter sign
//	blank NAME        a parameter of blanks alone
//	sign-no-blanks    values of blanks alone are not signed
//	sign-in-blanks    white space stands around the signature
//	issuer ERROR      what the issuer answers instead of issuing
func (w *world) directive(t *testing.T, c *caller, line string) {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	name, value, _ := strings.Cut(rest, "=")
	switch word {
	case "":
	case "via":
		c.via = rest
	case "charset":
		c.charset = rest
	case "set":
		c.params[name] = value
	case "drop":
		delete(c.params, name)
	case "biz":
		c.params["biz_content"] = rest
	case "sign-as":
		c.signAs = rest
	case "sign-with":
		c.key = strangerKey()
	case "sign":
		c.sign = rest
	case "blank":
		c.params[rest] = " \t"
	case "sign-no-blanks":
		c.blanksUnsigned = true
	case "sign-in-blanks":
		c.blanksAround = true
	case "unsigned":
		c.unsigned = true
	case "issuer":
		w.broken = issuerErrors[rest]
		if w.broken == nil {
			t.Fatalf("no such error: %s", rest)
		}
	default:
		t.Fatalf("no such directive: %s", line)
	}
}

var issuerErrors = map[string]error{
	"busy": engine.ErrBusy, "stopping": engine.ErrStopping, "gave-up": engine.ErrGaveUp,
	"not-issued": engine.ErrNotIssued, "invalid": engine.ErrInvalid, "unknown": engine.ErrUnknown,
}

func withoutSign(c *caller, raw string) string {
	if len(c.sign) > 100 { // a real one
		raw = strings.Replace(raw, url.QueryEscape(c.sign), "SIGN", 1)
		raw = strings.Replace(raw, c.sign, "SIGN", 1)
		raw = fixLength(raw)
	}
	return strings.TrimRight(strings.ReplaceAll(raw, "\r\n", "\n"), "\n")
}

// fixLength takes the length out, which changes with how many bytes of a signature have to be escaped.
func fixLength(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, "Content-Length:") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n") + "\r\n\r\n" + body
}

// visible writes bytes that are not UTF-8 as \xNN.
func visible(s string) string {
	if strings.ToValidUTF8(s, "") == s {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] < 0x80 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
	}
	return b.String()
}
