package postgres

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// citusDSN names a database of a Citus cluster, on its coordinator, in which a test may make schemas.
const citusDSN = "FAQUAN_CITUS_DSN"

// TestCitus holds the store to its contract on a distributed database: the same schema, each growing table distributed
// by its bucket and all of them together. A schema of its own for each test.
func TestCitus(t *testing.T) {
	dsn := os.Getenv(citusDSN)
	if dsn == "" {
		t.Skip(citusDSN + " is not set, so nothing was tested on Citus. Set it to the URL of a database on a Citus coordinator")
	}
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		o := Options{URL: citusSchema(t, dsn), CallerClock: true}
		distributeTables(t, o)
		return storetest.Harness{Open: func(t testing.TB) store.Store {
			st, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}}
	})
}

// citusSchema makes a schema that goes away with the test, and gives a URL whose tables are made in it.
func citusSchema(t *testing.T, dsn string) string {
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := "faquan_test_" + strings.ToLower(rand.Text()[:12])
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP SCHEMA "+name+" CASCADE")
		if err != nil {
			t.Logf("schema %s stays: %v", name, err)
		}
		_ = conn.Close(context.Background())
	})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(schemaParameter, name)
	u.RawQuery = q.Encode()
	return u.String()
}

// distributeTables migrates the schema and distributes the growing tables while they are empty.
func distributeTables(t *testing.T, o Options) {
	st, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	first := ""
	for _, table := range growing(t) {
		with := "default"
		if first == "" {
			first = table
		} else {
			with = first
		}
		if _, err := st.reading.Exec(t.Context(), "SELECT create_distributed_table($1::text::regclass, 'bucket', colocate_with => $2)", table, with); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
	}
}
