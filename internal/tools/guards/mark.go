package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A mark is a comment at the end of a guarded line, or on a line of its own above it:
//
//	//guard:TestX                       the statement is taken out
//	//guard:TestX without EXPR          EXPR is taken out of the statement
//	//guard:TestX OLD -> NEW            NEW takes the place of OLD, such as another limit
//	//guard:internal/sim.TestX          a test of another package
//	//guard:TestX/name -seed=3          a subtest; flags of the test program
//
// TestX is what go test -run takes. A string as EXPR, or as OLD and NEW, can be a part of one in the statement, as of
// SQL. A statement can have several marks.
type mark struct {
	pkg, run string
	flags    []string
	without  string
	old, new string
}

const markPrefix = "//guard:"

var testName = regexp.MustCompile(`^(?:([\w/]+)\.)?((?:Test|Fuzz)\S*)$`)

func parseMark(text string) (m mark, err error) {
	text, is := strings.CutPrefix(text, markPrefix)
	if !is {
		return m, errors.New("gofmt has put a blank into the mark, as it does below a comment of a declaration: put it at the end of a line")
	}
	test, rest, _ := strings.Cut(text, " ")
	parts := testName.FindStringSubmatch(test)
	if parts == nil {
		return m, fmt.Errorf("%q is not the name of a test", test)
	}
	m.pkg, m.run = parts[1], parts[2]
	for rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "-"); rest = strings.TrimSpace(rest) {
		var f string
		f, rest, _ = strings.Cut(rest, " ")
		m.flags = append(m.flags, f)
	}
	if rest == "" {
		return m, nil
	}
	if expr, found := strings.CutPrefix(rest, "without "); found {
		m.without = strings.TrimSpace(expr)
		return m, nil
	}
	before, after, found := strings.Cut(rest, " -> ")
	if m.old, m.new = strings.TrimSpace(before), strings.TrimSpace(after); !found || m.old == "" || m.new == "" {
		return m, fmt.Errorf("%q is neither \"without EXPR\" nor \"OLD -> NEW\"", rest)
	}
	return m, nil
}

// readMarks returns the guards that are marked in the module's files.
func readMarks(root string) (guards []*guard, err error) {
	var wrong []error // all wrong marks are reported at once
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(src, []byte(markPrefix)) {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found, err := marksOf(filepath.ToSlash(name), src)
		guards = append(guards, found...)
		wrong = append(wrong, err)
		return nil
	})
	return guards, errors.Join(append(wrong, err)...)
}

// marksOf returns the guards of one file.
func marksOf(name string, src []byte) (guards []*guard, err error) {
	f, err := parseSource(name, src)
	if err != nil {
		return nil, err
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if !strings.HasPrefix(strings.Replace(c.Text, " ", "", 1), markPrefix) {
				continue
			}
			at := f.line(c.Pos())
			m, markErr := parseMark(c.Text)
			if markErr != nil {
				err = errors.Join(err, fmt.Errorf("%s:%d: %w", name, at, markErr))
				continue
			}
			if m.pkg == "" {
				m.pkg = filepath.ToSlash(filepath.Dir(name))
			}
			edits, markErr := f.edits(m, f.guarded(c))
			if markErr != nil {
				err = errors.Join(err, fmt.Errorf("%s:%d: %w", name, at, markErr))
				continue
			}
			guards = append(guards, &guard{
				name: fmt.Sprintf("%s:%d %s", name, at, strings.TrimPrefix(c.Text, markPrefix)),
				file: name, pkg: m.pkg, run: m.run, flags: m.flags, source: f, edits: edits,
			})
		}
	}
	return guards, err
}

// A source is a parsed file.
type source struct {
	name string
	src  []byte
	fset *token.FileSet
	ast  *ast.File
}

func parseSource(name string, src []byte) (*source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	return &source{name, src, fset, f}, err
}

func (f *source) line(p token.Pos) int   { return f.fset.Position(p).Line }
func (f *source) offset(p token.Pos) int { return f.fset.Position(p).Offset }
func (f *source) lineAt(offset int) int  { return 1 + bytes.Count(f.src[:offset], []byte("\n")) }

// text returns the source of a node.
func (f *source) text(n ast.Node) string { return string(f.src[f.offset(n.Pos()):f.offset(n.End())]) }

// guarded returns the line that a mark is for: its own, or the first one below that is more than a comment.
func (f *source) guarded(c *ast.Comment) int {
	lines := bytes.Split(f.src, []byte("\n"))
	at := f.line(c.Pos())
	for at < len(lines) && (len(bytes.TrimSpace(lines[at-1])) == 0 || bytes.HasPrefix(bytes.TrimSpace(lines[at-1]), []byte("//"))) {
		at++
	}
	return at
}

// nodeAt returns what a mark for a line is about: the outermost statement that begins there, or else the innermost one
// around. Before it are the nodes around it.
func (f *source) nodeAt(line int) []ast.Node {
	var stack, begins, around []ast.Node
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return false
		}
		stack = append(stack, n)
		switch n.(type) {
		case *ast.BlockStmt, *ast.EmptyStmt, *ast.LabeledStmt:
		case ast.Stmt, *ast.ValueSpec:
			first, last := f.line(n.Pos()), f.line(n.End())
			if first == line && begins == nil {
				begins = slices.Clone(stack)
			}
			if first <= line && line <= last {
				around = slices.Clone(stack)
			}
		}
		return true
	})
	if begins != nil {
		return begins
	}
	return around
}
