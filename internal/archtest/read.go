package archtest

import (
	"bufio"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Package is the parsed source of one package.
type Package struct {
	Path    string // inside the module, such as "internal/money"
	Name    string
	Doc     string   // the package comment
	Imports []string // of the files that are shipped
	Tests   []string // of the files that are not, when Imports has not got them
	Calls   []string // functions of other packages that shipped files name, such as "time.Now"
}

// Read reads the packages of a module from its root, and the name of the module.
func Read(root fs.FS) (module string, pkgs []*Package, err error) {
	if module, err = moduleName(root); err != nil {
		return "", nil, err
	}
	err = fs.WalkDir(root, ".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if skipped(root, dir) {
			return fs.SkipDir
		}
		p, err := readDir(root, dir)
		if p != nil {
			pkgs = append(pkgs, p)
		}
		return err
	})
	return module, pkgs, err
}

func moduleName(root fs.FS) (string, error) {
	f, err := root.Open("go.mod")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "module "); found {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("go.mod names no module")
}

// skipped returns which directories the go command does not look into either.
func skipped(root fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return err == nil
}

// readDir reads one package; nil when the directory has no Go files.
func readDir(root fs.FS, dir string) (*Package, error) {
	files, err := fs.Glob(root, path.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	p := &Package{Path: dir}
	for _, name := range files {
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(name, "_test.go") {
			p.Tests = add(p.Tests, imports(file)...)
			continue
		}
		p.Name = file.Name.Name
		p.Doc += file.Doc.Text()
		p.Imports = add(p.Imports, imports(file)...)
		p.Calls = add(p.Calls, calls(file)...)
	}
	p.Tests = slices.DeleteFunc(p.Tests, func(i string) bool { return slices.Contains(p.Imports, i) })
	return p, nil
}

func add(list []string, more ...string) []string {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

func imports(file *ast.File) []string {
	var all []string
	for _, i := range file.Imports {
		all = append(all, unquoted(i))
	}
	return all
}

func unquoted(i *ast.ImportSpec) string {
	p, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return i.Path.Value // the parser has accepted it; it breaks a rule as it stands
	}
	return p
}

// calls returns the names of other packages that a file uses, under the import path's own name whatever the file calls
// it.
func calls(file *ast.File) []string {
	names := map[string]string{}
	for _, i := range file.Imports {
		p := unquoted(i)
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = p
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && names[x.Name] != "" {
				all = append(all, names[x.Name]+"."+s.Sel.Name)
			}
		}
		return true
	})
	return all
}
