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
	"strings"
	"sync"
	"time"
)

// A checker takes guards out. Nothing is written to the tree: the compiler is told to read other files in place of some.
type checker struct {
	root, work string

	mu       sync.Mutex
	programs map[string]func() (string, error)        // by package: its tests as they are
	sound    map[string]func() (time.Duration, error) // by test: how long it takes as long as all guards are there
}

// report checks guards and returns the exit status.
func report(root string, guards []*guard, jobs int, stdout io.Writer) int {
	work, err := os.MkdirTemp("", "guards-")
	if err != nil {
		fmt.Fprintln(stdout, "FAIL guards:", err)
		return 1
	}
	defer os.RemoveAll(work) // what is left is in the temporary folder
	c := &checker{root: root, work: work, programs: map[string]func() (string, error){}, sound: map[string]func() (time.Duration, error){}}
	queue := make(chan *guard)
	var workers sync.WaitGroup
	var printing sync.Mutex
	failures := 0
	for n := range max(1, jobs) {
		workers.Go(func() {
			dir := filepath.Join(work, fmt.Sprint(n))
			for g := range queue {
				err := c.check(g, dir)
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

// red is what go test prints when a test fails, rather than when the program cannot run.
var red = regexp.MustCompile(`(?m)^ *--- FAIL|^panic:|^fatal error:`)

// check takes one guard out. The error says what is wrong with the guard or its test.
func (c *checker) check(g *guard, dir string) error {
	took, err := c.whole(g)
	if err != nil {
		return err
	}
	mutants, err := g.mutants()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var overlay, program string
	for _, m := range mutants {
		if overlay, err = c.overlay(m, dir); err != nil {
			return err
		}
		if program, err = c.compile(g.pkg, overlay, filepath.Join(dir, "program")); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("it does not compile\n%w", err)
	}
	timeout := 10 * time.Minute
	if g.brief {
		timeout = 10*took + 30*time.Second
	}
	out, err := c.run(g, program, overlay, timeout)
	switch {
	case err == nil:
		return errors.New("nothing notices")
	case strings.Contains(out, "\npanic: test timed out") && !g.brief:
		return fmt.Errorf("its test ran out of time\n%s", indent(out))
	case !red.MatchString(out):
		return fmt.Errorf("it is red, and by no test\n%s", indent(out))
	}
	return nil
}

// whole sees to it that a guard's test is there and is green as long as all guards are there, once for each test.
func (c *checker) whole(g *guard) (time.Duration, error) {
	c.mu.Lock()
	program := c.programs[g.pkg]
	if program == nil {
		file := filepath.Join(c.work, fmt.Sprintf("whole-%d", len(c.programs)))
		program = sync.OnceValues(func() (string, error) { return c.compile(g.pkg, "", file) })
		c.programs[g.pkg] = program
	}
	key := fmt.Sprint(g.pkg, g.run, g.flags)
	sound := c.sound[key]
	if sound == nil {
		sound = sync.OnceValues(func() (time.Duration, error) {
			file, err := program()
			if err != nil {
				return 0, fmt.Errorf("the tests of %s do not compile\n%w", g.pkg, err)
			}
			began := time.Now()
			out, err := c.run(g, file, "", 10*time.Minute)
			switch {
			case err != nil:
				return 0, fmt.Errorf("the test is red without it\n%s", indent(out))
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

// overlay writes a mutant, and returns the file that tells the go command of it.
func (c *checker) overlay(m mutant, dir string) (string, error) {
	replace := map[string]string{}
	for name, text := range m {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(c.root, name)] = file
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, text, 0o600)
}

// compile makes a program of the tests of a package. What go vet and a debugger want would only take time.
func (c *checker) compile(pkg, overlay, program string) (string, error) {
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o", program, "./"+pkg)
	cmd.Dir = c.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s", indent(string(out)))
	}
	return program, nil
}

// run does what go test does with such a program. Programs that the test builds itself are without the guard, too.
func (c *checker) run(g *guard, program, overlay string, timeout time.Duration) (string, error) {
	args := []string{"-test.paniconexit0", "-test.count=1", "-test.timeout=" + timeout.String()}
	if g.run == "" {
		args = append(args, "-test.failfast")
	} else {
		args = append(args, "-test.run="+g.run)
	}
	cmd := exec.Command(program, append(args, g.flags...)...)
	cmd.Dir = filepath.Join(c.root, g.pkg)
	if overlay != "" {
		cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
