package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// PeerNames are the programs of bench/peers that faquan is measured beside.
var PeerNames = []string{"naive", "naive-onetrip", "redis-always", "redis-everysec"}

// peerResult is what is read of a line that a peer prints; bench/peers/README.md describes it.
type peerResult struct {
	Peer      string   `json:"peer"`
	Issues    int64    `json:"issues"`
	PerSecond float64  `json:"issues_per_second"`
	P50Millis float64  `json:"p50_ms"`
	P99Millis float64  `json:"p99_ms"`
	ClientCPU float64  `json:"client_cpu_seconds"`
	ServerCPU *float64 `json:"server_cpu_seconds"`
	Synced    bool     `json:"synced"`
	Correct   bool     `json:"correct"`
	Wrong     []string `json:"wrong"`
	Error     string   `json:"error"`
}

// cpuMicros returns the processor time of an issue, client and server, in µs.
func (r *peerResult) cpuMicros() float64 {
	sum := r.ClientCPU
	if r.ServerCPU != nil {
		sum += *r.ServerCPU
	}
	return sum * 1e6 / float64(max(r.Issues, 1))
}

// peers runs the programs of bench/peers.
type peers struct {
	program string
	args    []string
	remove  func()
}

// openPeers builds the peers in a directory, so that no compiler runs beside a measurement; a file is a program that
// was built before.
func openPeers(ctx context.Context, at string, o *postgresOptions) (*peers, error) {
	p := &peers{program: at, remove: func() {}, args: []string{
		"--callers", strconv.Itoa(max(o.Callers, 2)), "--seconds", strconv.FormatFloat(o.PeerSeconds, 'f', -1, 64),
		"--templates", strconv.Itoa(o.Templates), "--users", strconv.FormatInt(o.Users, 10),
	}}
	info, err := os.Stat(at)
	if err != nil || !info.IsDir() {
		return p, err
	}
	dir, err := os.MkdirTemp("", "faquan-bench-peers-")
	if err != nil {
		return nil, err
	}
	p.program, p.remove = filepath.Join(dir, "peers"), func() { _ = os.RemoveAll(dir) }
	if err := goBuild(ctx, at, p.program, "."); err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

// measure runs one peer on a private server of its own. A peer that failed or was wrong is an error.
func (p *peers) measure(ctx context.Context, name string) (r peerResult, err error) {
	cmd := exec.CommandContext(ctx, p.program, append([]string{"--peers", name}, p.args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes its server away
	cmd.WaitDelay = 20 * time.Second
	var said, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaints
	failed := cmd.Run()
	err = json.NewDecoder(&said).Decode(&r)
	switch {
	case err != nil && failed != nil:
		return r, fmt.Errorf("%s: %w: %s", name, failed, bytes.TrimSpace(complaints.Bytes()))
	case err != nil:
		return r, fmt.Errorf("%s: its output cannot be read: %w", name, err)
	case r.Error != "":
		return r, fmt.Errorf("%s: %s", name, r.Error)
	case !r.Correct: //guard:TestPeersAreBelieved
		return r, fmt.Errorf("%s is wrong: %v", name, r.Wrong)
	case failed != nil: //guard:TestPeersAreBelieved
		return r, fmt.Errorf("%s: %w: %s", name, failed, bytes.TrimSpace(complaints.Bytes()))
	}
	return r, nil
}
