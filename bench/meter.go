package main

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// histogram counts durations in buckets that are about one sixteenth wide. It is safe for concurrent use.
type histogram struct {
	buckets [64 * 16]atomic.Int64
}

// Add counts one duration.
func (h *histogram) Add(d time.Duration) { h.buckets[bucketOf(uint64(max(d, 1)))].Add(1) }

// counts returns the buckets that have any.
func (h *histogram) counts() map[int]int64 {
	all := map[int]int64{}
	for k := range h.buckets {
		if n := h.buckets[k].Load(); n > 0 {
			all[k] = n
		}
	}
	return all
}

// merge adds the counts of another histogram.
func (h *histogram) merge(counts map[int]int64) {
	for k, n := range counts {
		if k >= 0 && k < len(h.buckets) {
			h.buckets[k].Add(n)
		}
	}
}

func bucketOf(n uint64) int {
	exp := 63 - bits.LeadingZeros64(n)
	if exp < 4 {
		return int(n)
	}
	return (exp-3)*16 + int(n>>(exp-4))&15
}

// upper returns the largest duration of a bucket.
func upper(bucket int) time.Duration {
	if bucket < 16 {
		return time.Duration(bucket)
	}
	exp := bucket/16 + 3
	return time.Duration(1<<exp + (bucket%16+1)<<(exp-4) - 1)
}

// Quantile returns the duration that a share q of all stays within; 0 when there are none.
func (h *histogram) Quantile(q float64) time.Duration {
	var total int64
	for k := range h.buckets {
		total += h.buckets[k].Load()
	}
	rank := int64(math.Ceil(q * float64(total)))
	for k := range h.buckets {
		if rank -= h.buckets[k].Load(); rank <= 0 && total > 0 {
			return upper(k)
		}
	}
	return 0
}

// meter reads what has been used so far.
type meter struct {
	device string
	others []int // processes that are measured beside this one
}

// newMeter measures this process, others, and the disk that holds dir. The system's count for a process is of no use here: with large pages
// in the cache it counts a whole page for each byte that is changed. So all that the device writes is counted, and
// the machine should do nothing else.
func newMeter(dir string, others ...int) meter {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return meter{others: others}
	}
	return meter{fmt.Sprintf("/sys/dev/block/%d:%d/stat", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00), others}
}

// usage is what has been used so far.
type usage struct {
	at      time.Time
	cpu     time.Duration
	written int64 // bytes that the disk has written; 0 when the system does not say
}

func (m meter) read() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // it fails for a bad address only
	}
	cpu := time.Duration(r.Utime.Nano()+r.Stime.Nano()) + processorTime(m.others)
	return usage{time.Now(), cpu, m.written()}
}

// sectorsWritten is the place of that count in a block device's statistics; a sector has 512 bytes there.
const sectorsWritten = 6

func (m meter) written() int64 {
	data, err := os.ReadFile(m.device)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) <= sectorsWritten {
		return 0
	}
	n, _ := strconv.ParseInt(fields[sectorsWritten], 10, 64)
	return n * 512
}

// tick is the unit of processor time in /proc; it is 1/100 s wherever Go runs on Linux.
const tick = 10 * time.Millisecond

// processorTime sums the time of processes and of their children that have ended.
func processorTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue // it has ended: its parent has its time
		}
		_, rest, _ := strings.Cut(string(line), ") ") // the command before it may hold blanks
		fields := strings.Fields(rest)
		for k := 14; k <= 17 && k-3 < len(fields); k++ { // as proc(5) counts them; the first of the rest is 3
			n, _ := strconv.ParseInt(fields[k-3], 10, 64)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// Figures are what one stretch of work came to.
type Figures struct {
	Issues     int64
	Seconds    float64
	PerSecond  float64
	CPUMicros  float64 // µs of CPU per issue, the callers' included
	WriteBytes float64 // bytes written to the disk per issue
	P50Millis  float64
	P99Millis  float64
	P999Millis float64
}

func figures(from, to usage, issues int64, latency *histogram) Figures {
	n, wall := float64(max(issues, 1)), to.at.Sub(from.at).Seconds()
	f := Figures{
		Issues: issues, Seconds: wall, PerSecond: float64(issues) / wall,
		CPUMicros: float64((to.cpu - from.cpu).Microseconds()) / n, WriteBytes: float64(to.written-from.written) / n,
	}
	for q, into := range map[float64]*float64{0.5: &f.P50Millis, 0.99: &f.P99Millis, 0.999: &f.P999Millis} {
		*into = float64(latency.Quantile(q).Microseconds()) / 1000
	}
	return f
}

// String returns the figures on one line.
func (f Figures) String() string {
	return fmt.Sprintf("%8.0f issues/s  %6.1f µs CPU  %6s B written  p50 %6.2f  p99 %6.2f  p99.9 %6.2f ms",
		f.PerSecond, f.CPUMicros, known(f.WriteBytes), f.P50Millis, f.P99Millis, f.P999Millis)
}

// known returns a figure without decimals, or a dash when it could not be seen.
func known(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", v)
}

// tenths is known with one decimal.
func tenths(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}
