package archtest

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

var table = Table{
	Rules: Rules, Core: Core, TestSupport: TestSupport, Program: Program, TestOnly: TestOnly,
	Clockless: Clockless, Diceless: Diceless,
}

var tree = os.DirFS("../..")

func TestArchitecture(t *testing.T) {
	module, pkgs, err := Read(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < len(Rules) {
		t.Errorf("read %d packages, the table has %d", len(pkgs), len(Rules))
	}
	for _, finding := range table.Check(module, pkgs) {
		t.Error(finding)
	}
}

// TestCheckFinds breaks a small sound tree in every way that a rule is there for.
func TestCheckFinds(t *testing.T) {
	small := Table{
		Rules: []Rule{
			{"core", nil, nil},
			{"adapter", []string{"core"}, []string{"example.org/db"}},
			{"helper", []string{All}, []string{"example.org/check"}},
			{"app", []string{"core", "adapter", "helper"}, nil},
		},
		Core: []string{"core"}, TestSupport: []string{"helper"}, Program: "app", TestOnly: []string{"example.org/check"},
		Clockless: []string{"core"}, Diceless: []string{"core"},
	}
	const words = "is here so that the table has something to be held to, in enough words to say what it is.\n"
	sound := map[string]string{
		"go.mod":              "module m\n\ngo 1.26\n",
		"core/core.go":        "// Package core " + words + "package core\nimport \"math/rand/v2\"\nvar R = rand.New(nil)\n",
		"core/core_test.go":   "package core\nimport (\n\"time\"\n\"example.org/check/deep\"\n\"m/helper\"\n)\nvar _ = time.Now\n",
		"adapter/adapter.go":  "// Package adapter " + words + "package adapter\nimport (\n\"time\"\n\"example.org/db/v2\"\n\"m/core\"\n)\nvar _ = time.Now\n",
		"helper/helper.go":    "// Package helper " + words + "package helper\nimport \"example.org/check\"\n",
		"app/main.go":         "// Command app " + words + "package main\nimport \"m/adapter\"\n",
		"app/testdata/x.go":   "not Go at all",
		"clients/go.mod":      "module other\n",
		"clients/c.go":        "package clients\nimport \"example.org/anything\"\n",
		"node_modules/x/x.go": "not Go at all",
	}
	for _, c := range []struct {
		name, file, source string
		want               []string
	}{
		{"sound", "", "", nil},
		{"no line", "more/more.go", "// Package more " + words + "package more\n",
			[]string{"more is not in the table of internal/archtest/rules.go: give it a line with what it may import"}},
		{"ours", "adapter/x.go", "package adapter\nimport \"m/app\"\n",
			[]string{"adapter imports app, which its line in the table does not allow"}},
		{"another's", "adapter/x.go", "package adapter\nimport \"example.org/dbx\"\n",
			[]string{"adapter imports example.org/dbx, which its line in the table does not allow"}},
		{"behind a build tag", "adapter/x.go", "//go:build never\n\npackage adapter\nimport \"example.org/dbx\"\n",
			[]string{"adapter imports example.org/dbx, which its line in the table does not allow"}},
		{"core", "core/x.go", "package core\nimport \"example.org/db\"\n",
			[]string{"core package core imports example.org/db; the core may only import the standard library"}},
		{"for tests", "adapter/x.go", "package adapter\nimport \"example.org/check\"\n",
			[]string{"adapter imports example.org/check, which is for tests only"}},
		{"for tests, shipped", "app/x.go", "package main\nimport \"m/helper\"\n",
			[]string{"app, which is shipped, imports helper, which is for tests only"}},
		{"in tests", "core/x_test.go", "package core_test\nimport \"example.org/unknown\"\n",
			[]string{"the tests of core import example.org/unknown, which is not in the table"}},
		{"no comment", "core/core.go", "package core\n", []string{`core has no package comment that begins with "Package core "`}},
		{"little comment", "core/core.go", "// Package core is it.\npackage core\n",
			[]string{`the package comment of core is too short: "Package core is it."`}},
		{"clock", "core/x.go", "package core\nimport t \"time\"\nvar _ = t.Now\n",
			[]string{"core uses time.Now; pass the time as a parameter"}},
		{"dice", "core/x.go", "package core\nimport \"math/rand/v2\"\nvar _ = rand.IntN(6)\n",
			[]string{"core uses rand.IntN; pass the source of randomness as a parameter"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, source := range sound {
				files[name] = &fstest.MapFile{Data: []byte(source)}
			}
			if c.file != "" {
				files[c.file] = &fstest.MapFile{Data: []byte(c.source)}
			}
			module, pkgs, err := Read(files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, small.Check(module, pkgs)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("core that asks for more", func(t *testing.T) {
		soft := small
		soft.Rules = append([]Rule{}, small.Rules...)
		soft.Rules[0] = Rule{"core", []string{"adapter", "gone"}, nil}
		got := soft.Check("m", []*Package{{Path: "core", Imports: []string{"m/adapter"}}})
		if text := strings.Join(got, "\n"); !strings.Contains(text, "core package core imports adapter") ||
			!strings.Contains(text, "the table names gone, which does not exist") {
			t.Errorf("findings: %q", got)
		}
	})
}

// TestDependenciesAreDocumented: each module that something of ours imports has a line in docs/dependencies.md.
func TestDependenciesAreDocumented(t *testing.T) {
	module, pkgs, err := Read(tree)
	if err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(tree, "docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	modules := []string{"github.com/spf13/pflag"} // the flags of cobra
	for _, m := range regexp.MustCompile("`([a-z0-9.-]+\\.[a-z]+/[^`]+)`").FindAllStringSubmatch(string(page), -1) {
		modules = append(modules, strings.TrimSuffix(m[1], "/v2")) // the parts of koanf are modules beside it
	}
	for _, p := range pkgs {
		for _, i := range append(slices.Clone(p.Imports), p.Tests...) {
			if !standard(i) && !strings.HasPrefix(i, module+"/") && !of(i, modules) {
				t.Errorf("%s imports %s, of which docs/dependencies.md says nothing", p.Path, i)
			}
		}
	}
}

// eachFile calls do with every file that belongs to the tree.
func eachFile(t *testing.T, do func(name string, text []byte)) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || name == "build" || name == "bin" || name == "data"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err == nil {
			do(name, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoKeys: tests make their keys. A key in the tree would sooner or later be used.
func TestNoKeys(t *testing.T) {
	key := regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}`)
	if !key.MatchString("-----BEGIN RSA " + "PRIVATE KEY-----\n" + strings.Repeat("A", 64)) {
		t.Fatal("the pattern finds no key")
	}
	eachFile(t, func(name string, text []byte) {
		if key.Match(text) {
			t.Errorf("%s has a private key in it", name)
		}
	})
}

// TestLockFiles: a lock file that names a registry works only where that registry is reached.
func TestLockFiles(t *testing.T) {
	found := 0
	eachFile(t, func(name string, text []byte) {
		switch path.Base(name) {
		case "package-lock.json":
			found++
			var lock struct {
				Packages map[string]struct {
					Resolved  string `json:"resolved"`
					Integrity string `json:"integrity"`
					Link      bool   `json:"link"`
				} `json:"packages"`
			}
			if err := json.Unmarshal(text, &lock); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for dir, p := range lock.Packages {
				if p.Resolved != "" {
					t.Errorf("%s: %s is resolved to %s", name, dir, p.Resolved)
				}
				if dir != "" && p.Integrity == "" {
					t.Errorf("%s: %s has no checksum", name, dir)
				}
			}
		case ".npmrc":
			if bytes.Contains(text, []byte("registry=")) || bytes.Contains(text, []byte("//")) {
				t.Errorf("%s names a registry", name)
			}
		}
	})
	if found == 0 {
		t.Error("there is no lock file; is the tree where it was?")
	}
}
