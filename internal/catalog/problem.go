package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	File   string
	Line   int // 1 is the first; 0 when the problem has no place
	Reason string
}

// Error is file:line: reason.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Reason
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason)
}

// Problems is the error of a file that is refused: everything that was found wrong, in the order of the lines. No
// reason quotes a secret.
type Problems []Problem

// maxShown bounds the text of the error, for a file that is wrong in every line.
const maxShown = 50

// Error lists the problems, one a line.
func (p Problems) Error() string {
	var b strings.Builder
	for k, one := range p {
		if k == maxShown {
			fmt.Fprintf(&b, "\n… and %d more", len(p)-k)
			break
		}
		if k > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// problems collects what is wrong with one file.
type problems struct {
	file string
	all  Problems
}

func (p *problems) report(line int, format string, args ...any) {
	p.all = append(p.all, Problem{p.file, line, fmt.Sprintf(format, args...)})
}

// err is nil when nothing was reported.
func (p *problems) err() error {
	if len(p.all) == 0 {
		return nil
	}
	slices.SortStableFunc(p.all, func(a, b Problem) int { return a.Line - b.Line })
	return p.all
}
