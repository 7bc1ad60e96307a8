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

const activityPage = "taobao-mobile-promotion-benefit-activity-send"

// Every reason that an activity can bring about has a row, which is a failure or a message and not both.
func TestEveryReasonOfASend(t *testing.T) {
	elsewhere := []benefit.Reason{ // the handler answers it, or reasons of requests that name a scene, or a recipient
		benefit.AppDisabled,
		benefit.IdentifierInvalid, benefit.UserTypeNotAllowed, benefit.OtherMerchant,
		benefit.SceneNotFound, benefit.ActivityNotFound, benefit.RightNotFound, benefit.NarrowingNotAllowed,
		benefit.SceneNotOpen,
	}
	for _, reason := range benefit.IssueReasons() {
		row, ok := activityRefusals[reason]
		if ok == slices.Contains(elsewhere, reason) {
			t.Errorf("%v: in the table: %v", reason, ok)
		}
		if ok && (row.failure == nil) != (row.message != "") {
			t.Errorf("%v: %+v", reason, row)
		}
		if strings.HasPrefix(reason.String(), "isp.") {
			t.Errorf("%v would be sent again unasked", reason)
		}
	}
}

// The page's table of refusals is the code's.
func TestThePageOfActivitySend(t *testing.T) {
	want := map[string]string{}
	for reason, row := range activityRefusals {
		if row.failure == nil {
			want[reason.String()] = row.message
		}
	}
	got := map[string]string{}
	for _, row := range pageRows(t, activityPage, "Refusals") {
		got[row[0]] = row[1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-code +page)\n%s", diff)
	}
	if row := activityRefusals[benefit.Reason(200)]; row.failure != nil {
		t.Errorf("a reason of a later core: %+v", row)
	}
}

// goldenAnswers returns what a pattern finds in the JSON answers of a folder of golden cases, each once.
func goldenAnswers(t *testing.T, folder string, pattern *regexp.Regexp) (found []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "golden", folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
			if words := strings.Join(m[1:], "|"); !slices.Contains(found, words) {
				found = append(found, words)
			}
		}
	}
	slices.Sort(found)
	return found
}

// Each refusal of the page has a golden case, and the golden cases have no other.
func TestGoldenRefusalsOfASend(t *testing.T) {
	var want []string
	for _, row := range pageRows(t, activityPage, "Refusals") {
		want = append(want, row[0]+"|"+row[1])
	}
	slices.Sort(want)
	got := goldenAnswers(t, "activity.send", regexp.MustCompile(`"error_message":"([^"]*)","error_code":"([^"]*)"`))
	for k, words := range got {
		message, code, _ := strings.Cut(words, "|")
		got[k] = code + "|" + message
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-page +golden)\n%s", diff)
	}
}

var errorResponse = regexp.MustCompile(`"error_response":\{"code":(\d+),"msg":"[^"]*"(?:,"sub_code":"([^"]*)")?(?:,"sub_msg":"([^"]*)")?`)

// Each error of the page has a golden case, and each golden case a row of the page. An ellipsis stands for anything.
func TestGoldenErrorsOfASend(t *testing.T) {
	answers := goldenAnswers(t, "activity.send", errorResponse)
	used := map[string]bool{}
	for _, row := range pageRows(t, activityPage, "Errors") {
		words := regexp.QuoteMeta(strings.Join(row[:3], "|"))
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(words, "…", ".+") + "$")
		found := false
		for _, answer := range answers {
			if pattern.MatchString(answer) {
				found, used[answer] = true, true
			}
		}
		if !found {
			t.Errorf("no golden case of %q", row[:3])
		}
	}
	for _, answer := range answers {
		if !used[answer] {
			t.Errorf("the page lacks %s", answer)
		}
	}
}

// The gateway's page has the codes that the golden cases show, and each of the page has a golden case.
func TestGoldenCodesOfTheGateway(t *testing.T) {
	var want, got []string
	for _, row := range pageRows(t, "top", "Gateway codes") {
		// 10 has no golden case, but a test: see TestOptions. 23 is answered in XML, whatever was asked for.
		if row[0] != "10" && row[0] != "23" {
			want = append(want, row[0]+" "+row[1])
		}
	}
	for _, words := range goldenAnswers(t, "gateway", errorResponse) {
		parts := strings.Split(words, "|")
		sub := parts[1]
		switch {
		case parts[0] == "50":
			sub = ""
		case parts[0] == "40", parts[0] == "41":
			sub, _, _ = strings.Cut(sub, ":")
			sub += ":…"
		}
		if words := parts[0] + " " + sub; !slices.Contains(got, words) {
			got = append(got, words)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-page +golden)\n%s", diff)
	}
}

// The page names every method of the gateway.
func TestThePageHasEveryMethod(t *testing.T) {
	text, err := os.ReadFile("../../../docs/reference/top.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range methods {
		if !strings.Contains(string(text), "`"+m.name+"`") {
			t.Errorf("%s is not there", m.name)
		}
	}
}
