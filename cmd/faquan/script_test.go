package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
//	ready DIR          wait until a process serves the data directory; its URL is $URL, its id $PID
//	keep NAME REGEXP   put what the first group finds in the last standard output into $NAME
//	flip FILE TEXT     flip one bit of the file, where the text stands first
//	database NAME      make an empty PostgreSQL database; its URL is $NAME
//	port NAME          find a port that is free; it is $NAME
//	private DIR        fail if another user could read a file in the directory
//	serving URL        wait until a process serves the gateways at the URL
//	exits CODE COMMAND run a command, which must end with the exit code
//	json FILE          see that the file, stdout or stderr holds JSON in the one style of faquan
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FAQUAN_SHUTDOWN_DRAIN", "0s")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":    ready,
			"keep":     keep,
			"flip":     flip,
			"database": func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], testDatabase(t)) },
			"port":     func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], freePort(t)) },
			"serving":  serving,
			"exits":    exits,
			"json":     checkJSON,
			"private":  private,
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
				ts.Setenv("PID", strconv.Itoa(s.PID))
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

// checkJSON sees that each value in a file is JSON whose keys are snake_case and in which no number is so large that
// readers like jq round it. What has names of a catalogue for keys, or is a user's attributes, has the operator's style.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: json FILE")
	}
	text := ts.ReadFile(args[0])
	if bytes.ContainsFunc([]byte(text), unprintable) {
		ts.Fatalf("%s has characters that are not printable: %q", args[0], text)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	values := 0
	for ; ; values++ {
		var value any
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			ts.Fatalf("%s: %v", args[0], err)
		}
		if wrong := wrongJSON(value); wrong != "" {
			ts.Fatalf("%s: %s in %v", args[0], wrong, value)
		}
	}
	if values == 0 {
		ts.Fatalf("%s has no JSON", args[0])
	}
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// wrongJSON returns what in a value is not in the style, or "".
func wrongJSON(value any) string {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Float64(); err != nil || math.Abs(n) >= 1<<53 {
			return "the number " + v.String()
		}
	case []any:
		for _, element := range v {
			if wrong := wrongJSON(element); wrong != "" {
				return wrong
			}
		}
	case map[string]any:
		for key, member := range v {
			names, named := member.(map[string]any)
			switch {
			case !snakeCase.MatchString(key):
				return "the key " + key
			case key == "user" && named: // of a rule
				continue
			case key == "of_template" || key == "in_activity":
				member = slices.Collect(maps.Values(names))
			}
			if wrong := wrongJSON(member); wrong != "" {
				return wrong
			}
		}
	}
	return ""
}

// The check of the style finds what breaks it.
func TestWrongJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a_b":[1,-9007199254740991,0.5,null,true,"Text",{"took_ms":1}]}`: "",
		`[{"a":9007199254740993}]`:                                  "the number 9007199254740993",
		`{"a":-765483968103695632}`:                                 "the number -765483968103695632",
		`{"a":{"DayCount":1}}`:                                      "the key DayCount",
		`{"request.connections":1}`:                                 "the key request.connections",
		`{"user":{"isVIP":true},"of_template":{"T-1":{"total":1}}}`: "",
		`{"of_template":{"T-1":{"Total":1}}}`:                       "the key Total",
	} {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if got := wrongJSON(value); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
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

// private looks at every file, sockets included.
func private(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: private DIR")
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if files++; info.Mode().Perm() != 0o600 {
			return fmt.Errorf("%s has mode %#o", path, info.Mode().Perm())
		}
		return nil
	}))
	if files == 0 {
		ts.Fatalf("%s holds no file", args[0])
	}
}

// ports counts what freePort has given.
var ports atomic.Int64

// freePort returns a port that nothing on loopback listens on, and that nobody else takes: no other test gets it, the
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
