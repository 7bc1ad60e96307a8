package main

import (
	"os"
	"runtime/debug"
)

// relaxGC lets the heap of a process that issues on a database grow to five times of what is alive: that is little, as
// the rows are elsewhere, and collecting at twice of it, Go's default, took a fifth of the CPU. GOGC wins.
func relaxGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
