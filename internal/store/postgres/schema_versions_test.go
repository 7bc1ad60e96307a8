package postgres_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// toSchema4 takes the migration to schema 5 back.
func toSchema4(t testing.TB, url string) {
	t.Helper()
	execute(t, url, "DROP TABLE feed_new, feed, feed_state")
	execute(t, url, "ALTER TABLE state RENAME COLUMN catalogue_current TO catalogue_in_force")
	execute(t, url, "DELETE FROM goose_db_version WHERE version_id = 5")
}

// toSchema3 takes the migration to schema 4 back, too. What the columns that went held is not needed.
func toSchema3(t testing.TB, url string) {
	t.Helper()
	toSchema4(t, url)
	execute(t, url, "ALTER TABLE state RENAME COLUMN catalogue_in_force TO catalogue_version")
	execute(t, url, "ALTER TABLE state DROP COLUMN kinds")
	for _, kind := range table.Kinds() {
		if slices.Contains([]string{"quota", "participation", "template_count", "template_day", "entity", "entity_version", "session"}, kind.Name) {
			execute(t, url, "ALTER TABLE "+kind.Name+" DROP COLUMN row_version")
		} else {
			execute(t, url, "DROP TABLE "+kind.Name)
		}
	}
	execute(t, url, "ALTER TABLE participation ADD COLUMN total bigint NOT NULL DEFAULT 0, ADD COLUMN at bigint NOT NULL DEFAULT 0")
	execute(t, url, "DELETE FROM goose_db_version WHERE version_id = 4")
}

// toSchema2 takes the migration to schema 3 back, too.
func toSchema2(t testing.TB, url string) {
	t.Helper()
	toSchema3(t, url)
	execute(t, url, "ALTER TABLE claim ADD COLUMN body bytea")
	execute(t, url, "ALTER TABLE state RENAME COLUMN catalogue_version TO catalogue")
	execute(t, url, "DELETE FROM goose_db_version WHERE version_id = 3")
}

const lockSharedBefore = `SELECT pg_advisory_xact_lock_shared(x'66617175616e'::bigint)`

// The statements of a process that knows an earlier schema, which begins a batch with the first one.
const (
	readStateOf2 = `
SELECT catalogue, coalesce((SELECT max(now) FROM clock), 0), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM state`
	readStateOf3 = `
SELECT catalogue_version, coalesce((SELECT max(now) FROM clock), 0), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM state`
	readStateOf4 = `
SELECT catalogue_in_force, kinds, coalesce((SELECT max(now) FROM clock), 0), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM state`
	updateParticipationsOf3 = `
UPDATE participation p SET total = k.total, at = k.at, body = k.body
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[]) k(bucket, user_id, activity, total, at, body, before)
WHERE p.bucket = k.bucket AND p.user_id = k.user_id AND p.activity = k.activity AND p.total = k.before`
	loadClaimsOf2 = `
SELECT k.ord, c.issuance, c.body FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY k(bucket, hash, ord)
JOIN claim c ON c.bucket = k.bucket AND c.hash = k.hash`
	rebindClaimsOf2 = `
UPDATE claim c SET issuance = k.issuance, body = NULL FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[]) k(bucket, hash, issuance, before)
WHERE c.bucket = k.bucket AND c.hash = k.hash AND c.issuance = k.before`
)

// earlierSchema is a schema that the program brings up to date, and the processes that know it.
type earlierSchema struct {
	restore    func(t testing.TB, url string)
	statements map[string]string
	arguments  map[string][]any
	batch      []string // names of those that the batch under way sends once the migration waits for it
}

func TestProcessesOfSchema2(t *testing.T) {
	testProcessesOf(t, earlierSchema{
		restore:    toSchema2,
		statements: map[string]string{"read_state": readStateOf2, "load_claims": loadClaimsOf2, "rebind_claims": rebindClaimsOf2},
		arguments:  map[string][]any{"load_claims": {[]int16{}, []string{}}, "rebind_claims": {[]int16{}, []string{}, []int64{}, []int64{}}},
		batch:      []string{"load_claims", "rebind_claims"},
	})
}

func TestProcessesOfSchema3(t *testing.T) {
	testProcessesOf(t, earlierSchema{
		restore:    toSchema3,
		statements: map[string]string{"read_state": readStateOf3, "update_participations": updateParticipationsOf3},
		arguments: map[string][]any{
			"update_participations": {[]int16{}, []int64{}, []int64{}, []int64{}, []int64{}, [][]byte{}, []int64{}},
		},
		batch: []string{"update_participations"},
	})
}

func TestProcessesOfSchema4(t *testing.T) {
	testProcessesOf(t, earlierSchema{restore: toSchema4, statements: map[string]string{"read_state": readStateOf4}})
}

// testProcessesOf: the migration waits for a batch that a process of an earlier schema has begun. Afterwards that process
// can begin no batch and write none, even by statements that it prepared before, and what it had issued is there.
func testProcessesOf(t *testing.T, earlier earlierSchema) {
	url := pgtest.Shared(t).Database(t)
	options := postgres.Options{URL: url, CallerClock: true}
	cat := storetest.Catalogue(storetest.Template(1))
	st := open(t, options)
	first := issued(t, storetest.NewCommitter(st, cat, 1), "old")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	earlier.restore(t, url)

	process := connect(t, url)
	defer process.Close(t.Context())
	for name, text := range earlier.statements {
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
	run(lockSharedBefore)
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
	for _, name := range earlier.batch {
		run(name, earlier.arguments[name]...)
	}
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Fatalf("Open of the next version: %v", err)
	}

	for name, text := range earlier.statements {
		rows, err := process.Query(t.Context(), name, earlier.arguments[name]...)
		wantNoColumn(t, name+", prepared before", rows, err)
		rows, err = process.Query(t.Context(), text, earlier.arguments[name]...)
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
