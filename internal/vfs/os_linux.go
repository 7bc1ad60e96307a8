package vfs

import (
	"errors"
	"syscall"
)

// syncData leaves out the metadata that reading the data does not need (times),
// which on an overwritten file saves the file system's own journal a commit.
func syncData(fd int) error {
	return retryInterrupted(func() error { return syscall.Fdatasync(fd) })
}

func allocate(fd int, size int64) error {
	err := retryInterrupted(func() error { return syscall.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}
