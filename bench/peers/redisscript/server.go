package redisscript

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"faquan/internal/sandbox"
)

// Sync is when Redis syncs its append-only file: the values of its appendfsync.
type Sync string

// The two that are measured.
const (
	Always   Sync = "always"   // before the answers to what it has read in one turn of its loop
	EverySec Sync = "everysec" // once in a second
)

// Server is a redis-server of our own on 127.0.0.1, with its file in a directory of its own.
type Server struct {
	box     *sandbox.Box
	cmd     *exec.Cmd
	address string
}

// patience is how long a server may take to start; a busy machine is slow.
const patience = 30 * time.Second

// StartServer starts the program with an append-only file. All other settings are Redis's defaults, but that there
// are no snapshots beside that file.
func StartServer(program string, sync Sync) (*Server, error) {
	program, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install -y --no-install-recommends redis-server, or name it with --redis-server", err)
	}
	box, err := sandbox.New("redis")
	if err != nil {
		return nil, err
	}
	s := &Server{box: box}
	for range 5 {
		if err = s.start(program, sync); !errors.Is(err, errEnded) {
			break // else somebody else took the port
		}
	}
	if err != nil {
		return nil, errors.Join(err, box.Close())
	}
	return s, nil
}

var errEnded = errors.New("redis-server has ended at its start")

func (s *Server) start(program string, sync Sync) error {
	port, err := sandbox.Port()
	if err != nil {
		return err
	}
	log := filepath.Join(s.box.Dir(), "log")
	s.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.cmd = s.box.Command(program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", s.box.Dir(),
		"--save", "", "--appendonly", "yes", "--appendfsync", string(sync), "--daemonize", "no", "--logfile", log)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // how it ended stands in its log
		close(ended)
	}()
	client := redis.NewClient(&redis.Options{Addr: s.address, MaxRetries: -1})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for client.Ping(ctx).Err() != nil {
		select {
		case <-ended:
			said, _ := os.ReadFile(log)
			return fmt.Errorf("%w:\n%s", errEnded, said)
		case <-ctx.Done():
			return errors.New("redis-server takes no connection")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// PID returns the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Close ends the server and removes its directory.
func (s *Server) Close() error { return s.box.Close() }
