package main

import (
	"strings"
	"testing"
)

// Each kind of mark, and what becomes of the line: the first way to take it out.
func TestMutations(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"if", "if a > 0 { //guard:TestX\n\t\treturn a\n\t}", "if !(OUT) { if a > 0 { //guard:TestX"},
		{"if with a variable of its own", "if c := a; c > 0 { //guard:TestX\n\t}", "if !(OUT) { if c := a; c > 0 { //guard:TestX"},
		{"if that counts", "if a++; a > 0 { //guard:TestX\n\t}", "if a++; (!(OUT) && (a > 0)) { //guard:TestX"},
		{"if with else", "if a > 0 { //guard:TestX\n\t\ta++\n\t} else {\n\t\ta--\n\t}", "if (OUT) != (a > 0) { //guard:TestX"},
		{"if, unconditional", "if a > 0 { //guard:TestX without a > 0\n\t}", "if (OUT || (a > 0)) { //guard:TestX without a > 0"},
		{"the mark above, and a comment", "//guard:TestX\n\t// why\n\ta = f(a)", "if !(OUT) { a = f(a) }"},
		{"case", "switch {\n\tcase a > 1: //guard:TestX\n\t}", "case (!(OUT) && (a > 1)): //guard:TestX"},
		{"case of a value", "switch a {\n\tcase 1: //guard:TestX\n\t\tb = a\n\t}", "-case 1: //guard:TestX"},
		{"one value of a case", "switch a {\n\tcase 1, 2: //guard:TestX without 1\n\t}", "case 2: //guard:TestX without 1"},
		{"one condition of a case", "switch {\n\tcase a > 1, b > 1: //guard:TestX without b > 1\n\t}",
			"case a > 1, (!(OUT) && (b > 1)): //guard:TestX without b > 1"},
		{"return of a bool", "_ = func() bool {\n\t\treturn f(a) //guard:TestX\n\t}", "return (OUT) != (f(a)) //guard:TestX"},
		{"return of an error", "_ = func() (int, error) {\n\t\treturn a, f(a) //guard:TestX\n\t}",
			"if OUT { return a, nil }; return a, f(a) //guard:TestX"},
		{"return of another value", "_ = func() int {\n\t\treturn f(a) //guard:TestX\n\t}", "return guardZero(OUT, f(a)) //guard:TestX"},
		{"bare return", "return //guard:TestX", "if !(OUT) { return } //guard:TestX"},
		{"loop", "for a < 3 { //guard:TestX\n\t\ta++\n\t}", "if !(OUT) { for a < 3 { //guard:TestX"},
		{"assignment", "a += 3 //guard:TestX", "if !(OUT) { a += 3 } //guard:TestX"},
		{"definition", "c := a //guard:TestX", "c := a; c = guardZero(OUT, c) //guard:TestX"},
		{"call", "f(a) //guard:TestX", "if !(OUT) { f(a) } //guard:TestX"},
		{"defer", "defer f(a) //guard:TestX", "if !(OUT) { defer f(a) } //guard:TestX"},
		{"operand of &&", "if a > 0 && b > 0 { //guard:TestX without b > 0\n\t}", "if a > 0 && (OUT || (b > 0)) { //guard:TestX without b > 0"},
		{"operand of ||", "if a > 0 || b > 0 { //guard:TestX without a > 0\n\t}", "if (!(OUT) && (a > 0)) || b > 0 { //guard:TestX without a > 0"},
		{"blanks do not matter", "if a > 0 || b > 0 { //guard:TestX without a>0\n\t}", "if (!(OUT) && (a > 0)) || b > 0 { //guard:TestX without a>0"},
		{"operand of +", "a = a + b //guard:TestX without b", "a = a //guard:TestX without b"},
		{"argument", "a = max(a, b) //guard:TestX without b", "a = max(a, guardZero(OUT, b)) //guard:TestX without b"},
		{"function", "a = g(a) //guard:TestX without g", "a = a //guard:TestX without g"},
		{"element", "s = S{A: 1, B: 2} //guard:TestX without A: 1", "s = S{A: guardZero(OUT, 1), B: 2} //guard:TestX without A: 1"},
		{"another value", "if a > 10 { //guard:TestX 10 -> 11\n\t}", "if a > guardPick(OUT, 11, 10) { //guard:TestX 10 -> 11"},
		{"another condition", "if a > 0 { //guard:TestX a > 0 -> f(a)\n\t}", "if (OUT && (f(a)) || !(OUT) && (a > 0)) { //guard:TestX a > 0 -> f(a)"},
		{"another call", "a = f(a) //guard:TestX f(a) -> f(b)", "a = f(b) //guard:TestX f(a) -> f(b)"},
		{"more words", "if a > 10 { //guard:TestX a > -> a >=\n\t}", "if a >= 10 { //guard:TestX a > -> a >="},
		{"words of a string", "query(`SELECT 1 FOR UPDATE`) //guard:TestX without \" FOR UPDATE\"", "query(guardPick(OUT, `SELECT 1`, `SELECT 1 FOR UPDATE`)) //guard:TestX without \" FOR UPDATE\""},
		{"other words of a string", "//guard:TestX \"LIMIT 1\" -> \"LIMIT 2\"\n\tquery(`SELECT 1\n\t\tLIMIT 1`)", "LIMIT 2`, `SELECT 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := "package p\n\nfunc x() {\n\t" + c.code + "\n}\n"
			guards, err := marksOf("p/p.go", []byte(src))
			if err != nil || len(guards) != 1 || guards[0].pkg != "p" || guards[0].run != "TestX" {
				t.Fatalf("guards %v, %v", guards, err)
			}
			got := guards[0].source.compose(guards[0].edits[:1], []string{"OUT"})
			if gone, is := strings.CutPrefix(c.want, "-"); is {
				if strings.Contains(got, gone) || len(got) >= len(src) {
					t.Errorf("still there:\n%s", got)
				}
			} else if !hasLine(got, c.want) {
				t.Errorf("got\n%s\nwithout the line %s", got, c.want)
			}
		})
	}
}

// Guards that are within each other can be out of one program, one at a time.
func TestNestedGuards(t *testing.T) {
	src := "package p\n\nfunc x() {\n\t//guard:TestX without a > 0\n\tif a > 0 && b { //guard:TestX\n\t\tb = f(a) //guard:TestX\n\t}\n}\n"
	guards, err := marksOf("p/p.go", []byte(src))
	if err != nil || len(guards) != 3 {
		t.Fatal(guards, err)
	}
	var edits []edit
	for _, g := range guards {
		edits = append(edits, g.edits[0])
	}
	got := guards[0].source.compose(edits, []string{"A", "B", "C"})
	for _, want := range []string{"if !(B) { if (A || (a > 0)) && b { //guard:TestX", "if !(C) { b = f(a) } //guard:TestX", "} }"} {
		if !hasLine(got, want) {
			t.Errorf("got\n%s\nwithout the line %s", got, want)
		}
	}
}

func hasLine(text, want string) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

func TestWrongMarks(t *testing.T) {
	for name, c := range map[string]struct{ code, want string }{
		"no test":            {"a++ //guard:Nothing", `"Nothing" is not the name of a test`},
		"a blank":            {"a++ // guard:TestX", "gofmt"},
		"unknown words":      {"a++ //guard:TestX nonsense", `neither`},
		"an expression gone": {"a++ //guard:TestX without b", "b is there 0 times"},
		"twice":              {"a = b + b //guard:TestX without b", "b is there 2 times"},
		"words gone":         {"a++ //guard:TestX b -> c", "b is there 0 times"},
		"no statement":       {"a++\n}\n\n//guard:TestX\nfunc y() {", "there is no statement"},
	} {
		_, err := marksOf("p/p.go", []byte("package p\n\nfunc x() {\n\t"+c.code+"\n}\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestMarksHaveFlags(t *testing.T) {
	m, err := parseMark("//guard:internal/sim.TestX$/a.b -seed=3 -v without a - b")
	if err != nil || m.pkg != "internal/sim" || m.run != "TestX$/a.b" || strings.Join(m.flags, " ") != "-seed=3 -v" || m.without != "a - b" {
		t.Errorf("%+v, %v", m, err)
	}
}
