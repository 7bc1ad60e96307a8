package postgres_test

import (
	"errors"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// A server that was told to take no writes, as one is that gives way to another, takes none from a batch either, and
// says that it is not ready. When it takes them again, nothing needs a hand.
func TestFencedServer(t *testing.T) {
	server := pgtest.Start(t, pgtest.NoSync())
	st, err := postgres.Open(t.Context(), postgres.Options{URL: server.Database(t), CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cat := storetest.Catalogue(storetest.Template(1))
	storetest.Issue(t, st, cat, storetest.Request("before", "1", storetest.Line(1)))
	fence := func(to string) {
		for _, statement := range []string{"ALTER SYSTEM SET default_transaction_read_only = " + to, "SELECT pg_reload_conf()"} {
			if err := server.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	settled := func(what string, want error) {
		t.Helper()
		var err error
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if err = st.Ping(t.Context()); errors.Is(err, want) {
				return
			}
		}
		t.Fatalf("%s: Ping answers %v", what, err)
	}
	fence("on")
	settled("fenced", postgres.ErrReadOnly)
	c := storetest.NewCommitter(st, cat, 2)
	if _, err := c.Issue(t.Context(), storetest.Start, storetest.Request("fenced", "1", storetest.Line(1))); err == nil {
		t.Error("a batch was committed on a server that takes no writes")
	}
	fence("off")
	settled("open again", nil)
	for key, replayed := range map[string]bool{"before": true, "fenced": false} {
		o, err := c.Issue(t.Context(), storetest.Start, storetest.Request(key, "1", storetest.Line(1)))
		if err != nil || o[0].Reason != benefit.NotRefused || o[0].Replayed != replayed {
			t.Errorf("%s: %+v, %v", key, o, err)
		}
	}
}
