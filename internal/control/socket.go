package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// SocketName is the name of the socket in a data directory.
const SocketName = "faquan.sock"

// ErrNotServed is wrapped by Dial when no process serves the directory: there is no socket, or it was left behind
// by one that is gone.
var ErrNotServed = errors.New("no process serves the data directory")

// maxSocketPath is how long the path of a socket may be for the system call, on Linux and with room to spare.
const maxSocketPath = 100

// Listen makes the socket of a data directory, which the caller must hold: a socket that is there already was
// left behind and is replaced. The socket has mode 0600 from the moment it has its name.
func Listen(dir string) (net.Listener, error) { return listen(dir, SocketName) }

func listen(dir, name string) (net.Listener, error) {
	private, err := os.MkdirTemp(dir, ".socket-")
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer os.RemoveAll(private)
	address, release, err := shorten(private, name)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(address, name)})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // it knows the first name only
	made, path := filepath.Join(private, name), filepath.Join(dir, name)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return &socket{l, path}, nil
}

// socket removes its name when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

func (s *socket) Close() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, s.UnixListener.Close())
	}
	return s.UnixListener.Close()
}

// connect opens a connection to a socket in a data directory.
func connect(dir, name string) (net.Conn, error) {
	address, release, err := shorten(dir, name)
	if err != nil {
		return nil, err
	}
	defer release()
	conn, err := net.Dial("unix", filepath.Join(address, name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: %w", ErrNotServed, err)
	}
	return conn, err
}

// shorten gives a name of the directory that is short enough for the address of a socket in it: on Linux any directory
// has one while it is open.
func shorten(dir, socket string) (name string, release func(), err error) {
	if len(dir)+1+len(socket) <= maxSocketPath {
		return dir, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("control socket: the path of the data directory is longer than %d bytes", maxSocketPath)
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fmt.Errorf("control socket: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), func() { f.Close() }, nil
}
