package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
)

// catalogue are the files of a catalogue by name; catalog.yaml is the catalogue itself.
type catalogue map[string][]byte

// catalogueFile is the name of the catalogue itself.
const catalogueFile = "catalog.yaml"

// program is a running `faquan serve` on a data directory or a database of its own.
type program struct {
	path  string // the executable
	data  string // its data directory
	store string // URL of its database; empty: the embedded store, in the data directory

	url   string
	cmd   *exec.Cmd
	log   *programLog
	ended chan error
}

// startProgram applies the catalogue, adds the users, and serves.
func startProgram(ctx context.Context, b *gatewayBench, files catalogue) (_ *program, err error) {
	p := &program{path: b.faquan, data: filepath.Join(b.dir, "data"), store: b.database, ended: make(chan error, 1)}
	if p.path == "" {
		p.path = filepath.Join(b.dir, "faquan")
		if err := goBuild(ctx, ".", p.path, "faquan/cmd/faquan"); err != nil {
			return nil, fmt.Errorf("%w\nRun the benchmark in a checkout, or name a program with --faquan", err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	apply := p.command(ctx, "apply", "-f", filepath.Join(b.dir, catalogueFile), "--data", p.data)
	if out, err := apply.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("faquan apply: %w\n%s", err, out)
	}
	if b.protocol == "top" {
		if err := p.addUsers(ctx, b.users); err != nil {
			return nil, fmt.Errorf("adding users: %w", err)
		}
	}
	args := []string{"serve", "--data", p.data, "--listen", "127.0.0.1:0"}
	if b.metrics {
		args = append(args, "--metrics-listen", "127.0.0.1:0")
	}
	return p, p.serve(p.command(ctx, args...))
}

// goBuild builds a package of the module that the directory is in.
func goBuild(ctx context.Context, dir, program, pkg string) error {
	out, err := exec.CommandContext(ctx, "go", "-C", dir, "build", "-buildvcs=false", "-o", program, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s in %s: %w\n%s", pkg, dir, err, bytes.TrimSpace(out))
	}
	return nil
}

// command prepares a call of the program, which no setting of this process's environment reaches.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "FAQUAN_") })
	cmd.Env = append(cmd.Env, "FAQUAN_SHUTDOWN_DRAIN=0s")
	if p.store != "" {
		cmd.Env = append(cmd.Env, "FAQUAN_STORE="+p.store) // its password is not for the list of processes
	}
	return cmd
}

// addUsers puts users with sessions into the store, before the program serves it: a catalogue file holds fewer.
func (p *program) addUsers(ctx context.Context, users int) (err error) {
	var st store.Store
	if p.store != "" {
		st, err = postgres.Open(ctx, postgres.Options{URL: p.store})
	} else {
		st, err = embedded.Open(embedded.Options{Dir: p.data})
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	e, stop, err := startEngine(ctx, engine.Options{Store: st})
	if err != nil {
		return err
	}
	return errors.Join(addUsers(ctx, e, users), stop())
}

// serve starts the command and waits until it takes calls.
func (p *program) serve(cmd *exec.Cmd) error {
	p.cmd, p.log = cmd, &programLog{url: make(chan string, 1)}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { p.ended <- cmd.Wait() }()
	select {
	case p.url = <-p.log.url:
		return nil
	case err := <-p.ended:
		return fmt.Errorf("faquan serve has ended: %v\n%s", err, p.log)
	}
}

// address returns the host:port of the gateways.
func (p *program) address() string { return strings.TrimPrefix(p.url, "http://") }

// stop stops the program as an operator does.
func (p *program) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which Wait tells
	if err := <-p.ended; err != nil {
		return fmt.Errorf("faquan serve: %w\n%s", err, p.log)
	}
	return nil
}

// programLog keeps what the program logs, and finds its URL there.
type programLog struct {
	url chan string // gets the URL when the program takes calls

	mu   sync.Mutex
	text bytes.Buffer
	sent bool
}

var loggedURL = regexp.MustCompile(` url=(http\S+) `)

// Write implements io.Writer.
func (l *programLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if found := loggedURL.FindSubmatch(l.text.Bytes()); found != nil && !l.sent {
		l.url <- string(found[1])
		l.sent = true
	}
	return len(p), nil
}

func (l *programLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
