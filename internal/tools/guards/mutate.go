package main

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An edit replaces a part of a file.
type edit struct {
	from, to int // offsets
	text     string
}

// zero is added to files whose edits use it. What it takes stays in use, so that the file still compiles.
const zero = "\n\nfunc guardZero[T any](T) (zero T) { return }\n"

// apply returns the file with an edit.
func (f *source) apply(e edit) mutant {
	src := string(f.src[:e.from]) + e.text + string(f.src[e.to:])
	if strings.Contains(e.text, "guardZero(") {
		src += zero
	}
	return mutant{f.name: src}
}

// mutants returns the file without what is marked at a line, the best way first.
func (f *source) mutants(m mark, line int) (all []mutant, err error) {
	path := f.nodeAt(line)
	if len(path) == 0 {
		return nil, fmt.Errorf("there is no statement at line %d", line)
	}
	var edits []edit
	switch {
	case m.without != "":
		edits, err = f.without(path, m.without, line)
	case m.old != "":
		edits, err = f.instead(path, m.old, m.new, line)
	default:
		edits = f.removed(path)
	}
	for _, e := range edits {
		all = append(all, f.apply(e))
	}
	return all, err
}

func (f *source) replaced(n ast.Node, text string) edit {
	return edit{f.offset(n.Pos()), f.offset(n.End()), text}
}

// removed takes a statement out.
func (f *source) removed(path []ast.Node) []edit {
	n := path[len(path)-1]
	text := f.text(n)
	switch n := n.(type) {
	case *ast.IfStmt:
		if n.Else != nil {
			return []edit{f.replaced(n.Cond, "!("+f.text(n.Cond)+")")}
		}
		if a, is := n.Init.(*ast.AssignStmt); n.Init != nil && (!is || a.Tok != token.DEFINE) { // what it does to others stays
			return []edit{f.replaced(n.Cond, "false && ("+f.text(n.Cond)+")")}
		}
	case *ast.CaseClause:
		if isTagless(path) && len(n.List) > 0 {
			return []edit{f.cases(n, "false && (")}
		}
		return []edit{f.replaced(n, "")}
	case *ast.CommClause:
		return []edit{f.replaced(n, "")}
	case *ast.ReturnStmt:
		return f.returned(n)
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			last := f.text(n.Lhs[len(n.Lhs)-1])
			return []edit{f.replaced(n, text+"; "+last+" = guardZero("+last+")")}
		}
	}
	return []edit{f.replaced(n, "if false { "+text+" }")}
}

// returned inverts a bool that is returned last, or returns nil in place of an error without computing it.
func (f *source) returned(n *ast.ReturnStmt) []edit {
	text := f.text(n)
	if len(n.Results) == 0 {
		return []edit{f.replaced(n, "if false { return }")}
	}
	last := n.Results[len(n.Results)-1]
	return []edit{
		f.replaced(last, "!("+f.text(last)+")"),
		f.replaced(n, "if false { "+text+" }; "+strings.TrimSuffix(text, f.text(last))+"nil"),
		f.replaced(last, "guardZero("+f.text(last)+")"),
	}
}

// cases puts each condition of a case into brackets.
func (f *source) cases(n *ast.CaseClause, before string) edit {
	var list []string
	for _, x := range n.List {
		list = append(list, before+f.text(x)+")")
	}
	return edit{f.offset(n.List[0].Pos()), f.offset(n.List[len(n.List)-1].End()), strings.Join(list, ", ")}
}

// isTagless reports whether the cases of the last node's switch are conditions.
func isTagless(path []ast.Node) bool {
	n, is := path[len(path)-3].(*ast.SwitchStmt)
	return is && n.Tag == nil
}

// header returns the end of what belongs to a statement itself, not to the statements within it.
func header(n ast.Node) token.Pos {
	switch n := n.(type) {
	case *ast.IfStmt:
		return n.Body.Lbrace
	case *ast.ForStmt:
		return n.Body.Lbrace
	case *ast.RangeStmt:
		return n.Body.Lbrace
	case *ast.SwitchStmt:
		return n.Body.Lbrace
	case *ast.CaseClause:
		return n.Colon
	}
	return n.End()
}

// without takes an expression out of a statement, or words out of a string in it.
func (f *source) without(path []ast.Node, expr string, line int) ([]edit, error) {
	at, err := f.find(path, expr, line)
	if err != nil {
		return f.inText(path, expr, `""`, err)
	}
	var found []ast.Node
	stack := slices.Clone(path[:len(path)-1])
	ast.Inspect(path[len(path)-1], func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return false
		}
		stack = append(stack, n)
		if _, is := n.(ast.Expr); is && f.offset(n.Pos()) == at.from && f.offset(n.End()) == at.to {
			found = slices.Clone(stack)
		}
		return true
	})
	if found == nil {
		return nil, fmt.Errorf("%s is not an expression there", expr)
	}
	return f.takenOut(found), nil
}

// takenOut takes an expression out of what is around it.
func (f *source) takenOut(path []ast.Node) []edit {
	n, parent := path[len(path)-1], path[len(path)-2]
	text := f.text(n)
	always, never := f.replaced(n, "(true || ("+text+"))"), f.replaced(n, "(false && ("+text+"))")
	gone := []edit{f.replaced(n, "guardZero("+text+")"), f.replaced(n, "0")} // a constant can be of any type
	switch p := parent.(type) {
	case *ast.ParenExpr:
		return f.takenOut(path[:len(path)-1])
	case *ast.IfStmt, *ast.ForStmt:
		return []edit{always}
	case *ast.CaseClause:
		switch {
		case !isTagless(path[:len(path)-1]):
			return []edit{f.dropped(n, p.List)}
		case len(p.List) == 1:
			return []edit{always}
		}
		return []edit{never}
	case *ast.BinaryExpr:
		switch p.Op {
		case token.LAND:
			return []edit{always}
		case token.LOR:
			return []edit{never}
		case token.ADD, token.SUB, token.MUL, token.QUO, token.REM, token.AND, token.OR:
			if n == p.Y {
				return []edit{{f.offset(p.X.End()), f.offset(p.End()), ""}}
			}
			return []edit{{f.offset(p.Pos()), f.offset(p.Y.Pos()), ""}}
		}
	case *ast.CallExpr:
		if n == p.Fun && len(p.Args) == 1 {
			return []edit{f.replaced(p, f.text(p.Args[0]))}
		}
		return append([]edit{f.dropped(n, p.Args)}, gone...)
	case *ast.CompositeLit:
		if pair, is := n.(*ast.KeyValueExpr); is { // if nothing else uses the value, it must stay
			return []edit{f.dropped(n, p.Elts), f.replaced(pair.Value, "guardZero("+f.text(pair.Value)+")")}
		}
		return append([]edit{f.dropped(n, p.Elts)}, gone...)
	}
	return gone
}

// dropped takes one expression out of a list.
func (f *source) dropped(n ast.Node, list []ast.Expr) edit {
	k := slices.IndexFunc(list, func(x ast.Expr) bool { return x == n })
	switch {
	case k < len(list)-1:
		return edit{f.offset(n.Pos()), f.offset(list[k+1].Pos()), ""}
	case k > 0:
		return edit{f.offset(list[k-1].End()), f.offset(n.End()), ""}
	}
	return f.replaced(n, "")
}

// instead replaces a part of a statement, or of a string in it.
func (f *source) instead(path []ast.Node, before, after string, line int) ([]edit, error) {
	at, err := f.find(path, before, line)
	if err != nil {
		return f.inText(path, before, after, err)
	}
	at.text = after
	return []edit{at}, nil
}

// find returns where tokens are in a statement: once on the marked line, or else once at all.
func (f *source) find(path []ast.Node, text string, line int) (edit, error) {
	n := path[len(path)-1]
	from, want := f.offset(n.Pos()), scan(text)
	all := scan(string(f.src[from:f.offset(header(n))]))
	var found, onLine []edit
	for k := range len(all) - len(want) + 1 {
		if !slices.EqualFunc(all[k:k+len(want)], want, func(a, b word) bool { return a.text == b.text }) {
			continue
		}
		last := all[k+len(want)-1]
		e := edit{from: from + all[k].at, to: from + last.at + len(last.text)}
		found = append(found, e)
		if f.line(n.Pos())+strings.Count(string(f.src[from:e.from]), "\n") == line {
			onLine = append(onLine, e)
		}
	}
	if len(onLine) == 1 {
		found = onLine
	}
	if len(found) != 1 {
		return edit{}, fmt.Errorf("%s is there %d times", text, len(found))
	}
	return found[0], nil
}

// inText replaces words in a string of a statement: a part of SQL, most of the time. Both are string literals, or the
// error is returned.
func (f *source) inText(path []ast.Node, before, after string, notFound error) ([]edit, error) {
	old, err := strconv.Unquote(before)
	text, afterErr := strconv.Unquote(after)
	n := path[len(path)-1]
	from := f.offset(n.Pos())
	src := string(f.src[from:f.offset(header(n))])
	if err != nil || afterErr != nil || strings.Count(src, old) != 1 {
		return nil, notFound
	}
	at := from + strings.Index(src, old)
	return []edit{{at, at + len(old), text}}, nil
}

type word struct {
	text string
	at   int
}

// scan splits Go source into its tokens.
func scan(src string) (all []word) {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, []byte(src), func(token.Position, string) {}, 0)
	for {
		pos, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return all
		case tok == token.SEMICOLON && text == "\n":
			continue
		case !tok.IsLiteral():
			text = tok.String()
		}
		all = append(all, word{text, file.Offset(pos)})
	}
}

// branches returns a guard for each branch of a file, to be flipped against all tests of its package.
func branches(root, name string) (guards []*guard, err error) {
	src, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	f, err := parseSource(name, src)
	if err != nil {
		return nil, err
	}
	add := func(n ast.Node, e edit) {
		guards = append(guards, &guard{
			name: fmt.Sprintf("%s:%d", name, f.line(n.Pos())), file: name, pkg: filepath.ToSlash(filepath.Dir(name)), brief: true,
			mutants: func() ([]mutant, error) { return []mutant{f.apply(e)}, nil },
		})
	}
	var path []ast.Node
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if n == nil {
			path = path[:len(path)-1]
			return false
		}
		path = append(path, n)
		switch n := n.(type) {
		case *ast.IfStmt:
			add(n, f.replaced(n.Cond, "!("+f.text(n.Cond)+")"))
		case *ast.CaseClause:
			if !isTagless(path) {
				add(n, f.replaced(n, ""))
			} else if len(n.List) > 0 {
				add(n, f.cases(n, "!("))
			}
		}
		return true
	})
	return guards, nil
}
