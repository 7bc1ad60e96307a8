package catalog

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/docpages"
)

// Readers copy from the page of the catalogue and from the example. These tests keep both correct.

const (
	docPage     = "../../docs/catalogue.md"
	docsExample = "../../examples/catalog.yaml"
)

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// exampleWorld returns a store with the example applied, and two vouchers of its first template.
func exampleWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.mustApply(readText(t, docsExample))
	w.issue(1, 2, 2100)
	return w
}

func TestTheExampleOfTheDocumentation(t *testing.T) {
	text := readText(t, docsExample)
	w := newWorld(t)
	if plan := w.mustApply(text); plan.Version != 1 || len(plan.Changes) != 23 {
		t.Errorf("version %d, %d changes; the example has 23", plan.Version, len(plan.Changes))
	}
	for name, again := range map[string]string{"the example": text, "its export": w.export(true), "its export without secrets": w.export(false)} {
		if plan := w.mustApply(again); !plan.Empty() || plan.Version != 0 {
			t.Errorf("%s, applied where it is in force, changes %+v", name, plan.Changes)
		}
	}
	elsewhere := newWorld(t)
	elsewhere.mustApply(w.export(true))
	if d := cmp.Diff(w.export(true), elsewhere.export(true)); d != "" {
		t.Errorf("the export, applied elsewhere: %s", d)
	}
}

// Every YAML block of every page but the operators' is applied over the example. The text block that follows it has the
// result: the plan, or the reasons of the refusal.
func TestTheBlocksOfThePages(t *testing.T) {
	pages, err := docpages.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	plans, refused := 0, 0
	for _, page := range pages {
		blocks, _, err := page.Blocks()
		if err != nil {
			t.Fatal(err)
		}
		for k, b := range blocks {
			if b.Language != "yaml" || b.NotRun != "" || page.Name == "docs/operating.md" {
				continue
			}
			t.Run(fmt.Sprintf("%s line %d", page.Name, b.Line), func(t *testing.T) {
				said := ""
				if k+1 < len(blocks) && blocks[k+1].Language == "text" && blocks[k+1].Follows {
					said = blocks[k+1].Text
				}
				switch {
				case strings.HasPrefix(said, "catalog.yaml:"):
					refused++
				case said != "":
					plans++
				}
				checkBlock(t, b.Text, said)
			})
		}
	}
	if plans < 1 || refused < 3 {
		t.Errorf("%d plans and %d refusals were compared: the pages lost their blocks", plans, refused)
	}
}

func checkBlock(t *testing.T, text, said string) {
	plan, err := exampleWorld(t).apply(text)
	if strings.HasPrefix(said, "catalog.yaml:") {
		var problems Problems
		if !errors.As(err, &problems) {
			t.Fatalf("%v, want Problems", err)
		}
		if d := cmp.Diff(said, problems.Error()+"\n"); d != "" {
			t.Error(d)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if said == "" {
		return
	}
	var shown strings.Builder
	if _, err := plan.WriteTo(&shown); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(said, shown.String()); d != "" {
		t.Error(d)
	}
}

// probe has an unknown field in every mapping of the format, so that the problems list the known ones.
const probe = `
zz: 1
platform: {zz: 1}
merchants: [{name: p, zz: 1}]
apps: [{name: p, zz: 1}]
users: [{name: p, zz: 1, ids: {OPEN_ID: [{zz: 1}]}}]
sessions: [{zz: 1}]
templates:
  - {name: p, zz: 1, amount: {zz: 1, random: {zz: 1}}, code: {zz: 1}, publish: {zz: 1}, valid: {zz: 1}, stock: {zz: 1}, limits: {zz: 1}, repeat: {zz: 1}}
activities: [{name: p, zz: 1, window: {zz: 1}, box: {zz: 1}, items: [{zz: 1}]}]
scenes: [{name: p, zz: 1, activities: [{zz: 1}]}]
subscriptions: [{name: p, zz: 1}]
`

var unknown = regexp.MustCompile(`^(\w+)[^:]*((?:: \w+)*): unknown field "zz" \(known: (.*)\)$`)

// knownFields returns the fields that the parser reads, as section/path.
func knownFields(t *testing.T) []string {
	t.Helper()
	_, err := Parse("probe", []byte(probe), nil)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	sections := map[string]string{
		"platform": "platform", "merchant": "merchants", "app": "apps", "user": "users", "session": "sessions",
		"template": "templates", "activity": "activities", "scene": "scenes", "subscription": "subscriptions",
	}
	var all []string
	seen := 0
	for _, p := range problems {
		m := unknown.FindStringSubmatch(p.Reason)
		if m == nil {
			continue
		}
		seen++
		section := sections[m[1]]
		if section == "" {
			continue // the file itself: its fields are the sections
		}
		path := strings.ReplaceAll(strings.TrimPrefix(m[2], ": "), ": ", ".")
		if path == "item" {
			path = "items"
		}
		for _, f := range strings.Split(m[3], ", ") {
			all = append(all, section+"/"+strings.TrimPrefix(path+"."+f, "."))
		}
	}
	if want := strings.Count(probe, "zz"); seen != want {
		t.Fatalf("%d of %d mappings told their fields", seen, want)
	}
	slices.Sort(all)
	return all
}

var fieldRow = regexp.MustCompile("^\\| `([^`]+)` \\|")

// shownFields returns the rows of the page's tables of fields, as section/path.
func shownFields(t *testing.T) []string {
	t.Helper()
	var all []string
	section, inside := "", false
	for _, line := range strings.Split(readText(t, docPage), "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		if !strings.HasPrefix(line, "|") {
			inside = false
		}
		inside = inside || strings.HasPrefix(line, "| field | type |")
		if m := fieldRow.FindStringSubmatch(line); inside && m != nil {
			all = append(all, section+"/"+m[1])
		}
	}
	slices.Sort(all)
	return all
}

// The page has exactly the fields that the parser reads.
func TestThePageHasEveryField(t *testing.T) {
	if d := cmp.Diff(knownFields(t), shownFields(t)); d != "" {
		t.Errorf("(-the program +the page)\n%s", d)
	}
}

func TestThePageHasEveryMethodAndRefusal(t *testing.T) {
	page := readText(t, docPage)
	for _, r := range benefit.Reasons() {
		if r != benefit.KeyConflict && !strings.Contains(page, r.String()) {
			t.Errorf("%s is missing", r)
		}
	}
	for _, m := range Methods() {
		if !strings.Contains(page, "`"+m+"`") {
			t.Errorf("%s is missing", m)
		}
	}
}

// The page has each type of events in a row, and no other.
func TestEventTypesAreDocumented(t *testing.T) {
	_, table, _ := strings.Cut(readText(t, docPage), "| type | when it occurs |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var got []string
	for _, row := range strings.Split(table, "\n") {
		got = append(got, strings.Trim(strings.Split(row, "|")[1], " `"))
	}
	var want []string
	for _, p := range benefit.EventPatterns() {
		want = append(want, string(p))
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-the program +the page)\n%s", d)
	}
}

// The page names every reason for which anything is refused.
func TestReasonsAreDocumented(t *testing.T) {
	page := readText(t, docPage)
	for _, reason := range benefit.Reasons() {
		if !regexp.MustCompile(`\b` + reason.String() + `\b`).MatchString(page) {
			t.Errorf("%v is not in %s", reason, docPage)
		}
	}
}
