package main

import (
	"fmt"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"faquan/internal/config"
	"faquan/internal/gateway"
)

const (
	minRequestMemory = 64 << 20
	maxRequestMemory = 1 << 30
	minFiles         = 4096 // a warning is logged when the hard limit is lower
	ownFiles         = 64   // descriptors that the process needs in addition to its connections
)

// serverLimits returns the bounds of connections and their memory, which hold for slow and greedy callers too. Without
// settings, they follow from the memory, in bytes, and from the limit of file descriptors.
func serverLimits(r config.Request, memory int64, files uint64) (l gateway.ServerLimits, err error) {
	total := int64(r.Memory)
	if total == 0 {
		total = min(max(memory/4, minRequestMemory), maxRequestMemory)
	}
	l.Connections = r.Connections
	if l.Connections == 0 {
		l.Connections = int(min(uint64(total/2/gateway.ConnMemory), files/4*3))
	}
	if uint64(l.Connections)+ownFiles > files {
		return l, fmt.Errorf("request.connections: %d connections need a higher limit of file descriptors than %d (ulimit -n, LimitNOFILE=)",
			l.Connections, files)
	}
	l.Memory = total - int64(l.Connections)*gateway.ConnMemory
	if need := int64(r.Bytes+gateway.MaxHeaderBytes) * gateway.ByteMemory; l.Memory < need {
		return l, fmt.Errorf("request.memory: %d bytes are too few: %d connections take %d bytes each, and a request of request.bytes takes %d",
			total, l.Connections, gateway.ConnMemory, need)
	}
	l.HeaderBytes = r.Bytes + gateway.MaxHeaderBytes //guard:TestLongQueries
	l.BodyRate = r.Rate
	l.Write = 15*time.Second + r.Timeout // a connection stays open while its call may wait, plus the time for reading and writing
	return l, nil
}

// fileLimit returns the limit of file descriptors. The Go runtime has raised it at the start, to one below the hard limit.
func fileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return uint64(limit.Cur)
}

// memoryLimit returns how much memory the process may use, in bytes: the minimum of GOMEMLIMIT, the limits of its control
// groups, and the machine's memory. If none is known it is 1 GiB.
func memoryLimit() int64 {
	lowest := min(debug.SetMemoryLimit(-1), machineMemory(), groupMemory())
	if lowest == math.MaxInt64 {
		return 1 << 30
	}
	return lowest
}

// machineMemory returns the machine's memory, as Linux reports it.
func machineMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			return min(number(f[1]), math.MaxInt64>>10) << 10
		}
	}
	return math.MaxInt64
}

// groupMemory returns the minimum limit of the process's control groups, of version 2 and of version 1.
func groupMemory() int64 {
	lowest := int64(math.MaxInt64)
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		root, file := "/sys/fs/cgroup", "memory.max"
		switch controllers {
		case "":
		case "memory":
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for at := path.Clean("/" + group); ; at = path.Dir(at) {
			if limit, err := os.ReadFile(path.Join(root, at, file)); err == nil {
				lowest = min(lowest, number(strings.TrimSpace(string(limit))))
			}
			if at == "/" {
				break
			}
		}
	}
	return lowest
}

// number parses a limit; "max", which is no limit, is the largest number.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}

// relaxGC lets the heap of a process that issues on a database grow to five times the live heap. The live heap is small,
// because the rows are in the database, and collecting at twice its size, Go's default, took a fifth of the CPU. GOGC
// overrides it.
func relaxGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
