package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/config"
	"faquan/internal/pgserver"
)

// Private, as the name of a store, is a PostgreSQL server that is started for the benchmark alone.
const Private = "private"

// privateSettings are what an operator would set for this load, on a machine of a few gigabytes. Nothing of them
// weakens durability; what does is named so that the report can show it as it is.
var privateSettings = []pgserver.Option{
	pgserver.With("shared_buffers", "1GB"), pgserver.With("max_wal_size", "8GB"), pgserver.With("wal_compression", "lz4"),
	pgserver.With("checkpoint_timeout", "15min"), pgserver.With("max_connections", "200"),
	pgserver.With("fsync", "on"), pgserver.With("full_page_writes", "on"), pgserver.With("synchronous_commit", "on"),
}

// shownSettings are those that figures depend on.
var shownSettings = []string{
	"server_version", "shared_buffers", "max_wal_size", "wal_compression", "checkpoint_timeout",
	"fsync", "full_page_writes", "synchronous_commit", "wal_level",
}

// pgServer is the PostgreSQL that is measured. Everything happens in databases that it makes and drops again, never in
// the one that was named.
type pgServer struct {
	url     string
	private *pgserver.Server // nil: a server that runs already, of which only the databases can be seen
}

// openPGServer starts a private server, or takes the one that a URL names, whose user must be allowed to make databases.
// A private one is put where temporary files are (TMPDIR), which should lie on the disk that is to be measured.
func openPGServer(store string) (*pgServer, error) {
	if store != Private {
		if store == "" || config.StoreName(store) == "" {
			return nil, errors.New("the store is neither a URL like postgres://user@host:5432/database nor the word private")
		}
		return &pgServer{url: store}, nil
	}
	private, err := pgserver.Open(privateSettings...)
	if err != nil {
		return nil, err
	}
	syscall.Sync() // the files of a new server; to write them is no part of what is measured
	return &pgServer{url: private.URL("postgres"), private: private}, nil
}

// Close ends a private server and removes all of it.
func (s *pgServer) Close() error {
	if s.private == nil {
		return nil
	}
	return s.private.Close()
}

// Dir returns where a private server has its data; empty for another.
func (s *pgServer) Dir() string {
	if s.private == nil {
		return ""
	}
	return s.private.Dir()
}

// Describe returns which server it is, with the settings that figures depend on.
func (s *pgServer) Describe(ctx context.Context) (string, error) {
	name := "a private server"
	if s.private == nil {
		name = config.StoreName(s.url)
	}
	var all []string
	err := s.use(ctx, s.url, func(conn *pgx.Conn) error {
		for _, setting := range shownSettings {
			var value string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&value); err != nil {
				return err
			}
			all = append(all, setting+"="+value)
		}
		return nil
	})
	return "PostgreSQL, " + name + " (" + strings.Join(all, ", ") + ")", err
}

func (s *pgServer) use(ctx context.Context, url string, fn func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return fn(conn)
}

func (s *pgServer) exec(ctx context.Context, statement string) error {
	return s.use(ctx, s.url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
}

// Database makes an empty database and returns its URL. drop removes it, also when the context has ended.
func (s *pgServer) Database(ctx context.Context) (at string, drop func() error, err error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return "", nil, errors.New("the store's URL cannot be read") // not the error: it holds the password
	}
	name := "faquan_bench_" + strings.ToLower(rand.Text()[:10])
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, fmt.Errorf("making a database to measure in: %w", err)
	}
	u.Path = "/" + name
	return u.String(), func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		//guard:TestPostgresSmall "DROP DATABASE "+name+" WITH (FORCE)" -> "SELECT 1"
		return s.exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	}, nil
}

// checkpoint writes what the server has not written yet, so that one measurement does not pay for another, and says
// how long that took. On a server that runs already it needs the role pg_checkpoint, and is left out without it.
func (s *pgServer) checkpoint(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := s.exec(ctx, "CHECKPOINT"); err != nil && s.private != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// serverUsage is what a server has used so far.
type serverUsage struct {
	cpu     time.Duration // of all its processes; 0 when they cannot be seen
	written int64         // bytes that the disk of its directory has written; 0 when that cannot be seen
	wal     int64         // bytes of its write-ahead log
	size    int64         // of the measured database on the disk, in bytes
}

func (s *pgServer) usage(ctx context.Context, database string) (serverUsage, error) {
	var u serverUsage
	if s.private != nil {
		u.cpu = processorTime(s.private.Processes())
		u.written = newMeter(s.Dir()).written()
	}
	err := s.use(ctx, database, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_database_size(current_database())`).Scan(&u.wal, &u.size)
	})
	return u, err
}
