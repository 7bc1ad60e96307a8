package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/docpages"
)

const (
	operatingPage       = "../../docs/operating.md"
	troubleshootingPage = "../../docs/troubleshooting.md"
)

// rows returns the cells of the tables of a page whose first column has the given head.
func rows(t *testing.T, file, head string) [][]string {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	inside := false
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.TrimPrefix(line, "|"), "|")
		for k := range cells {
			cells[k] = strings.TrimSpace(cells[k])
		}
		switch {
		case cells[0] == head:
			inside = true
		case inside && !strings.HasPrefix(cells[0], "---"):
			all = append(all, cells)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no table of %s", file, head)
	}
	return all
}

func code(cell string) string { return strings.Trim(cell, "` ") }

// The page of operators lists every setting, in order, with the name in the environment and the default.
func TestThePageHasEverySetting(t *testing.T) {
	var want, got [][]string
	for _, s := range Settings() {
		want = append(want, []string{s.Key, s.Env(), s.Default})
	}
	for _, cells := range rows(t, operatingPage, "setting") {
		got = append(got, []string{code(cells[0]), code(cells[1]), code(cells[2])})
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-the program +the page)\n%s", d)
	}
}

// Every YAML block of the page is a configuration file.
func TestTheBlocksOfThePage(t *testing.T) {
	text, err := os.ReadFile(operatingPage)
	if err != nil {
		t.Fatal(err)
	}
	blocks, _, err := docpages.Page{Name: operatingPage, Text: string(text)}.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range blocks {
		if b.Language != "yaml" || b.NotRun != "" {
			continue
		}
		n++
		if _, err := Load(write(t, b.Text), nil, nil); err != nil {
			t.Errorf("line %d: %v", b.Line, err)
		}
	}
	if n == 0 {
		t.Error("the page shows no configuration file")
	}
}

// Every message that the page explains is in the source, so that an operator who searches the page for a line of the
// log finds it. An ellipsis stands for the variable parts.
func TestThePageQuotesRealMessages(t *testing.T) {
	source := sources(t)
	for _, cells := range rows(t, troubleshootingPage, "message") {
		message := code(cells[0])
		for _, part := range strings.Split(message, "…") {
			part = strings.TrimSpace(part)
			if len(part) > 3 && !strings.Contains(source, part) {
				t.Errorf("%q: no source has %q", message, part)
			}
		}
	}
}

// sources returns the source text of the program without its tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../../cmd", "../../internal"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// A flag is written like every other one of the program, with hyphens alone.
func TestFlagsHaveHyphensAlone(t *testing.T) {
	for _, s := range Settings() {
		if strings.ContainsAny(s.Flag(), "._") {
			t.Errorf("--%s", s.Flag())
		}
	}
}
