// Package naive issues vouchers as most programs over PostgreSQL would: each issue is a transaction of its own.
//
// There are two of them. [Textbook] is a chain of statements around SELECT … FOR UPDATE of the template: what one
// writes first. [OneTrip] is the best that we know with a transaction per issue: three statements sent at once, with
// the rules as constraints of the tables, and the template's row locked last, so that it is held for little more than
// the commit. Both use a pool, prepared statements that pgx keeps for each connection, and synchronous_commit.
//
// However well that is written, the row of a hot template is locked while its transaction waits for the disk, so the
// disk's time for one sync bounds the issues per second of one template.
package naive

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"faquan/bench/peers/peer"
)

//go:embed schema.sql
var tables string

// Connections returns how many connections do best for so many templates, measured on a machine with two cores. At a
// hot template more of them only wait for its row.
func Connections(templates int) int {
	if templates == 1 {
		return 8
	}
	return 16
}

// database is what both kinds have in common: a schema of their own, and its templates.
type database struct {
	pool      *pgxpool.Pool
	schema    string
	templates map[int64]peer.Template
	parent    int // process id of the server; 0 when it runs elsewhere
}

// open makes the tables in a new schema, which Close drops.
func open(ctx context.Context, url string, connections int) (*database, error) {
	var name [6]byte
	rand.Read(name[:])
	d := &database{schema: "faquan_peer_" + hex.EncodeToString(name[:])}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	config.ConnConfig.RuntimeParams["search_path"] = d.schema
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	if d.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	var backend int
	err = errors.Join(
		d.pool.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend),
		d.exec(ctx, "CREATE SCHEMA "+d.schema),
		d.exec(ctx, tables),
	)
	if err != nil {
		d.pool.Close()
		return nil, err
	}
	d.parent = peer.Parent(backend, "postgres")
	return d, nil
}

// exec runs statements without parameters, of which there may be several in one text.
func (d *database) exec(ctx context.Context, sql string) error {
	_, err := d.pool.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Offer puts the templates into their table.
func (d *database) Offer(ctx context.Context, templates []peer.Template) error {
	d.templates = make(map[int64]peer.Template, len(templates))
	rows := make([][]any, 0, len(templates))
	for _, t := range templates {
		d.templates[t.ID] = t
		rows = append(rows, []any{t.ID, t.Stock, t.PerUser})
	}
	_, err := d.pool.CopyFrom(ctx, pgx.Identifier{"template"}, []string{"id", "stock", "per_user"}, pgx.CopyFromRows(rows))
	return err
}

// about reads the settings that durability rests on, as a connection of the pool sees them.
func (d *database) about(ctx context.Context, name, how string) (peer.About, error) {
	a := peer.About{Name: name, How: how, Settings: map[string]string{
		"connections": strconv.Itoa(int(d.pool.Config().MaxConns)),
	}}
	for _, setting := range []string{"server_version", "fsync", "synchronous_commit", "shared_buffers"} {
		var value string
		if err := d.pool.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&value); err != nil {
			return a, fmt.Errorf("reading %s: %w", setting, err)
		}
		a.Settings[setting] = value
	}
	a.Synced = a.Settings["fsync"] == "on" && a.Settings["synchronous_commit"] == "on"
	a.Durability = "each issue is synced before its answer"
	if !a.Synced {
		a.Durability = "none: the server does not sync"
	}
	return a, nil
}

// Vouchers reads the table of vouchers.
func (d *database) Vouchers(ctx context.Context, each func(peer.Voucher) error) error {
	rows, err := d.pool.Query(ctx, "SELECT key, template, user_id FROM voucher")
	if err != nil {
		return err
	}
	var v peer.Voucher
	_, err = pgx.ForEachRow(rows, []any{&v.Key, &v.Template, &v.User}, func() error { return each(v) })
	return err
}

// Counted reads the counters of the templates, after it has seen that those of the users come to the same.
func (d *database) Counted(ctx context.Context) (map[int64]int64, error) {
	counted := map[int64]int64{}
	rows, err := d.pool.Query(ctx, `
		SELECT t.id, t.issued, COALESCE(sum(c.total), 0)::bigint
		FROM template t LEFT JOIN user_counter c ON c.template = t.id GROUP BY t.id`)
	if err != nil {
		return nil, err
	}
	var id, issued, ofUsers int64
	_, err = pgx.ForEachRow(rows, []any{&id, &issued, &ofUsers}, func() error {
		if issued != ofUsers {
			return fmt.Errorf("template %d counts %d and its users %d", id, issued, ofUsers)
		}
		counted[id] = issued
		return nil
	})
	return counted, err
}

// ServerCPU sums up the server's processes when it runs on this machine.
func (d *database) ServerCPU() (time.Duration, bool) {
	if d.parent == 0 {
		return 0, false
	}
	return peer.CPU(d.parent)
}

// Close drops the schema.
func (d *database) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := d.exec(ctx, "DROP SCHEMA "+d.schema+" CASCADE")
	d.pool.Close()
	return err
}
