package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// choose returns the guards that are asked for.
func choose(root string, guards []*guard, since string, others int, names []string) ([]*guard, error) {
	switch {
	case since != "":
		changed, err := changedFiles(root, since)
		if err != nil {
			return nil, err
		}
		chosen, rest := split(guards, func(g *guard) bool { return changed[g.file] || changed[patchDir+"/"+g.name+".patch"] })
		return append(chosen, rotated(rest, git(root, "rev-parse", "HEAD"), others)...), nil
	case len(names) == 0:
		return guards, nil
	}
	var chosen []*guard
	for _, name := range names {
		found, rest := split(guards, func(g *guard) bool { return g.isNamed(name) })
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no guard %s", name)
		}
		chosen, guards = append(chosen, found...), rest
	}
	return chosen, nil
}

// isNamed reports whether a guard is meant by its name, its file with or without the line, or its test.
func (g *guard) isNamed(name string) bool {
	at, _, _ := strings.Cut(g.name, " ")
	return name == g.name || name == at || name == g.file || name == g.run
}

func split(guards []*guard, chosen func(*guard) bool) (yes, no []*guard) {
	for _, g := range guards {
		if chosen(g) {
			yes = append(yes, g)
		} else {
			no = append(no, g)
		}
	}
	return yes, no
}

// rotated returns n guards, chosen by a hash of commit and name, so that each commit gets others.
func rotated(guards []*guard, commit string, n int) []*guard {
	key := func(g *guard) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(commit+g.name))) }
	guards = slices.SortedFunc(slices.Values(guards), func(a, b *guard) int { return cmp.Compare(key(a), key(b)) })
	guards = guards[:min(n, len(guards))]
	slices.SortStableFunc(guards, func(a, b *guard) int { return cmp.Compare(a.pkg, b.pkg) })
	return guards
}

// changedFiles returns the files that differ from a revision, those that git does not know yet among them. Without a
// base there are none.
func changedFiles(root, since string) (map[string]bool, error) {
	if since == "base" {
		since = cmp.Or(os.Getenv("FAQUAN_BASE"), base(root))
		if since == "" {
			return nil, nil
		}
	}
	if git(root, "rev-parse", "--verify", "--quiet", since+"^{commit}") == "" {
		return nil, fmt.Errorf("git knows no revision %s", since)
	}
	changed := map[string]bool{}
	for _, names := range []string{git(root, "diff", "--name-only", since), git(root, "ls-files", "--others", "--exclude-standard")} {
		for name := range strings.Lines(names) {
			changed[strings.TrimSpace(name)] = true
		}
	}
	return changed, nil
}

// base returns the revision with which the work in this tree is compared when FAQUAN_BASE names none: where the branch left
// origin/main or main, or the commit before the last. It is empty where none of them is there, as in a shallow clone.
func base(root string) string {
	head := git(root, "rev-parse", "HEAD")
	candidates := [][]string{{"merge-base", "HEAD", "origin/main"}, {"merge-base", "HEAD", "main"}, {"rev-parse", "--verify", "--quiet", "HEAD~1"}}
	for _, c := range candidates {
		if rev := git(root, c...); rev != "" && rev != head {
			return rev
		}
	}
	return ""
}

// git returns what a command prints; nothing if it fails. The tree may belong to another user, as those of services
// often do.
func git(root string, args ...string) string {
	out, err := exec.Command("git", append([]string{"-C", root, "-c", "safe.directory=" + root}, args...)...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// testsExist returns an error if a guard names a test that is not there. It costs no compiler.
func testsExist(root string, guards []*guard) error {
	tests := map[string][]string{}
	for _, g := range guards {
		if _, known := tests[g.pkg]; !known {
			var err error
			if tests[g.pkg], err = testsOf(filepath.Join(root, g.pkg)); err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
		}
		for pattern := range strings.SplitSeq(g.run, "|") {
			pattern, _, _ = strings.Cut(pattern, "/")
			re, err := regexp.Compile(pattern)
			if err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			if !slices.ContainsFunc(tests[g.pkg], re.MatchString) {
				return fmt.Errorf("%s: %s has no test %s", g.name, g.pkg, pattern)
			}
		}
	}
	return nil
}

func testsOf(dir string) (names []string, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if fn, is := d.(*ast.FuncDecl); is && fn.Recv == nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names, nil
}
