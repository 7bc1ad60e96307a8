package alipay

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/gateway/alipay/wire"
)

const page = "alipay-marketing-voucher-send"

// Rows is pageRows for the tests outside the package.
var Rows = pageRows

// pageRows returns the rows of the table under a heading of a page, without the backquotes.
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
	if len(all) == 0 {
		t.Fatal("no table under", heading)
	}
	return all[1:]
}

// The page has the table of the code.
func TestThePageHasEveryRefusal(t *testing.T) {
	want := []string{wire.InvalidParameter + " 参数…", errNotIssued.SubCode + " " + errNotIssued.SubMsg}
	for _, r := range refusals {
		want = append(want, r.SubCode+" "+r.SubMsg)
	}
	var got []string
	for _, row := range pageRows(t, page, "Business codes") {
		got = append(got, row[0]+" "+row[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-code +page)\n%s", diff)
	}
}

// elsewhere are the reasons of requests that name a scene or an activity, which those of this wire do not, and those that
// voucherSend answers.
var elsewhere = []benefit.Reason{
	benefit.AppDisabled, benefit.SceneNotFound, benefit.ActivityNotFound, benefit.RightNotFound, benefit.NarrowingNotAllowed,
	benefit.OtherMerchant, benefit.SceneNotOpen, benefit.Guarded, benefit.IdentifierInvalid, benefit.UserTypeNotAllowed,
}

func TestEveryReasonHasOneCode(t *testing.T) {
	got := slices.Sorted(maps.Keys(refusals))
	want := slices.DeleteFunc(benefit.IssueReasons(), func(r benefit.Reason) bool { return slices.Contains(elsewhere, r) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-reasons +table)\n%s", diff)
	}
}

// Two reasons share a sub_code only where the platform has one for both.
func TestRefusalsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range refusals {
		if seen[r.SubCode] && r.SubCode != wire.InvalidParameter {
			t.Errorf("%s stands for two reasons", r.SubCode)
		}
		seen[r.SubCode] = true
	}
}

// A reason that a later core adds is no success, and says nothing that is not so.
func TestAnUnknownReason(t *testing.T) {
	if e := refused(benefit.Reason(200)); e != errNotIssued {
		t.Errorf("got %v", e)
	}
}

var answered = regexp.MustCompile(`"code":"(\d+)","msg":"[^"]+"(?:,"sub_code":"([^"]+)")?`)

// The page has the codes that the golden cases show, and each code of the page has a golden case.
func TestThePageAndTheGoldenCases(t *testing.T) {
	want := map[string]bool{}
	for _, row := range pageRows(t, page, "Business codes") {
		if row[0] != "ACTIVITY_NOT_OPEN" && row[0] != "CODE_NOT_ENOUGH" {
			want["40004 "+row[0]] = true
		}
	}
	for _, row := range pageRows(t, page, "Gateway codes") {
		want[row[0]+" "+row[1]] = true
	}
	want["10000 "] = true
	got := map[string]bool{}
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range answered.FindAllStringSubmatch(string(text), -1) {
			got[m[1]+" "+m[2]] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-page +golden)\n%s", diff)
	}
}
