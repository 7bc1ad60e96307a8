package ha

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// URL returns the connection string of a database: it names both nodes, and a client takes the one that takes writes.
func (p *Pair) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable&target_session_attrs=read-write",
		p.nodes[0].port, p.nodes[1].port, database)
}

// Database makes an empty database and returns its connection string. It goes away with the pair.
func (p *Pair) Database(tb testing.TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), nodeTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	name := "t_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	return p.URL(name)
}

// KillPrimary is the loss of a machine: SIGKILL to the primary, its keeper and all their children. It returns when
// they are gone.
func (p *Pair) KillPrimary(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), nodeTimeout)
	defer cancel()
	n, err := p.writable(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	p.primary = n
	if err := p.box.Kill(n.dir); err != nil {
		tb.Fatal(err)
	}
}

// WaitForNewPrimary returns when another node than the one that was killed takes writes.
func (p *Pair) WaitForNewPrimary(tb testing.TB) {
	tb.Helper()
	before := p.primary
	err := p.await("another node takes writes", func(ctx context.Context) error {
		n, err := p.writable(ctx)
		if err == nil && n == before {
			err = errors.New("it is still the old one")
		}
		if err == nil {
			p.primary = n
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Revive starts a node that was killed and waits until it follows the primary and commits wait for it again.
func (p *Pair) Revive(tb testing.TB) {
	tb.Helper()
	for _, n := range p.nodes {
		if len(p.box.Processes(n.dir)) > 0 {
			continue
		}
		if err := p.keep(n); err != nil {
			tb.Fatal(err)
		}
	}
	if err := p.await("the standby is synchronous again", p.inSync); err != nil {
		tb.Fatal(err)
	}
}

// writable returns the node that takes writes.
func (p *Pair) writable(ctx context.Context) (*node, error) {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var port int
	if err := conn.QueryRow(ctx, "SELECT inet_server_port()").Scan(&port); err != nil {
		return nil, err
	}
	for _, n := range p.nodes {
		if n.port == port {
			return n, nil
		}
	}
	return nil, fmt.Errorf("a server on port %d, which is no node", port)
}

// inSync reports whether a commit waits for both nodes: the monitor sees a primary and a secondary, and the primary has
// one synchronous standby that streams.
func (p *Pair) inSync(ctx context.Context) error {
	states, err := p.states(ctx)
	if err != nil {
		return err
	}
	// While it still sees "wait_primary/primary" it would not replace a primary that is lost.
	if len(states) != 2 || !slices.Contains(states, "primary/primary") || !slices.Contains(states, "secondary/secondary") {
		return fmt.Errorf("the monitor sees %v", states)
	}
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var names, commit string
	var standbys int
	err = conn.QueryRow(ctx, `SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit'),
		(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum'))`).
		Scan(&names, &commit, &standbys)
	if err == nil && (names == "" || commit != "on" || standbys != 1) {
		err = fmt.Errorf("synchronous_standby_names %q, synchronous_commit %s, %d synchronous standbys", names, commit, standbys)
	}
	return err
}

// states returns what the monitor sees of each node, and what it wants: "secondary/secondary".
func (p *Pair) states(ctx context.Context) ([]string, error) {
	conn, err := pgx.Connect(ctx, p.monitor.url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT current_group_state::text || '/' || assigned_group_state::text
		FROM pgautofailover.current_state()`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// view returns what the monitor knows of the nodes, to find out why there was no failover.
func (p *Pair) view() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	owner, err := p.box.Account()
	if err != nil || p.monitor == nil {
		return "no monitor"
	}
	conn, err := pgx.Connect(ctx, strings.Replace(p.monitor.url, "autoctl_node@", owner+"@", 1))
	if err != nil {
		return err.Error()
	}
	defer conn.Close(ctx)
	var view string
	err = conn.QueryRow(ctx, `SELECT concat(now(), E'\n', string_agg(row_to_json(n)::text, E'\n')) FROM pgautofailover.node n`).Scan(&view)
	if err != nil {
		return err.Error()
	}
	return view
}

// await asks until something is so.
func (p *Pair) await(what string, is func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), nodeTimeout)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := is(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never: %s: %w", what, err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}
