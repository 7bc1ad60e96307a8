package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date and returns the id of the store in it. Processes that start at the same time wait
// for the first of them.
func migrate(ctx context.Context, config *pgxpool.Config, partitions int) (store string, err error) {
	files, err := migrationFiles(partitions)
	if err != nil {
		return "", err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	if err := migrateTo(ctx, pool, files); err != nil {
		return "", err
	}
	if err := createKinds(ctx, pool, partitions); err != nil {
		return "", err
	}
	err = pool.QueryRow(ctx, readStoreID.text).Scan(&store)
	return store, err
}

func migrateTo(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("%w (%d, this program knows %d)", ErrNewer, current, target)
	}
	if current == target {
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

// distributed stands in the migrations behind each table that grows.
const distributed = "/* distributed */"

// migrationFiles returns the migrations, with each table that grows cut into so many partitions.
func migrationFiles(partitions int) (fs.FS, error) {
	files := fstest.MapFS{}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	for _, name := range names {
		text, readErr := migrations.ReadFile(name)
		err = errors.Join(err, readErr)
		files[path.Base(name)] = &fstest.MapFile{Data: []byte(cut(string(text), partitions))}
	}
	return files, err
}

// cut cuts the tables that grow, among those that the text creates, into n partitions; 0 leaves them whole.
func cut(text string, n int) string {
	if n == 0 {
		return text
	}
	var b strings.Builder
	for k, part := range strings.SplitAfter(text, "CREATE TABLE ") {
		table, _, _ := strings.Cut(part, " ")
		body, rest, grows := strings.Cut(part, distributed+";")
		if k == 0 || !grows {
			b.WriteString(part)
			continue
		}
		b.WriteString(body + "PARTITION BY HASH (bucket);\n")
		for at := range n {
			fmt.Fprintf(&b, "CREATE TABLE %s_p%d PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d);\n", table, at, table, n, at)
		}
		b.WriteString(rest)
	}
	return b.String()
}
