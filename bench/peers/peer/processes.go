package peer

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of processor time in /proc; it is 1/100 s wherever Go runs on Linux.
const tick = 10 * time.Millisecond

// stat is a line of /proc/PID/stat.
type stat struct {
	command string
	parent  int
	own     time.Duration
	ended   time.Duration // of its children that have ended
}

func readStat(pid int) (s stat, ok bool) {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')') // the command may hold either
	if err != nil || open < 0 || end < open {
		return stat{}, false
	}
	fields := bytes.Fields(line[end+1:]) // the first is the state, field 3 of proc(5)
	if len(fields) < 15 {
		return stat{}, false
	}
	field := func(k int) int { n, _ := strconv.Atoi(string(fields[k-3])); return n }
	return stat{
		command: string(line[open+1 : end]), parent: field(4),
		own: time.Duration(field(14)+field(15)) * tick, ended: time.Duration(field(16)+field(17)) * tick,
	}, true
}

// Parent returns the parent of a process of this machine, when that runs the same program; else 0.
func Parent(pid int, command string) int {
	child, ok := readStat(pid)
	if !ok || child.command != command {
		return 0
	}
	if p, ok := readStat(child.parent); !ok || p.command != command {
		return 0
	}
	return child.parent
}

// CPU returns the processor time of a process and of its children, those that have ended included; false when there is
// no such process or no /proc.
func CPU(pid int) (time.Duration, bool) {
	s, ok := readStat(pid)
	if !ok {
		return 0, false
	}
	sum := s.own + s.ended
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		child, _ := strconv.Atoi(filepath.Base(dir))
		if c, ok := readStat(child); ok && c.parent == pid {
			sum += c.own + c.ended
		}
	}
	return sum, true
}
