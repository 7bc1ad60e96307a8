// Command testcount runs one test command, shows what a reader wants to see of it, and adds what it counted to a
// file. scripts/test ends with the sum of that file.
//
//	testcount -part go   -counts FILE -format go   go test -json ./...
//	testcount -part node -counts FILE -format node node --test
//	testcount -part x    -counts FILE -format lines scripts/x
//
// Each line of the file is one part: its name, passed, failed, skipped. A test and each of its subtests count one
// each, as go test -v and node --test list them; of lines each that begins with "ok " or "FAIL " counts one.
//
// With -skips FILE each skipped test is added to that file, one a line: part, test and reason.
//
// Two silences are counted as a failure, because they look like success: a command that fails without naming a
// failed test (it did not build, it was killed), and one that ran no test at all. The exit status is 0 when nothing
// failed, 1 otherwise, 2 for a wrong call.
//
// It is not gotestsum because that counts tests of Go alone, and neither tells how many passed when a package does not
// build nor fails when no test ran.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("testcount", flag.ContinueOnError)
	flags.SetOutput(stderr)
	part := flags.String("part", "tests", "name of the part, one word")
	file := flags.String("counts", "", "file to add the counts to")
	skips := flags.String("skips", "", "file to add the skipped tests and their reasons to; empty for none")
	format := flags.String("format", "go", "what the command prints: go (test -json), node (--test) or lines (ok …, FAIL …)")
	if flags.Parse(args) != nil {
		return 2
	}
	read, known := readers[*format]
	if !known || *file == "" || flags.NArg() == 0 {
		fmt.Fprintln(stderr, "testcount: -counts, a known -format and a command are needed")
		return 2
	}
	total, err := count(flags.Args(), read, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stdout, "testcount: %s: %v\n", *part, err)
	}
	if err := errors.Join(total.add(*file, *part), total.addSkips(*skips, *part)); err != nil {
		fmt.Fprintln(stderr, "testcount:", err)
		return 1
	}
	if total.failed > 0 {
		return 1
	}
	return 0
}

// A reader shows a command's output and counts its tests.
type reader func(in io.Reader, out io.Writer) (counts, error)

var readers = map[string]reader{"go": readGo, "node": readNode, "lines": readLines}

// count runs the command. The error says why something beside a failed test was counted as failed.
func count(command []string, read reader, stdout, stderr io.Writer) (counts, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return counts{failed: 1}, err
	}
	total, err := read(pipe, stdout)
	_, _ = io.Copy(io.Discard, pipe) // what is left after a reading error, so that the command can end
	return total.judge(cmd.Wait(), err)
}

type counts struct {
	passed, failed, skipped int

	skips []string // which, and why
}

// judge counts the silences as failures.
func (c counts) judge(exit, reading error) (counts, error) {
	switch {
	case reading != nil:
		c.failed++
		return c, reading
	case exit != nil && c.failed == 0:
		c.failed++
		return c, fmt.Errorf("no test failed, but the command did: %w", exit)
	case exit == nil && c.failed > 0:
		return c, errors.New("tests failed, but the command says it succeeded")
	case c.passed+c.failed+c.skipped == 0:
		c.failed++
		return c, errors.New("no test ran")
	}
	return c, nil
}

func (c counts) add(file, part string) error {
	return appendTo(file, fmt.Sprintln(part, c.passed, c.failed, c.skipped))
}

func (c counts) addSkips(file, part string) error {
	if file == "" || len(c.skips) == 0 {
		return nil
	}
	var text string
	for _, skip := range c.skips {
		text += part + ": " + skip + "\n"
	}
	return appendTo(file, text)
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}
