package top

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
)

// pageRows returns the rows of the table under a heading of a page in docs/reference, without the backquotes.
func pageRows(t *testing.T, page, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/reference/" + page + ".md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatal("no heading", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var all [][]string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| --- |") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for k := range cells {
			cells[k] = strings.Trim(strings.TrimSpace(cells[k]), "`")
		}
		all = append(all, cells)
	}
	if len(all) < 2 {
		t.Fatal("no table under", heading)
	}
	return all[1:]
}

// PageRows is pageRows for the tests outside the package.
var PageRows = pageRows

// checkPage compares the table of codes and texts of a page with those of the code.
func checkPage(t *testing.T, page string, texts map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, row := range pageRows(t, page, "Result codes") {
		if got[row[0]] != "" {
			t.Errorf("%s stands there twice", row[0])
		}
		got[row[0]] = row[1]
	}
	if diff := cmp.Diff(texts, got); diff != "" {
		t.Errorf("(-code +page)\n%s", diff)
	}
}

func TestThePageOfDecisionSend(t *testing.T) {
	checkPage(t, "alibaba-alsc-upp-right-decisionsend", decisionTexts)
}

func TestThePageOfCertificateSend(t *testing.T) {
	checkPage(t, "tmall-nrt-certificate-send", certificateTexts)
}

func TestThePageOfCertificateQuery(t *testing.T) {
	checkPage(t, "tmall-nrt-certificate-query", queryTexts)
}

// Every reason is called by its name, but for those that are no fault of decisionsend's caller. A wrong recipient is a wrong
// parameter.
func TestEveryReasonHasACode(t *testing.T) {
	notTheCallers := []benefit.Reason{
		benefit.TemplateNotFound, benefit.CodesEmpty, benefit.AmountNotAllowed, benefit.AmountMissing, benefit.AmountOutOfRange,
	}
	for _, r := range benefit.IssueReasons() {
		if r == benefit.AppDisabled || r == benefit.IdentifierInvalid || r == benefit.UserTypeNotAllowed {
			continue
		}
		want := r.String()
		if got := certificateCode(r); got != want {
			t.Errorf("certificate.send: %s is called %s", want, got)
		}
		if slices.Contains(notTheCallers, r) {
			want = campTriggerError
		}
		if got := decisionCode(r); got != want {
			t.Errorf("decisionsend: %s is called %s", r, got)
		}
	}
}

// A reason that a later core adds is no success.
func TestReasonsOfALaterCore(t *testing.T) {
	if got := decisionCode(benefit.Reason(200)); got != campTriggerError {
		t.Error(got)
	}
	if got := certificateCode(benefit.Reason(200)); got != certificateBusy {
		t.Error(got)
	}
}

// No business code of these methods begins as what a retrying client sends again.
func TestNothingIsSentAgainUnasked(t *testing.T) {
	for _, texts := range []map[string]string{decisionTexts, certificateTexts} {
		for code := range texts {
			if strings.HasPrefix(code, "isp.") {
				t.Error(code)
			}
		}
	}
}

// Each code of the pages has a golden case, and the golden cases have no other.
func TestGoldenCasesHaveEveryCode(t *testing.T) {
	code := regexp.MustCompile(`"(?:result_code|error_code|code)":"([^"]+)"`)
	for folder, texts := range map[string]map[string]string{"decisionsend": decisionTexts, "certificate.send": certificateTexts} {
		files, err := filepath.Glob(filepath.Join("testdata", "golden", folder, "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range code.FindAllStringSubmatch(string(text), -1) {
				seen[m[1]] = true
			}
		}
		var want, got []string
		for c := range texts {
			want = append(want, c)
		}
		for c := range seen {
			got = append(got, c)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-codes +golden)\n%s", folder, diff)
		}
	}
}
