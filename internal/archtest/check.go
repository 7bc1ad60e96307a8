package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Table is the set of rules for a tree; the variables of rules.go are faquan's own.
type Table struct {
	Rules       []Rule
	Core        []string
	TestSupport []string
	Program     string
	TestOnly    []string
	Clockless   []string
	Diceless    []string
}

// Check names every break of the table.
func (t *Table) Check(module string, pkgs []*Package) []string {
	c := &checker{Table: t, module: module, pkgs: pkgs, rules: map[string]Rule{}}
	for _, r := range t.Rules {
		c.rules[r.Package] = r
	}
	for _, p := range pkgs {
		c.imports(p)
		c.tests(p)
		c.comment(p)
		c.pure(p)
	}
	c.stale()
	c.shipped()
	return c.findings
}

type checker struct {
	*Table
	module   string
	pkgs     []*Package
	rules    map[string]Rule
	findings []string
}

func (c *checker) report(format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// ours returns the path inside the module of an import of ours.
func (c *checker) ours(path string) (inside string, is bool) {
	return strings.CutPrefix(path, c.module+"/")
}

// standard reports whether an import path belongs to the standard library: only there the first element has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// of reports whether an import path is of one of the modules.
func of(path string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") })
}

func (c *checker) imports(p *Package) {
	rule, known := c.rules[p.Path]
	if !known {
		c.report("%s is not in the table of internal/archtest/rules.go: give it a line with what it may import", p.Path)
		return
	}
	core, support := slices.Contains(c.Core, p.Path), slices.Contains(c.TestSupport, p.Path)
	for _, i := range p.Imports {
		inside, ours := c.ours(i)
		switch {
		case ours && !slices.Contains(rule.Ours, inside) && !slices.Contains(rule.Ours, All):
			c.report("%s imports %s, which its line in the table does not allow", p.Path, inside)
		case ours && core && !slices.Contains(c.Core, inside):
			c.report("core package %s imports %s, which is not a core package", p.Path, inside)
		case ours || standard(i):
		case core:
			c.report("core package %s imports %s; the core may only import the standard library", p.Path, i)
		case of(i, c.TestOnly) && !support:
			c.report("%s imports %s, which is for tests only", p.Path, i)
		case !of(i, rule.Others):
			c.report("%s imports %s, which its line in the table does not allow", p.Path, i)
		}
	}
}

// tests may import anything of ours, the modules for tests, and every module that some package may.
func (c *checker) tests(p *Package) {
	allowed := slices.Clone(c.TestOnly)
	for _, r := range c.Rules {
		allowed = append(allowed, r.Others...)
	}
	for _, i := range p.Tests {
		if _, ours := c.ours(i); !ours && !standard(i) && !of(i, allowed) {
			c.report("the tests of %s import %s, which is not in the table", p.Path, i)
		}
	}
}

// comment asks for a package comment that says something.
func (c *checker) comment(p *Package) {
	want := "Package " + p.Name + " "
	if p.Name == "main" {
		want = "Command "
	}
	switch {
	case p.Name == "": // tests only
	case !strings.HasPrefix(p.Doc, want):
		c.report("%s has no package comment that begins with %q", p.Path, want)
	case len(strings.Fields(p.Doc)) < 15:
		c.report("the package comment of %s is too short: %q", p.Path, strings.TrimSpace(p.Doc))
	}
}

// The functions that ask the world for the time, and those of math/rand/v2 that do not draw from the global source.
var (
	clocks = []string{"time.Now", "time.Since", "time.Until"}
	seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}
)

func (c *checker) pure(p *Package) {
	for _, call := range p.Calls {
		if slices.Contains(c.Clockless, p.Path) && slices.Contains(clocks, call) {
			c.report("%s uses %s; pass the time as a parameter", p.Path, call)
		}
		name, isRand := strings.CutPrefix(call, "math/rand/v2.")
		if slices.Contains(c.Diceless, p.Path) && isRand && !slices.Contains(seeded, name) {
			c.report("%s uses rand.%s; pass the source of randomness as a parameter", p.Path, name)
		}
	}
}

// stale finds names in the table that are no package (any more).
func (c *checker) stale() {
	there := map[string]bool{All: true}
	for _, p := range c.pkgs {
		there[p.Path] = true
	}
	named := slices.Concat(c.Core, c.TestSupport, c.Clockless, c.Diceless, []string{c.Program})
	for _, r := range c.Rules {
		named = append(append(named, r.Package), r.Ours...)
	}
	slices.Sort(named)
	for _, name := range slices.Compact(named) {
		if !there[name] {
			c.report("the table names %s, which does not exist", name)
		}
	}
}

// shipped follows the imports of the program.
func (c *checker) shipped() {
	byPath := map[string]*Package{}
	for _, p := range c.pkgs {
		byPath[p.Path] = p
	}
	from := map[string]string{c.Program: ""}
	for queue := []string{c.Program}; len(queue) > 0; queue = queue[1:] {
		p := byPath[queue[0]]
		if p == nil {
			continue
		}
		for _, i := range p.Imports {
			inside, ours := c.ours(i)
			if _, seen := from[inside]; !ours || seen {
				continue
			}
			from[inside] = p.Path
			queue = append(queue, inside)
			if slices.Contains(c.TestSupport, inside) {
				c.report("%s, which is shipped, imports %s, which is for tests only", p.Path, inside)
			}
		}
	}
}
