package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"faquan/internal/control"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // a directory that a group can write to is refused
	testscript.Main(m, map[string]func(){
		"faquan": func() { os.Exit(run()) },
	})
}

// TestScripts runs testdata/script/*.txtar, which read like a manual. Beside the commands of testscript they have
//
//	ready DIR          wait until a process serves the data directory; its URL is $URL
//	keep NAME REGEXP   put what the first group finds in the last standard output into $NAME
//	flip FILE TEXT     flip one bit of the file, where the text stands first
//	database NAME      make an empty PostgreSQL database; its URL is $NAME
//	port NAME          find a port that is free; it is $NAME
//	serving URL        wait until a process serves the gateways at the URL
//	exits CODE COMMAND run a command, which must end with the exit code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":    ready,
			"keep":     keep,
			"flip":     flip,
			"database": func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], testDatabase(t)) },
			"port":     func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], freePort(t)) },
			"serving":  serving,
			"exits":    exits,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	code := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got := strconv.Itoa(code); got != args[0] {
		ts.Fatalf("%v: exit code %s, want %s", args[1:], got, args[0])
	}
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DIR")
	}
	dir := ts.MkAbs(args[0])
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if c, err := control.Dial(dir); err == nil {
			if s, err := c.Status(context.Background()); err == nil {
				ts.Setenv("URL", s.URL)
				return
			}
		}
		if time.Now().After(end) {
			ts.Fatalf("nobody serves %s", args[0])
		}
	}
}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in the output, or has not one group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE TEXT")
	}
	file := ts.MkAbs(args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	at := bytes.Index(data, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%q is not in %s", args[1], args[0])
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(file, data, 0o600))
}

// ports counts what freePort has given.
var ports atomic.Int64

// freePort is a port that nothing on loopback listens on, and that nobody else takes: no other test gets it, the
// servers that tests start have theirs from 15000 on, and Linux gives connections and listeners those from 32768 on.
func freePort(t *testing.T) string {
	for range 1000 {
		port := 5000 + (64*int64(os.Getpid())+ports.Add(1))%10_000
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			l.Close()
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

func serving(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serving URL")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(args[0] + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("nobody serves %s", args[0])
}
