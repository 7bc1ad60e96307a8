package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one error in a file, with its line.
type Problem struct {
	File   string
	Line   int // 1 is the first
	Reason string
}

// Error returns file:line: reason.
func (p Problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason) }

// Problems is the error of a file that is refused: all problems, in the order of the lines. No reason quotes a secret.
type Problems []Problem

// maxShown bounds the text of the error, for a file with an error in every line.
const maxShown = 50

// Error returns the problems, one a line.
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

// problems collects the problems of one file.
type problems struct {
	file string
	all  Problems
}

func (p *problems) report(line int, format string, args ...any) {
	p.all = append(p.all, Problem{p.file, line, fmt.Sprintf(format, args...)})
}

// err returns nil when nothing was reported.
func (p *problems) err() error {
	if len(p.all) == 0 {
		return nil
	}
	slices.SortStableFunc(p.all, func(a, b Problem) int { return a.Line - b.Line })
	return p.all
}
