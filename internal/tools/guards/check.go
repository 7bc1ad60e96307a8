package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A checker takes guards out. Nothing is written to the tree: the compiler is told to read other files in place of some.
// Most guards of a package are out of one program, each when the environment names it; that saves the compiler's time.
type checker struct {
	root, work string
	batches    map[string]func() *batch // by package

	mu    sync.Mutex
	sound map[string]func() (time.Duration, error) // by test: how long it takes as long as all guards are there
}

// A batch is a program with the tests of a package, and with the guards that it can do without.
type batch struct {
	program
	err      error // it does not compile without changes
	switches map[*guard]string
}

type program struct{ file, overlay string }

// report checks guards and returns the exit status.
func report(root string, guards []*guard, jobs int, stdout io.Writer) int {
	work, err := os.MkdirTemp("", "guards-")
	if err != nil {
		fmt.Fprintln(stdout, "FAIL guards:", err)
		return 1
	}
	defer os.RemoveAll(work) // what is left is in the temporary folder
	c := &checker{root: root, work: work, batches: map[string]func() *batch{}, sound: map[string]func() (time.Duration, error){}}
	packages := map[string][]*guard{}
	for _, g := range guards {
		packages[g.pkg] = append(packages[g.pkg], g)
	}
	for pkg, guards := range packages {
		dir := filepath.Join(work, strings.ReplaceAll(pkg, "/", "-"))
		c.batches[pkg] = sync.OnceValue(func() *batch { return c.batch(pkg, guards, dir) })
	}
	queue := make(chan *guard)
	var workers sync.WaitGroup
	var printing sync.Mutex
	failures := 0
	for n := range max(1, jobs) {
		workers.Go(func() {
			for g := range queue {
				err := c.check(g, filepath.Join(work, fmt.Sprint(n)))
				printing.Lock()
				if err == nil {
					fmt.Fprintln(stdout, "ok  ", g.name)
				} else {
					failures++
					fmt.Fprintf(stdout, "FAIL %s: %v\n", g.name, err)
				}
				printing.Unlock()
			}
		})
	}
	for _, g := range guards {
		queue <- g
	}
	close(queue)
	workers.Wait()
	fmt.Fprintf(stdout, "%d guards, %d failures\n", len(guards), failures)
	if failures > 0 {
		return 1
	}
	return 0
}

// errUnnoticed is returned for a guard that no test needs.
var errUnnoticed = errors.New("nothing notices")

// check takes one guard out. The error says what is wrong with the guard or its test.
func (c *checker) check(g *guard, dir string) error {
	b := c.batches[g.pkg]()
	if b.err != nil {
		return fmt.Errorf("the tests of %s do not compile\n%w", g.pkg, b.err)
	}
	took, err := c.whole(g, b)
	if err != nil {
		return err
	}
	if number := b.switches[g]; number != "" {
		// A test may run programs without our environment; then the guard has to be out for good.
		if err := c.verdict(g, b.program, number, took); err != errUnnoticed {
			return err
		}
	}
	p, err := c.alone(g, dir)
	if err != nil {
		return err
	}
	return c.verdict(g, p, "", took)
}

// alone compiles a program without a guard.
func (c *checker) alone(g *guard, dir string) (p program, err error) {
	if g.patch != nil {
		m, err := g.patch()
		if err != nil {
			return p, err
		}
		p, err = c.compile(g.pkg, m, dir)
		return p, err
	}
	for _, e := range g.edits {
		m := mutant{}
		m.add(g.source, []edit{e}, []string{"true"})
		if p, err = c.compile(g.pkg, m, dir); err == nil {
			return p, nil
		}
	}
	return p, err
}

// add puts a file with edits into a mutant.
func (m mutant) add(f *source, edits []edit, conditions []string) {
	m[f.name] = f.compose(edits, conditions)
	m[filepath.Join(filepath.Dir(f.name), "guard_switches.go")] = "package " + f.ast.Name.Name + "\n" + helpers
}

// batch compiles a program that can do without any of many guards. Those with which it does not compile are left out.
func (c *checker) batch(pkg string, guards []*guard, dir string) *batch {
	b := &batch{switches: map[*guard]string{}}
	for k, g := range guards {
		if len(g.edits) > 0 && !g.edits[0].replaces {
			b.switches[g] = strconv.Itoa(k + 1)
		}
	}
	for {
		files := map[*source][]*guard{}
		for g := range b.switches {
			files[g.source] = append(files[g.source], g)
		}
		m := mutant{}
		for f, guards := range files {
			var edits []edit
			var conditions []string
			for _, g := range guards {
				edits, conditions = append(edits, g.edits[0]), append(conditions, `guardOut == "`+b.switches[g]+`"`)
			}
			m.add(f, edits, conditions)
		}
		b.program, b.err = c.compile(pkg, m, dir)
		if b.err == nil || len(b.switches) == 0 {
			return b
		}
		b.leaveOut(b.err.Error())
	}
}

// position is where the compiler finds an error.
var position = regexp.MustCompile(`(?m)/([^/\s]+\.go):(\d+)`)

// leaveOut drops the guards at the places of the compiler's errors, or all.
func (b *batch) leaveOut(errs string) {
	before := len(b.switches)
	for _, at := range position.FindAllStringSubmatch(errs, -1) {
		for g := range b.switches {
			if flat(g.file) == at[1] && strconv.Itoa(g.source.lineAt(g.edits[0].from)) == at[2] {
				delete(b.switches, g)
			}
		}
	}
	if len(b.switches) == before {
		clear(b.switches)
	}
}

// flat returns the name of a file of ours that takes the place of one in the tree.
func flat(name string) string { return strings.ReplaceAll(name, "/", "-") }

// whole sees to it that a guard's test is there and is green as long as all guards are there, once for each test.
func (c *checker) whole(g *guard, b *batch) (time.Duration, error) {
	key := fmt.Sprint(g.pkg, g.run, g.flags)
	c.mu.Lock()
	sound := c.sound[key]
	if sound == nil {
		sound = sync.OnceValues(func() (time.Duration, error) {
			began := time.Now()
			out, err := c.run(g, b.program, "", 10*time.Minute)
			switch {
			case err != nil:
				return 0, fmt.Errorf("its test fails although the guard is there\n%s", indent(out))
			case strings.Contains(out, "no tests to run"):
				return 0, fmt.Errorf("%s has no test %s", g.pkg, g.run)
			}
			return time.Since(began), nil
		})
		c.sound[key] = sound
	}
	c.mu.Unlock()
	return sound()
}

// red is what go test prints when a test fails, rather than when the program cannot run.
var red = regexp.MustCompile(`(?m)^ *--- FAIL|^panic:|^fatal error:`)

// verdict runs a guard's test without the guard.
func (c *checker) verdict(g *guard, p program, number string, took time.Duration) error {
	timeout := 10 * time.Minute
	if g.brief {
		timeout = 10*took + 30*time.Second
	}
	out, err := c.run(g, p, number, timeout)
	switch {
	case err == nil:
		return errUnnoticed
	case strings.Contains(out, "panic: test timed out") && !g.brief:
		return fmt.Errorf("its test ran out of time\n%s", indent(out))
	case !red.MatchString(out):
		return fmt.Errorf("the program ended without a failed test\n%s", indent(out))
	}
	return nil
}

// compile makes a program of the tests of a package. What go vet and a debugger want would only take time.
func (c *checker) compile(pkg string, m mutant, dir string) (p program, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, err
	}
	p = program{filepath.Join(dir, "program"), filepath.Join(dir, "overlay.json")}
	replace := map[string]string{}
	for name, text := range m {
		file := filepath.Join(dir, flat(name))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return p, err
		}
		replace[filepath.Join(c.root, name)] = file
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return p, err
	}
	if err := os.WriteFile(p.overlay, text, 0o600); err != nil {
		return p, err
	}
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+p.overlay, "-o", p.file, "./"+pkg)
	cmd.Dir = c.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("it does not compile\n%s", indent(string(out)))
	}
	return p, nil
}

// run does what go test does with such a program. Programs that the test builds itself are without the guard, too.
func (c *checker) run(g *guard, p program, number string, timeout time.Duration) (string, error) {
	args := []string{"-test.paniconexit0", "-test.count=1", "-test.timeout=" + timeout.String()}
	if g.run == "" {
		args = append(args, "-test.failfast")
	} else {
		args = append(args, "-test.run="+g.run)
	}
	cmd := exec.Command(p.file, append(args, g.flags...)...)
	cmd.Dir = filepath.Join(c.root, g.pkg)
	cmd.WaitDelay = 30 * time.Second // a program that the test left behind may hold its output open
	cmd.Env = append(os.Environ(), "GUARD_OUT="+number, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+p.overlay),
		"RAPID_NOFAILFILE=true") // rapid would write what failed into the tree, and begin with it the next time
	out, err := cmd.CombinedOutput()
	return string(out), err
}
