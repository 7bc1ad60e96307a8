package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The streams are what the go command and node print, cut down.
func TestCounts(t *testing.T) {
	const (
		passing = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: about to look\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: NO_SERVER is not set: set it\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Elapsed":1}
{"Action":"skip","Package":"without/tests"}
`
		failing = `{"Action":"output","Package":"p","Test":"TestA","Output":"loud\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Elapsed":1}
`
		broken = `{"ImportPath":"p","Action":"build-output","Output":"loud: undefined\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","Elapsed":0,"FailedBuild":"p"}
`
		outside = `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"loud: exit outside a test\n"}
{"Action":"fail","Package":"p","Elapsed":0}
`
		timeout = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out after 1s\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"\n"}
{"Action":"output","Package":"p2","Test":"TestB","Output":"of another package\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t1.111s\n"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}
`
	)
	for _, c := range []struct {
		name, format, script string
		want                 string
		exit                 int
		shown, hidden        string
	}{
		{"passing", "go", passing, "part 2 0 1", 0, "3 tests", "quiet"},
		{"a failed test, its package not again", "go", failing + "exit 1", "part 0 1 0", 1, "loud", ""},
		{"does not build", "go", broken + "exit 1", "part 0 1 0", 1, "undefined", ""},
		{"ends outside a test", "go", outside + "exit 1", "part 1 1 0", 1, "loud", ""},
		{"ends during a test", "go", timeout + "exit 1", "part 0 1 0", 1, "timed out", "of another package"},
		{"fails without a failed test", "go", passing + "exit 1", "part 2 1 1", 1, "the command did", ""},
		{"nothing ran", "go", "", "part 0 1 0", 1, "no test ran", ""},
		{"node", "node", "ok 1 - a\n# tests 6\n# pass 3\n# fail 0\n# cancelled 0\n# skipped 2\n# todo 1\n", "part 3 0 3", 0, "ok 1", ""},
		{"node, the form for people", "node", "ℹ pass 3\nℹ fail 1\nℹ cancelled 1\nexit 1", "part 3 2 0", 1, "pass 3", ""},
		{"lines", "lines", "ok   a\nFAIL b: nothing notices\n     ok   inside\nok   c\n3 guards, 1 failures\nexit 1", "part 2 1 0", 1, "nothing notices", ""},
		{"node without a summary", "node", "ok 1 - a\n", "part 0 1 0", 1, "no test ran", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "counts")
			var out strings.Builder
			got := run([]string{"-part", "part", "-counts", file, "-format", c.format, "sh", "-c", script(t, dir, c.script)}, &out, io.Discard)
			if got != c.exit {
				t.Errorf("exit %d, want %d", got, c.exit)
			}
			text, err := os.ReadFile(file)
			if err != nil || strings.TrimSpace(string(text)) != c.want {
				t.Errorf("counts %q (%v), want %q", text, err, c.want)
			}
			if !strings.Contains(out.String(), c.shown) {
				t.Errorf("does not show %q:\n%s", c.shown, out.String())
			}
			if c.hidden != "" && strings.Contains(out.String(), c.hidden) {
				t.Errorf("shows %q:\n%s", c.hidden, out.String())
			}
		})
	}
}

// script makes a shell command that prints the lines, and fails when the last one says so.
func script(t *testing.T, dir, lines string) string {
	t.Helper()
	lines, fails := strings.CutSuffix(lines, "exit 1")
	stream := filepath.Join(dir, "stream")
	if err := os.WriteFile(stream, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if fails {
		return "cat '" + stream + "'; exit 1"
	}
	return "cat '" + stream + "'"
}

// Each skipped test is named with its reason.
func TestSkipsAreNamed(t *testing.T) {
	for format, c := range map[string]struct{ stream, want string }{
		"go": {`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: about to look\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: NO_SERVER is not set: set it\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC/sub"}
{"Action":"pass","Package":"p","Test":"TestC"}
{"Action":"skip","Package":"without/tests"}
`, "x: p TestB: NO_SERVER is not set: set it\nx: p TestC/sub: no reason given\n"},
		"node": {"✔ a (0.1ms)\n﹣ b (1) (1.2ms) # why (1)\n  ﹣ c (0.3ms) # SKIP\nok 4 - d # SKIP no server\nℹ pass 1\nℹ skipped 3\n",
			"x: b (1): why (1)\nx: c: no reason given\nx: d: no server\n"},
	} {
		dir := t.TempDir()
		skips := filepath.Join(dir, "skips")
		args := []string{"-part", "x", "-counts", filepath.Join(dir, "counts"), "-skips", skips, "-format", format, "sh", "-c", script(t, dir, c.stream)}
		if got := run(args, io.Discard, io.Discard); got != 0 {
			t.Errorf("%s: exit %d", format, got)
		}
		if text, err := os.ReadFile(skips); err != nil || string(text) != c.want {
			t.Errorf("%s: %q (%v), want %q", format, text, err, c.want)
		}
	}
}

func TestCountsAreAdded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	for range 2 {
		if got := run([]string{"-part", "a", "-counts", file, "-format", "node", "echo", "# pass 1"}, io.Discard, io.Discard); got != 0 {
			t.Fatalf("exit %d", got)
		}
	}
	text, err := os.ReadFile(file)
	if want := "a 1 0 0\na 1 0 0\n"; err != nil || string(text) != want {
		t.Errorf("counts %q (%v), want %q", text, err, want)
	}
}

func TestWrongCalls(t *testing.T) {
	for _, args := range [][]string{{}, {"-counts", "x"}, {"-counts", "x", "-format", "tea", "true"}, {"true"}, {"-nonsense"}} {
		if got := run(args, io.Discard, io.Discard); got != 2 {
			t.Errorf("%q: exit %d, want 2", args, got)
		}
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	if got := run([]string{"-counts", file, filepath.Join(t.TempDir(), "none")}, io.Discard, io.Discard); got != 1 {
		t.Errorf("exit %d, want 1", got)
	}
}
