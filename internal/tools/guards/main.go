// Command guards proves that each guard has a test: it takes guards out of the code, one at a time, and expects a test
// to fail each time.
//
//	guards [-j N] [NAME ...]           all guards, or those of a FILE, a FILE:LINE, a test or a patch
//	guards -since REV [-others N]      those of the files changed since REV, and N others, which differ with each commit
//	guards -all FILE                   flip each branch of FILE and list those that no test of its package notices
//
// A guard is a statement with a mark, which names the test that must fail without it:
//
//	if user.Frozen { //guard:TestEachReasonAlone
//
// See mark.go for what a mark can say, mutate.go for how a statement is taken out and check.go for what is then run.
// Guards that no mark can express are patches in testdata/guards; see patch.go.
//
// Nothing is written to the tree. Each line of the output is "ok   NAME" or "FAIL NAME: what"; the last one is the sum.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("guards", flag.ContinueOnError)
	flags.SetOutput(stderr)
	jobs := flags.Int("j", 1, "guards to check at a time")
	since := flags.String("since", "", `only the guards of files changed since this revision; "base" finds the revision (see select.go)`)
	others := flags.Int("others", 0, "with -since: guards of other files to check as well")
	all := flags.String("all", "", "flip each branch of this `FILE`")
	if flags.Parse(args) != nil {
		return 2
	}
	root, err := moduleRoot()
	if err != nil {
		fmt.Fprintln(stderr, "guards:", err)
		return 2
	}
	var guards []*guard
	if *all != "" {
		guards, err = branches(root, *all)
	} else if guards, err = everyGuard(root); err == nil {
		guards, err = choose(root, guards, *since, *others, flags.Args())
	}
	if err != nil {
		fmt.Fprintln(stderr, "guards:", err)
		return 1
	}
	return report(root, guards, *jobs, stdout)
}

// A guard is something in the code and the test that must fail without it.
type guard struct {
	name  string
	file  string   // that it is in
	pkg   string   // folder of the test's package
	run   string   // what -run takes; empty for all tests
	flags []string // of the test program, beside -run
	brief bool     // whether a test that runs out of time has noticed: loops that are flipped do not end

	source *source // and the ways to take it out, the best first: the first that compiles is used
	edits  []edit
	patch  func() (mutant, error) // for those that are patches
}

// A mutant has the contents of the files that differ from the tree.
type mutant map[string]string

// everyGuard returns the marks of the tree and the patches.
func everyGuard(root string) ([]*guard, error) {
	marks, err := readMarks(root)
	if err != nil {
		return nil, err
	}
	patches, err := readPatches(root)
	if err != nil {
		return nil, err
	}
	guards := append(marks, patches...)
	slices.SortStableFunc(guards, func(a, b *guard) int { return cmp.Compare(a.pkg, b.pkg) })
	return guards, testsExist(root, guards)
}

// moduleRoot returns the nearest folder above with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("no go.mod here or above")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// indent makes the end of an output readable below a line of ours.
func indent(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	lines = lines[max(0, len(lines)-15):]
	return "     " + strings.Join(lines, "\n     ")
}
