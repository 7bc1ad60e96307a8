package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// event is one line of go test -json, as `go doc test2json` describes it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64
}

// goTests follows the packages of one run. Output is kept until it is known whether it is needed.
type goTests struct {
	out    io.Writer
	total  counts
	output map[string]*strings.Builder // by package and test
	tests  map[string]int              // tests that ran, by package
	failed map[string]bool             // packages with a failed test
}

// readGo shows one line for a package, and the whole output of what failed.
func readGo(in io.Reader, out io.Writer) (counts, error) {
	g := &goTests{out: out, output: map[string]*strings.Builder{}, tests: map[string]int{}, failed: map[string]bool{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			g.line(line)
		}
		if err == io.EOF {
			return g.total, nil
		}
		if err != nil {
			return g.total, err
		}
	}
}

func (g *goTests) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(g.out, line) // what the go command itself says
		return
	}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(g.out, e.Output)
	case e.Action == "output":
		g.keep(e)
	case e.Test != "":
		g.test(e)
	default:
		g.pkg(e)
	}
}

func (g *goTests) keep(e event) {
	key := e.Package + "\n" + e.Test
	if g.output[key] == nil {
		g.output[key] = &strings.Builder{}
	}
	g.output[key].WriteString(e.Output)
}

// take returns the kept output and forgets it.
func (g *goTests) take(e event) string {
	key := e.Package + "\n" + e.Test
	kept := g.output[key]
	delete(g.output, key)
	if kept == nil {
		return ""
	}
	return kept.String()
}

func (g *goTests) test(e event) {
	switch e.Action {
	case "pass":
		g.total.passed++
	case "skip":
		g.total.skipped++
		g.total.skips = append(g.total.skips, e.Package+" "+e.Test+": "+skipReason(g.take(e)))
	case "fail":
		g.total.failed++
		g.failed[e.Package] = true
		fmt.Fprint(g.out, g.take(e))
	default:
		return // run, pause, cont, bench
	}
	g.tests[e.Package]++
	g.take(e)
}

// skipLog matches the log line of t.Skip: file, line and reason.
var skipLog = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`)

// skipReason finds the reason in the output of a skipped test, which logs it last.
func skipReason(output string) string {
	all := skipLog.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return "no reason given"
	}
	return all[len(all)-1][1]
}

func (g *goTests) pkg(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(g.out, "  ok    %-44s %7.2fs %6d tests\n", e.Package, e.Elapsed, g.tests[e.Package])
	case "fail":
		if !g.failed[e.Package] {
			g.total.failed++ // it did not build, or ended outside a test
		}
		g.showUnfinished(e.Package)
		fmt.Fprintf(g.out, "  FAIL  %-44s %7.2fs %6d tests\n", e.Package, e.Elapsed, g.tests[e.Package])
	case "skip", "start":
		// no test files, or only begun
	}
	if e.Action != "start" {
		g.take(e)
	}
}

// showUnfinished shows what the package printed and what its tests printed that did not end. A timeout, a panic of
// another goroutine, a fatal error and os.Exit are in the output of a test that was running, which has no event at its end.
func (g *goTests) showUnfinished(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(g.output)) {
		if strings.HasPrefix(key, pkg+"\n") {
			fmt.Fprint(g.out, g.output[key])
			delete(g.output, key)
		}
	}
}

// nodeSummary is a line of the summary that every reporter of node --test ends with: "# pass 3" or "ℹ pass 3".
var nodeSummary = regexp.MustCompile(`^(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)\s*$`)

// nodeSkip is the line of a test that did not run, in the two forms: "﹣ name (0.1ms) # reason", "ok 1 - name # SKIP reason".
var nodeSkip = regexp.MustCompile(`^\s*(?:\S+ (.+?) \([\d.]+ms\)|ok \d+ - (.+?)) # (?:SKIP|TODO)? ?(.*)$`)

// readNode shows everything and counts by the summary.
func readNode(in io.Reader, out io.Writer) (counts, error) {
	var total counts
	err := eachLine(in, out, func(line string) error {
		if m := nodeSkip.FindStringSubmatch(line); m != nil {
			total.skips = append(total.skips, m[1]+m[2]+": "+cmp.Or(m[3], "no reason given"))
		}
		m := nodeSummary.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		n, err := strconv.Atoi(m[2])
		switch m[1] {
		case "pass":
			total.passed += n
		case "fail", "cancelled":
			total.failed += n
		case "skipped", "todo":
			total.skipped += n
		}
		return err
	})
	return total, err
}

// readLines shows everything and counts the lines that tell one result each.
func readLines(in io.Reader, out io.Writer) (counts, error) {
	var total counts
	err := eachLine(in, out, func(line string) error {
		switch first, _, _ := strings.Cut(line, " "); first {
		case "ok":
			total.passed++
		case "FAIL":
			total.failed++
		}
		return nil
	})
	return total, err
}

// eachLine copies the lines from in to out and calls do with each, without its end.
func eachLine(in io.Reader, out io.Writer, do func(line string) error) error {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadString('\n')
		fmt.Fprint(out, line)
		if bad := do(strings.TrimRight(line, "\r\n")); bad != nil {
			return bad
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
