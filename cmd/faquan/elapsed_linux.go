package main

import (
	"syscall"
	"time"
	"unsafe"
)

const clockBoottime = 7 // CLOCK_BOOTTIME

// elapsed returns the time since the system's start, by a clock that cannot be set. It includes the time in which the
// system was suspended, unlike the monotonic clock of package time.
func elapsed() time.Duration {
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		panic(errno) // every kernel since 2.6.39 has it
	}
	return time.Duration(t.Nano())
}
