// Package ha gives a test a PostgreSQL that survives the loss of its primary: two nodes with synchronous replication and
// the monitor of pg_auto_failover, all on 127.0.0.1 and random ports.
//
//	pair := ha.Start(t)
//	url := pair.Database(t)     // names both nodes; a client finds the one that takes writes
//	pair.KillPrimary(t)         // kill -9 of the primary and of its keeper
//	pair.WaitForNewPrimary(t)
//
// A commit is acknowledged when both nodes have it, so none may be missing on the new primary. Alone, that one takes
// commits without waiting for anybody: this is how pg_auto_failover keeps the service available. [Pair.Revive] brings
// the other node back.
//
// The monitor is tuned to notice the end of a primary within a second or two, as a kill shows on loopback by refused
// connections; against a node that is just slow it is patient for longer, because the machine that runs the tests may be
// busy. For what each setting means see "Configuring pg_auto_failover" in its documentation.
package ha

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/sandbox"
)

// nodeTimeout is the timeout for a step of the pair, long enough for a busy machine.
const nodeTimeout = 2 * time.Minute

// monitorSettings decide how fast a failover is; times are in milliseconds.
const monitorSettings = `
# Each node is asked every half second. A refused connection counts at once, one that hangs after two seconds.
pgautofailover.health_check_period = 500
pgautofailover.health_check_timeout = 2000
pgautofailover.health_check_max_retries = 2
pgautofailover.health_check_retry_delay = 250
# A node whose keeper has said nothing for so long is unhealthy when it does not answer either.
pgautofailover.node_considered_unhealthy_timeout = 3000
# A primary that may still live gets this long to stop before the other is promoted.
pgautofailover.primary_demote_timeout = 1000
pgautofailover.startup_grace_period = 1000
# What only the monitor knows needs no sync.
fsync = off
`

// serverSettings are for the monitor and for the nodes. They stand at the end of postgresql.conf, where they win over those
// that pg_auto_failover finds fit for the whole machine.
const serverSettings = `
shared_buffers = 48MB
dynamic_shared_memory_type = mmap
max_wal_size = 512MB
timezone = 'UTC'
# The copy for the standby begins with a checkpoint; it is not to be spread over minutes.
checkpoint_completion_target = 0
`

// Pair is a primary, a standby and their monitor. Its methods are for one goroutine at a time, URL is for any.
type Pair struct {
	box     *sandbox.Box
	autoctl string
	pgCtl   string
	monitor *node
	nodes   [2]*node
	primary *node // the last that was known
}

// node is one server and the keeper that runs it.
type node struct {
	name string
	dir  string // keeper and server work inside it
	port int
	url  string // of the node alone
}

// Start makes a pair and waits until the standby is synchronous. The pair goes away with the test, and when the test
// process is killed, too.
func Start(tb testing.TB) *Pair {
	tb.Helper()
	p, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(p.logs())
		}
		if err := p.Close(); err != nil {
			tb.Errorf("closing the pair: %v", err)
		}
	})
	return p
}

// Open is Start for a program that is not a test. The caller closes the pair.
func Open() (*Pair, error) {
	autoctl, err := sandbox.Program("pg_autoctl", "pg-auto-failover-cli")
	if err != nil {
		return nil, err
	}
	bin, err := sandbox.Postgres()
	if err != nil {
		return nil, err
	}
	box, err := sandbox.New("ha")
	if err != nil {
		return nil, err
	}
	p := &Pair{box: box, autoctl: autoctl, pgCtl: filepath.Join(bin, "pg_ctl")}
	if err := p.create(); err != nil {
		return nil, errors.Join(err, errors.New(p.logs()), box.Close())
	}
	return p, nil
}

// Close ends everything.
func (p *Pair) Close() error { return p.box.Close() }

func (p *Pair) create() error {
	if err := p.createMonitor(); err != nil {
		return err
	}
	for i := range p.nodes {
		if err := p.createNode(i); err != nil {
			return err
		}
	}
	p.primary = p.nodes[0]
	return p.await("the standby is synchronous", p.inSync)
}

func (p *Pair) createMonitor() error {
	var err error
	if p.monitor, err = p.newNode("monitor", "autoctl_node", "pg_auto_failover"); err != nil {
		return err
	}
	// There is no flag for the address, but a configuration that is already there is kept.
	if err := p.monitorConfig(); err != nil {
		return err
	}
	if err := p.run(p.monitor, "create", "monitor", "--pgport", strconv.Itoa(p.monitor.port)); err != nil {
		return err
	}
	if err := p.monitor.configure(serverSettings + monitorSettings); err != nil {
		return err
	}
	if err := p.keep(p.monitor); err != nil {
		return err
	}
	return p.await("the monitor answers", func(ctx context.Context) error {
		_, err := p.states(ctx)
		return err
	})
}

// monitorConfig reports that the monitor listens on loopback only.
func (p *Pair) monitorConfig() error {
	config := fmt.Sprintf(`[pg_autoctl]
role = monitor
hostname = 127.0.0.1

[postgresql]
pgdata = %s
pg_ctl = %s
username = autoctl_node
dbname = pg_auto_failover
port = %d
listen_addresses = 127.0.0.1
auth_method = trust

[ssl]
sslmode = disable
active = 0
`, p.monitor.data(), p.pgCtl, p.monitor.port)
	return p.box.WriteFile(filepath.Join(".config/pg_autoctl", p.monitor.data(), "pg_autoctl.cfg"), []byte(config))
}

func (p *Pair) createNode(i int) error {
	n, err := p.newNode("node"+strconv.Itoa(i+1), "postgres", "postgres")
	if err != nil {
		return err
	}
	p.nodes[i] = n
	if err := p.run(n, "create", "postgres", "--name", n.name, "--pgport", strconv.Itoa(n.port), "--listen", "127.0.0.1",
		"--username", "postgres", "--monitor", p.monitor.url); err != nil {
		return err
	}
	if i == 0 { // the other one is a copy
		if err := n.configure(serverSettings); err != nil {
			return err
		}
	}
	if err := p.keep(n); err != nil {
		return err
	}
	return p.await(n.name+" runs", n.ping)
}

func (p *Pair) newNode(name, user, database string) (*node, error) {
	dir, err := p.box.Mkdir(name)
	if err != nil {
		return nil, err
	}
	port, err := sandbox.Port()
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, port, database)
	return &node{name: name, dir: dir, port: port, url: url}, nil
}

// command prepares a pg_autoctl for a node. Its files and sockets stay inside the box.
func (p *Pair) command(n *node, verb string, args ...string) *exec.Cmd {
	args = append(append(strings.Fields(verb), "--pgdata", n.data()), args...)
	cmd := p.box.Command(p.autoctl, args...)
	cmd.Dir = n.dir
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(p.pgCtl)+":"+os.Getenv("PATH"),
		"XDG_RUNTIME_DIR="+p.box.Dir(), "PG_REGRESS_SOCK_DIR="+p.box.Dir(), "PGHOST="+p.box.Dir())
	return cmd
}

// run runs a "pg_autoctl create …" to its end.
func (p *Pair) run(n *node, verb, what string, args ...string) error {
	args = append(args, "--pgctl", p.pgCtl, "--hostname", "127.0.0.1", "--auth", "trust", "--no-ssl")
	return p.logged(n, p.command(n, verb+" "+what, args...), (*exec.Cmd).Run)
}

// keep starts the keeper of a node, which starts its server. It is collected when it ends.
func (p *Pair) keep(n *node) error {
	return p.logged(n, p.command(n, "run"), func(cmd *exec.Cmd) error {
		if err := cmd.Start(); err != nil {
			return err
		}
		go cmd.Wait()
		return nil
	})
}

func (p *Pair) logged(n *node, cmd *exec.Cmd, start func(*exec.Cmd) error) error {
	log, err := os.OpenFile(p.logFile(n), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := start(cmd); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

func (n *node) data() string { return filepath.Join(n.dir, "data") }

func (n *node) configure(settings string) error {
	f, err := os.OpenFile(filepath.Join(n.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	return errors.Join(err, f.Close())
}

func (n *node) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, n.url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (p *Pair) logFile(n *node) string { return filepath.Join(p.box.Dir(), n.name+".log") }

// logs returns what the monitor knows, and the ends of what the keepers have said.
func (p *Pair) logs() string {
	var all strings.Builder
	fmt.Fprintln(&all, p.view())
	for _, n := range append([]*node{p.monitor}, p.nodes[:]...) {
		if n == nil {
			continue
		}
		log, _ := os.ReadFile(p.logFile(n))
		fmt.Fprintf(&all, "--- %s\n%s\n", n.name, log[max(0, len(log)-4000):])
	}
	return all.String()
}
