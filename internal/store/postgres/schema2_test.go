package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// toSchema2 takes the migration to schema 3 back.
func toSchema2(t testing.TB, url string) {
	t.Helper()
	execute(t, url, "ALTER TABLE claim ADD COLUMN body bytea")
	execute(t, url, "ALTER TABLE state RENAME COLUMN catalogue_version TO catalogue")
	execute(t, url, "DELETE FROM goose_db_version WHERE version_id = 3")
}

// The statements of a process that knows schema 2, in the order in which a batch sends them.
const (
	lockSharedOf2 = `SELECT pg_advisory_xact_lock_shared(x'66617175616e'::bigint)`
	readStateOf2  = `
SELECT catalogue, coalesce((SELECT max(now) FROM clock), 0), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM state`
	loadClaimsOf2 = `
SELECT k.ord, c.issuance, c.body FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY k(bucket, hash, ord)
JOIN claim c ON c.bucket = k.bucket AND c.hash = k.hash`
	rebindClaimsOf2 = `
UPDATE claim c SET issuance = k.issuance, body = NULL FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[]) k(bucket, hash, issuance, before)
WHERE c.bucket = k.bucket AND c.hash = k.hash AND c.issuance = k.before`
)

// The migration to schema 3 waits for a batch that a process of schema 2 has begun. Afterwards that process can begin no
// batch, load no key and bind none, even by statements that it prepared before, and what it had issued is there.
func TestProcessesOfSchema2(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	options := postgres.Options{URL: url, CallerClock: true}
	cat := storetest.Catalogue(storetest.Template(1))
	st := open(t, options)
	first := issued(t, storetest.NewCommitter(st, cat, 1), "old")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	toSchema2(t, url)

	process := connect(t, url)
	defer process.Close(t.Context())
	prepared := map[string]string{"read_state": readStateOf2, "load_claims": loadClaimsOf2, "rebind_claims": rebindClaimsOf2}
	for name, text := range prepared {
		if _, err := process.Prepare(t.Context(), name, text); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := process.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := batch.Exec(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run(lockSharedOf2)
	run("read_state")

	migrated := make(chan error, 1)
	go func() {
		st, err := postgres.Open(t.Context(), options)
		if err == nil {
			err = st.Close()
		}
		migrated <- err
	}()
	until(t, "the migration waits for the batch", func() bool {
		return count(t, url, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == 1
	})
	run("load_claims", []int16{}, []string{})
	run("INSERT INTO claim (bucket, hash, issuance) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[])", []int16{}, []string{}, []int64{})
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Fatalf("Open of the next version: %v", err)
	}

	for name, text := range prepared {
		rows, err := process.Query(t.Context(), name, argumentsOf2[name]...)
		wantNoColumn(t, name+", prepared before", rows, err)
		rows, err = process.Query(t.Context(), text, argumentsOf2[name]...)
		wantNoColumn(t, name, rows, err)
	}
	st = open(t, options)
	defer st.Close()
	if again := issued(t, storetest.NewCommitter(st, cat, 2), "old"); !again.Replayed || again.Issuance.ID != first.Issuance.ID {
		t.Errorf("an old key: %+v", again)
	}
	if o := issued(t, storetest.NewCommitter(st, cat, 2), "new"); o.Replayed || o.Reason != benefit.NotRefused {
		t.Errorf("a new key: %+v", o)
	}
}

var argumentsOf2 = map[string][]any{
	"load_claims":   {[]int16{}, []string{}},
	"rebind_claims": {[]int16{}, []string{}, []int64{}, []int64{}},
}

// wantNoColumn wants a statement to have failed because it names a column that is not there.
func wantNoColumn(t testing.TB, name string, rows pgx.Rows, err error) {
	t.Helper()
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42703" {
		t.Errorf("%s: %v, want that the column does not exist", name, err)
	}
}
