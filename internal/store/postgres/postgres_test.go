package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness { return harness(t, postgres.Options{}) })
}

// The same on the schema that is cut into partitions by bucket.
func TestConformancePartitioned(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness { return harness(t, postgres.Partitioned(postgres.Options{}, 8)) })
}

// harness returns a database of its own on the server of the tests, beside those of other tests.
func harness(t *testing.T, o postgres.Options) storetest.Harness {
	t.Parallel()
	o.URL, o.CallerClock = pgtest.Shared(t).Database(t), true
	return storetest.Harness{
		Open:  func(t testing.TB) store.Store { return open(t, o) },
		Crash: func(t testing.TB, st store.Store) { crash(t, o.URL, st) },
		Lose: func(t testing.TB, _ store.Store, what storetest.Lost) {
			execute(t, o.URL, "DELETE FROM "+[]string{"issuance", "users"}[what])
		},
	}
}

func open(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return st
}

// crash ends the store's connections wherever they are, as the system does for a process that is killed: the server
// rolls back what was not committed.
func crash(t testing.TB, url string, st store.Store) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const end = `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	if _, err := conn.Exec(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	go st.Close() // it may wait for a batch that nobody ends
}
