//go:build unix && !linux

package vfs

import (
	"os"
	"syscall"
)

// syncData falls back to a full sync of a duplicate descriptor: os.File.Sync
// knows each system's own way (on macOS it is F_FULLFSYNC).
func syncData(fd int) error {
	dup, err := syscall.Dup(fd)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(dup), "")
	defer f.Close()
	return f.Sync()
}

func allocate(int, int64) error { return nil }
