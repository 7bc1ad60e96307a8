package control

import (
	"errors"
	"net"
	"syscall"
)

// peer returns the user that the process at the other end of a connection runs as, or ran as when it connected.
func peer(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *syscall.Ucred
	failed := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(failed, err); err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
