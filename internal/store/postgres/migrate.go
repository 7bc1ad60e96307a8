package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"faquan/internal/table"
)

//go:embed migrations/*.sql
var migrations embed.FS

// changeTables changes what makes tables: the migrations, and createTable.
type changeTables func(migrations fs.FS) (_ fs.FS, create func(kind *table.Kind) string)

// migrate brings the schema up to date and returns the id of the store in it. Processes that start at the same time wait
// for the first of them.
func migrate(ctx context.Context, config *pgxpool.Config, change changeTables) (store string, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return "", err
	}
	create := createTable
	if change != nil {
		files, create = change(files)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	if err := migrateTo(ctx, pool, files); err != nil {
		return "", err
	}
	if err := createKinds(ctx, pool, create); err != nil {
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
