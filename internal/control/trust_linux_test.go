package control

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"faquan/internal/datadir"
)

const nobody = 65534

// asNobody calls fn in a thread of another user, which only root can make.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), nobody, ^uintptr(0))
		if errno == 0 {
			fn()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		t.Fatal(errno)
	}
}

// dirForAll returns a directory that other users can write to.
func dirForAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "faquan-trust-")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A server answers its own user and root alone.
func TestPeerOfServer(t *testing.T) {
	for _, stranger := range []bool{true, false} {
		dir := dirForAll(t)
		l, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dial := func() (net.Conn, error) { return net.Dial("unix", filepath.Join(dir, SocketName)) }
		switch {
		case stranger && os.Geteuid() == 0:
			if err := os.Chmod(filepath.Join(dir, SocketName), 0o666); err != nil {
				t.Fatal(err)
			}
			asRoot := dial
			dial = func() (conn net.Conn, err error) {
				asNobody(t, func() { conn, err = asRoot() })
				return conn, err
			}
		case stranger:
			l.(*socket).self++ // so that this user is another one
		}
		go func() {
			if conn, err := l.Accept(); err == nil {
				io.WriteString(conn, "secret")
				conn.Close()
			}
		}()
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		got, _ := io.ReadAll(conn)
		if stranger && len(got) > 0 {
			t.Fatalf("another user was answered %q", got)
		}
		if !stranger && string(got) != "secret" {
			t.Fatalf("the server's own user was answered %q", got)
		}
	}
}

// A client sends nothing to a socket that is another user's, or that others can connect to.
func TestOwnerOfSocket(t *testing.T) {
	dir := dirForAll(t)
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path, self := filepath.Join(dir, SocketName), os.Geteuid()
	want := func(what string, self int, want error) {
		t.Helper()
		conn, err := connectAs(dir, SocketName, self)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if err == nil {
			conn.Close()
		}
	}
	want("its own", self, nil)
	chmod := func(mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod(0o660)
	want("one that a group can connect to", self, ErrUntrusted)
	chmod(0o600)
	if self != 0 {
		want("one of another user", self+1, ErrUntrusted)
		want("root, to the server of the directory's owner", 0, nil)
		return
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	want("one of another user", 0, ErrUntrusted)
}

// A process of another user behind a socket that looks right hears nothing.
func TestPeerOfClient(t *testing.T) {
	self := os.Geteuid()
	dir := dirForAll(t)
	path := filepath.Join(dir, SocketName)
	var l *net.UnixListener
	listen := func() {
		var err error
		if l, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path}); err != nil {
			t.Error(err)
		}
	}
	if self == 0 {
		asNobody(t, listen)
	} else {
		listen()
	}
	if t.Failed() {
		return
	}
	defer l.Close()
	if err := errors.Join(os.Chown(path, self, -1), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	want := ErrUntrusted
	if self != 0 {
		want = nil // only root can make such a socket
	}
	conn, err := connect(dir, SocketName)
	if !errors.Is(err, want) {
		t.Fatalf("connect: %v, want %v", err, want)
	}
	if err == nil {
		conn.Close()
	}
	if self == 0 { // root talks to the server of the directory's owner
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if conn, err = connect(dir, SocketName); err != nil {
			t.Fatalf("root, to the server of the directory's owner: %v", err)
		}
		conn.Close()
	}
}

func TestTrusted(t *testing.T) {
	for _, test := range []struct {
		uid, self int
		want      bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {0, 0, true}} {
		if got := datadir.Trusted(test.uid, test.self); got != test.want {
			t.Errorf("Trusted(%d, %d) is %t", test.uid, test.self, got)
		}
	}
}
