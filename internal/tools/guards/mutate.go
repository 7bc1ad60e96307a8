package main

import (
	"cmp"
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

// An edit takes something out of a file. Most put text around it that looks at a switch, so that one program can do
// without any of many guards. The others replace it.
type edit struct {
	from, to      int // offsets
	before, after string
	replaces      bool // by before
}

// out stands for the condition under which a guard is out: always, or when the program is told so.
const out = "\x00"

// helpers is added to each package with edits.
const helpers = `
import "os"

var guardOut = os.Getenv("GUARD_OUT")

func guardZero[T any](out bool, v T) (zero T) { return guardPick(out, zero, v) }

func guardPick[T any](out bool, without, with T) T {
	if out {
		return without
	}
	return with
}
`

// compose returns the file with edits, each with its condition. Edits within others are within them afterwards, too.
func (f *source) compose(edits []edit, conditions []string) string {
	var b strings.Builder
	var open []int
	at := 0
	copyTo := func(to int) {
		b.Write(f.src[at:max(at, to)])
		at = max(at, to)
	}
	write := func(k int, text string) { b.WriteString(strings.ReplaceAll(text, out, conditions[k])) }
	closeUpTo := func(offset int) {
		for len(open) > 0 && edits[open[len(open)-1]].to <= offset {
			k := open[len(open)-1]
			open = open[:len(open)-1]
			copyTo(edits[k].to)
			write(k, edits[k].after)
		}
	}
	order := make([]int, len(edits))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(edits[a].from, edits[b].from), cmp.Compare(edits[b].to, edits[a].to))
	})
	for _, k := range order {
		closeUpTo(edits[k].from)
		copyTo(edits[k].from)
		write(k, edits[k].before)
		if edits[k].replaces {
			at = edits[k].to
		} else {
			open = append(open, k)
		}
	}
	closeUpTo(len(f.src))
	copyTo(len(f.src))
	return b.String()
}

// edits returns the ways to take out what is marked at a line, the best first.
func (f *source) edits(m mark, line int) ([]edit, error) {
	path := f.nodeAt(line)
	switch {
	case len(path) == 0:
		return nil, fmt.Errorf("there is no statement at line %d", line)
	case m.without != "":
		return f.without(path, m.without, line)
	case m.old != "":
		return f.instead(path, m.old, m.new, line)
	}
	return []edit{f.removed(path)}, nil
}

func (f *source) around(n ast.Node, before, after string) edit {
	return edit{from: f.offset(n.Pos()), to: f.offset(n.End()), before: before, after: after}
}

func (f *source) replaced(n ast.Node, text string) edit {
	return edit{from: f.offset(n.Pos()), to: f.offset(n.End()), before: text, replaces: true}
}

func (f *source) always(n ast.Node) edit   { return f.around(n, "("+out+" || (", "))") }
func (f *source) never(n ast.Node) edit    { return f.around(n, "(!("+out+") && (", "))") }
func (f *source) inverted(n ast.Node) edit { return f.around(n, "("+out+") != (", ")") }
func (f *source) zero(n ast.Node) edit     { return f.around(n, "guardZero("+out+", ", ")") }

// removed takes a statement out.
func (f *source) removed(path []ast.Node) edit {
	n := path[len(path)-1]
	switch n := n.(type) {
	case *ast.IfStmt:
		if n.Else != nil {
			return f.inverted(n.Cond)
		}
		if a, is := n.Init.(*ast.AssignStmt); n.Init != nil && (!is || a.Tok != token.DEFINE) { // what it does to others stays
			return f.never(n.Cond)
		}
	case *ast.CaseClause:
		if isTagless(path) && len(n.List) == 1 {
			return f.never(n.List[0])
		}
		return f.replaced(n, "")
	case *ast.CommClause:
		return f.replaced(n, "")
	case *ast.ReturnStmt:
		if len(n.Results) > 0 {
			return f.returned(path, n)
		}
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			last := f.text(n.Lhs[len(n.Lhs)-1])
			return f.around(n, "", "; "+last+" = guardZero("+out+", "+last+")")
		}
	}
	return f.around(n, "if !("+out+") { ", " }")
}

// returned inverts a bool that is returned last, or returns nil, in place of an error most of the time, without
// computing what would be returned.
func (f *source) returned(path []ast.Node, n *ast.ReturnStmt) edit {
	last := n.Results[len(n.Results)-1]
	switch t := lastResult(path).(type) {
	case *ast.Ident:
		switch t.Name {
		case "bool":
			return f.inverted(last)
		case "error", "any":
		default:
			return f.zero(last)
		}
	case *ast.SelectorExpr:
		return f.zero(last)
	}
	return f.around(n, "if "+out+" { "+strings.TrimSuffix(f.text(n), f.text(last))+"nil }; ", "")
}

// lastResult returns the type of the last result of the innermost function.
func lastResult(path []ast.Node) ast.Expr {
	for _, n := range slices.Backward(path) {
		var t *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncLit:
			t = n.Type
		case *ast.FuncDecl:
			t = n.Type
		default:
			continue
		}
		return t.Results.List[len(t.Results.List)-1].Type
	}
	return nil
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
	found := f.expression(path, at)
	if found == nil {
		return nil, fmt.Errorf("%s is not an expression there", expr)
	}
	return f.takenOut(found), nil
}

// expression returns the path to the expression that is somewhere in a statement.
func (f *source) expression(path []ast.Node, at edit) (found []ast.Node) {
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
	return found
}

// takenOut takes an expression out of what is around it.
func (f *source) takenOut(path []ast.Node) []edit {
	n, parent := path[len(path)-1], path[len(path)-2]
	switch p := parent.(type) {
	case *ast.ParenExpr:
		return f.takenOut(path[:len(path)-1])
	case *ast.IfStmt, *ast.ForStmt:
		return []edit{f.always(n)}
	case *ast.CaseClause:
		switch {
		case !isTagless(path[:len(path)-1]):
			return []edit{f.dropped(n, p.List)}
		case len(p.List) == 1:
			return []edit{f.always(n)}
		}
		return []edit{f.never(n)}
	case *ast.BinaryExpr:
		switch p.Op {
		case token.LAND:
			return []edit{f.always(n)}
		case token.LOR:
			return []edit{f.never(n)}
		case token.ADD, token.SUB, token.MUL, token.QUO, token.REM, token.AND, token.OR:
			if n == p.Y {
				return []edit{f.replaced(p, f.text(p.X))}
			}
			return []edit{f.replaced(p, f.text(p.Y))}
		}
	case *ast.CallExpr:
		if n == p.Fun && len(p.Args) == 1 {
			return []edit{f.replaced(p, f.text(p.Args[0]))}
		}
		return []edit{f.zero(n), f.dropped(n, p.Args)} // a constant may not have the type of the parameter
	case *ast.CompositeLit:
		if pair, is := n.(*ast.KeyValueExpr); is {
			return []edit{f.zero(pair.Value), f.dropped(n, p.Elts)}
		}
		return []edit{f.zero(n), f.dropped(n, p.Elts)}
	}
	return []edit{f.zero(n)}
}

// dropped takes one expression out of a list.
func (f *source) dropped(n ast.Node, list []ast.Expr) edit {
	k := slices.IndexFunc(list, func(x ast.Expr) bool { return x == n })
	switch {
	case k < len(list)-1:
		return edit{from: f.offset(n.Pos()), to: f.offset(list[k+1].Pos()), replaces: true}
	case k > 0:
		return edit{from: f.offset(list[k-1].End()), to: f.offset(n.End()), replaces: true}
	}
	return f.replaced(n, "")
}

// instead replaces a part of a statement, or of a string in it.
func (f *source) instead(path []ast.Node, before, after string, line int) ([]edit, error) {
	at, err := f.find(path, before, line)
	if err != nil {
		return f.inText(path, before, after, err)
	}
	at.before = after
	kept := at // so that what only it uses stays in use
	kept.before = "guardPick(true, " + after + ", " + string(f.src[at.from:at.to]) + ")"
	edits := []edit{at, kept}
	if found := f.expression(path, at); found != nil {
		n := found[len(found)-1]
		switch {
		case isCondition(n):
			edits = slices.Insert(edits, 0, f.around(n, "("+out+" && ("+after+") || !("+out+") && (", "))"))
		case !strings.Contains(before+after, "(") && !isStored(found): // both can be computed, whichever is taken
			edits = slices.Insert(edits, 0, f.around(n, "guardPick("+out+", "+after+", ", ")"))
		}
	}
	return edits, nil
}

// isCondition reports whether an expression is certainly a bool.
func isCondition(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return slices.Contains([]token.Token{token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, n.Op)
	case *ast.UnaryExpr:
		return n.Op == token.NOT
	}
	return false
}

// isStored reports whether the last node is what an assignment writes to.
func isStored(path []ast.Node) bool {
	n, is := path[len(path)-2].(*ast.AssignStmt)
	return is && slices.ContainsFunc(n.Lhs, func(x ast.Expr) bool { return x == path[len(path)-1] })
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
		e := edit{from: from + all[k].at, to: from + last.at + len(last.text), replaces: true}
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
	var found []*ast.BasicLit
	ast.Inspect(n, func(x ast.Node) bool {
		if x, is := x.(*ast.BasicLit); is && x.Pos() < header(n) && x.Kind == token.STRING && strings.Contains(x.Value, old) {
			found = append(found, x)
		}
		return true
	})
	if err != nil || afterErr != nil || len(found) != 1 || strings.Count(found[0].Value, old) != 1 {
		return nil, notFound
	}
	changed := strings.Replace(found[0].Value, old, text, 1)
	return []edit{f.around(found[0], "guardPick("+out+", "+changed+", ", ")"), f.replaced(found[0], changed)}, nil
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
			source: f, edits: []edit{e},
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
			add(n, f.inverted(n.Cond))
		case *ast.CaseClause:
			if !isTagless(path) {
				add(n, f.replaced(n, ""))
				break
			}
			for _, x := range n.List {
				add(x, f.inverted(x))
			}
		}
		return true
	})
	return guards, nil
}
