package main

import (
	"bufio"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Every command says at length what it does, and shows how it is called.
func TestHelpTeaches(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return // cobra's own
		}
		if len(cmd.Long) <= len(cmd.Short) || cmd.Short == "" {
			t.Errorf("%s: the help says no more than its title", cmd.CommandPath())
		}
		if !cmd.HasSubCommands() && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: the help shows no example of it", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Long, "\n") {
			if len([]rune(line)) > 120 {
				t.Errorf("%s: a line of the help is wider than a terminal: %s", cmd.CommandPath(), line)
			}
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(newRoot())
}

// One signal asks the program to stop, which waits for a call under way; another one ends it at once.
func TestSecondSignal(t *testing.T) {
	w := &crashWorld{t: t, dir: t.TempDir()}
	p := &crashProcess{t: t, cmd: exec.Command("faquan", "serve", "--data", filepath.Join(w.dir, "data"), "--listen", "127.0.0.1:0")}
	p.cmd.Env = bareEnviron()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	defer p.cmd.Process.Kill()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.waitFor(p).URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const call = "POST /gateway.do HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
	if _, err := conn.Write([]byte(call)); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // it reads the call
		t.Fatalf("%q, %v", line, err)
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the call: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the second signal did not end it")
	}
}
