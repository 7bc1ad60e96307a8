//go:build !linux

package main

import "time"

var started = time.Now()

// elapsed returns the time since the start of the process, by a clock that cannot be set.
func elapsed() time.Duration { return time.Since(started) }
