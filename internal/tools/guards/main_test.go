package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A module with a guard for each end that a check can have.
var module = map[string]string{
	"go.mod": "module m\n\ngo 1.26\n",
	"p/p.go": `package p

func Over(n int) bool {
	if n > 10 { //guard:TestOver
		return true
	}
	if n < -99 { //guard:TestOver
		return true
	}
	if n == 5 { //guard:TestRed
		return false
	}
	//guard:TestOver false -> nothing
	return false
}

func Crash(n int) int {
	n++ //guard:TestExit
	return n
}
`,
	"p/p_test.go": `package p

import (
	"os"
	"testing"
)

func TestOver(t *testing.T) {
	if !Over(11) || Over(10) {
		t.Error("wrong")
	}
}

func TestRed(t *testing.T) { t.Error("always") }

func TestExit(t *testing.T) {
	if Crash(1) == 1 {
		os.Exit(3)
	}
}
`,
	"testdata/guards/noticed.patch": `# guard: ten is not too much
# test: ./p -run TestOver
--- a/p/p.go
+++ b/p/p.go
@@ -3,4 +3,4 @@
 func Over(n int) bool {
-	if n > 10 { //guard:TestOver
+	if n > 9 {
 		return true
 	}
`,
	"testdata/guards/old.patch": `# guard: of a line that is gone
# test: ./p -run TestOver
--- a/p/p.go
+++ b/p/p.go
@@ -3,3 +3,3 @@
 func Over(n int) bool {
-	if n > 12 {
+	if n > 9 {
 		return true
`,
}

// inModule makes the module the current folder.
func inModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range module {
		write(t, filepath.Join(dir, name), text)
	}
	t.Chdir(dir)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEachVerdict(t *testing.T) {
	inModule(t)
	var out, errs strings.Builder
	if got := run([]string{"-j", "2"}, &out, &errs); got != 1 {
		t.Errorf("exit %d: %s", got, errs.String())
	}
	for _, want := range []string{
		"ok   p/p.go:4 TestOver\n",
		"FAIL p/p.go:7 TestOver: nothing notices\n",
		"FAIL p/p.go:10 TestRed: its test fails although the guard is there\n",
		"FAIL p/p.go:13 TestOver false -> nothing: it does not compile\n",
		"FAIL p/p.go:18 TestExit: the program ended without a failed test\n",
		"ok   noticed\n",
		"FAIL old: the patch no longer applies\n",
		"7 guards, 5 failures\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestNames(t *testing.T) {
	inModule(t)
	var out strings.Builder
	if got := run([]string{"p/p.go:4", "noticed"}, &out, &out); got != 0 || !strings.HasSuffix(out.String(), "2 guards, 0 failures\n") {
		t.Errorf("exit %d: %s", got, out.String())
	}
	if got := run([]string{"p/p.go:5"}, &out, &out); got == 0 || !strings.Contains(out.String(), "there is no guard p/p.go:5") {
		t.Errorf("exit %d: %s", got, out.String())
	}
}

// A mark without its test fails before anything is compiled.
func TestMarkWithoutTest(t *testing.T) {
	dir := inModule(t)
	write(t, filepath.Join(dir, "p/q.go"), "package p\n\nfunc q(n int) {\n\tn++ //guard:TestGone\n}\n")
	var out, errs strings.Builder
	if got := run(nil, &out, &errs); got != 1 || out.Len() > 0 || !strings.Contains(errs.String(), "p/q.go:4 TestGone: p has no test TestGone") {
		t.Errorf("exit %d: %s%s", got, out.String(), errs.String())
	}
}

func TestBranchesAreFlipped(t *testing.T) {
	inModule(t)
	write(t, "p/p_test.go", strings.ReplaceAll(module["p/p_test.go"], `t.Error("always")`, ""))
	var out strings.Builder
	if got := run([]string{"-all", "p/p.go"}, &out, &out); got != 1 {
		t.Errorf("exit %d", got)
	}
	want := "ok   p/p.go:4\nok   p/p.go:7\nFAIL p/p.go:10: nothing notices\n3 guards, 1 failures\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// The guards of a commit are those of the files that it changed, and some of the others, not always the same.
func TestRotation(t *testing.T) {
	dir := inModule(t)
	t.Setenv("FAQUAN_BASE", "")
	must := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	var guards []*guard
	for _, name := range strings.Fields("a b c d e f g h i j k l m n o p") {
		guards = append(guards, &guard{name: name, file: name + ".go"})
		write(t, filepath.Join(dir, name+".go"), "package m\n")
	}
	chosen := func(since string, others int) (names string) {
		t.Helper()
		found, err := choose(dir, guards, since, others, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range found {
			names += g.name
		}
		return names
	}
	if got := chosen("base", 3); len(got) != 3 {
		t.Errorf("without git: %s", got)
	}
	must("init", "-q", "-b", "main")
	must("add", ".")
	must("commit", "-q", "-m", "one")
	first := must("rev-parse", "HEAD")
	if got := base(dir); got != "" {
		t.Errorf("the base of the first commit is %s", got)
	}
	seen := map[string]bool{chosen("base", 3): true}
	for k := range 5 {
		write(t, filepath.Join(dir, "b.go"), "package m // "+strings.Repeat("x", k)+"\n")
		must("commit", "-q", "-a", "-m", "more")
		again, got := chosen("base", 3), chosen("base", 3)
		if got != again || len(got) != 4 || got[0] != 'b' || strings.Contains(got[1:], "b") {
			t.Errorf("commit %d: %s, then %s", k, got, again)
		}
		seen[got] = true
	}
	if len(seen) < 4 {
		t.Errorf("the rotation stands still: %v", seen)
	}
	if got := base(dir); got != must("rev-parse", "HEAD~1") {
		t.Errorf("the base on main is %s", got)
	}
	must("checkout", "-q", "-b", "work", first)
	write(t, filepath.Join(dir, "c.go"), "package m // c\n")
	must("commit", "-q", "-a", "-m", "work")
	write(t, filepath.Join(dir, "d.go"), "package m // d\n")
	if got := chosen("base", 0); got != "cd" || base(dir) != first {
		t.Errorf("the branch changes %s since %s", got, base(dir))
	}
	t.Setenv("FAQUAN_BASE", "main")
	if got := chosen("base", 0); !slices.Equal(strings.Split(got, ""), []string{"b", "c", "d"}) {
		t.Errorf("since FAQUAN_BASE: %s", got)
	}
	if _, err := choose(dir, guards, "gone", 0, nil); err == nil {
		t.Error("a revision that is not there is taken")
	}
}

// Every mark and patch of the module fits the code and names a test that exists. Without this only a run of the tool would
// notice a mark that was left behind by a renamed identifier.
func TestTree(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	guards, err := everyGuard(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range guards {
		if g.patch == nil {
			continue
		}
		if _, err := g.patch(); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
}
