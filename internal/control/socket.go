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

	"faquan/internal/datadir"
)

// SocketName is the name of the socket in a data directory.
const SocketName = "faquan.sock"

// ErrNotServed is returned by Dial when no process serves the directory: there is no socket, or a process that has
// ended left it behind.
var ErrNotServed = errors.New("no process serves the data directory")

// maxSocketPath is the maximum length of a socket's path: the limit of the system call on Linux, with a margin.
const maxSocketPath = 100

// Listen makes the socket of a data directory. The caller must hold the lock of the directory: a socket that exists was
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
	l.SetUnlinkOnClose(false) // it only knows the first name
	made, path := filepath.Join(private, name), filepath.Join(dir, name)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return &socket{l, path, os.Geteuid()}, nil
}

// socket only accepts connections of its own user and of root, and removes its name when it is closed.
type socket struct {
	*net.UnixListener
	path string
	self int // the user that this process runs as
}

// Accept closes connections of other users and waits for the next one.
func (s *socket) Accept() (net.Conn, error) {
	for {
		conn, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		//guard:TestPeerOfServer without datadir.Trusted(uid, s.self)
		if uid, err := peer(conn); err == nil && datadir.Trusted(uid, s.self) {
			return conn, nil
		}
		conn.Close()
	}
}

func (s *socket) Close() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, s.UnixListener.Close())
	}
	return s.UnixListener.Close()
}

// ErrUntrusted is returned when a socket, or the process behind it, may belong to another user. Nothing was sent to it.
var ErrUntrusted = errors.New("the control socket is not trusted")

// connect opens a connection to a socket in a data directory, which must belong to this user or to root. Root also
// connects to the socket of the directory's owner.
func connect(dir, name string) (net.Conn, error) {
	return connectAs(dir, name, os.Geteuid())
}

func connectAs(dir, name string, self int) (net.Conn, error) {
	address, release, err := shorten(dir, name)
	if err != nil {
		return nil, err
	}
	defer release()
	path := filepath.Join(address, name)
	trusted, err := trustedAt(address, self)
	if err == nil {
		err = checkSocket(path, trusted)
	}
	var conn *net.UnixConn
	if err == nil {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: path})
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrNotServed, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("control socket: %w; run the command as the user that owns the data directory", err)
	case err != nil:
		return nil, err
	}
	// The file may have been replaced since.
	if uid, err := peer(conn); err != nil || !trusted(uid) { //guard:TestPeerOfClient without !trusted(uid)
		conn.Close()
		return nil, errors.Join(fmt.Errorf("%w: the process behind %s runs as user %d", ErrUntrusted, filepath.Join(dir, name), uid), err)
	}
	return conn, nil
}

// trustedAt returns a function that reports whether self trusts the processes of a user in a directory.
func trustedAt(dir string, self int) (func(uid int) bool, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	owner := datadir.Owner(info)
	return func(uid int) bool { return datadir.Trusted(uid, self) || self == 0 && uid == owner }, nil
}

func checkSocket(path string, trusted func(uid int) bool) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: %s is not a socket", ErrUntrusted, path)
	case !trusted(datadir.Owner(info)): //guard:TestOwnerOfSocket
		return fmt.Errorf("%w: %s belongs to user %d", ErrUntrusted, path, datadir.Owner(info))
	case info.Mode().Perm()&0o022 != 0: // who may write may connect
		return fmt.Errorf("%w: %s has mode %#o: other users can connect", ErrUntrusted, path, info.Mode().Perm())
	}
	return nil
}

// shorten returns a name of the directory that is short enough for the address of a socket in it: on Linux every open
// directory has one.
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
