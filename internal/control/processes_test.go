package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// remembers is a process that knows of refusals at some times, newest first.
type remembers struct {
	url    string
	at     []string
	millis []int64 // of each, when At is not enough
	err    error
}

func (r remembers) find(_ context.Context, s *Search) ([]*Decision, error) {
	var found []*Decision
	for k, at := range r.at {
		decision := &Decision{At: at, Key: s.Key}
		if r.millis != nil {
			decision.AtMillis = r.millis[k]
		}
		found = append(found, decision)
	}
	if r.err == nil && len(found) == 0 {
		return nil, ErrNotFound
	}
	return found, r.err
}

func (r remembers) process(context.Context, string) (*ProcessStatus, error) {
	if r.err != nil {
		return nil, r.err
	}
	return &ProcessStatus{PID: 7, URL: r.url}, nil
}

// serveShared makes such a process of a directory. stop ends it in good order.
func serveShared(t *testing.T, dir string, r remembers) (stop func()) {
	t.Helper()
	l, err := ListenShared(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: SharedHandler(r.find, r.process, func() Status { return Status{PID: 7, URL: r.url} })}
	var done sync.WaitGroup
	done.Go(func() { server.Serve(l) })
	stop = sync.OnceFunc(func() { server.Close(); done.Wait() })
	t.Cleanup(stop)
	return stop
}

// findIn asks the processes of a directory, and gives what they know as "time of process".
func findIn(t *testing.T, dir string, limit int) ([]string, error) {
	t.Helper()
	all, err := DialShared(dir)
	if err != nil {
		return nil, err
	}
	found, err := FindAll(context.Background(), all.Finders(), &Search{Key: "k", Limit: limit})
	var texts []string
	for _, decision := range found {
		if decision.Key != "k" {
			t.Errorf("it was asked for %q", decision.Key)
		}
		texts = append(texts, decision.At+" of "+decision.Process)
	}
	return texts, err
}

// FindAll returns the refusals of all processes, in one order.
func TestProcessesTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*", strings.Repeat("deep/", 30)) // no pattern, and too long for a socket
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := findIn(t, dir, 100); !errors.Is(err, ErrNotServed) {
		t.Errorf("without a process: %v", err)
	}
	serveShared(t, dir, remembers{url: "http://a", at: []string{"12:05", "12:03", "12:01"}})
	stop := serveShared(t, dir, remembers{url: "http://b", at: []string{"12:04", "12:02"}})
	serveShared(t, dir, remembers{url: "http://c"})

	got, err := findIn(t, dir, 100)
	want := []string{"12:05 of 7 at http://a", "12:04 of 7 at http://b", "12:03 of 7 at http://a", "12:02 of 7 at http://b", "12:01 of 7 at http://a"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := findIn(t, dir, 2); len(got) != 2 || got[1] != want[1] || err != nil {
		t.Errorf("the latest two: %q, %v", got, err)
	}
	stop()
	if got, err := findIn(t, dir, 100); len(got) != 3 || err != nil {
		t.Errorf("when one has stopped: %q, %v", got, err)
	}
}

// In a rush all refusals are of one second, and no process takes the place of the others.
func TestProcessesInOneSecond(t *testing.T) {
	dir := t.TempDir()
	same := []string{"12:00:01", "12:00:01"}
	serveShared(t, dir, remembers{url: "http://a", at: same, millis: []int64{1_900, 1_700}})
	serveShared(t, dir, remembers{url: "http://b", at: same, millis: []int64{1_800, 1_600}})
	got, err := findIn(t, dir, 3)
	want := []string{"12:00:01 of 7 at http://a", "12:00:01 of 7 at http://b", "12:00:01 of 7 at http://a"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// A socket that cannot be opened, as another user's, does not hide what the others know.
func TestSocketThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	serveShared(t, dir, remembers{url: "http://a", at: []string{"12:01"}})
	name := filepath.Join(dir, "faquan-00000000-abcdefgh.sock")
	if err := os.Symlink(name, name); err != nil { // root can open every file; nobody can open this one
		t.Fatal(err)
	}
	if got, err := findIn(t, dir, 100); len(got) != 1 || err == nil {
		t.Errorf("%q, %v", got, err)
	}
}

// When no process has a refusal, the error is that of one process; one that fails does not hide those of the others.
func TestProcessesThatKnowNothing(t *testing.T) {
	dir := t.TempDir()
	serveShared(t, dir, remembers{url: "http://a"})
	serveShared(t, dir, remembers{url: "http://b"})
	if got, err := findIn(t, dir, 100); len(got) != 0 || !errors.Is(err, ErrNotFound) {
		t.Errorf("%q, %v", got, err)
	}
	serveShared(t, dir, remembers{url: "http://c", err: errors.New("no database")})
	serveShared(t, dir, remembers{url: "http://d", at: []string{"12:01"}})
	got, err := findIn(t, dir, 100)
	if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "http://c: no database") {
		t.Errorf("%q, %v", got, err)
	}
}

// What a killed process leaves behind is passed over, and taken away by the next one; not what lives, and not what
// another machine may have.
func TestSocketsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	leave := func(name string) string {
		path := filepath.Join(dir, name)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		return path
	}
	gone, other := leave(sharedPrefix()+"abcdefgh.sock"), leave("faquan-00000000-abcdefgh.sock")
	if _, err := findIn(t, dir, 100); !errors.Is(err, ErrNotServed) {
		t.Errorf("only sockets of processes that are gone: %v", err)
	}
	for k := range 2 {
		serveShared(t, dir, remembers{url: fmt.Sprint("http://", k), at: []string{"12:01"}})
	}
	if got, err := findIn(t, dir, 100); len(got) != 2 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Errorf("the socket that was left behind: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the socket of another machine: %v", err)
	}
}

// The socket of a process on a database only serves decisions; it neither changes anything nor shows a secret.
func TestSharedSocketOnlyTells(t *testing.T) {
	dir := t.TempDir()
	serveShared(t, dir, remembers{})
	all, err := DialShared(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PublicKey.On(context.Background(), all[0], None{}); err == nil {
		t.Error("it shows the platform's key")
	}
	if _, err := Settle.On(context.Background(), all[0], None{}); err == nil {
		t.Error("it settles")
	}
	sockets, _ := filepath.Glob(filepath.Join(dir, "*.sock"))
	if info, err := os.Stat(sockets[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode: %v, %v", info, err)
	}
}
