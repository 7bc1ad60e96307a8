package docpages

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	const text = "# One\n\n<!-- not run: why -->\n```sh\na\n```\n\n```text\nout\n```\nwords\n## Two\n### Part\n<!-- exit code 3 -->\n```sh\nb\nc\n```\n" +
		"<!-- not run: of nothing -->\n\n```\n```\n"
	got, prose, err := Page{Name: "page", Text: text}.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Language: "sh", Text: "a\n", Line: 5, Section: "One", NotRun: "why"},
		{Language: "text", Text: "out\n", Line: 9, Section: "One", Follows: true},
		{Language: "sh", Text: "b\nc\n", Line: 16, Section: "Two", ExitCode: 3},
		{Line: 22, Section: "Two"}, // the comment is not on the line before it
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if want := "# One\n\n<!-- not run: why -->\n\nwords\n## Two\n### Part\n<!-- exit code 3 -->\n<!-- not run: of nothing -->\n\n\n"; prose != want {
		t.Errorf("the text without the blocks is %q", prose)
	}
	if _, _, err := (Page{Name: "page", Text: "```sh\na\n"}).Blocks(); err == nil {
		t.Error("a block that is never closed is accepted")
	}
}

func TestRead(t *testing.T) {
	pages, err := Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range pages {
		names[p.Name] = p.Text != ""
	}
	for _, name := range []string{"README.md", "README.zh-CN.md", "sdktest/README.md", "docs/zh/quickstart.md", "docs/operating.md", "docs/reference/top.md"} {
		if !names[name] {
			t.Errorf("%s is not read", name)
		}
	}
}
