// Package pgserver runs a private PostgreSQL server: for the tests, by package pgtest, and for benchmarks.
//
// [Open] makes one: a fresh data directory, a random port on 127.0.0.1, no password. [Server.Kill] is a crash: kill -9 of
// all its processes; [Server.Start] brings it back on the same port with what was synced. The programs come from PATH or
// from where Debian puts them. A server and its directory go away with [Server.Close], and with the process that opened
// it however that ends; see package sandbox.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/sandbox"
)

// startTimeout is the timeout for starting and stopping a server. It is long, because a busy machine is slow.
const startTimeout = 90 * time.Second

// Option changes a server before it starts.
type Option func(*Server)

// With sets a parameter of the server, as postgresql.conf would.
func With(name, value string) Option {
	return func(s *Server) { s.settings = append(s.settings, name+"="+value) }
}

// Server is a PostgreSQL server on 127.0.0.1. Kill, Start and Close are for one goroutine at a time; the rest
// is for any.
type Server struct {
	box      *sandbox.Box
	bin      string
	data     string
	port     int
	settings []string

	mu    sync.Mutex
	pid   int           // of the postmaster; the last one when it is down
	ended chan struct{} // closed when the postmaster is gone
}

// Open creates a server and starts it. The caller closes it.
func Open(options ...Option) (*Server, error) {
	bin, err := sandbox.Postgres()
	if err != nil {
		return nil, err
	}
	box, err := sandbox.New("pg")
	if err != nil {
		return nil, err
	}
	s := &Server{box: box, bin: bin, data: filepath.Join(box.Dir(), "data")}
	for _, option := range options {
		option(s)
	}
	if err := s.create(); err != nil {
		return nil, errors.Join(err, box.Close())
	}
	return s, nil
}

// create makes the data directory and starts the server on a port that is free.
func (s *Server) create() error {
	// The package of a new machine has made no locale; C.UTF-8 is always there.
	if err := s.box.Run(filepath.Join(s.bin, "initdb"), "--pgdata", s.data, "--username=postgres",
		"--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync", "--no-instructions"); err != nil {
		return err
	}
	var err error
	for range 5 {
		if s.port, err = sandbox.Port(); err != nil {
			return err
		}
		if err = s.start(); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

var errEnded = errors.New("PostgreSQL has ended at its start")

// start runs the postmaster and waits until it takes connections.
func (s *Server) start() error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.box.Command(filepath.Join(s.bin, "postgres"), s.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(ended)
	}()
	s.mu.Lock()
	s.pid, s.ended = cmd.Process.Pid, ended
	s.mu.Unlock()
	return s.ready(ended)
}

// arguments keep a server light, because each package under test may have one at the same time.
func (s *Server) arguments() []string {
	settings := append([]string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=",
		"shared_buffers=48MB", "max_connections=100", "max_wal_size=512MB", "timezone=UTC", "log_timezone=UTC",
		"dynamic_shared_memory_type=mmap", // files in the data directory: they go away with it, also after a crash
		"log_line_prefix=%m [%p] %d ",
	}, s.settings...)
	args := []string{"-D", s.data}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (s *Server) ready(ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ended:
			return fmt.Errorf("%w:\n%s", errEnded, s.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL takes no connection: %w\n%s", err, s.LogTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL returns the connection string of a database of this server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// Port returns the TCP port; it stays the same when the server starts again.
func (s *Server) Port() int { return s.port }

// Dir returns the data directory.
func (s *Server) Dir() string { return s.data }

// PID returns the process id of the postmaster.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Exec runs a statement as the superuser in the database "postgres".
func (s *Server) Exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// Processes returns the ids of all its processes.
func (s *Server) Processes() []int { return s.box.Processes(s.data) }

// Running reports whether the postmaster runs.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ended:
		return false
	default:
		return s.ended != nil
	}
}

// Kill is a crash: SIGKILL to the postmaster and to everything that it has started, at one moment. The postmaster is
// stopped first, so that it neither replaces what dies nor notices it. It returns when all of it is gone.
func (s *Server) Kill() error {
	if !s.Running() {
		return nil
	}
	_ = s.signal(syscall.SIGSTOP)
	err := s.box.Kill(s.data)
	_ = s.signal(syscall.SIGKILL) // where processes cannot be found the children notice the end of the postmaster
	return errors.Join(err, s.wait())
}

// Start starts a server that was killed, on its port and its data, and waits until it takes connections.
func (s *Server) Start() error {
	if s.Running() {
		return errors.New("the server runs")
	}
	return s.start()
}

// Close ends the server, however it is, and removes its directory.
func (s *Server) Close() error {
	return errors.Join(s.Kill(), s.box.Close())
}

func (s *Server) signal(sig syscall.Signal) error { return syscall.Kill(s.PID(), sig) }

func (s *Server) wait() error {
	select {
	case <-s.ended:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("PostgreSQL (process %d) does not end", s.PID())
	}
}

func (s *Server) logFile() string { return filepath.Join(s.box.Dir(), "log") }

// LogTail returns the end of the server's log.
func (s *Server) LogTail() []byte {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	if skip := len(log) - 4000; skip > 0 {
		log = log[skip:]
	}
	return bytes.TrimSpace(log)
}
