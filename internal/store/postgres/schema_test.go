package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// withParameter returns a URL with one more parameter.
func withParameter(t testing.TB, at, name, value string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String()
}

// lose ends all connections of stores to the database.
func (l *limited) lose() {
	l.t.Helper()
	execute(l.t, l.super, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'faquan'`)
}

// issued issues a request on connections that may have been lost.
func issued(t testing.TB, c *storetest.Committer, key string) benefit.Outcome {
	t.Helper()
	for tries := 1; ; tries++ {
		o, err := c.Issue(t.Context(), storetest.Start, storetest.Request(key, "1", storetest.Line(1)))
		if err == nil {
			return o[0]
		}
		if tries == 10 {
			t.Fatal(err)
		}
	}
}

// Whoever may alter the role or the database moves search_path, and no process with it: neither one that runs and
// connects again, nor one that starts.
func TestSearchPathMovesNoStore(t *testing.T) {
	for name, statement := range map[string]string{
		"role":                 "ALTER ROLE %[1]s SET search_path = other",
		"database":             "ALTER DATABASE %[2]s SET search_path = other",
		"role in the database": "ALTER ROLE %[1]s IN DATABASE %[2]s SET search_path = other",
	} {
		t.Run(name, func(t *testing.T) {
			l := limitedDatabase(t)
			role := must(url.Parse(l.url)).User.Username()
			cat := storetest.Catalogue(storetest.Template(1))
			st := open(t, postgres.Options{URL: l.url})
			defer st.Close()
			if st.Schema() != "public" {
				t.Errorf("the tables are in schema %q", st.Schema())
			}
			c := storetest.NewCommitter(st, cat, 1)
			first := issued(t, c, "old")

			// There is another store, which would know no key.
			execute(t, l.url, "CREATE SCHEMA other")
			other := open(t, postgres.Options{URL: withParameter(t, l.url, "schema", "other")})
			other.Close()
			execute(t, l.super, fmt.Sprintf(statement, role, l.database))
			l.lose()

			if again := issued(t, c, "old"); !again.Replayed || again.Issuance.ID != first.Issuance.ID {
				t.Errorf("an old key of a running process: %+v", again)
			}
			if got := issued(t, c, "new"); got.Reason != benefit.NotRefused {
				t.Errorf("a new key of a running process: %+v", got)
			}
			if st, err := postgres.Open(t.Context(), postgres.Options{URL: l.url}); !errors.Is(err, postgres.ErrWhichSchema) {
				t.Errorf("a process that starts without a schema: %v", err)
				if err == nil {
					st.Close()
				}
			}
			for _, at := range []string{
				withParameter(t, l.url, "schema", "public"),
				withParameter(t, withParameter(t, l.url, "schema", "public"), "options", "-c search_path=other"),
				withParameter(t, withParameter(t, l.url, "schema", "public"), "search_path", "other"),
			} {
				st := open(t, postgres.Options{URL: at})
				if again := issued(t, storetest.NewCommitter(st, cat, 2), "old"); !again.Replayed || again.Issuance.ID != first.Issuance.ID {
					t.Errorf("an old key of a process that has started with %s: %+v", at, again)
				}
				st.Close()
			}
			if n := count(t, l.super, "SELECT count(*) FROM other.issuance"); n != 0 {
				t.Errorf("%d issuances in the other store", n)
			}
			if n := count(t, l.super, "SELECT count(*) FROM public.issuance"); n != 2 {
				t.Errorf("%d issuances, want 2", n)
			}
		})
	}
}

// No store is made beside another one unless the URL names its schema, whichever way search_path was moved.
func TestNoStoreBesideAnother(t *testing.T) {
	l := limitedDatabase(t)
	open(t, postgres.Options{URL: l.url}).Close()
	execute(t, l.url, `CREATE SCHEMA other`)
	execute(t, l.super, `CREATE SCHEMA private`)
	for name, c := range map[string]struct {
		parameter, value string
		want             error
		schema           string
	}{
		"options":         {"options", "-c search_path=other", postgres.ErrWhichSchema, ""},
		"search_path":     {"search_path", "other,public", postgres.ErrWhichSchema, ""},
		"none of them":    {"search_path", "nosuch", postgres.ErrWhichSchema, ""},
		"no such schema":  {"schema", "nosuch", postgres.ErrNoSchema, ""},
		"no right":        {"schema", "private", postgres.ErrNoUsage, ""},
		"the store's own": {"schema", "public", nil, "public"},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := postgres.Open(t.Context(), postgres.Options{URL: withParameter(t, l.url, c.parameter, c.value)})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if errors.Is(err, postgres.ErrWhichSchema) && !strings.Contains(err.Error(), `a store in "public"`) {
				t.Errorf("it does not say where the store is: %v", err)
			}
			if err == nil {
				if st.Schema() != c.schema {
					t.Errorf("its schema is %q", st.Schema())
				}
				st.Close()
			}
		})
	}
	if n := count(t, l.super, "SELECT count(*) FROM pg_class WHERE relnamespace = 'other'::regnamespace"); n != 0 {
		t.Errorf("%d tables and indexes were made in the other schema", n)
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: l.url + "&schema="}); err == nil {
		t.Error("a schema without a name is accepted")
	}
}

// A process issues nothing where its store was replaced by another one, or by none, and goes on when it is back.
func TestStoreIsReplaced(t *testing.T) {
	for name, by := range map[string]func(l *limited){
		"another": func(l *limited) { open(t, postgres.Options{URL: withParameter(t, l.url, "schema", "public")}).Close() },
		"none":    func(*limited) {},
	} {
		t.Run(name, func(t *testing.T) {
			l := limitedDatabase(t)
			st := open(t, postgres.Options{URL: l.url})
			defer st.Close()
			c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
			first := issued(t, c, "old")

			execute(t, l.super, "ALTER SCHEMA public RENAME TO kept; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC")
			by(l)
			l.lose()
			var err error
			for range 5 {
				_, err = c.Issue(t.Context(), storetest.Start, storetest.Request("old", "1", storetest.Line(1)))
				if err == nil || errors.Is(err, postgres.ErrOtherStore) {
					break
				}
			}
			if !errors.Is(err, postgres.ErrOtherStore) {
				t.Fatalf("issuing: %v", err)
			}
			if errors.Is(err, store.ErrFailed) {
				t.Errorf("it ends the process: %v", err)
			}
			if err := st.Ping(t.Context()); !errors.Is(err, postgres.ErrOtherStore) {
				t.Errorf("Ping: %v", err)
			}

			execute(t, l.super, "DROP SCHEMA public CASCADE; ALTER SCHEMA kept RENAME TO public")
			if again := issued(t, c, "old"); !again.Replayed || again.Issuance.ID != first.Issuance.ID {
				t.Errorf("when it is back: %+v", again)
			}
		})
	}
}

// Temporary tables of another connection are not taken for a second store.
func TestTemporaryTablesAreNoStore(t *testing.T) {
	l := limitedDatabase(t)
	open(t, postgres.Options{URL: l.url}).Close()
	conn, err := pgx.Connect(t.Context(), l.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const shadows = "CREATE TEMPORARY TABLE turn (n int); CREATE TEMPORARY TABLE claim (n int); CREATE TEMPORARY TABLE issuance (n int)"
	if _, err := conn.Exec(t.Context(), shadows); err != nil {
		t.Fatal(err)
	}
	open(t, postgres.Options{URL: l.url}).Close()
}

// A temporary table is not taken for one of the store.
func TestTemporaryTables(t *testing.T) {
	l := limitedDatabase(t)
	st := open(t, postgres.Options{URL: withParameter(t, l.url, "pool_max_conns", "1")})
	defer st.Close()
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
	issued(t, c, "old")
	// What runs on the store's own connections, as a trigger does, can make one.
	execute(t, l.url, `CREATE FUNCTION shadow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN CREATE TEMPORARY TABLE IF NOT EXISTS claim (LIKE public.claim); RETURN NEW; END $$`)
	execute(t, l.url, `CREATE TRIGGER shadow BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION shadow()`)
	if _, err := c.Issue(t.Context(), storetest.Start, storetest.Request("shadow", "2", storetest.Line(1))); err != nil {
		t.Fatal(err)
	}
	if got := issued(t, c, "old"); !got.Replayed {
		t.Errorf("an old key: %+v", got)
	}
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}
