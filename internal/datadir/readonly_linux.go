package datadir

import "syscall"

const statReadOnly = 1 // ST_RDONLY

// readOnly reports whether a directory is on a file system that is mounted read-only.
func readOnly(dir string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(dir, &s) == nil && s.Flags&statReadOnly != 0
}
