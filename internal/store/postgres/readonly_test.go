package postgres_test

import (
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
	url := server.Database(t)
	st, err := postgres.Open(t.Context(), postgres.Options{URL: url, CallerClock: true})
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
	settled := func(what string, ready bool) {
		t.Helper()
		var err error
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if err = st.Ping(t.Context()); (err == nil) == ready {
				return
			}
		}
		t.Fatalf("%s: Ping answers %v", what, err)
	}
	c := storetest.NewCommitter(st, cat, 2)
	fence("on")
	fenced(t, url)
	// The connection that the first batch was committed on is still there, and is no way around it.
	if _, err := c.Issue(t.Context(), storetest.Start, storetest.Request("fenced", "1", storetest.Line(1))); err == nil {
		t.Error("a batch was committed on a server that takes no writes")
	}
	settled("fenced", false)
	fence("off")
	settled("open again", true)
	for key, replayed := range map[string]bool{"before": true, "fenced": false} {
		o, err := c.Issue(t.Context(), storetest.Start, storetest.Request(key, "1", storetest.Line(1)))
		if err != nil || o[0].Reason != benefit.NotRefused || o[0].Replayed != replayed {
			t.Errorf("%s: %+v, %v", key, o, err)
		}
	}
}

// fenced waits until a server takes no writes from those who do not ask for more.
func fenced(t *testing.T, url string) {
	t.Helper()
	waitSetting(t, url, "default_transaction_read_only", "on")
}
