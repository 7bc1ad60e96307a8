package datadir

import "syscall"

const statReadOnly = 1 // ST_RDONLY

// Free returns how many bytes the file system of a directory has left for its user.
func Free(dir string) (uint64, error) {
	var s syscall.Statfs_t
	err := syscall.Statfs(dir, &s)
	return s.Bavail * uint64(s.Bsize), err
}

// readOnly reports whether a directory is on a file system that is mounted read-only.
func readOnly(dir string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(dir, &s) == nil && s.Flags&statReadOnly != 0
}
